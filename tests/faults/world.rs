//! The program in a world of its own: folders, environment, package repository, builder and registry.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use kmodforge::record::Record;
use kmodforge::reference::Digest;
use regex::Regex;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::bench::Bench;
use crate::site::{Page, Site};
use crate::{buildkit, registry};

/// Kernels that the repository publishes unless a test says otherwise.
pub(crate) const KERNELS: &[&str] = &["6.1.0-54-amd64", "6.1.0-55-amd64", "6.1.0-56-amd64", "6.1.0-56-arm64"];

/// Everything that a run needs, and nothing of this machine.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) site: Site,
    pub(crate) registry: registry::Fake,
    pub(crate) bench: Bench,
    pub(crate) builder: Option<buildkit::Fake>,
}

/// How a run ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    /// Standard output, with names that change from run to run replaced.
    pub(crate) out: String,
    /// Standard error, likewise.
    pub(crate) err: String,
}

impl Ran {
    /// Failures and warnings in standard error: headlines with what is indented below them.
    pub(crate) fn errors(&self) -> String {
        let mut text = String::new();
        let mut inside = false;
        for line in self.err.lines() {
            inside = line.starts_with("error") || (inside && line.starts_with(' '));
            if inside {
                text += line;
                text.push('\n');
            }
        }
        format!("{text}exit {}\n", self.code.map_or_else(|| "by a signal".to_owned(), |code| code.to_string()))
    }

    /// Standard error without times, sizes, and the width that they take.
    pub(crate) fn calm(&self) -> String {
        let text = Regex::new(r"\b\d+\.\ds").unwrap().replace_all(&self.err, "SOMEs").into_owned();
        let text = Regex::new(r"\b\d+(\.\d)? k?B").unwrap().replace_all(&text, "SOME B").into_owned();
        let text = Regex::new(r"sha256:[0-9a-f]{6}…").unwrap().replace_all(&text, "sha256:SHORT…").into_owned();
        Regex::new(" +").unwrap().replace_all(&text, " ").into_owned()
    }

    /// Stops the test unless the run ended with this status.
    #[track_caller]
    pub(crate) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self
    }
}

/// A distribution with one release, and a driver with one module.
const DISTRO: &str = include_str!("debian.yaml");
const DRIVER: &str = include_str!("kmf.yaml");
/// The key that the repository is signed with.
const KEYRING: &str = include_str!("../fixtures/openpgp/release.asc");

impl World {
    pub(crate) async fn new() -> Self {
        let bench = Bench::new();
        let builder = Some(bench.start());
        let world = Self { dir: tempfile::tempdir().unwrap(), site: Site::start().await, registry: registry::Fake::start().await, bench, builder };
        for folder in ["work", "home", "tmp", "cache", "profiles/distros", "profiles/drivers", "profiles/keyrings"] {
            std::fs::create_dir_all(world.path(folder)).unwrap();
        }
        world.site.publish(KERNELS, "6.1.192-2");
        world.profile("distros/debian.yaml", DISTRO);
        world.profile("keyrings/archive.asc", KEYRING);
        world.source("obj-m := kmf_core.o\n");
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Waits until a file below the folder that the program runs in has so many lines.
    pub(crate) async fn logged(&self, name: &str, lines: usize) {
        let path = self.path("work").join(name);
        let logged = async {
            while !std::fs::read_to_string(&path).is_ok_and(|log| log.lines().count() >= lines) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), logged).await.unwrap_or_else(|_| panic!("`{name}` never had {lines} lines"));
    }

