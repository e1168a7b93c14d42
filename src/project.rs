//! `kmodforge.yaml`: where images go, what is mirrored, and the matrix of targets.

mod boot;
mod check;
mod sign;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::arch::Arch;
use crate::kernel::KernelRelease;
use crate::kernel_selector::KernelSelector;
use crate::mirror::Mirrors;
use crate::profile::{Id, Profiles, Version};
use crate::reference::Reference;
use crate::yaml::{SettingsError, Source, read_settings};
pub use boot::{Boot, BootSettings, Seconds};
pub use check::Reason;
pub use sign::{Attachments, KeyFault, Sign};

/// The name of project files.
pub const FILE_NAME: &str = "kmodforge.yaml";

/// A project file, `kmodforge.yaml`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectFile {
    /// Where images go: `registry.example/drivers`. A driver's images are in `<repository>/<driver>`.
    #[serde(default)]
    pub repository: Option<String>,
    /// Instead of `repository`: a template for an image's name, without a tag: `registry.example/{{ distro.id }}/{{ driver.id }}`.
    #[serde(default)]
    pub image: Option<String>,
    /// Template for tags; may use `driver`, `distro`, `kernel` and `arch`. Left out: `{{ driver.version }}-{{ kernel.tag }}`.
    #[serde(default)]
    pub tag: Option<String>,
    /// Directory with more profiles, relative to the project file: `<profiles>/drivers/*.yaml` and `<profiles>/distros/*.yaml`.
    #[serde(default)]
    pub profiles: Option<PathBuf>,
    /// Prefixes of everything that is fetched, and what takes their place.
    #[serde(default)]
    pub mirrors: Mirrors,
    /// Licences, as driver profiles have them, of what may be pushed although not everybody may pass it on; as `--accept-licence`.
    #[serde(default)]
    pub accept_licences: Vec<String>,
    /// Load modules into their own kernel in QEMU before they are published, as `--boot` does: `true`, or a mapping that says how.
    #[serde(default)]
    pub boot: Option<Boot>,
    /// Who signs the modules; `--sign-key` and its like win. Files are relative to the project file.
    #[serde(default)]
    pub sign: Option<Sign>,
    /// What is attached to pushed images; `--sbom`, `--provenance` and `--cosign-key` win. Files are relative to the project file.
    #[serde(default)]
    pub attach: Option<Attachments>,
    /// Which drivers are built for which kernels. The rows add up. Left out: the command line says it.
    #[serde(default)]
    pub matrix: Option<Vec<MatrixRow>>,
}

impl ProjectFile {
    /// The rows of `matrix`.
    #[must_use]
    pub fn rows(&self) -> &[MatrixRow] {
        self.matrix.as_deref().unwrap_or_default()
    }
}

/// Every driver of a row is built for every kernel of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatrixRow {
    /// Drivers, `NAME` or `NAME@VERSION`. Without a version: for each kernel the newest one that supports it.
    pub drivers: Vec<DriverSelector>,
    /// Distributions, by id. Left out: the one that recognises a kernel.
    #[serde(default)]
    pub distros: Option<Vec<Id>>,
    /// Kernels: releases, shell patterns, `/regular expressions/`, `latest`, `latest:N`.
    pub kernels: Vec<KernelSelector>,
    /// Architectures. Left out: all that the distribution has.
    #[serde(default)]
    pub arches: Option<Vec<Arch>>,
    /// Image that has the headers and the compiler of the kernels, in the place of packages, which are named exactly then; as `--headers-image`.
    #[serde(default)]
    pub headers_image: Option<Reference>,
    /// Version of the nodes' operating system, where archives are called after it that have the headers of the kernels, which are named exactly then;
    /// as `--os-version`.
    #[serde(default)]
    pub os_version: Option<String>,
    /// Combinations that are not built.
    #[serde(default)]
    pub exclude: Vec<Exclude>,
}

/// A combination that is not built: everything that all of its keys fit. At least one key.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Exclude {
    /// A driver, `NAME` or `NAME@VERSION`.
    pub driver: Option<DriverSelector>,
    /// A distribution.
    pub distro: Option<Id>,
    /// Kernels, as in `kernels`, but not `latest`.
    pub kernel: Option<KernelSelector>,
    /// An architecture.
    pub arch: Option<Arch>,
}

impl Exclude {
    /// Whether a target is excluded.
    #[must_use]
    pub fn fits(&self, driver: &str, version: &str, distro: &str, kernel: &KernelRelease, arch: Arch) -> bool {
        let driver_fits =
            |selector: &DriverSelector| selector.driver.as_str() == driver && selector.version.as_ref().is_none_or(|wanted| wanted.as_str() == version);
        self.driver.as_ref().is_none_or(driver_fits)
            && self.distro.as_ref().is_none_or(|id| id.as_str() == distro)
            && self.kernel.as_ref().is_none_or(|selector| selector.matches(kernel))
            && self.arch.is_none_or(|wanted| wanted == arch)
    }
}

/// A driver that a user means: `NAME`, `NAME@VERSION`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct DriverSelector {
    /// The driver's id.
    pub driver: Id,
    /// The version; none: the newest that supports a kernel.
    pub version: Option<Version>,
}

impl FromStr for DriverSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (driver, version) = match text.split_once('@') {
            Some((_, "")) => return Err(format!("`{}` ends where the version should be; expected `NAME` or `NAME@VERSION`", text.escape_debug())),
            Some((driver, version)) => (driver, Some(version.parse()?)),
            None => (text, None),
        };
        Ok(Self { driver: driver.parse()?, version })
    }
}

impl TryFrom<String> for DriverSelector {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<DriverSelector> for String {
    fn from(selector: DriverSelector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for DriverSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.driver),
            None => write!(f, "{}", self.driver),
        }
    }
}

/// A project, read from its file.
#[derive(Clone, Debug)]
pub struct Project {
    /// What the file says.
    pub content: ProjectFile,
    /// Where the file is.
    pub path: PathBuf,
    source: Source,
}

/// Why there is no project.
pub type ProjectError = SettingsError<Reason>;

impl Project {
    /// Reads a project file.
    pub fn load(path: &Path) -> Result<Self, ProjectError> {
        Self::parse(path, &read_settings("project file", path)?)
    }

    /// Reads the project file of a directory, if it has one.
    pub fn find(directory: &Path) -> Result<Option<Self>, ProjectError> {
        let path = if directory == Path::new(".") { PathBuf::from(FILE_NAME) } else { directory.join(FILE_NAME) };
        if path.exists() { Self::load(&path).map(Some) } else { Ok(None) }
    }

    /// Reads the text of a project file.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ProjectError> {
        let source = Source::read(&path.display().to_string(), text)?;
        let content = source.decode()?;
        let project = Self { content, path: path.to_owned(), source };
        check::check_file(&project.content, &project.source)?;
        Ok(project)
    }

    /// The directory of `profiles`.
    #[must_use]
    pub fn profiles(&self) -> Option<PathBuf> {
        self.content.profiles.as_ref().map(|profiles| self.beside(profiles))
    }

    /// What the file calls by a name that is relative to it.
    #[must_use]
    pub fn beside(&self, name: &Path) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(name)
    }

    /// Checks the matrix against the profiles there are: names, versions, architectures, and excludes that leave something.
    pub fn check(&self, profiles: &dyn Profiles) -> Result<(), ProjectError> {
        check::check_matrix(&self.content, &self.source, profiles).map_err(ProjectError::Impossible)
    }
}

#[cfg(test)]
mod tests;
