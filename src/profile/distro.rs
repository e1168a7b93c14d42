//! Distro profiles: how one obtains the headers, compiler and runtime tools that fit a kernel release.

mod archives;
mod check;
mod family;
mod recognise;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Id, InnerPath, ProfileError};
use crate::arch::Arch;
use crate::yaml::Source as Document;
pub use archives::{ArchivePlace, ArchivedCompiler, Archives};
pub use family::{Family, Proof};
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
    /// How it is known that the profile works.
    #[serde(default)]
    pub proven: Proof,
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

    /// Where the compiler runs for a target: on this machine, or on one of the target's architecture where there is no cross compiler.
    #[must_use]
    pub fn build_arch(&self, target: Arch, here: Arch) -> Arch {
        if self.toolchain.compiler.cross_package.is_some() { here } else { target }
    }
}

/// How a distribution's kernels are recognised and found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelRules {
    /// Regular expressions (Rust `regex` syntax), anchored at both ends by kmodforge. Named groups: `flavour` (may be absent),
    /// `arch` (the distribution's name), `release` (the `version` of the distribution's release, when the kernel's name tells it).
    pub recognise: Vec<String>,
    /// Name of the package that holds a release's headers, in families whose packages are called after it; `{kernel}` is the release:
    /// `linux-headers-{kernel}`.
    #[serde(default)]
    pub headers_package: Option<String>,
    /// Packages that hold headers, in families whose packages tell the release by their version: from the package's name (a regular
    /// expression, anchored at both ends) to the release; `{version}`, `{revision}` and `{arch}` are the package's, `{source_revision}` is the
    /// revision without what follows its last dot: `kernel-rt-devel: "{version}-{revision}.{arch}+rt"`. Where the version ends in the name of a patch set,
    /// `{patchset}` is that and `{upstream}` what comes before it, with three numbers: `linux-headers: "{upstream}-{patchset}-{revision}"`.
    #[serde(default)]
    pub headers_versions: BTreeMap<String, String>,
    /// Regular expression for packages that belong to the kernel's headers among the dependencies, anchored at both ends; others
    /// are left to the toolchain.
    #[serde(default)]
    pub headers_dependencies: Option<String>,
    /// Files of these packages that no compilation reads, as shell patterns relative to the root (`*` matches `/`, too):
    /// `usr/share/*`. They are not unpacked.
    #[serde(default)]
    pub headers_unneeded: Vec<String>,
    /// For kernels whose headers are in no repository: which image has them, in words that messages show: `oc adm release info --image-for=driver-toolkit`.
    /// Whoever builds names it: `--headers-image IMAGE`.
    #[serde(default)]
    pub in_image: Option<String>,
    /// For kernels whose headers are in no repository: archives that have them, by versions of the nodes' operating system.
    #[serde(default)]
    pub archives: Option<Archives>,
    /// Directory of the headers; `{kernel}` is the release: `/usr/src/linux-headers-{kernel}`. `{kernel_base}` is the release up to its last `-`,
    /// `{kernel_flavour}` what follows, `{machine}` the architecture as `uname -m` names it.
    pub directory: String,
    /// Directory of the kernel's sources or what is packaged of them, where generated files and sources are apart, with the same placeholders: `/lib/modules/{kernel}/source`. Left out: the same as `directory`.
    #[serde(default)]
    pub source_directory: Option<String>,
}

impl KernelRules {
    /// Whether repositories have the headers, so that kernels can be listed.
    #[must_use]
    pub fn are_published(&self) -> bool {
        self.in_image.is_none() && self.archives.is_none()
    }
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
    /// Compilers of kernels whose headers name none, where it is not `default_compiler`: the first that fits.
    #[serde(default)]
    pub compilers: Vec<KernelCompiler>,
    /// Files of the base image with the keys that packages are signed with; pacman's keyrings, which have files beside them that say whose keys count.
    /// Needed in families whose packages are signed one by one (all but apt), unless all repositories are `trusted`.
    #[serde(default)]
    pub package_keys: Vec<String>,
}

/// The compiler of some kernels of a release.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelCompiler {
    /// Regular expression for the kernels, anchored at both ends: `6\.(?:5|8)\..+`.
    pub kernels: String,
    /// The program: `gcc-12`.
    pub program: String,
}

/// A package repository: an entry of apt's `sources.list`, a section of dnf's `*.repo` or of `pacman.conf`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// Base URL without a trailing slash, by the distribution's official name: `http://ftp.debian.org/debian`. In other families than apt,
    /// `{arch}` is the packages' name of the architecture; a URL that ends in `/mirror.list` is that of a file whose first line is the base URL.
    pub url: String,
    /// `bookworm-security`; in other families than apt a short name, for messages: `appstream`. Pacman's databases are called after it: `core`.
    pub suite: String,
    /// `main`, `contrib`…; of apt alone.
    #[serde(default)]
    pub components: Vec<String>,
    /// Architectures that it has. Left out: all of the profile's.
    #[serde(default)]
    pub arches: Vec<Arch>,
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

impl Repository {
    /// Whether it has packages for an architecture.
    #[must_use]
    pub fn has(&self, arch: Arch) -> bool {
        self.arches.is_empty() || self.arches.contains(&arch)
    }
}

/// A place that keeps packages which the repositories have dropped.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// Name for `--fallback`: `snapshot`.
    pub id: Id,
    /// Repositories as they were; `{timestamp}`, `{day}` or `{version}` in a URL is given by the user: `--fallback snapshot=20260301T000000Z`,
    /// `--fallback archive=2026-03-01` (in the URL `2026/03/01`), `--fallback vault=9.4`.
    pub repositories: Vec<Repository>,
}

/// Compiler and build tools.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Toolchain {
    /// Packages that every build needs: `make`, `kmod`.
    pub packages: Vec<String>,
    /// Variables that every `make` gets on its command line, before a driver's own; `{cc}` is the kernel's compiler.
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
    /// the program to run: `(?P<program>gcc-\d+)(-for-host)?`. Left out: dependencies do not tell the compiler.
    #[serde(default)]
    pub from_dependencies: Option<String>,
    /// Package of the native compiler; `{program}` is the program: `{program}`.
    pub native_package: String,
    /// Package of a cross compiler; `{program}`, `{triplet}`: `{program}-{triplet}`. Left out: modules are compiled on a machine of their own
    /// architecture, or one that emulates it.
    #[serde(default)]
    pub cross_package: Option<String>,
    /// Where the kernel's configuration (`CONFIG_CC_VERSION_TEXT`) names another major version than the compiler has: other packages, the
    /// first that exists is installed.
    #[serde(default)]
    pub other_versions: Vec<OtherCompiler>,
}

/// A compiler beside the distribution's usual one.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherCompiler {
    /// Its package; `{major}` is the version: `gcc-toolset-{major}-gcc`.
    pub package: String,
    /// Its program; `{major}` is the version: `/opt/rh/gcc-toolset-{major}/root/usr/bin/gcc`.
    pub program: String,
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
    /// Whether `VERSION_ID` of the nodes' `/etc/os-release` is the `version` of their release.
    #[serde(default = "yes")]
    pub has_release_version: bool,
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
