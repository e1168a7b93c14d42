//! Why repositories could not be read, in words.

use super::RepositoryName;
use crate::error::{Exit, Failure};
use crate::fetch::{FetchError, Problem};
use crate::image::assemble::rfc3339;
use crate::openpgp::{Distrust, UnusableKey};

/// Why the repositories could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A regular expression of the profile is wrong.
    #[error("`{field}`: {reason}")]
    Pattern {
        /// The profile's field.
        field: &'static str,
        /// Its value.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server has no such suite.
    #[error("{0} is not there")]
    Missing(RepositoryName),
    /// Something could not be fetched.
    #[error("{repository}: {error}")]
    Fetch {
        /// Of which repository.
        repository: RepositoryName,
        /// Why.
        error: Box<FetchError>,
    },
    /// A file of the repository cannot be understood.
    #[error("{repository}: `{file}`: {reason}")]
    Damaged {
        /// The repository.
        repository: RepositoryName,
        /// Path below the suite.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no keyring to verify a repository with.
    #[error("{repository}: there is no keyring `{keyring}`")]
    NoKeyring {
        /// The repository.
        repository: RepositoryName,
        /// The keyring's name; empty if none is named.
        keyring: String,
    },
    /// Nobody has signed it.
    #[error("{repository} is not signed")]
    Unsigned {
        /// The repository.
        repository: RepositoryName,
        /// `InRelease`, or `Release`.
        file: String,
        /// Whose signature was expected.
        keyring: String,
    },
    /// Its signature is not believed.
    #[error("{repository}: {distrust}")]
    Distrusted {
        /// The repository.
        repository: RepositoryName,
        /// `InRelease`, or `Release`.
        file: String,
        /// Whose signature was expected.
        keyring: String,
        /// Why.
        distrust: Distrust,
    },
    /// It is another one, although signed.
    #[error("{repository} says that it is `{}`", found.join("`, `"))]
    OtherSuite {
        /// The repository that was asked for.
        repository: RepositoryName,
        /// Names that it gives itself.
        found: Vec<String>,
    },
    /// `Valid-Until` is over.
    #[error("{repository} expired at {until}")]
    Expired {
        /// The repository.
        repository: RepositoryName,
        /// The date, as the repository writes it.
        until: String,
    },
    /// The repository has no index for a component and an architecture.
    #[error("{repository} has no `{path}`")]
    NoIndex {
        /// The repository.
        repository: RepositoryName,
        /// Path below the suite, without the compression's suffix.
        path: String,
    },
    /// Packages for the runtime tools are not there.
    #[error("no {}", names.join(", "))]
    NoRuntime {
        /// Names; alternatives are separated by `|`.
        names: Vec<String>,
        /// `debian bookworm, arm64`.
        of: String,
        /// The repositories that were read.
        looked_in: Vec<String>,
    },
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Pattern { field, pattern, reason } => {
                Self::new(Exit::Usage, format!("`{field}` of the distro profile is not a regular expression")).fact("found", pattern).fact("reason", reason)
            }
            IndexError::Missing(repository) => Self::new(Exit::Failed, format!("the repository {repository} does not exist"))
                .fact("asked for", repository.asked_for)
                .help("releases that are no longer supported move to an archive: name it in `mirrors`, or in a profile of your own"),
            IndexError::Fetch { repository, error } => fetch_failure(&repository, *error),
            IndexError::Damaged { repository, file, reason } => {
                Self::new(Exit::Failed, format!("`{file}` of the repository {repository} cannot be read: {reason}"))
                    .help("something between here and the repository answers in its place, or the mirror is damaged")
            }
            IndexError::NoKeyring { repository, keyring } => Self::new(Exit::Usage, format!("there is no keyring `{keyring}` for the repository {repository}")),
            IndexError::Unsigned { repository, file, keyring } => Self::new(Exit::Failed, format!("the repository {repository} is not signed"))
                .fact("found", unsigned(&file))
                .fact("expected", format!("a signature by a key of the keyring `{keyring}`"))
                .help(TRUST),
            IndexError::Distrusted { repository, file, keyring, distrust } => distrusted(&repository, &file, &keyring, distrust),
            IndexError::OtherSuite { repository, found } => Self::new(Exit::Failed, format!("something else is in the place of the repository {repository}"))
                .fact("found", format!("`{}`, as its signed file says", found.join("`, `")))
                .help("the mirror serves one repository in the place of another; or `suite` of the distro profile is not its own name"),
            IndexError::Expired { repository, until } => Self::new(Exit::Failed, format!("the repository {repository} has expired"))
                .fact("until", until)
                .help("the mirror is not updated any more; for a frozen copy set `frozen: true` below `mirrors` in the project file"),
            IndexError::NoIndex { repository, path } => {
                Self::new(Exit::Failed, format!("the repository {repository} has no `{path}`")).help("correct `components` or `arches` of the distro profile")
            }
            IndexError::NoRuntime { names, of, looked_in } => Self::new(Exit::Failed, format!("no package `{}` for {of}", names.join("`, `")))
                .fact("looked in", looked_in.join(", "))
                .help("correct `runtime.packages` of the distro profile"),
        }
    }
}

