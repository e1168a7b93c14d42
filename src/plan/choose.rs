//! Which kernels, driver versions and compilers a selection means.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{ChosenDriver, Group, Known, Naming, Plan, PlanError, PlannedDistro, PlannedDriver, PlannedToolchain, Reason, Skipped, State, Target, label};
use crate::arch::Arch;
use crate::kernel::{KernelRelease, KernelVersion, nearest};
use crate::kernel_selector::KernelSelector;
use crate::package::{Package, PublishedKernel, PublishedRelease};
use crate::profile::distro::{DistroProfile, Release};
use crate::profile::driver::{ConfigRule, DriverProfile, Unsupported};
use crate::profile::{Id, Version};

/// The targets of all groups, each once, in no particular order.
pub(super) fn choose(groups: &[Group], naming: &Naming, known: &Known<'_>) -> Result<Plan, PlanError> {
    let mut planner = Planner { plan: Plan::default(), naming, known, seen: HashSet::new() };
    for group in groups {
        planner.add(group)?;
    }
    Ok(planner.plan)
}

struct Planner<'a> {
    plan: Plan,
    naming: &'a Naming,
    known: &'a Known<'a>,
    seen: HashSet<Identity<'a>>,
}

/// What makes two targets the same one: driver, version, release, kernel, architecture, and what has the headers where no repository does.
type Identity<'a> = (&'a Id, usize, &'a str, &'a KernelRelease, Arch, Option<&'a str>);

/// A release's kernels that a group selects, and its compilers as they are asked for.
struct Stock<'a> {
    index: &'a PublishedRelease,
    distro: Arc<PlannedDistro>,
    arch: Arch,
    runtime: Arc<[Package]>,
    unverified: Arc<[String]>,
    kernels: Vec<&'a PublishedKernel>,
    toolchains: BTreeMap<String, Result<Arc<PlannedToolchain>, Reason>>,
}

/// A driver that a group selects.
struct Choice<'a> {
    profile: &'a Arc<DriverProfile>,
    named: Option<&'a Version>,
    /// Every version, with what it wants of a kernel's configuration.
    versions: Vec<(Arc<PlannedDriver>, Vec<ConfigRule>)>,
}

impl<'a> Choice<'a> {
    fn of((profile, named): &'a ChosenDriver) -> Self {
        let versions = (0..profile.versions.len()).map(|index| {
            let driver = PlannedDriver { profile: profile.clone(), index };
            let rules = driver.config_rules();
            (Arc::new(driver), rules)
        });
        Self { profile, named: named.as_ref(), versions: versions.collect() }
    }

    /// The version that was named, or the newest that supports the kernel; if there is none, the newest and why not.
    fn version_for(&self, kernel: KernelVersion, arch: Arch) -> (usize, Result<(), Unsupported>) {
        let position = |wanted: &Version| self.profile.versions.iter().position(|version| version.version == *wanted).unwrap_or(0);
        match self.named {
            Some(version) => {
                let index = position(version);
                (index, self.profile.supports(&self.profile.versions[index], kernel, arch))
            }
            None => match self.profile.select_version(kernel, arch) {
                Ok(version) => (position(&version.version), Ok(())),
                Err(reason) => (0, Err(reason)),
            },
        }
    }
}

impl<'a> Planner<'a> {
    /// Kernel by kernel, so that what is known of a kernel is looked up once for all drivers.
    fn add(&mut self, group: &'a Group) -> Result<(), PlanError> {
        let drivers: Vec<_> = group.drivers.iter().map(Choice::of).collect();
        for stock in &mut stocks(self.known, group)? {
            for published in std::mem::take(&mut stock.kernels) {
                let kernel = Arc::new(published.clone());
                for driver in &drivers {
                    self.add_target(group, driver, stock, published, &kernel)?;
                }
            }
        }
        Ok(())
    }

