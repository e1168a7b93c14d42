//! The one HTTP client: everything that is fetched goes through it, and through the mirrors.
//!
//! Proxies are taken from the usual variables (`http_proxy`, `https_proxy`, `no_proxy`).

pub mod source;

mod bundled;
mod cached;
mod error;
mod logins;
mod transfer;
mod tree;
mod unlisted;
mod unpack;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};

pub use self::bundled::{Download, Origin};
pub use self::cached::Fetched;
pub use self::error::{DiskProblem, FetchError, Place, Problem};
use self::logins::Logins;
use self::transfer::{Request, Transfers};
pub use self::unlisted::Unlisted;
pub(crate) use self::unpack::{decompress, open_deb};
use crate::env;
use crate::mirror::Mirrors;

/// How many transfers run at the same time.
const TRANSFERS: usize = 8;

/// How the names of unfinished files begin.
const PART: &str = ".part-";

/// How old an unfinished file is that nobody works on any more.
const ABANDONED: Duration = Duration::from_hours(24);

/// Which mirror rules apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A distribution's package, or the index of its repository.
    Package,
    /// A driver's source or firmware.
    Source,
}

/// How a [`Fetcher`] works.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Rewrites addresses.
    pub mirrors: Mirrors,
    /// Where downloads are kept: `files/<sha256>`, `http/`, `sources/`, `index/` below it.
    pub cache_dir: PathBuf,
    /// Certificate authorities (PEM) to trust beside the system's.
    pub extra_ca: Option<PathBuf>,
    /// Certificate and key (PEM) to show to servers that ask for one.
    pub identity: Option<PathBuf>,
    /// Logins for servers, as `apt_auth.conf(5)` has them.
    pub logins: Option<PathBuf>,
    /// When to give up waiting.
    pub timeouts: Timeouts,
    /// When to try again.
    pub retries: Retries,
    /// How old an index may be before the server is asked again. Zero: it is always asked.
    pub max_age: Duration,
    /// Take the copy of an index from before when its server cannot be reached.
    pub stale_if_unreachable: bool,
    /// Where everything comes from.
    pub origin: Origin,
}

impl FetchOptions {
    /// The usual patience, indexes always fresh.
    #[must_use]
    pub fn new(mirrors: Mirrors, cache_dir: PathBuf) -> Self {
        let timeouts = Timeouts { connect: Duration::from_secs(10), read: Duration::from_secs(30) };
        let retries = Retries { attempts: 4, first_delay: Duration::from_millis(300) };
        Self {
            mirrors,
            cache_dir,
            extra_ca: None,
            identity: None,
            logins: None,
            timeouts,
            retries,
            max_age: Duration::ZERO,
            stale_if_unreachable: false,
            origin: Origin::default(),
        }
    }
}

/// When to give up waiting.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the answer, and for each further piece of it.
    pub read: Duration,
}

/// When to try again: after a status 408, 429, 500, 502, 503 or 504 and when a connection fails.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// How often a request is sent at most.
    pub attempts: u32,
    /// Wait before the second attempt; doubles with every further one. A `Retry-After` up to 20 s is obeyed.
    pub first_delay: Duration,
}

/// Fetches over HTTP, and remembers.
#[derive(Debug)]
pub struct Fetcher {
    transfers: Transfers,
    options: FetchOptions,
    limit: Semaphore,
    turns: Turns,
    swept: Mutex<HashSet<PathBuf>>,
}

