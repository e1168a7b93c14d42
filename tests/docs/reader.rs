//! Stands for somebody who follows a page: a folder, a shell, and what the pages take for granted.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use regex::Regex;
use tempfile::TempDir;

use crate::page::{Block, Page};

/// The registry of the examples.
const REGISTRY: &str = "registry.example";

/// Precedes the output of each command.
const MARK: &str = "@@@ line ";

/// Somebody with `kmodforge` on the PATH, a Docker Engine, a registry, a cluster, and a machine that runs a Debian kernel.
pub(crate) struct Reader {
    home: TempDir,
    registry: String,
}

fn variable(name: &str) -> String {
    #[expect(clippy::disallowed_methods, reason = "the tests' environment, not the program's")]
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with `make test`, or through scripts/stack.sh"))
}

fn write_program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

impl Reader {
    /// Prepares the folder. What is pushed goes to a part of the registry that nobody else uses.
    pub(crate) fn new() -> Self {
        let home = tempfile::Builder::new().prefix("kmodforge-docs.").rand_bytes(12).tempdir().unwrap();
        let bin = home.path().join("bin");
        fs::create_dir_all(home.path().join("work")).unwrap();
        fs::create_dir_all(home.path().join(".docker/cli-plugins")).unwrap();
        fs::create_dir(&bin).unwrap();
        let mirrors = format!("{}  frozen: true\n", fs::read_to_string(variable("KMODFORGE_TEST_MIRRORS")).unwrap());
        fs::write(home.path().join("mirrors.yaml"), mirrors).unwrap();

        // Pages say nothing of this machine's mirrors: every project file that has none of its own gets them.
        let program = env!("CARGO_BIN_EXE_kmodforge");
        let mirrors = home.path().join("mirrors.yaml");
        let mirrors = mirrors.display();
        write_program(
            &bin.join("kmodforge"),
            &format!("#!/bin/sh\ngrep -qs '^mirrors:' kmodforge.yaml || cat {mirrors} >> kmodforge.yaml\nexec {program} \"$@\"\n"),
        );
        // Readers run a kernel of Debian; what this machine runs, nobody knows.
        write_program(
            &bin.join("uname"),
            "#!/bin/sh\n[ \"$*\" = -r ] || exec /usr/bin/uname \"$@\"\n\
             exec kmodforge kernels list --distro debian:bookworm --arch amd64 --format text | grep -m1 '^6.1.0-[0-9]*-amd64$'\n",
        );
        let buildx = Command::new("sh").args(["-c", "command -v docker-buildx"]).output().unwrap().stdout;
        let buildx = String::from_utf8(buildx).unwrap();
        if !buildx.is_empty() {
            symlink(buildx.trim(), home.path().join(".docker/cli-plugins/docker-buildx")).unwrap();
        }
        let part = home.path().file_name().unwrap().to_string_lossy().to_lowercase().replace('.', "-");
        let registry = format!("{}/{part}", variable("KMODFORGE_TEST_REGISTRY"));
        Self { home, registry }
    }

    /// Runs the blocks of a page, and compares what it shows with what comes out.
    pub(crate) fn follow(&self, page: &Page) {
        let mut script = "set -euo pipefail\n".to_owned();
        let mut shown = Vec::new();
        for block in page.blocks.iter().filter(|block| block.is_commands()) {
            for (line, command, output) in commands(block) {
                let _ = write!(script, "echo '{MARK}{line}'\n{command}");
                shown.push((line, output));
            }
        }
        let (output, success) = self.shell(&script.replace(REGISTRY, &self.registry));
        let mut parts = output.split(MARK).skip(1);
        let mut last = String::new();
        for (line, expected) in shown {
            let Some(part) = parts.next() else { break };
            last = format!("{}:{part}", page.path);
            let expected: Vec<_> = expected.iter().map(|line| line.replace(REGISTRY, &self.registry)).collect();
            if let Some(missing) = missing(&expected, part) {
                panic!("{}:{line}: the page shows a line that does not come out\n  {missing}\nwhat comes out:\n{part}", page.path);
            }
        }
        assert!(success, "a command failed; {last}");
    }

    fn shell(&self, script: &str) -> (String, bool) {
        let home = self.home.path();
        let log = fs::File::create(home.join("output")).unwrap();
        let status = Command::new("bash")
            .args(["-c", script])
            .current_dir(home.join("work"))
            .env("HOME", home)
            .env("DOCKER_CONFIG", home.join(".docker"))
            .env("DOCKER_HOST", variable("KMODFORGE_TEST_DOCKER"))
            .env("PATH", format!("{}:{}", home.join("bin").display(), variable("PATH")))
            .env("KUBECONFIG", variable("KMODFORGE_TEST_KUBECONFIG"))
            .env("NO_COLOR", "1")
            .env_remove("BUILDKIT_HOST")
            .env_remove("KMODFORGE_BUILDER")
            .env_remove("KMODFORGE_CACHE")
            .env_remove("XDG_CACHE_HOME")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .status()
            .unwrap();
        (fs::read_to_string(home.join("output")).unwrap(), status.success())
    }
}

/// The commands of a block: line in the page, text, and the output that the page shows.
fn commands(block: &Block) -> Vec<(usize, String, Vec<String>)> {
    if block.language == "sh" {
        return vec![(block.line, block.text.clone(), Vec::new())];
    }
    let mut commands: Vec<(usize, String, Vec<String>)> = Vec::new();
    for (number, line) in block.text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((block.line + 1 + number, format!("{command}\n"), Vec::new()));
        } else if let Some((_, command, output)) = commands.last_mut() {
            if command.ends_with("\\\n") {
                command.push_str(line);
                command.push('\n');
            } else {
                output.push(line.to_owned());
            }
        }
    }
    assert!(!commands.is_empty(), "line {}: no command in a console block", block.line);
    commands
}

/// The first line that is shown and does not come out, after those before it.
fn missing(shown: &[String], output: &str) -> Option<String> {
    let mut lines = output.lines().map(alike);
    shown.iter().filter(|line| !line.trim().is_empty()).find(|line| !lines.any(|real| pattern(line).is_match(&real))).cloned()
}

/// A shown line, in which `…` stands for anything.
fn pattern(line: &str) -> Regex {
    let parts: Vec<_> = alike(line).split('…').map(regex::escape).collect();
    Regex::new(&format!("^{}$", parts.join(".*"))).unwrap()
}

/// A line without what differs between runs: digests, numbers and the width of columns.
fn alike(line: &str) -> String {
    let line = Regex::new(r"sha256:[0-9a-f]+…?").unwrap().replace_all(line, "DIGEST");
    let line = Regex::new(r"\d+").unwrap().replace_all(&line, "0");
    let line = Regex::new(r"0(:0)*(\.0)?s\b|0:0\b").unwrap().replace_all(&line, "TIME");
    let line = Regex::new(r"\+?0(\.0)? [kM]?B\b").unwrap().replace_all(&line, "SIZE");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}
