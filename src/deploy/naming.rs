//! Names of Kubernetes objects: labels of the DNS, stable over runs, each for one thing only.

use std::str::FromStr;

use crate::reference::Digest;

/// The longest name: objects that take more lend theirs to labels, which do not.
pub const LENGTH: usize = 63;
const HASH: usize = 8;

/// A name for what these parts name together. What cannot be written as it is, or is too long, ends in a hash, so that names of different things differ.
#[must_use]
pub fn name(parts: &[&str]) -> String {
    let whole = parts.join("-");
    let plain = whole.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    let mut name = String::with_capacity(whole.len());
    for c in whole.chars() {
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => name.push(c),
            _ if name.is_empty() || name.ends_with('-') => {}
            _ => name.push('-'),
        }
    }
    let name = name.trim_end_matches('-');
    if plain && name.len() <= LENGTH {
        return name.to_owned();
    }
    let hash = Digest::of(whole.as_bytes()).hex()[..HASH].to_owned();
    let start = name.get(..LENGTH - HASH - 1).unwrap_or(name).trim_end_matches('-');
    format!("{start}-{hash}")
}

/// A name that a user gives: a label of the DNS (RFC 1123).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DnsLabel(String);

/// Why a text is no label of the DNS.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected at most {LENGTH} lower-case letters, digits and `-`, with a letter or digit at both ends")]
pub struct InvalidDnsLabel;

impl DnsLabel {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsLabel {
    type Err = InvalidDnsLabel;

    fn from_str(text: &str) -> Result<Self, InvalidDnsLabel> {
        let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=LENGTH).contains(&text.len()) && text.chars().all(right) && !text.starts_with('-') && !text.ends_with('-');
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidDnsLabel) }
    }
}

impl std::fmt::Display for DnsLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_where_they_can_be() {
        assert_eq!(name(&["v4l2loopback", "debian", "bookworm", "6.1.0-56-amd64"]), "v4l2loopback-debian-bookworm-6-1-0-56-amd64");
    }

    #[test]
    fn what_is_changed_or_cut_ends_in_a_hash_of_the_whole() {
        assert_eq!(name(&["kmf", "5.10.109"]), "kmf-5-10-109");
        assert_eq!(name(&["kmf", "5.10.109+"]), "kmf-5-10-109-057bddad");
        let long = name(&["v4l2loopback", "debian", "bookworm-backports", "6.12.107-deb12-cloud-amd64-and-then-some"]);
        let other = name(&["v4l2loopback", "debian", "bookworm-backports", "6.12.107-deb12-cloud-amd64-and-then-more"]);
        assert!(long.len() <= LENGTH && other.len() <= LENGTH);
        assert_eq!(long[..LENGTH - 2 * HASH], other[..LENGTH - 2 * HASH]);
        assert_ne!(long, other);
    }

    #[test]
    fn a_user_s_name_must_be_right_as_it_is() {
        assert_eq!("gpu-drivers".parse::<DnsLabel>().map(|name| name.to_string()), Ok("gpu-drivers".to_owned()));
        let long = "a".repeat(64);
        for wrong in ["", "Drivers", "-a", "a-", "a_b", "a.b", &long] {
            assert_eq!(wrong.parse::<DnsLabel>(), Err(InvalidDnsLabel), "{wrong}");
        }
    }
}
