//! Why something could not be fetched.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::bundle::BundleError;
use crate::error::{Exit, Failure};

/// Why something could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The file with additional certificate authorities cannot be used.
    #[error("cannot use `{}` as certificate authorities: {reason}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file with the client's certificate cannot be used.
    #[error("cannot use `{}` as the client's certificate: {reason}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file with logins cannot be used.
    #[error("cannot use `{}` as logins: {reason}", path.display())]
    Logins {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The HTTP client cannot be set up, because of a proxy variable, say.
    #[error("cannot set up the HTTP client: {0}")]
    Client(String),
    /// The cache cannot be read or written.
    #[error("cannot use `{}`: {problem}", path.display())]
    Cache {
        /// File or directory.
        path: PathBuf,
        /// Why.
        problem: DiskProblem,
    },
    /// A directory of this machine cannot be read.
    #[error("cannot read `{}`: {problem}", path.display())]
    Local {
        /// The directory.
        path: PathBuf,
        /// Why.
        problem: DiskProblem,
    },
    /// It is to be taken from a bundle, or to go into one.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A transfer failed.
    #[error("`{}`: {problem}", place.asked)]
    Transfer {
        /// What was to be fetched.
        place: Place,
        /// Why it was not.
        problem: Problem,
        /// How often it was tried.
        attempts: u32,
    },
}

/// What was to be fetched, without the credentials that an address may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address that profiles and indexes name.
    pub official: String,
    /// The address that was asked: the official one, or what a mirror rule makes of it.
    pub asked: String,
}

/// What went wrong with a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The address is none that can be asked.
    Address(String),
    /// The digest that the file should have is no SHA-256.
    NoDigest(String),
    /// The server answered with this HTTP status.
    Status(u16),
    /// Nobody listens there.
    Refused,
    /// The host has no address.
    UnknownHost,
    /// No connection was made, or no data came, for this long.
    TimedOut(Duration),
    /// The server's certificate is not trusted, or TLS failed in another way.
    Tls(String),
    /// The connection was cut before the end.
    Truncated {
        /// Bytes that came.
        found: u64,
        /// Bytes that were announced.
        expected: Option<u64>,
    },
    /// The file is another one than was expected.
    Digest {
        /// SHA-256 of what came.
        found: String,
        /// SHA-256 of what should have come.
        expected: String,
    },
    /// More came than an index has.
    TooLarge {
        /// The most that is taken, in bytes.
        limit: usize,
    },
    /// It could not be written.
    Disk {
        /// Where to.
        path: PathBuf,
        /// Why.
        problem: DiskProblem,
    },
    /// Anything else that the HTTP client says.
    Other(String),
}

/// Why a file could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskProblem {
    /// No space is left.
    Full,
    /// What the operating system says.
    Other(String),
}

impl DiskProblem {
    pub(super) fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Other(plain(error)),
        }
    }
}

/// What the operating system says, without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

impl fmt::Display for DiskProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("no space left on the disk"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl FetchError {
    pub(super) fn cache(path: &Path, error: &io::Error) -> Self {
        Self::Cache { path: path.to_owned(), problem: DiskProblem::of(error) }
    }

    /// Whether the server has no such file, as opposed to not answering.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Transfer { problem: Problem::Status(404 | 410), .. })
    }

    /// Whether nobody could be asked, so that a copy from before is the best there is.
    pub(super) fn is_unreachable(&self) -> bool {
        use Problem::{Refused, Status, TimedOut, Truncated, UnknownHost};
        matches!(self, Self::Transfer { problem: Refused | UnknownHost | TimedOut(_) | Truncated { .. } | Status(429 | 500..=599), .. })
    }
}

impl Problem {
    /// Whether another attempt may succeed.
    pub(super) fn may_pass(&self) -> bool {
        use Problem::{Other, Refused, Status, TimedOut, Truncated, UnknownHost};
        matches!(self, Refused | UnknownHost | TimedOut(_) | Truncated { .. } | Other(_) | Status(408 | 429 | 500 | 502..=504))
    }

    /// What the HTTP client's error means. `waited` is the time-out that was in force.
    pub(super) fn of(error: &reqwest::Error, waited: Duration) -> Self {
        let causes = causes(error);
        if error.is_timeout() {
            return Self::TimedOut(waited);
        }
        if error.is_builder() {
            return Self::Address(last_words(&causes));
        }
        if causes.iter().any(|cause| cause.is::<rustls::Error>()) {
            return Self::Tls(last_words(&causes));
        }
        let kind = causes.iter().rev().find_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind);
        match kind {
            Some(io::ErrorKind::ConnectionRefused) => Self::Refused,
            _ if causes.iter().any(|cause| cause.to_string() == "dns error") => Self::UnknownHost,
            _ => Self::Other(last_words(&causes)),
        }
    }
}

/// The cause of an error; an I/O error hides what it wraps.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

/// What the innermost cause of an error of the HTTP client says.
pub(super) fn innermost(error: &reqwest::Error) -> String {
    last_words(&causes(error))
}

fn causes(error: &reqwest::Error) -> Vec<&(dyn Error + 'static)> {
    std::iter::successors(Some(error as &dyn Error), |error| cause(*error)).collect()
}

