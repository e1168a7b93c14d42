//! What can go wrong with a registry, and how it is told.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::error::{Exit, Failure};
use crate::image::FileError;
use crate::reference::Digest;

/// What was being done; reads as `pull from`, `push to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Reading from a repository.
    Pull,
    /// Writing to a repository.
    Push,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull from",
            Self::Push => "push to",
        })
    }
}

/// A request to a registry failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {host}/{repository}: {problem}")]
pub struct RegistryError {
    /// What was being done.
    pub action: Action,
    /// The registry, as the reference names it.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// What is wrong.
    pub problem: Problem,
}

/// Why a request failed. An `answer` is what the registry says, `CODE: message`, and may be empty.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// No connection: refused, no such host, no answer in time.
    #[error("{0}")]
    Unreachable(String),
    /// Nobody known signed the registry's certificate, or it is for another name, or too old.
    #[error("{0}")]
    Certificate(String),
    /// HTTPS was spoken to a server that speaks HTTP.
    #[error("it speaks plain HTTP")]
    PlainHttp,
    /// Something answers, but it is no registry.
    #[error("it is no registry: `/v2/` answers {0}")]
    NotARegistry(u16),
    /// 401: nobody is logged in, or the credentials are refused.
    #[error("not logged in")]
    Unauthorized {
        /// Who tried.
        user: Option<String>,
        /// The registry's words.
        answer: String,
    },
    /// 403.
    #[error("not allowed")]
    Forbidden {
        /// The registry's words.
        answer: String,
    },
    /// 404 where something must be.
    #[error("not found")]
    NotFound {
        /// The registry's words.
        answer: String,
    },
    /// 413.
    #[error("too large")]
    TooLarge {
        /// The registry's words.
        answer: String,
    },
    /// 507, or an error that names a full disk.
    #[error("no space left")]
    Full {
        /// The registry's words.
        answer: String,
    },
    /// 429 or 5xx: worth another try.
    #[error("status {status}")]
    Failing {
        /// The HTTP status.
        status: u16,
        /// The registry's words.
        answer: String,
        /// When the registry wants the next try.
        retry_after: Option<Duration>,
    },
    /// Any other refusal.
    #[error("status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The registry's words.
        answer: String,
    },
    /// The connection ended in the middle of something.
    #[error("{0}")]
    Broken(String),
    /// The registry's answer makes no sense.
    #[error("{0}")]
    Unexpected(String),
    /// Bytes arrived that are not what the digest names.
    #[error("blob {expected} arrived with digest {found}")]
    WrongDigest {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// The credential store failed.
    #[error("{0}")]
    Credentials(Box<Failure>),
    /// The file with certificate authorities cannot be used.
    #[error("{0}")]
    Authorities(String),
    /// A file on this machine.
    #[error(transparent)]
    File(#[from] FileError),
}

impl Problem {
    /// Sorts an error of the HTTP client; its facts lie in the chain of causes.
    pub(super) fn of(error: &reqwest::Error) -> Self {
        let causes: Vec<_> = std::iter::successors(error.source(), |cause| <dyn Error>::source(*cause)).collect();
        if let Some(tls) = causes.iter().find_map(|cause| tls_error(*cause)) {
            return Self::of_tls(tls);
        }
        let innermost = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
        let reason = if error.is_timeout() { "no answer in time".to_owned() } else { innermost };
        let reason = reason.split(" (os error").next().unwrap_or_default().to_lowercase();
        if error.is_connect() { Self::Unreachable(reason) } else { Self::Broken(reason) }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidMessage(_) => Self::PlainHttp,
            rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
                Self::Certificate("no authority known here signed its certificate".into())
            }
            other => Self::Certificate(other.to_string()),
        }
    }

    /// How long to wait before the same request may work: as long as the registry wants, else `usual`. `None` when nothing will change.
    pub(super) fn wait(&self, usual: Duration) -> Option<Duration> {
        match self {
            Self::Failing { retry_after, .. } => Some(retry_after.unwrap_or(usual)),
            Self::Unreachable(_) | Self::Broken(_) => Some(usual),
            _ => None,
        }
    }
}

/// The TLS library's error, wrapped as often as it may be: `io::Error` hides what it holds from the chain of causes.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let held = || error.downcast_ref::<io::Error>()?.get_ref();
    error.downcast_ref().or_else(|| tls_error(held()?))
}

impl From<RegistryError> for Failure {
    fn from(RegistryError { action, host, repository, problem }: RegistryError) -> Self {
        let new = |headline: String| Self::new(Exit::Failed, headline);
        let says = |headline: String, answer: String| if answer.is_empty() { new(headline) } else { new(headline).fact("answer", answer) };
        let login = format!("log in first: docker login {host}");
        let rerun = "run again: what is uploaded stays, and no tag points to anything incomplete";
        match problem {
            Problem::Unreachable(reason) => {
                new(format!("cannot reach the registry `{host}`: {reason}")).help("is it running, and is its name right?").help(rerun)
            }
            Problem::Certificate(reason) => {
                new(format!("the registry `{host}` cannot be trusted: {reason}")).help("name the file with its authority: --registry-ca FILE")
            }
            Problem::PlainHttp => {
                new(format!("the registry `{host}` speaks plain HTTP where HTTPS was expected")).help(format!("if that is meant: --plain-http {host}"))
            }
            Problem::NotARegistry(status) => {
                new(format!("`{host}` is no registry")).fact("found", format!("`/v2/` answers {status}")).fact("expected", "200 or 401")
            }
            Problem::Unauthorized { user: None, answer } => says(format!("the registry `{host}` wants a login to {action} `{repository}`"), answer).help(login),
            Problem::Unauthorized { user: Some(user), answer } => {
                says(format!("the registry `{host}` refuses the credentials of `{user}`"), answer).help(login)
            }
            Problem::Forbidden { answer } => says(format!("not allowed to {action} `{host}/{repository}`"), answer)
                .help(format!("ask for the right to {action} it, or choose another repository")),
            Problem::NotFound { answer } => says(format!("the registry `{host}` has no such thing in `{repository}`"), answer)
                .help("some registries want a repository to be made before the first push"),
            Problem::TooLarge { answer } => says(format!("the registry `{host}` refuses a blob as too large"), answer)
                .help("raise the limit there, or in the proxy before it (nginx: client_max_body_size)"),
            Problem::Full { answer } => says(format!("the registry `{host}` has no space left"), answer).help("free some space there").help(rerun),
            Problem::Failing { status: 429, answer, .. } => {
                says(format!("the registry `{host}` wants fewer requests"), answer).help("wait, or use fewer --jobs").help(rerun)
            }
            Problem::Failing { status, answer, .. } => {
                says(format!("the registry `{host}` fails with status {status}, again and again"), answer).help("look at its log").help(rerun)
            }
            Problem::Refused { status, answer } => says(format!("the registry `{host}` refuses to {action} `{repository}` with status {status}"), answer),
            Problem::Broken(reason) => new(format!("the connection to the registry `{host}` broke: {reason}")).help(rerun),
            Problem::Unexpected(reason) => new(format!("the registry `{host}` gave an answer that makes no sense: {reason}")),
            Problem::WrongDigest { expected, found } => {
                new(format!("`{host}/{repository}` sent a damaged blob")).fact("found", found.to_string()).fact("expected", expected.to_string())
            }
            Problem::Credentials(failure) => *failure,
            Problem::Authorities(reason) => Self::new(Exit::Usage, format!("cannot use the certificate authorities for registries: {reason}")),
            Problem::File(error) => error.into(),
        }
    }
}