fn unsigned(file: &str) -> &'static str {
    match file {
        "Release" => "`Release` without `Release.gpg`",
        "repodata/repomd.xml" => "`repodata/repomd.xml` without `repodata/repomd.xml.asc`",
        _ => "`InRelease` without a signature",
    }
}

/// The way out for those who cannot sign.
const TRUST: &str = "a private mirror that cannot sign needs `trusted: true` beside its `url` in `mirrors` of the project file";

fn distrusted(repository: &RepositoryName, file: &str, keyring: &str, distrust: Distrust) -> Failure {
    let failure = |headline: String| Failure::new(Exit::Failed, headline);
    match distrust {
        Distrust::Malformed(reason) => failure(format!("the signature of the repository {repository} cannot be read: {reason}")).fact("file", file),
        Distrust::Unknown { keys } => failure(format!("the repository {repository} is signed by unknown keys"))
            .fact("found", keys.join("\n"))
            .fact("expected", format!("a key of the keyring `{keyring}`"))
            .help("a mirror with a key of its own: put the key into DIR/keyrings/NAME.asc, and name it in a distro profile of your own (docs/air-gap.md)")
            .help(TRUST),
        Distrust::Altered { key } => failure(format!("`{file}` of the repository {repository} is not what was signed"))
            .fact("key", key)
            .help("somebody between here and its owner has changed it, or the mirror is damaged: take another one"),
        Distrust::Weak { key, what } => failure(format!("the signature of the repository {repository} can be forged"))
            .fact("key", key)
            .fact("found", what)
            .fact("expected", "SHA-2 or SHA-3, and a key on an elliptic curve or an RSA key of 2048 bits or more"),
        Distrust::Expired { key, when } => failure(format!("the signature of the repository {repository} expired at {}", rfc3339(when)))
            .fact("key", key)
            .help("the mirror is not updated any more; for a frozen copy set `frozen: true` below `mirrors` in the project file"),
        Distrust::Future { key, when } => failure(format!("the signature of the repository {repository} is from the future"))
            .fact("key", key)
            .fact("made at", rfc3339(when))
            .help("see whether this machine's clock is right"),
        Distrust::Unusable(UnusableKey::Expired { key, when }) => {
            failure(format!("the key that signed the repository {repository} expired at {}", rfc3339(when)))
                .fact("key", key)
                .help("a newer keyring may know it longer: put it into DIR/keyrings, see docs/distro-profiles.md")
                .help("for a frozen copy set `frozen: true` below `mirrors` in the project file")
        }
        Distrust::Unusable(UnusableKey::Revoked(key)) => failure(format!("the key that signed the repository {repository} was revoked"))
            .fact("key", key)
            .help("do not trust what it signs any more; take a mirror that is up to date"),
        Distrust::Unusable(UnusableKey::NotForSigning(key)) => {
            failure(format!("the key that signed the repository {repository} is not for signing")).fact("key", key)
        }
    }
}

fn fetch_failure(repository: &RepositoryName, error: FetchError) -> Failure {
    if let FetchError::Transfer { place, problem: Problem::Digest { found, expected }, .. } = error {
        return Failure::new(Exit::Failed, format!("the repository {repository} does not fit together"))
            .fact("file", place.asked)
            .fact("found", format!("sha256:{found}"))
            .fact("expected", format!("sha256:{expected} ({})", repository.listed_in))
            .help("the mirror is being updated: try again in some minutes");
    }
    let mut failure = Failure::from(error);
    failure.facts.insert(0, ("for".to_owned(), format!("the repository {repository}")));
    failure
}