/// The innermost cause says most.
fn last_words(causes: &[&dyn Error]) -> String {
    causes.last().map(ToString::to_string).unwrap_or_default()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(reason) => write!(f, "not an address that can be asked: {reason}"),
            Self::NoDigest(text) => write!(f, "`{}` is not a SHA-256", text.escape_debug()),
            Self::Status(code) => f.write_str(&status(*code)),
            Self::Refused => f.write_str("connection refused"),
            Self::UnknownHost => f.write_str("the host is unknown"),
            Self::TimedOut(waited) => write!(f, "nothing came for {} s", waited.as_secs_f32()),
            Self::Tls(reason) => write!(f, "no trusted TLS connection: {reason}"),
            Self::Truncated { found, expected: Some(expected) } => write!(f, "broke off after {found} of {expected} bytes"),
            Self::Truncated { found, expected: None } => write!(f, "broke off after {found} bytes"),
            Self::Digest { found, expected } => write!(f, "SHA-256 is {found}, expected {expected}"),
            Self::TooLarge { limit } => write!(f, "more than {limit} bytes"),
            Self::Disk { path, problem } => write!(f, "cannot write `{}`: {problem}", path.display()),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

/// `404 Not Found`.
fn status(code: u16) -> String {
    let reason = http::StatusCode::from_u16(code).ok().and_then(|code| code.canonical_reason());
    reason.map_or_else(|| code.to_string(), |reason| format!("{code} {reason}"))
}

/// The address without user name and password, which must not reach logs.
pub(super) fn without_credentials(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) if !parsed.username().is_empty() || parsed.password().is_some() => {
            let _ = parsed.set_username("");
            let _ = parsed.set_password(None);
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Authorities { path, reason } => Self::new(Exit::Usage, format!("`{}` cannot be used as certificate authorities", path.display()))
                .fact("found", reason)
                .help("name a file with one or more certificates in PEM format"),
            FetchError::Identity { path, reason } => Self::new(Exit::Usage, format!("`{}` cannot be used as the client's certificate", path.display()))
                .fact("found", reason)
                .help("name a file with a certificate and its key, both in PEM format, in KMODFORGE_CLIENT_CERTIFICATE"),
            FetchError::Logins { path, reason } => Self::new(Exit::Usage, format!("`{}` cannot be used as logins", path.display()))
                .fact("found", reason)
                .help("name a file in the form of apt_auth.conf(5) in KMODFORGE_APT_AUTH: `machine HOST login NAME password PASSWORD`"),
            FetchError::Client(reason) => Self::new(Exit::Usage, "the HTTP client cannot be set up")
                .fact("reason", reason)
                .help("check the proxy variables: http_proxy, https_proxy, no_proxy"),
            FetchError::Local { .. } => {
                Self::new(Exit::Failed, error.to_string()).help("correct the driver profile's `path`; a relative one counts from the profile's directory")
            }
            FetchError::Bundle(error) => error.into(),
            FetchError::Cache { path, problem } | FetchError::Transfer { problem: Problem::Disk { path, problem }, .. } => disk(&path, &problem),
            FetchError::Transfer { place, problem, attempts } => {
                let mut failure = transfer(&place.asked, &problem);
                let help = std::mem::take(&mut failure.help);
                if place.asked != place.official {
                    failure = failure.fact("mirror of", place.official);
                }
                if attempts > 1 {
                    failure = failure.fact("attempts", attempts.to_string());
                }
                Self { help, ..failure }
            }
        }
    }
}

fn transfer(url: &str, problem: &Problem) -> Failure {
    let failed = |headline: String| Failure::new(Exit::Failed, headline);
    match problem {
        Problem::Address(reason) => {
            Failure::new(Exit::Usage, format!("`{url}` cannot be fetched: {reason}")).help("expected an address that begins with `http://` or `https://`")
        }
        Problem::NoDigest(_) | Problem::TooLarge { .. } | Problem::Other(_) | Problem::Disk { .. } => failed(format!("`{url}` cannot be fetched: {problem}")),
        Problem::Status(404 | 410) => failed(format!("`{url}` does not exist: {problem}")).help("check the address; a mirror may not have the file (any more)"),
        Problem::Status(401 | 403 | 407) => failed(format!("`{url}` was refused: {problem}")).help("name a file with logins: KMODFORGE_APT_AUTH=FILE"),
        Problem::Status(_) => failed(format!("`{url}` cannot be fetched: {problem}")).help("the server has a problem; try again later, or use a mirror"),
        Problem::Refused => failed(format!("nobody answers at `{url}`: {problem}")).help("check that the server runs, and the proxy variables"),
        Problem::UnknownHost => failed(format!("nobody answers at `{url}`: {problem}"))
            .help("check the address, the network and the proxy variables; without a way out, use `mirrors`"),
        Problem::TimedOut(_) => failed(format!("`{url}` timed out: {problem}")).help("check the network and the proxy variables, or use a mirror"),
        Problem::Tls(_) => failed(format!("`{url}` cannot be fetched: {problem}"))
            .help("for a private certificate authority give its certificate: KMODFORGE_CA=FILE")
            .help("a machine without the package `ca-certificates` trusts no server"),
        Problem::Truncated { found, expected } => {
            let failure = failed(format!("`{url}` broke off before its end")).fact("found", format!("{found} bytes"));
            let failure = if let Some(expected) = expected { failure.fact("expected", format!("{expected} bytes")) } else { failure };
            failure.help("try again; if it stays so, the server or a proxy cuts the file")
        }
        Problem::Digest { found, expected } => failed(format!("`{url}` is not the expected file"))
            .fact("found", format!("sha256:{found}"))
            .fact("expected", format!("sha256:{expected}"))
            .help("the file was changed at its place or on the way; nothing of it was used"),
    }
}

fn disk(path: &Path, problem: &DiskProblem) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("cannot write `{}`: {problem}", path.display()));
    match problem {
        DiskProblem::Full => failure.help("make room, or put the cache elsewhere: KMODFORGE_CACHE=DIR"),
        DiskProblem::Other(_) => failure.help("the cache can be put elsewhere: KMODFORGE_CACHE=DIR"),
    }
}