    /// Writes a file below the folder that the program runs in.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path("work").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text.replace("REGISTRY", &self.registry.address.to_string())).unwrap();
    }

    pub(crate) fn profile(&self, name: &str, text: &str) {
        let text = text.replace("SITE", &self.site.url()).replace("REGISTRY", &self.registry.address.to_string());
        std::fs::write(self.path("profiles").join(name), text).unwrap();
    }

    /// Publishes the driver's source with this Kbuild file, and the profile that expects it. Returns the archive.
    pub(crate) fn source(&self, kbuild: &str) -> Vec<u8> {
        let archive = crate::results::Tar::new().file("kmf-1.0/Kbuild", kbuild.as_bytes()).bytes();
        self.site.put("/kmf-1.0.tar", Page::Bytes(archive.clone()));
        self.profile("drivers/kmf.yaml", &DRIVER.replace("DIGEST", Digest::of(&archive).hex()));
        archive
    }

    pub(crate) fn repository(&self) -> String {
        format!("{}/drivers", self.registry.address)
    }

    /// The program with its arguments (`REPO` is the repository), ready to be started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.wrapped(&[], arguments)
    }

    /// The program, started by another one.
    pub(crate) fn wrapped(&self, wrapper: &[&str], arguments: &[&str]) -> Command {
        let words = wrapper.iter().copied().chain([env!("CARGO_BIN_EXE_kmodforge")]).chain(arguments.iter().copied());
        let words: Vec<String> = words.map(|word| word.replace("REPO", &self.repository()).replace("DIR", &self.dir.path().display().to_string())).collect();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().current_dir(self.path("work")).kill_on_drop(true);
        command.env("PATH", "/nowhere").env("HOME", self.path("home")).env("TMPDIR", self.path("tmp")).env("KMODFORGE_CACHE", self.path("cache"));
        if let Some(builder) = &self.builder {
            command.env("KMODFORGE_BUILDER", format!("unix://{}", builder.socket().display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        let child = self.command(&self.with_profiles(arguments)).spawn().unwrap();
        self.finish(child).await
    }

    /// Runs the program in mounts of its own, which `script` has made.
    pub(crate) async fn run_mounted(&self, script: &str, arguments: &[&str]) -> Ran {
        let script = format!("export PATH=/usr/sbin:/usr/bin:/sbin:/bin; {script}; exec \"$@\"");
        let mut command = self.wrapped(&["/usr/bin/unshare", "--mount", "/bin/sh", "-ec", &script, "sh"], &self.with_profiles(arguments));
        self.finish(command.spawn().unwrap()).await
    }

    /// `build --driver kmf … --push`, with further arguments.
    pub(crate) async fn build(&self, kernel: &str, arguments: &[&str]) -> Ran {
        self.run(&self.build_arguments(kernel, arguments)).await
    }

    #[expect(clippy::unused_self, reason = "arguments are for the world whose places they name")]
    pub(crate) fn build_arguments<'a>(&self, kernel: &'a str, arguments: &[&'a str]) -> Vec<&'a str> {
        [&["build", "--driver", "kmf", "--kernel", kernel, "--repo", "REPO", "--push"], arguments].concat()
    }

    #[expect(clippy::unused_self, reason = "arguments are for the world whose places they name")]
    pub(crate) fn with_profiles<'a>(&self, arguments: &[&'a str]) -> Vec<&'a str> {
        [arguments, &["--profiles", "DIR/profiles"]].concat()
    }

    /// Waits for the end.
    pub(crate) async fn finish(&self, child: Child) -> Ran {
        let output = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output()).await.expect("the program does not end").unwrap();
        Ran { code: output.status.code(), out: self.stable(&output.stdout), err: self.stable(&output.stderr) }
    }

    /// The text with what changes from run to run replaced.
    fn stable(&self, bytes: &[u8]) -> String {
        let text = std::str::from_utf8(bytes).unwrap();
        let mut text = text.replace(&self.site.address.to_string(), "SITE").replace(&self.registry.address.to_string(), "REGISTRY");
        if let Some(builder) = &self.builder {
            text = text.replace(&builder.socket().display().to_string(), "BUILDER");
        }
        text = text.replace(&self.dir.path().display().to_string(), "DIR");
        for (pattern, name) in [
            (r"(?m)^\d\d:\d\d:\d\d ", "TIME "),
            (r"sha256:[0-9a-f]{64}", "sha256:DIGEST"),
            (r"DIR/tmp/kmodforge-[A-Za-z0-9]+", "DIR/tmp/kmodforge-RUN"),
            (r"(DIR/cache/\w+/)\.part-[A-Za-z0-9]+", "${1}PART"),
            (r"\.layer-[A-Za-z0-9]+", ".layer-PART"),
        ] {
            text = Regex::new(pattern).unwrap().replace_all(&text, name).into_owned();
        }
        text
    }

    /// What the run has recorded.
    pub(crate) fn record(&self) -> Record {
        serde_json::from_slice(&std::fs::read(self.path("work/kmodforge-record.json")).unwrap()).unwrap()
    }

    /// Tags of the driver's repository, and whether all that they lead to is there.
    pub(crate) fn tags(&self) -> Vec<String> {
        let state = self.registry.state();
        let mut tags: Vec<_> = state.manifests.keys().filter(|(_, name)| !name.contains(':')).map(|(_, name)| name.clone()).collect();
        tags.sort();
        for tag in &tags {
            let manifest = |name: &str| serde_json::from_slice(&state.manifests[&("drivers/kmf".to_owned(), name.to_owned())].1).unwrap();
            let index: serde_json::Value = manifest(tag);
            for of in index["manifests"].as_array().unwrap() {
                let image: serde_json::Value = manifest(of["digest"].as_str().unwrap());
                for blob in image["layers"].as_array().unwrap().iter().chain([&image["config"]]) {
                    let digest = blob["digest"].as_str().unwrap().to_owned();
                    assert!(state.blobs.contains_key(&("drivers/kmf".to_owned(), digest.clone())), "{tag} lacks {digest}");
                }
            }
        }
        tags
    }

    /// Files below a folder, sorted.
    pub(crate) fn files(&self, folder: &str) -> Vec<String> {
        let root = self.path(folder);
        let mut files = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path.clone());
                }
                files.push(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
        files.sort();
        files
    }
}
