//! Image references and digests, as the OCI distribution specification writes them.

mod hashing;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub(crate) use self::hashing::Hashing;

/// The longest tag a registry takes.
pub const TAG_LENGTH: usize = 128;

/// `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Digest(Box<str>);

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_sha256(&Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    #[must_use]
    pub fn from_sha256(hash: &[u8; 32]) -> Self {
        use fmt::Write as _;
        let mut text = String::with_capacity(71);
        text.push_str("sha256:");
        for byte in hash {
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }

    /// `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0[7..]
    }

    /// As tables show it: `sha256:1f3c9a…`.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{}…", &self.0[..13])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a text is no reference, tag or digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {reason}")]
pub struct InvalidReference {
    /// What was given.
    pub text: String,
    /// `an image reference`, `a tag`, `a digest`.
    pub what: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl FromStr for Digest {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let hex = text.strip_prefix("sha256:").unwrap_or_default();
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidReference { text: text.to_owned(), what: "a digest", reason: "expected `sha256:` and 64 lower-case hexadecimal digits".into() })
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.0.into()
    }
}

/// An image in a registry: `registry/repository[:tag][@digest]`.
///
/// Docker's short forms are spelled out: `debian` is `docker.io/library/debian`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Reference {
    /// Host and port, `127.0.0.1:5000`, `docker.io`.
    pub registry: String,
    /// `drivers/v4l2loopback`.
    pub repository: String,
    /// `0.15.3-6.1.0-56-amd64`.
    pub tag: Option<String>,
    /// Digest of the manifest or index.
    pub digest: Option<Digest>,
}

impl Reference {
    /// The same repository with this tag and no digest.
    ///
    /// # Errors
    /// When the tag breaks the specification's grammar or is longer than 128 characters.
    pub fn with_tag(&self, tag: &str) -> Result<Self, InvalidReference> {
        check_tag(tag)?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository with this digest and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// `registry/repository`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// Whether the registry is on this machine, where plain HTTP is the custom.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.registry.rsplit_once(':').map_or(self.registry.as_str(), |(host, _)| host);
        host == "localhost" || host == "[::1]" || host.parse::<std::net::Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
    }
}

/// Checks a tag: `[A-Za-z0-9_][A-Za-z0-9._-]{0,127}` (OCI distribution specification, "Pulling manifests").
///
/// # Errors
/// When it is something else.
pub fn check_tag(tag: &str) -> Result<(), InvalidReference> {
    let invalid = |reason: String| Err(InvalidReference { text: tag.to_owned(), what: "a tag", reason });
    if tag.is_empty() {
        return invalid("it is empty".into());
    }
    if tag.len() > TAG_LENGTH {
        return invalid(format!("it has {} characters, registries take {TAG_LENGTH}", tag.len()));
    }
    if let Some(c) = tag.chars().find(|c| !(c.is_ascii_alphanumeric() || "_.-".contains(*c))) {
        return invalid(format!("`{}` is not allowed in it", c.escape_default()));
    }
    if tag.starts_with(['.', '-']) {
        return invalid("it must start with a letter, a digit or `_`".into());
    }
    Ok(())
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = |reason: &str| InvalidReference { text: text.to_owned(), what: "an image reference", reason: reason.to_owned() };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        let (rest, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        if let Some(tag) = &tag {
            check_tag(tag)?;
        }
        let (registry, repository) = match rest.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host.to_owned(), path.to_owned()),
            Some(_) => ("docker.io".to_owned(), rest.to_owned()),
            None => ("docker.io".to_owned(), format!("library/{rest}")),
        };
        if rest.is_empty() || repository.is_empty() {
            return Err(invalid("the name is empty"));
        }
        if repository.chars().any(|c| c.is_ascii_uppercase()) {
            return Err(invalid("repository names are lower case"));
        }
        let part_is_valid = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
                && part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        if !repository.split('/').all(part_is_valid) {
            return Err(invalid("expected `registry/name[:tag][@sha256:…]` in lower case"));
        }
        if registry.chars().any(|c| !(c.is_ascii_alphanumeric() || ".-:[]".contains(c))) {
            return Err(invalid("the registry's host has a character that no host name has"));
        }
        Ok(Self { registry, repository, tag, digest })
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;

    fn try_from(text: String) -> Result<Self, InvalidReference> {
        text.parse()
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_out_short_names() {
        for (text, long) in [
            ("debian", "docker.io/library/debian"),
            ("debian:bookworm", "docker.io/library/debian:bookworm"),
            ("acme/driver:1", "docker.io/acme/driver:1"),
            ("localhost/x", "localhost/x"),
            ("127.0.0.1:5000/drivers/v4l2loopback:0.15.3-6.1.0-56-amd64", "127.0.0.1:5000/drivers/v4l2loopback:0.15.3-6.1.0-56-amd64"),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), long);
        }
    }

    #[test]
    fn refuses_names_no_registry_takes() {
        for text in ["", "Registry.example/Drivers", "registry.example//x", "registry.example/../x", "a:b:c/x y", "x:la$t"] {
            assert!(text.parse::<Reference>().is_err(), "{text}");
        }
        assert!("x".parse::<Reference>().unwrap().with_tag(&"t".repeat(129)).is_err());
        assert!("sha256:12".parse::<Digest>().is_err());
    }

    #[test]
    fn knows_loopback_registries() {
        let loopback = |text: &str| text.parse::<Reference>().unwrap().is_loopback();
        assert!(loopback("127.0.0.1:5000/x") && loopback("localhost:5000/x") && loopback("127.1.2.3/x"));
        assert!(!loopback("registry.example/x") && !loopback("10.0.0.1:5000/x"));
    }
}
