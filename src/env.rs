//! The only reader of environment variables, of the clock and of facts about this machine.
//!
//! Pure stages get what they need as arguments, and tests can set everything in one place.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An environment variable's text; an empty one counts as not set.
#[must_use]
pub fn var(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the environment")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The user's home directory.
#[must_use]
pub fn home() -> Option<PathBuf> {
    var("HOME").map(PathBuf::from)
}

/// Where downloads, kernel indexes and facts about kernels are kept between runs:
/// `KMODFORGE_CACHE`, else `$XDG_CACHE_HOME/kmodforge`, else `~/.cache/kmodforge`, else a folder in the temporary directory.
#[must_use]
pub fn cache_dir() -> PathBuf {
    if let Some(dir) = var("KMODFORGE_CACHE") {
        return PathBuf::from(dir);
    }
    let base = var("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(home()?.join(".cache")));
    base.unwrap_or_else(std::env::temp_dir).join("kmodforge")
}

/// The folder for sockets and other things that do not outlive the login: `$XDG_RUNTIME_DIR`.
#[must_use]
pub fn runtime_dir() -> Option<PathBuf> {
    var("XDG_RUNTIME_DIR").map(PathBuf::from)
}

/// Where a program of that name is, if one of the folders in `PATH` has it.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = var("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| is_executable(file))
}

/// File with the certificate authorities that this machine trusts: `SSL_CERT_FILE`, else where distributions keep it.
#[must_use]
pub fn system_authorities() -> Option<PathBuf> {
    let usual = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];
    var("SSL_CERT_FILE").map(PathBuf::from).or_else(|| usual.into_iter().map(PathBuf::from).find(|file| file.is_file()))
}

/// Whether a path is a file that somebody may execute.
#[must_use]
pub fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// Where temporary files go: `TMPDIR`, else `/tmp`.
#[must_use]
pub fn temp_dir() -> PathBuf {
    std::env::temp_dir()
}

/// How long a program has waited for a processor that others had, in the thread that waited longest: the second number in
/// `/proc/<pid>/task/<tid>/schedstat` (the kernel's Documentation/scheduler/sched-stats.rst). Nothing where the kernel does not tell.
#[must_use]
pub fn waited_for_processor(process: u32) -> Duration {
    let waited = |thread: std::fs::DirEntry| -> Option<u64> {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(1)?.parse().ok()
    };
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    Duration::from_nanos(threads.filter_map(waited).max().unwrap_or_default())
}

/// How many processors this process may use.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
