//! Runs of the real program.

use std::fs;
use std::io::{Read as _, Seek as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use kmodforge::record::{Record, TargetRecord};
use tempfile::TempDir;

use crate::stack::{kept, mirrors, registry, scratch, setting};

/// A working directory with a project file.
pub(crate) struct Forge {
    pub(crate) folder: TempDir,
    cache: PathBuf,
    builder: String,
    environment: Vec<(&'static str, String)>,
}

/// How a run of the program ended.
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) time: Duration,
    /// The most memory that the program had at once, in kibibytes.
    pub(crate) peak_kib: u64,
}

/// The builder that is inside the Docker Engine.
pub(crate) fn docker_builder() -> String {
    format!("docker:{}", setting("KMODFORGE_TEST_DOCKER").trim_start_matches("unix://"))
}

impl Forge {
    /// `matrix`: the rows of the project's matrix in YAML; none for those who bring a record.
    pub(crate) fn new(repository: &str, matrix: &str) -> Self {
        Self::mirrored(repository, matrix, &mirrors())
    }

    /// With mirrors of its own.
    pub(crate) fn mirrored(repository: &str, matrix: &str, mirrors: &str) -> Self {
        let folder = scratch();
        let repository = format!("{}/{repository}", registry());
        let matrix = if matrix.is_empty() { String::new() } else { format!("matrix:\n{matrix}") };
        fs::write(folder.path().join("kmodforge.yaml"), format!("repository: {repository}\n{mirrors}{matrix}")).unwrap();
        Self { folder, cache: kept("cache"), builder: docker_builder(), environment: Vec::new() }
    }

    pub(crate) fn with_builder(mut self, builder: String) -> Self {
        self.builder = builder;
        self
    }

    /// With a variable in the program's environment.
    pub(crate) fn with_variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// With nothing remembered.
    pub(crate) fn with_own_cache(mut self) -> Self {
        self.cache = self.folder.path().join("cache");
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs the program in the working directory.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.run_with(arguments, &[])
    }

    /// Runs the program with these variables set.
    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Run {
        let start = Instant::now();
        // Files, which no reader must keep empty; of this run, since several can run in one directory.
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut child = Command::new(env!("CARGO_BIN_EXE_kmodforge"))
            .args(arguments)
            .current_dir(self.folder.path())
            .env("KMODFORGE_CACHE", &self.cache)
            .env("KMODFORGE_BUILDER", &self.builder)
            .env_remove("SOURCE_DATE_EPOCH")
            .envs(variables.iter().copied())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut peak_kib = 0;
        let status = loop {
            peak_kib = peak_kib.max(high_water_mark(child.id()).unwrap_or_default());
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let text = |mut file: fs::File| {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        Run { status: status.code().unwrap_or(-1), stdout: text(out), stderr: text(err), time: start.elapsed(), peak_kib }
    }

    pub(crate) fn record(&self) -> Record {
        serde_json::from_slice(&fs::read(self.path("kmodforge-record.json")).unwrap()).unwrap()
    }

    /// What became of a driver on a kernel.
    pub(crate) fn target(&self, driver: &str, kernel: &str) -> TargetRecord {
        let record = self.record();
        record.targets.into_iter().find(|target| target.target.driver == driver && target.target.kernel == kernel).unwrap()
    }
}

impl Run {
    /// The run, if it ended with this status.
    #[track_caller]
    pub(crate) fn expect(self, status: i32) -> Self {
        assert_eq!(self.status, status, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        assert!(self.stdout.contains(words) || self.stderr.contains(words), "`{words}` is not in\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
    }

    #[track_caller]
    pub(crate) fn does_not_say(&self, words: &str) {
        assert!(!self.stdout.contains(words) && !self.stderr.contains(words), "`{words}` is in\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
    }
}

/// `VmHWM` of a process: `proc_pid_status(5)`.
fn high_water_mark(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

/// A kernel that Debian publishes today: releases change, tests do not.
pub(crate) struct Kernel {
    pub(crate) release: String,
    /// URL of its first headers package.
    pub(crate) headers: String,
}

/// Every kernel of an architecture, newest first for each release of Debian.
pub(crate) fn published(arch: &str) -> &'static [Kernel] {
    static AMD64: OnceLock<Vec<Kernel>> = OnceLock::new();
    static ARM64: OnceLock<Vec<Kernel>> = OnceLock::new();
    let list = if arch == "arm64" { &ARM64 } else { &AMD64 };
    list.get_or_init(|| {
        let forge = Forge::new("none", "  - {drivers: [v4l2loopback], distros: [debian], kernels: [latest]}\n");
        let text = forge.run(&["kernels", "list", "--distro", "debian", "--arch", arch, "--format", "json"]).expect(0).stdout;
        let kernels: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        kernels.iter().map(|kernel| Kernel { release: word(&kernel["release"]), headers: word(&kernel["headers"][0]["url"]) }).collect()
    })
}

fn releases(arch: &str, start: &str, end: &str) -> Vec<&'static str> {
    let plain = |middle: &str| middle.chars().all(|c| c.is_ascii_digit() || c == '.');
    let fits = |release: &str| release.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)).is_some_and(plain);
    let found: Vec<_> = published(arch).iter().map(|kernel| kernel.release.as_str()).filter(|release| fits(release)).collect();
    assert!(!found.is_empty(), "no kernel {start}*{end} is published");
    found
}

/// The newest plain kernel of bookworm.
pub(crate) fn newest() -> &'static str {
    releases("amd64", "6.1.0-", "-amd64")[0]
}

/// The oldest plain kernel of bookworm that is still published.
pub(crate) fn oldest() -> &'static str {
    releases("amd64", "6.1.0-", "-amd64").last().unwrap()
}

pub(crate) fn newest_cloud() -> &'static str {
    releases("amd64", "6.1.0-", "-cloud-amd64")[0]
}

pub(crate) fn newest_arm64() -> &'static str {
    releases("arm64", "6.1.0-", "-arm64")[0]
}

pub(crate) fn newest_trixie() -> &'static str {
    releases("amd64", "6.12.", "+deb13-amd64")[0]
}

pub(crate) fn newest_sid() -> &'static str {
    releases("amd64", "7.", "+deb14-amd64")[0]
}

/// Name and kernel of an image that some test has pushed, without its tag's help.
pub(crate) fn image(repository: &str, driver: &str, version: &str, kernel: &str) -> String {
    let tag = kernel.strip_suffix('+').unwrap_or(kernel).replace('+', "_");
    format!("{}/{repository}/{driver}:{version}-{tag}", registry())
}