    fn add_target(
        &mut self,
        group: &Group,
        driver: &Choice<'a>,
        stock: &mut Stock<'a>,
        published: &'a PublishedKernel,
        kernel: &Arc<PublishedKernel>,
    ) -> Result<(), PlanError> {
        let (index, supported) = driver.version_for(kernel.release.version(), stock.arch);
        let id = &driver.profile.id;
        let (driver, rules) = &driver.versions[index];
        let (version, distro) = (driver.version().version.as_str(), stock.distro.profile.id.as_str());
        let excluded = group.excludes.iter().any(|exclude| exclude.fits(id.as_str(), version, distro, &kernel.release, stock.arch));
        let elsewhere = published.headers_image.as_deref().or(published.os_version.as_deref());
        if excluded || !self.seen.insert((id, index, &stock.index.release, &published.release, stock.arch, elsewhere)) {
            return Ok(());
        }
        let toolchain = match supported.map_err(Reason::from).and_then(|()| self.toolchain_for(rules, stock, kernel)) {
            Ok(toolchain) => toolchain,
            Err(reason) => {
                self.plan.skipped.push(Skipped { target: label(driver, &stock.distro, kernel, stock.arch), reason });
                return Ok(());
            }
        };
        self.plan.targets.push(Target {
            image: self.naming.image(driver, &stock.distro, kernel, stock.arch)?,
            driver: driver.clone(),
            distro: stock.distro.clone(),
            kernel: kernel.clone(),
            arch: stock.arch,
            toolchain,
            runtime: stock.runtime.clone(),
            sign_only: None,
            unverified: unverified(stock, kernel),
            inputs: None,
            state: State::Build("not published".into()),
        });
        Ok(())
    }

    /// The kernel's compiler, unless the kernel's configuration already rules the driver out.
    fn toolchain_for(&self, rules: &[ConfigRule], stock: &mut Stock<'_>, kernel: &PublishedKernel) -> Result<Arc<PlannedToolchain>, Reason> {
        if !rules.is_empty()
            && let Some(text) = (self.known.unsupported)(kernel, rules)
        {
            return Err(Reason::Config(text));
        }
        let default = stock.distro.release.default_compiler.as_deref().unwrap_or("gcc");
        let compiler = kernel.compilers.first().map_or(default, String::as_str);
        if let Some(known) = stock.toolchains.get(compiler) {
            return known.clone();
        }
        let toolchain = match kernel.headers_image {
            // What it has is installed, and for its own architecture.
            Some(_) => Ok(Arc::new(PlannedToolchain { build_arch: stock.arch, compiler: compiler.to_owned(), cross: String::new(), packages: Vec::new() })),
            None => find_toolchain(&stock.distro, stock.index, stock.arch, self.known.build_arch, compiler),
        };
        stock.toolchains.insert(compiler.to_owned(), toolchain.clone());
        toolchain
    }
}

/// What is taken without a signature: indexes of the release's repositories, and archives, which have none.
fn unverified(stock: &Stock<'_>, kernel: &PublishedKernel) -> Arc<[String]> {
    if kernel.os_version.is_none() {
        return stock.unverified.clone();
    }
    stock.unverified.iter().cloned().chain(kernel.headers.iter().map(|archive| archive.url.clone())).collect()
}

/// The kernels of each release that some selector of the group matches; a kernel that several releases publish is taken from the first.
fn stocks<'a>(known: &Known<'a>, group: &'a Group) -> Result<Vec<Stock<'a>>, PlanError> {
    let mut matched = vec![false; group.kernels.len()];
    let mut taken = HashSet::new();
    let mut stocks = Vec::new();
    for (profile, pinned) in &group.distros {
        for release in profile.releases.iter().filter(|release| pinned.as_ref().is_none_or(|id| *id == release.id)) {
            let distro = Arc::new(PlannedDistro { profile: profile.clone(), release: release.clone() });
            let of_release = |index: &&PublishedRelease| index.distro == profile.id.as_str() && index.release == release.id.as_str();
            for index in known.indexes.iter().filter(of_release) {
                let Some(arch) = group.arches.iter().copied().find(|arch| arch.oci() == index.arch) else { continue };
                let mut kernels = if group.unlisted.is_empty() {
                    select(&index.kernels, &group.kernels, &mut matched)
                } else {
                    of_elsewhere(group, profile, (release, arch), &mut matched)
                };
                kernels.retain(|kernel| taken.insert((profile.id.as_str(), &kernel.release, arch)));
                stocks.push(Stock {
                    index,
                    distro: distro.clone(),
                    arch,
                    runtime: index.runtime.clone().into(),
                    unverified: index.unverified.clone().into(),
                    kernels,
                    toolchains: BTreeMap::new(),
                });
            }
        }
    }
    match matched.iter().position(|matched| !matched) {
        Some(position) => Err(no_kernel(&group.kernels[position], group, &stocks)),
        None => Ok(stocks),
    }
}

