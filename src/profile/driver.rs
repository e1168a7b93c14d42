//! Driver profiles: where a driver's source is, how it is built, which modules and firmware come out.

mod check;
mod load;
mod proof;
mod select;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ProfileError;
use super::{Id, InnerPath, Sha256Hex, Version};
use crate::arch::Arch;
use crate::kernel::KernelVersion;
use crate::rollout::Hints;
use crate::yaml::Source as Document;
pub use load::{Answer, Load};
pub use proof::Proof;
pub use select::Unsupported;

/// A driver, `drivers/<id>.yaml`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DriverProfile {
    /// Short name, used in `--driver` and as the last part of the repository: `v4l2loopback`.
    pub id: Id,
    /// Name for people.
    pub name: String,
    /// One sentence.
    pub summary: String,
    /// Home page.
    pub homepage: String,
    /// SPDX expression of the modules: `GPL-2.0-or-later`.
    pub licence: String,
    /// Whether the modules may be passed on. What may not simply be is pushed only with `--accept-licence`.
    #[serde(default)]
    pub redistribution: Redistribution,
    /// Files with the licence's text, below the source's directory, for the image's `/usr/share/licenses/<id>/`; those that a source lacks are passed over.
    /// Left out: whatever is called `COPYING`, `LICENSE` or `LICENCE` there, with any ending, and the `copyright` of a Debian package.
    #[serde(default)]
    pub licence_files: Vec<InnerPath>,
    /// Versions, newest first; the first one that supports a kernel is what `--driver NAME` means.
    pub versions: Vec<DriverVersion>,
    /// How the source becomes modules.
    pub build: Build,
    /// Modules that come out, in load order. Left out: those that `dkms.conf` names where a `dkms` step builds, else every `.ko` file that
    /// the build leaves, into `extra`. A list is better: what is missing from the result is noticed then.
    #[serde(default)]
    pub modules: Vec<Module>,
    /// `.ko` files that the build leaves and that are not shipped (probes, test modules): shell patterns over the path below the
    /// source's directory, in which `*` also stands for `/`: `build/*`.
    #[serde(default)]
    pub ignored_modules: Vec<String>,
    /// Firmware that the modules load.
    #[serde(default)]
    pub firmware: FirmwareRules,
    /// What a kernel must have.
    #[serde(default)]
    pub requires: Requirements,
    /// The driver is part of the kernel from some version on.
    #[serde(default)]
    pub in_tree: Option<InTree>,
    /// Modules of the kernel that must be unloaded first.
    #[serde(default)]
    pub remove_first: Vec<String>,
    /// Modules of the kernel that should be loaded first, though no symbol dependency says so.
    #[serde(default)]
    pub load_first: Vec<String>,
    /// What is expected when the modules are loaded into their kernel on a virtual machine.
    #[serde(default)]
    pub load: Load,
    /// What matters where the driver is deployed.
    #[serde(default)]
    pub deploy: Hints,
    /// How far the profile has been proven.
    #[serde(default)]
    pub proven: Proof,
}

impl DriverProfile {
    /// Reads and checks a profile; `file` is how messages call it.
    pub fn load(file: &str, text: &str) -> Result<Self, ProfileError> {
        let document = Document::read(file, text)?;
        let profile: Self = document.decode()?;
        check::check(&profile, &document)?;
        Ok(profile)
    }
}

/// One version of a driver.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DriverVersion {
    /// `0.15.3`.
    pub version: Version,
    /// Places that hold the same source; the first that answers and whose digest matches is used.
    pub sources: Vec<Source>,
    /// Firmware of this version.
    #[serde(default)]
    pub firmware: Vec<FirmwareSource>,
    /// Requirements of this version, beside the driver's.
    #[serde(default)]
    pub requires: Requirements,
    /// Replaces the driver's build for this version.
    #[serde(default)]
    pub build: Option<Build>,
    /// Replaces the driver's modules for this version.
    #[serde(default)]
    pub modules: Option<Vec<Module>>,
}

/// A place that holds a version's source. Exactly one key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A tar archive (`.tar`, `.tar.gz`, `.tgz`, `.tar.xz`, `.tar.zst`).
    Archive(Archive),
    /// A Debian binary package.
    Deb(Deb),
    /// A directory on this machine; for profiles under development.
    Path(LocalPath),
}

/// A tar archive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Where it is; `{version}` is the version.
    pub url: String,
    /// Its SHA-256.
    pub sha256: Sha256Hex,
    /// Directories to drop from the front of every path.
    #[serde(default = "one")]
    pub strip: usize,
    /// Directory of the source below that.
    #[serde(default)]
    pub directory: InnerPath,
}

/// A Debian binary package that contains source (`*-dkms`, `*-source`).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deb {
    /// Where it is; `{version}` is the version.
    pub url: String,
    /// Its SHA-256.
    pub sha256: Sha256Hex,
    /// Directory of the source in the package: `usr/src/v4l2loopback-0.15.3`.
    pub directory: InnerPath,
}

/// A directory on this machine.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalPath {
    /// The directory; relative to the profile's file.
    pub directory: String,
    /// SHA-256 of the archive that is made of its files, where they were read before anything was planned.
    #[serde(skip)]
    pub sha256: Option<Sha256Hex>,
}