impl Fetcher {
    /// Sets up the client; nothing is asked or written yet.
    pub fn new(options: FetchOptions) -> Result<Self, FetchError> {
        let authorities = options.extra_ca.as_deref().map(read_authorities).transpose()?.unwrap_or_default();
        let identity = options.identity.as_deref().map(read_identity).transpose()?;
        let builder = || {
            let builder = reqwest::Client::builder()
                .user_agent(concat!("kmodforge/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(options.timeouts.connect)
                .read_timeout(options.timeouts.read);
            identity.iter().cloned().fold(builder, reqwest::ClientBuilder::identity)
        };
        // A machine without `ca-certificates` makes the first one fail, though mirrors may well be plain HTTP.
        let client = builder().tls_certs_merge(authorities.clone()).build().or_else(|_| builder().tls_certs_only(authorities).build());
        let client = client.map_err(|error| FetchError::Client(error::innermost(&error)))?;
        let logins = options.logins.as_deref().map(Logins::load).transpose()?.unwrap_or_default();
        let transfers = Transfers { client, timeouts: options.timeouts, retries: options.retries, logins };
        Ok(Self { transfers, options, limit: Semaphore::new(TRANSFERS), turns: Turns::default(), swept: Mutex::default() })
    }

    /// The rules by which addresses are rewritten.
    #[must_use]
    pub fn mirrors(&self) -> &Mirrors {
        &self.options.mirrors
    }

    /// Whether servers are trusted that only additional authorities vouch for.
    #[must_use]
    pub fn has_authorities(&self) -> bool {
        self.options.extra_ca.is_some()
    }

    /// Where downloads are kept.
    #[must_use]
    pub fn cache_dir(&self) -> &Path {
        &self.options.cache_dir
    }

    /// The file with this digest: from the cache, which needs no network, or fetched and verified.
    ///
    /// However many ask for it at once, it is fetched once. The file belongs to the cache or a bundle, and must not be changed.
    pub async fn verified(&self, kind: Kind, url: &str, sha256: &str) -> Result<PathBuf, FetchError> {
        let asked = self.asked(kind, url);
        let request = Request { official: url, asked: &asked };
        check_digest(&request, sha256)?;
        let _turn = self.turns.take(sha256).await;
        if let Some(path) = self.bundled(&request, sha256).await? {
            return Ok(path);
        }
        let path = self.cached_file(sha256);
        if tokio::fs::try_exists(&path).await.unwrap_or(false) {
            return Ok(path);
        }
        let part = self.part("files")?;
        self.save(&request, Some(sha256), part.path()).await?;
        keep(part, &path)?;
        Ok(path)
    }

    /// The file with this digest, fetched and verified, and not kept in the cache. For what is read once.
    pub async fn temporary(&self, kind: Kind, url: &str, sha256: &str) -> Result<Download, FetchError> {
        let asked = self.asked(kind, url);
        let request = Request { official: url, asked: &asked };
        check_digest(&request, sha256)?;
        let _turn = self.turns.take(sha256).await;
        if let Some(path) = self.bundled(&request, sha256).await? {
            return Ok(Download::Kept(path));
        }
        let part = self.part("files")?;
        self.save(&request, Some(sha256), part.path()).await?;
        Ok(Download::Temporary(part))
    }

    /// A file that is gone when it is dropped, with bytes that were read before.
    pub fn spooled(&self, bytes: &[u8]) -> Result<Download, FetchError> {
        use std::io::Write as _;
        let mut part = self.part("files")?;
        part.write_all(bytes).map_err(|error| FetchError::cache(part.path(), &error))?;
        Ok(Download::Temporary(part))
    }

    /// The SHA-256 of what is at a place now. It is fetched every time, and kept as if it had been known before.
    pub async fn digest_of(&self, kind: Kind, url: &str) -> Result<String, FetchError> {
        let asked = self.asked(kind, url);
        let request = Request { official: url, asked: &asked };
        if let Some(sha256) = self.bundled_digest(&request)? {
            return Ok(sha256);
        }
        let part = self.part("files")?;
        let sha256 = self.save(&request, None, part.path()).await?;
        keep(part, &self.cached_file(&sha256))?;
        self.record_digest(&request, &sha256).await?;
        Ok(sha256)
    }

    /// Fetches into a file; gives its SHA-256.
    async fn save(&self, request: &Request<'_>, sha256: Option<&str>, path: &Path) -> Result<String, FetchError> {
        let _permit = self.permit().await;
        self.transfers.save(request, sha256, path).await
    }

    /// A place among the transfers. Never closed, so this cannot fail; without one the transfer would merely not be counted.
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.limit.acquire().await.ok()
    }

    fn cached_file(&self, sha256: &str) -> PathBuf {
        self.cache_dir().join("files").join(sha256)
    }

    fn asked(&self, kind: Kind, url: &str) -> String {
        match kind {
            Kind::Package => self.options.mirrors.package(url),
            Kind::Source => self.options.mirrors.source(url),
        }
    }

    /// A new file in a directory of the cache; it goes away unless it is kept.
    fn part(&self, directory: &str) -> Result<NamedTempFile, FetchError> {
        let directory = self.cache_dir().join(directory);
        std::fs::create_dir_all(&directory).map_err(|error| FetchError::cache(&directory, &error))?;
        if self.swept.lock().unwrap_or_else(PoisonError::into_inner).insert(directory.clone()) {
            sweep(&directory);
        }
        tempfile::Builder::new().prefix(PART).tempfile_in(&directory).map_err(|error| FetchError::cache(&directory, &error))
    }

    /// Writes a small file of the cache as a whole or not at all.
    pub fn write(&self, directory: &str, name: &str, bytes: &[u8]) -> Result<(), FetchError> {
        use std::io::Write as _;
        let mut part = self.part(directory)?;
        let path = self.cache_dir().join(directory).join(name);
        part.write_all(bytes).map_err(|error| FetchError::cache(&path, &error))?;
        keep(part, &path)
    }

    /// Waits until nobody else in this process works on `key`.
    pub async fn turn(&self, key: &str) -> Turn {
        self.turns.take(key).await
    }
}

/// Removes what a killed process left behind. Best effort: a cache with old files in it works as well.
fn sweep(directory: &Path) {
    let age = |entry: &std::fs::DirEntry| {
        let modified = entry.metadata().ok()?.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        env::now().checked_sub(modified)
    };
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(PART.as_bytes()) && age(&entry).is_some_and(|age| age > ABANDONED) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Makes a new file part of the cache.
fn keep(part: NamedTempFile, path: &Path) -> Result<(), FetchError> {
    part.persist(path).map(drop).map_err(|error| FetchError::cache(path, &error.error))
}

fn check_digest(request: &Request<'_>, sha256: &str) -> Result<(), FetchError> {
    let valid = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if valid { Ok(()) } else { Err(request.failed(Problem::NoDigest(sha256.to_owned()), 1)) }
}

fn read_authorities(path: &Path) -> Result<Vec<reqwest::Certificate>, FetchError> {
    let unusable = |reason: String| FetchError::Authorities { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| unusable(DiskProblem::of(&error).to_string()))?;
    let certificates = reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| unusable(error.to_string()))?;
    if certificates.is_empty() { Err(unusable("it holds no certificate in PEM format".to_owned())) } else { Ok(certificates) }
}

fn read_identity(path: &Path) -> Result<reqwest::Identity, FetchError> {
    let unusable = |reason: String| FetchError::Identity { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| unusable(DiskProblem::of(&error).to_string()))?;
    reqwest::Identity::from_pem(&pem).map_err(|_| unusable("it does not hold a certificate and its unencrypted key in PEM format".to_owned()))
}

/// The turn of whoever holds it.
pub type Turn = OwnedMutexGuard<()>;

/// Lets one task at a time work on a key.
#[derive(Debug, Default)]
struct Turns(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Turns {
    async fn take(&self, key: &str) -> Turn {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(key.to_owned()).or_default())
        };
        turn.lock_owned().await
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 of some bytes, as hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
