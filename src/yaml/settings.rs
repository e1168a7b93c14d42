//! Files of settings: read, decoded, and checked for what is well-formed and cannot be meant.

use std::fmt;
use std::path::{Path, PathBuf};

use super::{Source, Spot, Trail, YamlError};
use crate::error::{Exit, Failure};

/// Something in a file that cannot be meant, and where it is. `R` says why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}:{}: {reason}", spot.file, spot.place.line, spot.place.column)]
pub struct Impossible<R: fmt::Display> {
    /// Where.
    pub spot: Box<Spot>,
    /// Why.
    pub reason: R,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError<R: fmt::Display> {
    /// The file cannot be read.
    #[error("the {what} `{}` cannot be read: {error}", path.display())]
    Unreadable {
        /// `policy`, `project file`.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no YAML, or not the YAML of its type.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// What it says cannot be.
    #[error(transparent)]
    Impossible(#[from] Impossible<R>),
}

/// The text of a file; messages call it a `what`.
///
/// # Errors
/// When it cannot be read.
pub fn read_settings<R: fmt::Display>(what: &'static str, path: &Path) -> Result<String, SettingsError<R>> {
    std::fs::read_to_string(path).map_err(|error| SettingsError::Unreadable { what, path: path.to_owned(), error })
}

impl Source {
    /// What is at the end of a trail cannot be meant.
    #[must_use]
    pub fn impossible<R: fmt::Display>(&self, trail: &Trail, reason: R) -> Impossible<R> {
        Impossible { spot: Box::new(self.spot(trail)), reason }
    }
}

impl<R: fmt::Display> From<SettingsError<R>> for Failure
where
    Self: From<Impossible<R>>,
{
    fn from(error: SettingsError<R>) -> Self {
        match error {
            SettingsError::Unreadable { .. } => Self::new(Exit::Usage, error.to_string()),
            SettingsError::Yaml(error) => error.into(),
            SettingsError::Impossible(error) => error.into(),
        }
    }
}