/// How source becomes modules. All steps run in the source's directory.
///
/// Values may contain `{kernel}` (release), `{kernel_dir}` (build directory), `{kernel_source}` (source directory, where
/// the two differ), `{source}` (the driver's source), `{cc}`, `{cross}` (prefix of the cross tools, empty when native),
/// `{arch}` (Kbuild's), `{machine}` (`uname -m`), `{triplet}` (GNU) and `{version}` (the driver's). `{cc}` is the compiler's
/// program with the cross prefix. Braces that are meant literally are doubled.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Packages that only this driver's build needs, by package family (`apt`, `dnf`, `zypper`, `pacman`); of `libc6-dev|libc-dev` the first that there is.
    #[serde(default)]
    pub packages: BTreeMap<String, Vec<String>>,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One step of a build. Exactly one key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// `make -C {kernel_dir} M=<directory> … modules`.
    Kbuild(Kbuild),
    /// The driver's own Makefile: `make -C <directory> …`.
    Make(Make),
    /// A program and its arguments.
    Run(Run),
    /// What a `dkms.conf` says, as DKMS does it; no other step beside it. The file is a program and runs in the builder.
    Dkms(Dkms),
}

/// A build by the kernel's own Makefile.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kbuild {
    /// Directory with the `Kbuild` or `Makefile`, below the source.
    pub directory: InnerPath,
    /// Variables on the command line.
    pub variables: BTreeMap<String, String>,
    /// Directories (below the source) built before, whose `Module.symvers` this one needs.
    pub symbols_from: Vec<InnerPath>,
}

/// A build by the driver's own Makefile.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Make {
    /// Directory with the Makefile, below the source.
    pub directory: InnerPath,
    /// Targets; the Makefile's first if none is named.
    pub targets: Vec<String>,
    /// Variables on the command line.
    pub variables: BTreeMap<String, String>,
}

/// A program to run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Directory to run in, below the source.
    #[serde(default)]
    pub directory: InnerPath,
    /// Program and arguments; no shell looks at them.
    pub command: Vec<String>,
    /// Environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

/// A build by `dkms.conf`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Dkms {
    /// Directory with the `dkms.conf`, below the source.
    pub directory: InnerPath,
}

/// A module that the image ships.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Module {
    /// Name as the kernel knows it: `nvidia_uvm` and `nvidia-uvm` are the same.
    pub name: String,
    /// Where the build leaves it, below the source's directory; default: found by its file name.
    #[serde(default)]
    pub file: Option<InnerPath>,
    /// Directory in the image below the release.
    #[serde(default = "extra")]
    pub install: InnerPath,
    /// Built only with some kernels: absent is no error.
    #[serde(default)]
    pub optional: bool,
    /// Loaded on its own. `false`: shipped, and loaded when another module needs it.
    #[serde(default = "yes")]
    pub load: bool,
    /// Parameters to load it with.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// What is known about the firmware that modules name.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FirmwareRules {
    /// Names (shell patterns) that a module may ask for and that the image need not have.
    pub optional: Vec<String>,
}

/// Where firmware comes from.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FirmwareSource {
    /// Places that hold it; the first that answers and whose digest matches is used.
    pub sources: Vec<Source>,
    /// Files to take: from the path in the source's directory (a file or a directory) to the path below `/firmware`.
    pub files: BTreeMap<InnerPath, InnerPath>,
    /// SPDX expression or `LicenseRef-…`.
    pub licence: String,
    /// Whether it may be passed on.
    #[serde(default)]
    pub redistribution: Redistribution,
}

/// Whether binaries may be passed on to others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Redistribution {
    /// By anybody.
    #[default]
    Permitted,
    /// As they came, by anybody; enough for firmware.
    Unmodified,
    /// Lawyers disagree.
    Disputed,
    /// Not without an agreement.
    Forbidden,
}

/// What a kernel must have.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Range of kernel versions.
    pub kernel: KernelRange,
    /// Architectures; all if empty.
    pub arches: Vec<Arch>,
    /// Options that must be on, built in or as a module (`CONFIG_VIDEO_DEV`), or off (`!CONFIG_PREEMPT_RT`).
    pub config: Vec<ConfigRule>,
}

/// Range of kernel versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KernelRange {
    /// The oldest that works.
    pub min: Option<KernelVersion>,
    /// The first that does not work any more.
    pub below: Option<KernelVersion>,
}

/// `CONFIG_X`: must be on; `!CONFIG_X`: must be off.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String", extend("pattern" = r"^!?CONFIG_[A-Za-z0-9_]+$"))]
pub struct ConfigRule {
    /// `CONFIG_VIDEO_DEV`.
    pub option: String,
    /// On (`y` or `m`) or off.
    pub on: bool,
}

impl TryFrom<String> for ConfigRule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let option = text.strip_prefix('!').unwrap_or(&text);
        let name = option.strip_prefix("CONFIG_").unwrap_or_default();
        if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            Ok(Self { option: option.to_owned(), on: !text.starts_with('!') })
        } else {
            Err(format!("`{}` is not a kernel option; expected `CONFIG_NAME` or `!CONFIG_NAME`", text.escape_debug()))
        }
    }
}

impl From<ConfigRule> for String {
    fn from(rule: ConfigRule) -> Self {
        rule.to_string()
    }
}

impl std::fmt::Display for ConfigRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", if self.on { "" } else { "!" }, self.option)
    }
}

/// The driver became part of the kernel.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InTree {
    /// The first kernel version that has it.
    pub since: KernelVersion,
    /// Name of the kernel's module.
    pub module: String,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn extra() -> InnerPath {
    InnerPath::try_from("extra".to_owned()).unwrap_or_default()
}
