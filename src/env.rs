//! The only reader of environment variables, of the clock and of facts about this machine.
//!
//! Pure stages get what they need as arguments, and tests can set everything in one place.

use std::path::PathBuf;
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

/// How many processors this process may use.
#[must_use]
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
