//! Which builder the user wants.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::endpoint::{Endpoint, EndpointError};
use crate::error::{Exit, Failure};

/// The value of `--builder` and of `KMODFORGE_BUILDER`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BuilderChoice {
    /// Whatever is there.
    #[default]
    Auto,
    /// A Docker Engine, at this socket if one is given.
    Docker(Option<PathBuf>),
    /// What listens there.
    Endpoint(Endpoint),
    /// A daemon started for this run, whatever else is there.
    Private,
}

/// A choice that says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChoiceError {
    /// Not one of the forms.
    #[error("`{0}` is no builder; expected `auto`, `docker`, `docker:SOCKET`, `unix://PATH`, `tcp://HOST:PORT`, `ssh://HOST` or `private`")]
    Form(String),
    /// `docker:` with a relative path.
    #[error("the socket in `{0}` is not an absolute path")]
    Relative(String),
    /// An address of which a part is wrong.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl FromStr for BuilderChoice {
    type Err = ChoiceError;

    fn from_str(text: &str) -> Result<Self, ChoiceError> {
        match text {
            "auto" => Ok(Self::Auto),
            "docker" => Ok(Self::Docker(None)),
            "private" => Ok(Self::Private),
            _ if text.contains("://") && !text.starts_with("docker:") => Ok(Self::Endpoint(text.parse()?)),
            _ => match text.strip_prefix("docker:").map(|socket| socket.strip_prefix("unix://").unwrap_or(socket)) {
                Some(socket) if socket.starts_with('/') => Ok(Self::Docker(Some(PathBuf::from(socket)))),
                Some(_) => Err(ChoiceError::Relative(text.to_owned())),
                None => Err(ChoiceError::Form(text.to_owned())),
            },
        }
    }
}

impl fmt::Display for BuilderChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Docker(None) => f.write_str("docker"),
            Self::Docker(Some(socket)) => write!(f, "docker:{}", socket.display()),
            Self::Endpoint(endpoint) => endpoint.fmt(f),
            Self::Private => f.write_str("private"),
        }
    }
}

impl From<ChoiceError> for Failure {
    fn from(error: ChoiceError) -> Self {
        match error {
            ChoiceError::Endpoint(error) => error.into(),
            error @ (ChoiceError::Form(_) | ChoiceError::Relative(_)) => Self::new(Exit::Usage, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for text in ["auto", "private", "docker", "docker:/run/d.sock", "unix:///run/buildkit/buildkitd.sock", "tcp://host:1234"] {
            assert_eq!(text.parse::<BuilderChoice>().unwrap().to_string(), text);
        }
        assert_eq!("docker:unix:///run/d.sock".parse(), Ok(BuilderChoice::Docker(Some("/run/d.sock".into()))));
    }

    #[test]
    fn says_what_forms_there_are() {
        assert_eq!(
            Failure::from("podman".parse::<BuilderChoice>().unwrap_err()).to_string(),
            "error: `podman` is no builder; expected `auto`, `docker`, `docker:SOCKET`, `unix://PATH`, `tcp://HOST:PORT`, `ssh://HOST` or `private`"
        );
        assert_eq!("docker:sock".parse::<BuilderChoice>().unwrap_err().to_string(), "the socket in `docker:sock` is not an absolute path");
        assert!(matches!("tcp://x".parse::<BuilderChoice>(), Err(ChoiceError::Endpoint(_))));
    }
}
