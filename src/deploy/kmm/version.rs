//! What differs between versions of KMM.

use std::fmt;
use std::str::FromStr;

use super::KmmError;

/// A version of KMM, `2.6`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KmmVersion {
    major: u32,
    minor: u32,
}

/// A text that is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a version from 1.1 on, `2.6` say")]
pub struct InvalidVersion;

impl KmmVersion {
    /// The last release.
    pub const NEWEST: Self = Self::new(2, 6);
    /// The oldest that resources are made for.
    const OLDEST: Self = Self::new(1, 1);
    /// Several in-tree modules can be removed; releases are made safe for tags (2.1.1); the worker loads.
    pub(super) const SEVERAL_IN_TREE: Self = Self::new(2, 1);
    pub(super) const SAFE_TAGS: Self = Self::new(2, 2);
    /// `PreflightValidation` has `v1beta2`.
    const PREFLIGHT: Self = Self::new(2, 2);
    /// Modules have tolerations.
    pub(super) const TOLERATIONS: Self = Self::new(2, 3);
    /// `filesToSign` are patterns; the worker sees the node's own modules.
    pub(super) const PATTERNS: Self = Self::new(2, 6);

    const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Refuses what this version lacks.
    pub(super) fn must_have(self, feature: &'static str, since: Self) -> Result<(), KmmError> {
        if self >= since { Ok(()) } else { Err(KmmError::TooOld { version: self, feature, since }) }
    }

    pub(super) fn preflight(self) -> &'static str {
        if self >= Self::PREFLIGHT { "kmm.sigs.x-k8s.io/v1beta2" } else { "kmm.sigs.x-k8s.io/v1beta1" }
    }

    pub(super) fn assumption(self) -> String {
        format!("the cluster has KMM {self} (--kmm-version)")
    }
}

impl FromStr for KmmVersion {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.').map(|number| number.parse::<u32>().map_err(|_| InvalidVersion));
        let (Some(major), Some(minor), patch, None) = (numbers.next(), numbers.next(), numbers.next(), numbers.next()) else { return Err(InvalidVersion) };
        patch.transpose()?;
        let version = Self::new(major?, minor?);
        if version >= Self::OLDEST { Ok(version) } else { Err(InvalidVersion) }
    }
}

impl fmt::Display for KmmVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
