//! Families of packages, and how profiles have been proven.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;

/// Package families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Debian's: apt, dpkg.
    Apt,
    /// Fedora's: dnf or yum, rpm.
    Dnf,
    /// SUSE's: zypper, rpm.
    Zypper,
    /// Arch Linux's: pacman.
    Pacman,
}

impl Family {
    /// Every family.
    pub const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Zypper, Self::Pacman];

    /// The name of the family's Dockerfile template, `templates/dockerfile/<name>.Dockerfile.tera`, and of its packages in driver profiles.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Dnf => "dnf",
            Self::Zypper => "zypper",
            Self::Pacman => "pacman",
        }
    }

    /// What packages and repositories of the family call an architecture.
    #[must_use]
    pub fn arch_name(self, arch: Arch) -> &'static str {
        match self {
            Self::Apt => arch.oci(),
            Self::Dnf | Self::Zypper | Self::Pacman => arch.machine(),
        }
    }

    /// What packages are called that do not depend on an architecture.
    #[must_use]
    pub fn any_arch(self) -> &'static str {
        match self {
            Self::Apt => "all",
            Self::Dnf | Self::Zypper => "noarch",
            Self::Pacman => "any",
        }
    }

    /// Whether packages are signed one by one, so that an index without a signature can do no more harm than one of an earlier day.
    #[must_use]
    pub fn has_signed_packages(self) -> bool {
        match self {
            Self::Apt => false,
            Self::Dnf | Self::Zypper | Self::Pacman => true,
        }
    }

    /// The family's packages in package URLs (<https://github.com/package-url/purl-spec>).
    #[must_use]
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Apt => "deb",
            Self::Dnf | Self::Zypper => "rpm",
            Self::Pacman => "alpm",
        }
    }
}

/// How it is known that a profile works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// Real kernels from the distribution's own repositories were built for, checked and loaded.
    RealMirror,
    /// The family's own package manager installed, and modules were compiled and checked, from a stand-in of the distribution's repositories
    /// with its names and layout and the headers of another real kernel.
    RealClient,
    /// As `real-client`, with another client of the same repository format than the distribution has: dnf for tdnf.
    SimilarClient,
    /// Modules were compiled and checked in an image that stands in for the distribution's, with the headers of another real kernel.
    StandInImage,
    /// As `stand-in-image`, with an archive in the place of the distribution's.
    StandInArchive,
    /// Its Dockerfile was rendered and read; nothing more.
    #[default]
    Rendered,
}

impl Proof {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::RealMirror => "real mirror",
            Self::RealClient => "real client on a stand-in",
            Self::SimilarClient => "similar client on a stand-in",
            Self::StandInImage => "stand-in image",
            Self::StandInArchive => "stand-in archive",
            Self::Rendered => "rendered only",
        }
    }
}
