//! Profiles: what a distribution or a driver is, as data.

pub mod distro;
pub mod driver;
pub mod placeholder;
mod problem;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use problem::{Problem, ProfileError};

/// What is known of drivers and distributions, for those who only look things up.
pub trait Profiles {
    /// Every driver, by name.
    fn drivers(&self) -> Vec<&driver::DriverProfile>;
    /// Every distribution, by name.
    fn distros(&self) -> Vec<&distro::DistroProfile>;
}

/// Name of a profile, a release or a version's driver: `[a-z0-9][a-z0-9._-]*`, at most 40 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^[a-z0-9][a-z0-9._-]{0,39}$"))]
pub struct Id(Box<str>);

impl Id {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = !text.is_empty()
            && text.len() <= 40
            && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b));
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{}` is not an id; expected lower-case letters, digits, `.`, `_` and `-`, at most 40 of them", text.escape_debug()))
        }
    }
}

impl TryFrom<String> for Id {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Id> for String {
    fn from(id: Id) -> Self {
        id.0.into()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A driver's version: `0.15.3`, `1.0.20220627`. Letters, digits, `.`, `_`, `+`, `~` and `-`, at most 60.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^[A-Za-z0-9][A-Za-z0-9._+~-]{0,59}$"))]
pub struct Version(Box<str>);

impl Version {
    /// The version itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let valid = !text.is_empty()
            && text.len() <= 60
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b))
            && !text.contains("..");
        if valid {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{}` is not a version; expected letters, digits, `.`, `_`, `+`, `~` and `-`", text.escape_debug()))
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0.into()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 of a file: 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^[0-9a-f]{64}$"))]
pub struct Sha256Hex(Box<str>);

impl Sha256Hex {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Sha256Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{}` is not a SHA-256; expected 64 lower-case hexadecimal digits", text.escape_debug()))
        }
    }
}

impl From<Sha256Hex> for String {
    fn from(hash: Sha256Hex) -> Self {
        hash.0.into()
    }
}

/// A path inside a source tree or an image: relative, `/`-separated, without `.` or `..` parts (`.` alone is the tree itself).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct InnerPath(Box<str>);

impl InnerPath {
    /// The path itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tree itself.
    #[must_use]
    pub fn root() -> Self {
        Self(".".into())
    }
}

impl Default for InnerPath {
    fn default() -> Self {
        Self::root()
    }
}

impl TryFrom<String> for InnerPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let valid_part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.chars().any(char::is_control);
        if text == "." || text.split('/').all(valid_part) {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{}` is not a path inside the tree; expected a relative one without `.`, `..` and empty parts", text.escape_debug()))
        }
    }
}

impl From<InnerPath> for String {
    fn from(path: InnerPath) -> Self {
        path.0.into()
    }
}

impl fmt::Display for InnerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
