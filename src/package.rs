//! Distribution packages, pinned: what a kernel index finds and a rendered Dockerfile fetches.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel::KernelRelease;

/// One binary package at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Package {
    /// `linux-headers-6.1.0-56-amd64`.
    pub name: String,
    /// `6.1.192-1`.
    pub version: String,
    /// The distribution's name of the architecture: `amd64`, `arm64`, `all`.
    pub arch: String,
    /// Where it is, by the distribution's official name; mirrors are applied when it is fetched.
    pub url: String,
    /// SHA-256 of the package file, 64 hexadecimal digits.
    pub sha256: String,
    /// Size of the package file in bytes.
    pub size: u64,
}

/// A kernel that a distribution publishes headers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedKernel {
    /// The exact release.
    pub release: KernelRelease,
    /// Flavour from the distro profile's pattern (`cloud`, `rt`), empty for the plain one.
    pub flavour: String,
    /// The headers and everything of the kernel that they depend on, the release's own package first; the archive that has them, and the one with the
    /// compiler; nothing where an image has them.
    pub headers: Vec<Package>,
    /// Image that has the headers and the kernel's compiler, in the place of packages.
    #[serde(default)]
    pub headers_image: Option<String>,
    /// The version of the nodes' operating system that the headers are from, where they are in archives: it tells builds of one release apart.
    #[serde(default)]
    pub os_version: Option<String>,
    /// The kernel's image and its own modules; empty where the distro profile does not tell, or the repositories have none.
    #[serde(default)]
    pub image: Vec<Package>,
    /// Compilers that the headers depend on, by their programs (`gcc-12`), in the order in which they are named.
    pub compilers: Vec<String>,
    /// Whether it comes from a repository beside the release proper (backports): `latest` passes it over.
    #[serde(default)]
    pub backport: bool,
    /// Where it was found: `bookworm-security`.
    pub origin: String,
}

/// What a distribution release publishes for one architecture, as far as kmodforge needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedRelease {
    /// Id of the distro profile: `debian`.
    pub distro: String,
    /// Id of its release: `bookworm`.
    pub release: String,
    /// The architecture of the kernels, by its OCI name.
    pub arch: String,
    /// Kernels, oldest first, each release once (the newest package of it).
    pub kernels: Vec<PublishedKernel>,
    /// The packages that the profile's runtime tools name, by name.
    pub runtime: Vec<Package>,
    /// Names of the compiler packages to be had (`gcc-12`, `gcc-12-aarch64-linux-gnu`).
    pub compilers: Vec<String>,
    /// Repositories that were read: `bookworm`, `bookworm-security`…
    pub looked_in: Vec<String>,
    /// Repositories whose indexes were taken without a signature, and where from: `bookworm of http://mirror.internal/debian`.
    #[serde(default)]
    pub unverified: Vec<String>,
}
