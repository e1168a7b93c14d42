//! Catalogue, selection and kernel indexes → targets, and reasons for what is no target. Pure: what the network or the
//! disk knows is passed in.

mod naming;
mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

pub use naming::{DEFAULT_TAG, Naming, NamingError};
pub use view::{PlanView, TargetView};

use crate::arch::Arch;
use crate::error::{Exit, Failure};
use crate::kernel::{KernelRelease, KernelVersion, nearest};
use crate::kernel_selector::KernelSelector;
use crate::package::{Package, PublishedKernel, PublishedRelease};
use crate::profile::distro::{DistroProfile, Release};
use crate::profile::driver::{Build, ConfigRule, DriverProfile, DriverVersion, Module, Unsupported};
use crate::profile::{Id, Version};
use crate::project::Exclude;
use crate::record::TargetLabel;
use crate::reference::{Digest, Reference};

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
    /// The image's name and tag.
    pub image: Reference,
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

    /// What comes out, in load order.
    pub fn modules(&self) -> &[Module] {
        self.profile.modules_of(self.version())
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
    /// It is published already: digest of its manifest.
    Published(Digest),
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

/// Drivers × distributions × kernels × architectures, less the excluded.
#[derive(Clone, Debug)]
pub struct Group {
    /// Drivers, with the version if one was named.
    pub drivers: Vec<(Arc<DriverProfile>, Option<Version>)>,
    /// Distributions, with the release if one was named.
    pub distros: Vec<(Arc<DistroProfile>, Option<Id>)>,
    /// Which kernels.
    pub kernels: Vec<KernelSelector>,
    /// Which architectures.
    pub arches: Vec<Arch>,
    /// What to leave out.
    pub excludes: Vec<Exclude>,
}

/// What is known besides the selection.
pub struct Known<'a> {
    /// What the distributions publish.
    pub indexes: &'a [PublishedRelease],
    /// Why a kernel's configuration forbids a driver, where an earlier run has seen the configuration.
    pub unsupported: &'a dyn Fn(&PublishedKernel, &[ConfigRule]) -> Option<String>,
    /// Where the compiler runs.
    pub build_arch: Arch,
}

/// Why there is no plan.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PlanError {
    /// A selector that nothing published matches.
    #[error("no kernel of {distros} matches `{selector}`")]
    NoKernel {
        /// The selector as it was written.
        selector: String,
        /// Distributions that were asked.
        distros: String,
        /// Repositories that were read, with the number of their kernels.
        looked_in: String,
        /// Releases with the most similar names.
        nearest: Vec<KernelRelease>,
        /// `kmodforge kernels list --distro debian`.
        list_command: String,
        /// Fallbacks that the distribution has.
        fallbacks: Vec<String>,
    },
    /// Two targets would have the same tag.
    #[error("`{first}` and `{second}` would both be tagged `{image}`")]
    SameTag {
        /// One target.
        first: String,
        /// Another.
        second: String,
        /// The image.
        image: String,
    },
    /// A name cannot be made.
    #[error(transparent)]
    Naming(#[from] NamingError),
}

impl Plan {
    /// Decides everything that can be decided without a network.
    ///
    /// # Errors
    /// When a selector matches no kernel, two targets would share a tag, or a tag cannot be made.
    pub fn new(groups: &[Group], naming: &Naming, known: &Known<'_>) -> Result<Self, PlanError> {
        let mut planner = Planner { plan: Self::default(), naming, known, drivers: HashMap::new(), toolchains: BTreeMap::new(), seen: BTreeSet::new() };
        for group in groups {
            planner.add(group)?;
        }
        let mut plan = planner.plan;
        plan.targets.sort_by(|a, b| a.sort_key().cmp(&b.sort_key()).then_with(|| b.kernel.release.cmp(&a.kernel.release)).then(a.arch.cmp(&b.arch)));
        plan.refuse_shared_tags()?;
        Ok(plan)
    }

