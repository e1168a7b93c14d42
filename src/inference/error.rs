//! Why a source cannot be built without a profile.

use crate::error::{Exit, Failure};
use crate::profile::ProfileError;

/// Why a source cannot be built without a profile.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InferenceError {
    /// None of the files tells how it is built.
    #[error("`{place}` does not tell how it is built")]
    Nothing {
        /// The source.
        place: String,
        /// What it has.
        holds: Vec<String>,
    },
    /// Several directories could be the one.
    #[error("`{place}` has {what} in several directories")]
    Several {
        /// The source.
        place: String,
        /// `dkms.conf`.
        what: &'static str,
        /// Where.
        directories: Vec<String>,
    },
    /// The directory that was named is not there, or has nothing that tells how it is built.
    #[error("`{directory}` of `{place}` does not tell how it is built")]
    Directory {
        /// The source.
        place: String,
        /// What was named.
        directory: String,
    },
    /// The name or version that was given cannot be one.
    #[error("{0}")]
    Name(String),
    /// The profile that was made of it is wrong.
    #[error(transparent)]
    Profile(Box<ProfileError>),
}

impl From<InferenceError> for Failure {
    fn from(error: InferenceError) -> Self {
        const EXPECTED: &str = "a `dkms.conf`, a `Kbuild` or `Makefile` with `obj-m`, a `configure` script, or a `Makefile` for modules";
        let failure = Self::new(Exit::Usage, error.to_string());
        match error {
            InferenceError::Nothing { holds, .. } => {
                let holds = if holds.is_empty() { "nothing".to_owned() } else { holds.join(", ") };
                failure
                    .fact("found", holds)
                    .fact("expected", EXPECTED)
                    .help("name the directory in it that has one: --source-directory DIR; or write a profile: docs/driver-profiles.md")
            }
            InferenceError::Several { directories, .. } => failure.fact("found", directories.join(", ")).help("say which one: --source-directory DIR"),
            InferenceError::Directory { .. } => failure.fact("expected", EXPECTED),
            InferenceError::Name(_) => failure.help("name it: --source-name NAME[@VERSION]"),
            InferenceError::Profile(error) => (*error).into(),
        }
    }
}
