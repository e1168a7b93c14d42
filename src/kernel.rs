//! Kernel releases and the names derived from them.

mod nearest;

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use nearest::nearest;

/// The longest release that Kbuild accepts (`uts_len` in the kernel's top-level Makefile).
pub const RELEASE_LENGTH: usize = 64;

/// An exact kernel release, as `uname -r` prints it: `6.1.0-56-amd64`, `6.12.107+deb12-cloud-amd64`, `5.10.109+`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct KernelRelease(Box<str>);

/// Why a text is no kernel release.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a kernel release: {reason}")]
pub struct InvalidRelease {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl KernelRelease {
    /// The release itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The release made safe for tags, exactly as KMM does it: one trailing `+` is dropped, every other
    /// character outside `[A-Za-z0-9._-]` becomes `_` (KMM `internal/kernel/kernel.go`, `module_reconciler.go`).
    #[must_use]
    pub fn tag(&self) -> String {
        self.directory().chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
    }

    /// The name of the real directory below `/opt/lib/modules`: the release without one trailing `+`, which is
    /// the name that KMM asks for.
    #[must_use]
    pub fn directory(&self) -> &str {
        self.0.strip_suffix('+').unwrap_or(&self.0)
    }

    /// The upstream version that the release starts with.
    #[must_use]
    pub fn version(&self) -> KernelVersion {
        KernelVersion::leading(&self.0)
    }
}

impl FromStr for KernelRelease {
    type Err = InvalidRelease;

    fn from_str(text: &str) -> Result<Self, InvalidRelease> {
        let invalid = |reason: String| Err(InvalidRelease { text: text.to_owned(), reason });
        if text.is_empty() {
            return invalid("it is empty".into());
        }
        if text.len() > RELEASE_LENGTH {
            return invalid(format!("it has {} characters, the kernel allows {RELEASE_LENGTH}", text.len()));
        }
        if let Some(c) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "._+~-".contains(*c))) {
            return invalid(format!("`{}` is not allowed in it", c.escape_default()));
        }
        if text.contains("..") {
            return invalid("`..` is not allowed in it".into());
        }
        let mut numbers = text.split(['.', '-', '+', '_', '~']);
        let numeric = |part: Option<&str>| part.is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        if !(numeric(numbers.next()) && numeric(numbers.next())) {
            return invalid("it does not start with a version such as `6.1`".into());
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for KernelRelease {
    type Error = InvalidRelease;

    fn try_from(text: String) -> Result<Self, InvalidRelease> {
        text.parse()
    }
}

impl From<KernelRelease> for String {
    fn from(release: KernelRelease) -> Self {
        release.0.into()
    }
}

impl fmt::Display for KernelRelease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Numbers compare as numbers, so `6.1.0-9` comes before `6.1.0-56`, and a flavour after its plain release.
impl Ord for KernelRelease {
    fn cmp(&self, other: &Self) -> Ordering {
        natural_cmp(&self.0, &other.0)
    }
}

impl PartialOrd for KernelRelease {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Compares texts with every run of digits taken as one number.
#[must_use]
pub fn natural_cmp(left: &str, right: &str) -> Ordering {
    let (mut l, mut r) = (left.as_bytes(), right.as_bytes());
    loop {
        match (l.first(), r.first()) {
            (None, None) => return left.cmp(right),
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let (left_number, left_rest) = split_number(l);
                let (right_number, right_rest) = split_number(r);
                let order = left_number.len().cmp(&right_number.len()).then_with(|| left_number.cmp(right_number));
                if order != Ordering::Equal {
                    return order;
                }
                (l, r) = (left_rest, right_rest);
            }
            (Some(a), Some(b)) if a != b => return a.cmp(b),
            _ => (l, r) = (&l[1..], &r[1..]),
        }
    }
}

/// The leading digits without their leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().take_while(|b| **b == b'0').count();
    (&number[zeros..], rest)
}

/// An upstream kernel version, `6.1.192`; parts that are not given count as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct KernelVersion {
    /// `6` of `6.1.192`.
    pub major: u32,
    /// `1` of `6.1.192`.
    pub minor: u32,
    /// `192` of `6.1.192`.
    pub patch: u32,
}

impl KernelVersion {
    /// The version that a release starts with.
    fn leading(text: &str) -> Self {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(|n| n.parse().unwrap_or(0));
        let mut next = || numbers.next().unwrap_or(0);
        Self { major: next(), minor: next(), patch: next() }
    }
}

impl FromStr for KernelVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('.').collect();
        let valid = (1..=3).contains(&parts.len()) && parts.iter().all(|p| p.parse::<u32>().is_ok());
        if valid { Ok(Self::leading(text)) } else { Err(format!("`{text}` is not a kernel version; expected one such as `5.6` or `6.1.170`")) }
    }
}

impl TryFrom<String> for KernelVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KernelVersion> for String {
    fn from(version: KernelVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        if *patch == 0 { write!(f, "{major}.{minor}") } else { write!(f, "{major}.{minor}.{patch}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(text: &str) -> KernelRelease {
        text.parse().unwrap()
    }

    #[test]
    fn tags_follow_kmm() {
        assert_eq!(release("6.1.0-56-amd64").tag(), "6.1.0-56-amd64");
        assert_eq!(release("6.12.107+deb12-cloud-amd64").tag(), "6.12.107_deb12-cloud-amd64");
        assert_eq!(release("5.10.109+").tag(), "5.10.109");
        assert_eq!(release("5.14.0-570.12.1.el9_6.aarch64+64k").tag(), "5.14.0-570.12.1.el9_6.aarch64_64k");
    }

    #[test]
    fn releases_sort_by_number() {
        let mut releases: Vec<_> = ["6.1.0-56-amd64", "6.1.0-9-amd64", "6.12.9+deb13-amd64", "6.1.0-56-cloud-amd64"].map(release).into();
        releases.sort();
        assert_eq!(
            releases.iter().map(KernelRelease::as_str).collect::<Vec<_>>(),
            ["6.1.0-9-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64", "6.12.9+deb13-amd64"]
        );
    }

    #[test]
    fn rejects_what_could_leave_a_path_or_a_command() {
        for (text, reason) in [
            ("", "it is empty"),
            ("6.1.0-$(id)", "`$` is not allowed in it"),
            ("6.1/../../etc", "`/` is not allowed in it"),
            ("6.1..0", "`..` is not allowed in it"),
            ("6.1.0 56", "` ` is not allowed in it"),
            ("amd64", "it does not start with a version such as `6.1`"),
        ] {
            assert_eq!(text.parse::<KernelRelease>().unwrap_err().reason, reason, "{text}");
        }
        assert!("1.2".repeat(30).parse::<KernelRelease>().unwrap_err().reason.contains("the kernel allows 64"));
    }

    #[test]
    fn versions_compare_as_numbers() {
        let version = |text: &str| text.parse::<KernelVersion>().unwrap();
        assert!(version("5.6") < version("5.10"));
        assert_eq!(release("6.12.107+deb12-amd64").version(), version("6.12.107"));
        assert!("six".parse::<KernelVersion>().is_err());
    }
}
