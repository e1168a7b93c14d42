//! Catalogue, selection and kernel indexes → targets, and reasons for what is no target. Pure: what the network or the
//! disk knows is passed in.

mod choose;
mod error;
mod naming;
mod view;

use std::collections::HashMap;
use std::sync::Arc;

pub use error::PlanError;
pub use naming::{DEFAULT_TAG, Naming, NamingError};
pub use view::{PlanView, SCHEMA, SkippedView, TargetView};

use crate::arch::Arch;
use crate::kernel_selector::KernelSelector;
use crate::package::{Package, PublishedKernel, PublishedRelease};
use crate::profile::distro::{DistroProfile, Release};
use crate::profile::driver::{Build, ConfigRule, Dkms, DriverProfile, DriverVersion, Module, Step, Unsupported};
use crate::profile::{Id, Version};
use crate::project::Exclude;
use crate::record::TargetLabel;
use crate::reference::{Digest, Reference};
use crate::rollout::{Load, Rollout, System};

/// What to build: targets, and what was left out with the reason.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One per image manifest, ordered by driver, release, kernel (newest first) and architecture.
    pub targets: Vec<Target>,
    /// What was selected but cannot be.
    pub skipped: Vec<Skipped>,
}

/// One image manifest to be: everything is decided.
#[derive(Clone, Debug)]
pub struct Target {
    /// The driver, at one version.
    pub driver: Arc<PlannedDriver>,
    /// The distribution's release.
    pub distro: Arc<PlannedDistro>,
    /// The kernel and its headers.
    pub kernel: Arc<PublishedKernel>,
    /// What the modules are for.
    pub arch: Arch,
    /// Compiler and packages.
    pub toolchain: Arc<PlannedToolchain>,
    /// Packages with the programs of the image.
    pub runtime: Arc<[Package]>,
    /// Repositories that were trusted without a signature: `bookworm of http://mirror.internal/debian`.
    pub unverified: Arc<[String]>,
    /// The image's name and tag.
    pub image: Reference,
    /// Files of the image that are signed, as shell patterns; all modules if nobody says which.
    pub sign_only: Option<Arc<[String]>>,
    /// Digests of what goes in; set by `render::fill_inputs`.
    pub inputs: Option<Inputs>,
    /// What is to be done.
    pub state: State,
}

/// A driver at one version, with the version's replacements applied.
#[derive(Clone, Debug)]
pub struct PlannedDriver {
    /// The profile.
    pub profile: Arc<DriverProfile>,
    /// Position of the version in the profile.
    pub index: usize,
}

impl PlannedDriver {
    /// The version's own part of the profile.
    pub fn version(&self) -> &DriverVersion {
        &self.profile.versions[self.index]
    }

    /// How it is built.
    pub fn build(&self) -> &Build {
        self.profile.build_of(self.version())
    }

    /// The `dkms.conf` that it is built by, if there is one.
    pub fn dkms(&self) -> Option<&Dkms> {
        self.build().steps.iter().find_map(|step| if let Step::Dkms(dkms) = step { Some(dkms) } else { None })
    }

    /// What comes out, in load order; nothing where only the build tells.
    pub fn modules(&self) -> &[Module] {
        self.profile.modules_of(self.version())
    }

    /// Firmware that the driver can do without, as shell patterns; none where the profile was made of the source, and leaves it to the build to tell the
    /// modules: it does not know what they ask for either.
    pub fn optional_firmware(&self) -> Option<&[String]> {
        let optional = &self.profile.firmware.optional;
        (!self.modules().is_empty() || !optional.is_empty()).then_some(optional)
    }

    /// Options that the kernel must and must not have.
    pub fn config_rules(&self) -> Vec<ConfigRule> {
        self.profile.requirements(self.version()).config
    }
}

/// One release of a distribution.
#[derive(Clone, Debug)]
pub struct PlannedDistro {
    /// The profile.
    pub profile: Arc<DistroProfile>,
    /// The release.
    pub release: Release,
}

/// Compiler and build tools of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PlannedToolchain {
    /// Where the compiler runs.
    pub build_arch: Arch,
    /// `gcc-12`.
    pub compiler: String,
    /// Prefix of the cross tools, `aarch64-linux-gnu-`; empty when native.
    pub cross: String,
    /// Packages to install, compiler included.
    pub packages: Vec<String>,
}

/// Digests of what goes into an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Of everything together.
    pub digest: Digest,
    /// Of each part by itself, shortened, so that one can say what has changed: `source`, `kernel`, `tools`, `recipe`.
    pub parts: [(&'static str, u64); 4],
}

/// What is to be done about a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Build it, and why.
    Build(String),
    /// It is published already.
    Published {
        /// Digest of its manifest.
        manifest: Digest,
        /// Digest of what the tag points to.
        index: Digest,
    },
}

/// Something selected that is no target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// What it would have been.
    pub target: TargetLabel,
    /// Why it is not.
    pub reason: Reason,
}

/// Why something is no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The driver's profile says so.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The kernel's configuration, known from an earlier build, does not allow it.
    #[error("{0}")]
    Config(String),
    /// The kernel's compiler is not to be had: the only reason that is a failure.
    #[error("compiler package `{package}` is not in {place}")]
    NoCompiler {
        /// What is missing.
        package: String,
        /// Where it was looked for.
        place: String,
    },
}

impl Reason {
    /// Whether the target should have been possible.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::NoCompiler { .. })
    }
}

/// A driver, with the version if one was named.
pub type ChosenDriver = (Arc<DriverProfile>, Option<Version>);

