//! Processor architectures, and the names that each place in the toolchain has for them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An architecture that kmodforge builds for, named as OCI (and Debian) name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// `x86_64`.
    Amd64,
    /// `aarch64`.
    Arm64,
}

impl Arch {
    /// Every architecture, in the order in which indexes list them.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The name in OCI platforms and in Debian (`amd64`, `arm64`).
    #[must_use]
    pub fn oci(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The OCI platform, `linux/amd64`.
    #[must_use]
    pub fn platform(self) -> &'static str {
        match self {
            Self::Amd64 => "linux/amd64",
            Self::Arm64 => "linux/arm64",
        }
    }

    /// What `uname -m` says (`x86_64`, `aarch64`).
    #[must_use]
    pub fn machine(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// The value of Kbuild's `ARCH` (`x86`, `arm64`).
    #[must_use]
    pub fn kbuild(self) -> &'static str {
        match self {
            Self::Amd64 => "x86",
            Self::Arm64 => "arm64",
        }
    }

    /// The GNU triplet that prefixes cross compilers (`aarch64-linux-gnu`).
    #[must_use]
    pub fn gnu_triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.oci())
    }
}

/// The text is no architecture that kmodforge knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`; expected `amd64` or `arm64`")]
pub struct UnknownArch(pub String);

impl FromStr for Arch {
    type Err = UnknownArch;

    /// Accepts the OCI name and the kernel's (`x86_64`, `aarch64`).
    fn from_str(text: &str) -> Result<Self, UnknownArch> {
        match text {
            "amd64" | "x86_64" => Ok(Self::Amd64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            other => Err(UnknownArch(other.to_owned())),
        }
    }
}
