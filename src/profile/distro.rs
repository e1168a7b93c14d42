//! Distro profiles: how one obtains the headers, compiler and runtime tools that fit a kernel release.

mod check;
mod recognise;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Id, InnerPath, ProfileError};
use crate::arch::Arch;
use crate::yaml::Source as Document;
use recognise::Patterns;
pub use recognise::Recognised;

/// A distribution, `distros/<id>.yaml`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DistroProfile {
    /// Short name, used in `--distro` and in records: `debian`.
    pub id: Id,
    /// Name for people.
    pub name: String,
    /// Home page.
    pub homepage: String,
    /// Package family: which Dockerfile template and which kind of repository index apply.
    pub family: Family,
    /// Architectures that images can be built for.
    pub arches: Vec<Arch>,
    /// Keyring whose keys sign the repositories, `keyrings/<name>.asc`: `debian`.
    #[serde(default)]
    pub keyring: Option<Id>,
    /// How kernels are recognised and found.
    pub kernels: KernelRules,
    /// Releases of the distribution, newest first.
    pub releases: Vec<Release>,
    /// Compiler and build tools.
    pub toolchain: Toolchain,
    /// Programs that the image needs to load modules.
    pub runtime: Runtime,
    /// Facts about nodes that deployment needs.
    pub node: Node,
    /// What sources find that were written for DKMS. Left out: nothing beside the toolchain, and modules go where `dkms.conf` says.
    #[serde(default)]
    pub dkms: DkmsRules,
    /// How the kernel itself is obtained, to load modules into it. Left out: images of this distribution are not booted.
    #[serde(default)]
    pub boot: Option<BootRules>,
    #[serde(skip)]
    patterns: OnceLock<Patterns>,
}

impl DistroProfile {
    /// Reads and checks a profile; `file` is how messages call it.
    pub fn load(file: &str, text: &str) -> Result<Self, ProfileError> {
        let document = Document::read(file, text)?;
        let profile: Self = document.decode()?;
        check::check(&profile, &document)?;
        Ok(profile)
    }

    /// The keyring that signs a repository of this profile; none for one that is trusted without a signature.
    #[must_use]
    pub fn keyring_of<'p>(&'p self, repository: &'p Repository) -> Option<&'p Id> {
        repository.keyring.as_ref().or(self.keyring.as_ref()).filter(|_| !repository.trusted)
    }
}

/// Package families.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Debian's: apt, dpkg.
    Apt,
}

impl Family {
    /// The name of the family's Dockerfile template, `templates/dockerfile/<name>.Dockerfile.tera`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Apt => "apt",
        }
    }
}

/// How a distribution's kernels are recognised and found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelRules {
    /// Regular expressions (Rust `regex` syntax), anchored at both ends by kmodforge. Named groups: `flavour` (may be absent),
    /// `arch` (the distribution's name), `release` (the `version` of the distribution's release, when the kernel's name tells it).
    pub recognise: Vec<String>,
    /// Name of the package that holds a release's headers; `{kernel}` is the release: `linux-headers-{kernel}`.
    pub headers_package: String,
    /// Regular expression for packages that belong to the kernel's headers among the dependencies, anchored at both ends; others
    /// are left to the toolchain.
    pub headers_dependencies: String,
    /// Files of these packages that no compilation reads, as shell patterns relative to the root (`*` matches `/`, too):
    /// `usr/share/*`. They are not unpacked.
    #[serde(default)]
    pub headers_unneeded: Vec<String>,
    /// Directory of the headers; `{kernel}` is the release: `/usr/src/linux-headers-{kernel}`.
    pub directory: String,
    /// Directory of the kernel's sources or what is packaged of them, where generated files and sources are apart; `{kernel}` is
    /// the release: `/lib/modules/{kernel}/source`. Left out: the same as `directory`.
    #[serde(default)]
    pub source_directory: Option<String>,
}

/// One release of a distribution.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// `bookworm`.
    pub id: Id,
    /// What `(?P<release>…)` in a kernel's name matches: `12`.
    #[serde(default)]
    pub version: Option<String>,
    /// Base image of toolchain and unpacking stages. Never part of the result.
    pub base_image: String,
    /// Package repositories. The newest version of a package counts, wherever it is.
    pub repositories: Vec<Repository>,
    /// Where packages are found that have left `repositories`.
    #[serde(default)]
    pub fallbacks: Vec<Fallback>,
    /// Compiler for user-space helpers that some builds compile, and for kernels whose headers name none: `gcc`.
    #[serde(default)]
    pub default_compiler: Option<String>,
}