    /// Two releases of one plan that share a tag would overwrite each other.
    fn refuse_shared_tags(&self) -> Result<(), PlanError> {
        let mut tags: HashMap<(&Reference, Arch), &Target> = HashMap::with_capacity(self.targets.len());
        for target in &self.targets {
            if let Some(other) = tags.insert((&target.image, target.arch), target) {
                return Err(PlanError::SameTag { first: other.label().to_string(), second: target.label().to_string(), image: target.image.to_string() });
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

/// A release's kernels that a group selects.
struct Chosen<'a> {
    index: &'a PublishedRelease,
    distro: Arc<PlannedDistro>,
    arch: Arch,
    runtime: Arc<[Package]>,
    kernels: Vec<Arc<PublishedKernel>>,
}

struct Planner<'a> {
    plan: Plan,
    naming: &'a Naming,
    known: &'a Known<'a>,
    drivers: HashMap<(Id, usize), Arc<PlannedDriver>>,
    toolchains: BTreeMap<(String, String, Arch, String), Result<Arc<PlannedToolchain>, Reason>>,
    seen: BTreeSet<(Id, usize, String, KernelRelease, Arch)>,
}

impl Planner<'_> {
    fn add(&mut self, group: &Group) -> Result<(), PlanError> {
        let chosen = choose(self.known, group)?;
        for (profile, version) in &group.drivers {
            for release in &chosen {
                for kernel in &release.kernels {
                    self.add_target(group, profile, version.as_ref(), release, kernel)?;
                }
            }
        }
        Ok(())
    }

    fn add_target(
        &mut self,
        group: &Group,
        profile: &Arc<DriverProfile>,
        version: Option<&Version>,
        release: &Chosen<'_>,
        kernel: &Arc<PublishedKernel>,
    ) -> Result<(), PlanError> {
        let (index, supported) = choose_version(profile, version, kernel.release.version(), release.arch);
        let key = (profile.id.clone(), index);
        let driver = self.drivers.entry(key).or_insert_with(|| Arc::new(PlannedDriver { profile: profile.clone(), index })).clone();
        let excluded = |exclude: &Exclude| {
            exclude.fits(profile.id.as_str(), driver.version().version.as_str(), release.distro.profile.id.as_str(), &kernel.release, release.arch)
        };
        if group.excludes.iter().any(excluded)
            || !self.seen.insert((profile.id.clone(), index, release.distro.release.id.to_string(), kernel.release.clone(), release.arch))
        {
            return Ok(());
        }
        let toolchain = match supported.map_err(Reason::from).and_then(|()| self.check(&driver, release, kernel)) {
            Ok(toolchain) => toolchain,
            Err(reason) => {
                self.plan.skipped.push(Skipped { target: label(&driver, &release.distro, kernel, release.arch), reason });
                return Ok(());
            }
        };
        let image = self.naming.image(&driver, &release.distro, kernel, release.arch)?;
        self.plan.targets.push(Target {
            driver,
            distro: release.distro.clone(),
            kernel: kernel.clone(),
            arch: release.arch,
            toolchain,
            runtime: release.runtime.clone(),
            image,
            inputs: None,
            state: State::Build("not published".into()),
        });
        Ok(())
    }

    fn check(&mut self, driver: &PlannedDriver, release: &Chosen<'_>, kernel: &PublishedKernel) -> Result<Arc<PlannedToolchain>, Reason> {
        let rules = driver.config_rules();
        if !rules.is_empty()
            && let Some(text) = (self.known.unsupported)(kernel, &rules)
        {
            return Err(Reason::Config(text));
        }
        let compiler = kernel.compilers.first().cloned().or_else(|| release.distro.release.default_compiler.clone()).unwrap_or_else(|| "gcc".into());
        let key = (release.distro.profile.id.to_string(), release.distro.release.id.to_string(), release.arch, compiler.clone());
        self.toolchains.entry(key).or_insert_with(|| choose_toolchain(&release.distro, release.index, release.arch, self.known.build_arch, &compiler)).clone()
    }
}

/// The kernels of each release that some selector of the group matches.
fn choose<'a>(known: &Known<'a>, group: &Group) -> Result<Vec<Chosen<'a>>, PlanError> {
    let mut matched = vec![false; group.kernels.len()];
    let mut taken: BTreeSet<(&str, &KernelRelease, Arch)> = BTreeSet::new();
    let mut chosen = Vec::new();
    let mut asked = Vec::new();
    for (profile, pinned) in &group.distros {
        for release in profile.releases.iter().filter(|release| pinned.as_ref().is_none_or(|id| *id == release.id)) {
            let distro = Arc::new(PlannedDistro { profile: profile.clone(), release: release.clone() });
            let of_release = |index: &&PublishedRelease| index.distro == profile.id.as_str() && index.release == release.id.as_str();
            for index in known.indexes.iter().filter(of_release) {
                let Some(arch) = group.arches.iter().copied().find(|arch| arch.oci() == index.arch) else { continue };
                asked.push(index);
                let mut kernels = Vec::new();
                for position in select(&index.kernels, &group.kernels, &mut matched) {
                    let kernel = &index.kernels[position];
                    if taken.insert((profile.id.as_str(), &kernel.release, arch)) {
                        kernels.push(Arc::new(kernel.clone()));
                    }
                }
                chosen.push(Chosen { index, distro: distro.clone(), arch, runtime: index.runtime.clone().into(), kernels });
            }
        }
    }
    match matched.iter().position(|matched| !matched) {
        Some(position) => Err(no_kernel(&group.kernels[position], group, &asked)),
        None => Ok(chosen),
    }
}

