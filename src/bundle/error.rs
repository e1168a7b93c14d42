//! Why a bundle cannot be used or filled.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure, io_words};

/// Why a bundle cannot be used or filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// There is no bundle.
    #[error("there is no bundle in `{}`", folder.display())]
    None {
        /// The folder.
        folder: PathBuf,
    },
    /// It was made by a newer version of the program.
    #[error("the bundle `{}` was made by a newer version", folder.display())]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// What made it.
        tool: String,
        /// Version of its format.
        schema: u32,
    },
    /// A file of it cannot be read.
    #[error("`{}` cannot be read: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Something is not in it.
    #[error("`{what}` is not in the bundle `{}`", folder.display())]
    Lacks {
        /// An official address, or a toolchain.
        what: String,
        /// The folder.
        folder: PathBuf,
        /// Whom the bundle was made for.
        targets: Vec<String>,
    },
    /// A file is gone, or has changed since the bundle was filled.
    #[error("`{}` is not what the bundle lists", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it came from.
        from: String,
        /// What is there.
        found: String,
        /// SHA-256 that it should have.
        expected: String,
    },
    /// The folder holds something else.
    #[error("`{}` holds something else than a bundle", folder.display())]
    Occupied {
        /// The folder.
        folder: PathBuf,
        /// One of the things in it.
        found: String,
    },
    /// Somebody else is filling it.
    #[error("another run fills the bundle `{}`", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// It cannot be written.
    #[error("the bundle `{}` cannot be written: {reason}", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Why.
        reason: String,
    },
}

impl BundleError {
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable { path: path.to_owned(), reason: io_words(error) }
    }
}

/// Targets that a message names.
const NAMED: usize = 3;

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        let failure = |exit| Self::new(exit, error.to_string());
        match &error {
            BundleError::None { folder } => {
                failure(Exit::Usage).help(format!("make it where there is a network: kmodforge fetch … --output {}", folder.display()))
            }
            BundleError::Newer { tool, schema, .. } => failure(Exit::Usage)
                .fact("found", format!("schema {schema}, by {tool}"))
                .fact("expected", format!("schema {} or older", super::SCHEMA))
                .help("build with that version, or fetch with this one"),
            BundleError::Unreadable { .. } => failure(Exit::Failed).help("copy the bundle again, or fetch again: what is good in it is kept"),
            BundleError::Lacks { folder, targets, .. } => {
                let named: Vec<_> =
                    targets.iter().take(NAMED).cloned().chain((targets.len() > NAMED).then(|| format!("{} more", targets.len() - NAMED))).collect();
                failure(Exit::Failed)
                    .fact("made for", if named.is_empty() { "no target".to_owned() } else { named.join("\n") })
                    .help(format!("fetch again where there is a network, with this among what is selected: kmodforge fetch … --output {}", folder.display()))
            }
            BundleError::Damaged { from, found, expected, .. } => failure(Exit::Failed)
                .fact("from", from)
                .fact("found", found)
                .fact("expected", format!("sha256:{expected}"))
                .help("copy the bundle again, or fetch again: what is good in it is kept"),
            BundleError::Occupied { found, .. } => failure(Exit::Usage).fact("found", found).help("name a folder that is empty or not there yet: --output DIR"),
            BundleError::Busy { .. } => failure(Exit::Failed).help("wait until it is done, or name another folder: --output DIR"),
            BundleError::Write { .. } => failure(Exit::Failed).help("make room, or name another folder: --output DIR; what is in it already is kept"),
        }
    }
}