/// The kernels that a selector matches, in the order of the index; notes which selectors matched anything.
fn select<'a>(kernels: &'a [PublishedKernel], selectors: &[KernelSelector], matched: &mut [bool]) -> Vec<&'a PublishedKernel> {
    let mut selected = vec![false; kernels.len()];
    // Lists of thousands of exact releases are usual.
    let positions: HashMap<_, _> = kernels.iter().enumerate().map(|(position, kernel)| (&kernel.release, position)).collect();
    for (selector, matched) in selectors.iter().zip(matched) {
        let fitting: Vec<usize> = match selector {
            KernelSelector::Exact(release) => positions.get(release).copied().into_iter().collect(),
            // The newest of a release are those of its own plain flavour.
            KernelSelector::Latest(count) => {
                let plain = |position: &usize| kernels[*position].flavour.is_empty() && !kernels[*position].backport;
                (0..kernels.len()).rev().filter(plain).take(*count).collect()
            }
            KernelSelector::Glob(_) | KernelSelector::Regex(_) => (0..kernels.len()).filter(|position| selector.matches(&kernels[*position].release)).collect(),
        };
        *matched |= !fitting.is_empty();
        for position in fitting {
            selected[position] = true;
        }
    }
    kernels.iter().zip(selected).filter_map(|(kernel, selected)| selected.then_some(kernel)).collect()
}

/// The kernels of images and archives that can be of a release and an architecture, as far as their names and archives tell.
fn of_elsewhere<'a>(group: &'a Group, profile: &DistroProfile, (release, arch): (&Release, Arch), matched: &mut [bool]) -> Vec<&'a PublishedKernel> {
    let fits = |kernel: &&PublishedKernel| {
        profile
            .recognise(&kernel.release)
            .is_some_and(|told| told.release.is_none_or(|told| told == release.id.as_str()) && told.arch.is_none_or(|told| told == arch))
            && kernel.headers.iter().all(|archive| archive.arch == arch.oci())
    };
    let kernels: Vec<_> = group.unlisted.iter().filter(fits).collect();
    for (selector, matched) in group.kernels.iter().zip(matched) {
        *matched |= kernels.iter().any(|kernel| selector.matches(&kernel.release));
    }
    kernels
}

/// The compiler's packages for a target architecture, if the release has them.
fn find_toolchain(distro: &PlannedDistro, index: &PublishedRelease, arch: Arch, build_arch: Arch, compiler: &str) -> Result<Arc<PlannedToolchain>, Reason> {
    let rules = &distro.profile.toolchain;
    let build_arch = distro.profile.build_arch(arch, build_arch);
    let (template, cross) = match &rules.compiler.cross_package {
        Some(template) if arch != build_arch => (template, format!("{}-", arch.gnu_triplet())),
        _ => (&rules.compiler.native_package, String::new()),
    };
    let package = template.replace("{program}", compiler).replace("{triplet}", arch.gnu_triplet());
    if !index.compilers.contains(&package) {
        return Err(Reason::NoCompiler { package, place: index.looked_in.join(", ") });
    }
    let mut packages = vec![package];
    packages.extend(rules.packages.iter().cloned());
    Ok(Arc::new(PlannedToolchain { build_arch, compiler: compiler.to_owned(), cross, packages }))
}

fn no_kernel(selector: &KernelSelector, group: &Group, asked: &[Stock<'_>]) -> PlanError {
    let kernels = asked.iter().map(|stock| stock.index.kernels.len()).sum::<usize>();
    let places: BTreeSet<_> = asked.iter().flat_map(|stock| stock.index.looked_in.iter().map(String::as_str)).collect();
    let releases = asked.iter().flat_map(|stock| stock.index.kernels.iter().map(|kernel| &kernel.release));
    let profiles = || group.distros.iter().map(|(profile, _)| profile);
    let fallbacks = profiles().flat_map(|profile| &profile.releases).flat_map(|release| &release.fallbacks);
    PlanError::NoKernel {
        selector: selector.to_string(),
        distros: profiles().map(|profile| profile.id.as_str()).collect::<Vec<_>>().join(", "),
        looked_in: format!(
            "{}: {kernels} {} {}",
            places.into_iter().collect::<Vec<_>>().join(", "),
            group.arches.iter().map(|arch| arch.oci()).collect::<Vec<_>>().join(" and "),
            if kernels == 1 { "kernel" } else { "kernels" }
        ),
        nearest: nearest(releases, &selector.to_string(), 3),
        list_command: format!("kmodforge kernels list{}", profiles().next().map(|profile| format!(" --distro {}", profile.id)).unwrap_or_default()),
        fallbacks: fallbacks.map(|fallback| fallback.id.to_string()).collect::<BTreeSet<_>>().into_iter().collect(),
    }
}