/// Positions of the kernels that a selector matches; notes which selectors matched anything.
fn select(kernels: &[PublishedKernel], selectors: &[KernelSelector], matched: &mut [bool]) -> BTreeSet<usize> {
    let mut positions = BTreeSet::new();
    for (selector, matched) in selectors.iter().zip(matched) {
        let before = positions.len();
        let mut found = false;
        if let KernelSelector::Latest(count) = selector {
            let plain = kernels.iter().enumerate().rev().filter(|(_, kernel)| kernel.flavour.is_empty() && !kernel.backport);
            let newest: Vec<_> = plain.map(|(position, _)| position).take(*count).collect();
            found = !newest.is_empty();
            positions.extend(newest);
        } else {
            for (position, _) in kernels.iter().enumerate().filter(|(_, kernel)| selector.matches(&kernel.release)) {
                found = true;
                positions.insert(position);
            }
        }
        *matched |= found || positions.len() > before;
    }
    positions
}

/// The version that was named, or the newest that supports the kernel; if there is none, the newest and why not.
fn choose_version(profile: &DriverProfile, named: Option<&Version>, kernel: KernelVersion, arch: Arch) -> (usize, Result<(), Unsupported>) {
    let position = |wanted: &Version| profile.versions.iter().position(|version| version.version == *wanted).unwrap_or(0);
    match named {
        Some(version) => {
            let index = position(version);
            (index, profile.supports(&profile.versions[index], kernel, arch))
        }
        None => match profile.select_version(kernel, arch) {
            Ok(version) => (position(&version.version), Ok(())),
            Err(reason) => (0, Err(reason)),
        },
    }
}

/// The compiler's packages for a target architecture, if the release has them.
fn choose_toolchain(distro: &PlannedDistro, index: &PublishedRelease, arch: Arch, build_arch: Arch, compiler: &str) -> Result<Arc<PlannedToolchain>, Reason> {
    let rules = &distro.profile.toolchain;
    let (template, cross) =
        if arch == build_arch { (&rules.compiler.native_package, String::new()) } else { (&rules.compiler.cross_package, format!("{}-", arch.gnu_triplet())) };
    let package = template.replace("{program}", compiler).replace("{triplet}", arch.gnu_triplet());
    if !index.compilers.contains(&package) {
        return Err(Reason::NoCompiler { package, place: index.looked_in.join(", ") });
    }
    let mut packages = vec![package];
    packages.extend(rules.packages.iter().cloned());
    Ok(Arc::new(PlannedToolchain { build_arch, compiler: compiler.to_owned(), cross, packages }))
}

fn no_kernel(selector: &KernelSelector, group: &Group, asked: &[&PublishedRelease]) -> PlanError {
    let kernels = asked.iter().map(|index| index.kernels.len()).sum::<usize>();
    let places: BTreeSet<_> = asked.iter().flat_map(|index| index.looked_in.iter().map(String::as_str)).collect();
    let releases = asked.iter().flat_map(|index| index.kernels.iter().map(|kernel| &kernel.release));
    PlanError::NoKernel {
        selector: selector.to_string(),
        distros: group.distros.iter().map(|(profile, _)| profile.id.as_str()).collect::<Vec<_>>().join(", "),
        looked_in: format!(
            "{}: {kernels} {} {}",
            places.into_iter().collect::<Vec<_>>().join(", "),
            group.arches.iter().map(|arch| arch.oci()).collect::<Vec<_>>().join(" and "),
            if kernels == 1 { "kernel" } else { "kernels" }
        ),
        nearest: nearest(releases, &selector.to_string(), 3),
        list_command: format!("kmodforge kernels list{}", group.distros.first().map(|(profile, _)| format!(" --distro {}", profile.id)).unwrap_or_default()),
        fallbacks: group
            .distros
            .iter()
            .flat_map(|(profile, _)| &profile.releases)
            .flat_map(|release| &release.fallbacks)
            .map(|fallback| fallback.id.to_string())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
    }
}

/// What should have been possible and is not; of everything else, the reason.
impl TryFrom<&Skipped> for Failure {
    type Error = String;

    fn try_from(skipped: &Skipped) -> Result<Self, String> {
        match &skipped.reason {
            Reason::NoCompiler { package, place } => {
                Ok(Self::new(Exit::Failed, format!("{} cannot be built: its kernel's compiler is missing", skipped.target))
                    .fact("expected", format!("package `{package}`"))
                    .fact("looked in", place)
                    .help("add a repository that has it to the distro profile (--profiles DIR), or leave this kernel out"))
            }
            reason => Err(reason.to_string()),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let headline = error.to_string();
        match error {
            PlanError::NoKernel { looked_in, nearest, list_command, fallbacks, .. } => {
                let mut failure = Self::new(Exit::Failed, headline).fact("looked in", looked_in);
                if !nearest.is_empty() {
                    failure = failure.fact("nearest", nearest.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
                }
                let older = fallbacks.first().map(|id| format!("; older ones: --fallback {id}=TIMESTAMP")).unwrap_or_default();
                failure.help(format!("list them: {list_command}{older}"))
            }
            PlanError::SameTag { .. } => {
                Self::new(Exit::Usage, headline).help("use `{{ kernel.tag }}`, `{{ distro.release }}` or `{{ arch }}` in the tag template to tell them apart")
            }
            PlanError::Naming(error) => error.into(),
        }
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