/// A package repository (for apt: an entry of `sources.list`).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Base URL without a trailing slash, by the distribution's official name: `http://ftp.debian.org/debian`.
    pub url: String,
    /// `bookworm-security`.
    pub suite: String,
    /// `main`, `contrib`…
    pub components: Vec<String>,
    /// Refuse an expired index, and one whose signature or key has expired since it was signed. Off for frozen mirrors and snapshots.
    #[serde(default = "yes")]
    pub check_valid_until: bool,
    /// Keyring whose keys sign it, instead of the distribution's.
    #[serde(default)]
    pub keyring: Option<Id>,
    /// Take its index without a signature; records say so.
    #[serde(default)]
    pub trusted: bool,
}

/// A place that keeps packages which the repositories have dropped.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// Name for `--fallback`: `snapshot`.
    pub id: Id,
    /// Repositories as they were; `{timestamp}` in a URL is given by the user: `--fallback snapshot=20260301T000000Z`.
    pub repositories: Vec<Repository>,
}

/// Compiler and build tools.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// Packages that every build needs: `make`, `kmod`.
    pub packages: Vec<String>,
    /// Variables that every `make` gets on its command line, before a driver's own.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// How the kernel's compiler is found and chosen.
    pub compiler: CompilerRule,
}

/// Which compiler fits a kernel.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CompilerRule {
    /// Regular expression for compiler packages among the headers' dependencies, anchored at both ends, with a group `program` for
    /// the program to run: `(?P<program>gcc-\d+)(-for-host)?`.
    pub from_dependencies: String,
    /// Package of the native compiler; `{program}` is the program: `{program}`.
    pub native_package: String,
    /// Package of a cross compiler; `{program}`, `{triplet}`: `{program}-{triplet}`.
    pub cross_package: String,
}

/// Programs that a `ModuleLoader` image needs, and the packages that hold them.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Runtime {
    /// Packages to unpack: `kmod`, `busybox-static`, and the first that exists of each group of names (`libssl3|libssl3t64`).
    pub packages: Vec<String>,
    /// Files and links to take from them, as shell patterns relative to the root: `usr/bin/kmod`, `usr/lib/*/libkmod.so.*`. What
    /// packages have in `/bin`, `/sbin` and `/lib*` counts as below `usr`. A pattern that fits nothing is an error.
    pub files: Vec<String>,
    /// Links to make: from a path in the image to what it points at: `usr/sbin/modprobe: ../bin/kmod`.
    pub links: BTreeMap<InnerPath, String>,
}

/// Facts about nodes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Node {
    /// Where nodes look for firmware.
    pub firmware_directory: String,
    /// Whether `/lib/modules` is read-only.
    #[serde(default)]
    pub modules_read_only: bool,
    /// `ID` of the nodes' `/etc/os-release`, where it is not the profile's `id`.
    #[serde(default)]
    pub os_release_id: Option<String>,
}

/// What a machine with DKMS has, and its scripts and Makefiles may rely on.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DkmsRules {
    /// Packages that DKMS depends on, for the machine that compiles.
    pub packages: Vec<String>,
    /// Where this distribution has DKMS put modules, whatever a `dkms.conf` says: `updates/dkms`.
    pub destination: Option<InnerPath>,
}

/// Where a kernel's image and its own modules are, for checks that boot it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootRules {
    /// Packages that hold them: of each group of names the first that exists, in the version of the headers; `{kernel}` is the release:
    /// `linux-image-{kernel}|linux-image-{kernel}-unsigned`.
    pub packages: Vec<String>,
    /// Regular expression for packages that belong to the kernel among their dependencies, anchored at both ends.
    #[serde(default)]
    pub dependencies: Option<String>,
    /// The image, as a path in the packages, or several with `|` between them; `{kernel}` is the release: `boot/vmlinuz-{kernel}`.
    pub kernel: String,
    /// Directory of the modules in the packages; `{kernel}` is the release. What packages have in `/lib` counts as below `usr`:
    /// `usr/lib/modules/{kernel}`.
    pub modules: String,
}

fn yes() -> bool {
    true
}