/// A distribution, with the release if one was named.
pub type ChosenDistro = (Arc<DistroProfile>, Option<Id>);

/// Drivers × distributions × kernels × architectures, less the excluded.
#[derive(Clone, Debug)]
pub struct Group {
    /// Drivers.
    pub drivers: Vec<ChosenDriver>,
    /// Distributions.
    pub distros: Vec<ChosenDistro>,
    /// Which kernels.
    pub kernels: Vec<KernelSelector>,
    /// Which architectures.
    pub arches: Vec<Arch>,
    /// What to leave out.
    pub excludes: Vec<Exclude>,
    /// Kernels whose headers an image or an archive has. Where there are any, nothing that repositories publish is selected.
    pub unlisted: Vec<PublishedKernel>,
}

/// Why a kernel's configuration does not satisfy these rules, if it is known and does not.
pub type Forbids<'a> = &'a dyn Fn(&PublishedKernel, &[ConfigRule]) -> Option<String>;

/// What is known besides the selection.
pub struct Known<'a> {
    /// What the distributions publish.
    pub indexes: &'a [PublishedRelease],
    /// Why a kernel's configuration forbids a driver, where an earlier run has seen the configuration.
    pub unsupported: Forbids<'a>,
    /// Where the compiler runs.
    pub build_arch: Arch,
}

impl Plan {
    /// Decides everything that can be decided without a network.
    ///
    /// # Errors
    /// When a selector matches no kernel, two targets would share a tag, or a tag cannot be made.
    pub fn new(groups: &[Group], naming: &Naming, known: &Known<'_>) -> Result<Self, PlanError> {
        let mut plan = choose::choose(groups, naming, known)?;
        plan.arrange()?;
        Ok(plan)
    }

    /// Puts the targets into their order.
    ///
    /// # Errors
    /// When two of them share a tag.
    pub fn arrange(&mut self) -> Result<(), PlanError> {
        self.targets.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()).then_with(|| b.kernel.release.cmp(&a.kernel.release)).then(a.arch.cmp(&b.arch)));
        self.refuse_shared_tags()
    }

    /// Two releases of one plan that share a tag would overwrite each other.
    fn refuse_shared_tags(&self) -> Result<(), PlanError> {
        let mut tags: HashMap<(&Reference, Arch), &Target> = HashMap::with_capacity(self.targets.len());
        for target in &self.targets {
            if let Some(other) = tags.insert((&target.image, target.arch), target) {
                return Err(PlanError::SameTag { first: other.full_label(), second: target.full_label(), image: target.image.to_string() });
            }
        }
        Ok(())
    }
}

impl Target {
    /// Its name for people.
    pub fn label(&self) -> TargetLabel {
        label(&self.driver, &self.distro, &self.kernel, self.arch)
    }

    /// Its name, with what has the headers where no repository does.
    fn full_label(&self) -> String {
        let label = self.label();
        match (&self.kernel.headers_image, &self.kernel.os_version) {
            (Some(image), _) => format!("{label}, headers of {image}"),
            (None, Some(version)) => format!("{label}, version {version}"),
            (None, None) => label.to_string(),
        }
    }

    /// The image that the modules are compiled in: the release's own, or the one that has the headers.
    pub fn build_image(&self) -> &str {
        self.kernel.headers_image.as_deref().unwrap_or(&self.distro.release.base_image)
    }

    /// What holds the headers, each with its version: packages, or an image.
    pub fn headers(&self) -> Vec<String> {
        let packages = self.kernel.headers.iter().map(|package| format!("{} {}", package.name, package.version));
        packages.chain(self.kernel.headers_image.clone()).collect()
    }

    /// Where the modules lie in the image, as far as that can be told before they are built.
    pub fn module_paths(&self) -> Vec<String> {
        let file = |module: &Module| match &module.file {
            Some(file) => file.as_str().rsplit('/').next().unwrap_or_default().to_owned(),
            None => format!("{}.ko", module.name),
        };
        let directory = format!("/opt/lib/modules/{}", self.kernel.release.directory());
        self.driver.modules().iter().map(|module| format!("{directory}/{}/{}", module.install, file(module))).collect()
    }

    /// What a node does with the image.
    pub fn rollout(&self) -> Rollout {
        let (profile, node) = (&self.driver.profile, &self.distro.profile.node);
        let load = |module: &Module| Load { module: module.name.clone(), parameters: module.parameters.clone() };
        Rollout {
            system: System {
                id: node.os_release_id.clone().unwrap_or_else(|| self.distro.profile.id.to_string()),
                version: self.distro.release.version.clone().filter(|_| node.has_release_version),
            },
            loads: self.driver.modules().iter().filter(|module| module.load).map(load).collect(),
            remove_first: profile.remove_first.clone(),
            load_first: profile.load_first.clone(),
            firmware: !self.driver.version().firmware.is_empty(),
            firmware_directory: node.firmware_directory.clone(),
            unload: profile.load.unload,
            hints: profile.deploy.clone(),
        }
    }

    fn sort_key(&self) -> (&Id, &Version, &str, &Id) {
        (&self.driver.profile.id, &self.driver.version().version, self.distro.profile.id.as_str(), &self.distro.release.id)
    }
}

fn label(driver: &PlannedDriver, distro: &PlannedDistro, kernel: &PublishedKernel, arch: Arch) -> TargetLabel {
    TargetLabel {
        driver: driver.profile.id.to_string(),
        version: driver.version().version.to_string(),
        distro: distro.profile.id.to_string(),
        distro_release: distro.release.id.to_string(),
        kernel: kernel.release.to_string(),
        arch: arch.to_string(),
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
