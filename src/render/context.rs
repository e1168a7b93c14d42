//! What the Dockerfile templates are told about a target.

use std::collections::BTreeSet;

use serde::Serialize;

use super::recipe::{Recipe, below_source};
use super::repositories::repositories;
use super::{RenderError, SOURCE_DIR, labels};
use crate::mirror::Mirrors;
use crate::package::Package;
use crate::plan::{PlannedDistro, PlannedToolchain, Target};
use crate::profile::InnerPath;
use crate::profile::distro::OtherCompiler;
use crate::profile::driver::Module;

/// What a Dockerfile template may name. One field per name: a guard in the tests compares them with the templates.
#[derive(Serialize)]
pub(super) struct Context<'a> {
    #[serde(flatten)]
    pub(super) shared: SharedContext<'a>,
    #[serde(flatten)]
    pub(super) own: OwnContext<'a>,
}

/// What is the same for all targets with the same release, toolchain and programs of the image.
#[derive(Serialize)]
pub(super) struct SharedContext<'a> {
    base_image: String,
    cache_id: String,
    compiler: &'a str,
    cross: &'a str,
    sources_list: Vec<String>,
    toolchain_packages: &'a [String],
    runtime: Vec<Fetched<'a>>,
    runtime_names: Vec<&'a str>,
    runtime_files: &'a [String],
    runtime_directories: Vec<&'a str>,
    runtime_links: Vec<Link<'a>>,
    headers_unneeded: Vec<String>,
    /// Files with the keys of packages that are signed one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    package_keys: Option<&'a [String]>,
    other_compilers: &'a [OtherCompiler],
}

/// What depends on the driver and the kernel.
#[derive(Serialize)]
pub(super) struct OwnContext<'a> {
    title: String,
    driver: &'a str,
    kernel: &'a str,
    kernel_dir: String,
    kernel_source: String,
    /// The image that has the headers; empty where packages have them.
    headers_image: String,
    #[serde(flatten)]
    archives: Archives<'a>,
    utsrelease: String,
    driver_packages: Vec<String>,
    headers: Vec<Fetched<'a>>,
    build_from: &'static str,
    source_dir: &'static str,
    make_variables: String,
    steps: Vec<String>,
    dkms_settings: Vec<String>,
    conf_dir: String,
    licence_files: Vec<&'a str>,
    modules: Vec<TakenModule<'a>>,
    modules_are_found: bool,
    ignored_modules: &'a [String],
    modules_name: &'a str,
    modules_dir: String,
    release_link: &'a str,
    has_firmware: bool,
    labels: Vec<Label>,
}

#[derive(Serialize)]
struct Fetched<'a> {
    sha256: &'a str,
    url: String,
    /// `signed`, or `listed`: whether it must have a signature of its own. Not in families whose packages have none.
    #[serde(skip_serializing_if = "str::is_empty")]
    proof: &'static str,
}

/// What archives have in the place of packages; conditions of templates name nothing that is part of something else.
#[derive(Serialize)]
struct Archives<'a> {
    archive: Option<Archive<'a>>,
    archive_is_disk: bool,
    archive_has_compiler: bool,
}

impl<'a> Archives<'a> {
    fn of(target: &'a Target) -> Self {
        let archive = Archive::of(target);
        Self {
            archive_is_disk: archive.as_ref().is_some_and(|archive| archive.partition.is_some()),
            archive_has_compiler: archive.as_ref().is_some_and(|archive| archive.compiler.is_some()),
            archive,
        }
    }
}

/// An archive that has the headers.
#[derive(Serialize)]
struct Archive<'a> {
    /// Its official name.
    url: &'a str,
    /// The headers' directory in it, and the last part of that.
    directory: String,
    name: String,
    partition: Option<u32>,
    /// What debugfs is told.
    dump: String,
    compiler: Option<ArchivedCompiler<'a>>,
}

#[derive(Serialize)]
struct ArchivedCompiler<'a> {
    url: &'a str,
    gcc: String,
    clang: String,
    lld: String,
}

impl<'a> Archive<'a> {
    fn of(target: &'a Target) -> Option<Self> {
        let Target { distro, kernel, arch, .. } = target;
        let archives = distro.profile.kernels.archives.as_ref().filter(|_| kernel.os_version.is_some())?;
        let directory = archives.directory_of(&kernel.release);
        let compiler = archives.compiler.as_ref().zip(kernel.headers.get(1)).map(|(rule, package)| {
            let fill = |paths: &str| paths.replace("{machine}", arch.machine());
            ArchivedCompiler { url: &package.url, gcc: fill(&rule.gcc), clang: fill(&rule.clang), lld: fill(&rule.lld) }
        });
        Some(Self {
            url: &kernel.headers.first()?.url,
            name: directory.rsplit('/').next().unwrap_or_default().to_owned(),
            dump: format!("rdump \"/{directory}\" /unpacked"),
            directory,
            partition: archives.partition,
            compiler,
        })
    }
}

#[derive(Serialize)]
pub(super) struct Link<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
}

#[derive(Serialize)]
pub(super) struct TakenModule<'a> {
    file: &'a str,
    pattern: String,
    install: &'a str,
}

#[derive(Serialize)]
pub(super) struct Label {
    pub(super) name: String,
    pub(super) value: String,
}

impl<'a> Context<'a> {
    /// Everything about a target, with what is fetched taken from `mirrors`.
    pub(super) fn of(target: &'a Target, mirrors: &Mirrors) -> Result<Self, RenderError> {
        Ok(Self { shared: SharedContext::of(&target.distro, &target.toolchain, &target.runtime, mirrors), own: OwnContext::of(target, mirrors)? })
    }
}

impl<'a> SharedContext<'a> {
    pub(super) fn of(distro: &'a PlannedDistro, toolchain: &'a PlannedToolchain, runtime: &'a [Package], mirrors: &Mirrors) -> Self {
        let PlannedDistro { profile, release } = distro;
        let links = &profile.runtime.links;
        let directories: BTreeSet<_> = links.keys().filter_map(|link| Some(link.as_str().rsplit_once('/')?.0)).collect();
        Self {
            base_image: mirrors.image(&release.base_image),
            cache_id: format!("{}-{}-{}", profile.id, release.id, toolchain.build_arch),
            compiler: &toolchain.compiler,
            cross: &toolchain.cross,
            sources_list: repositories(distro, toolchain.build_arch, mirrors),
            toolchain_packages: &toolchain.packages,
            runtime: fetched(runtime, distro, mirrors),
            runtime_names: runtime.iter().map(|package| package.name.as_str()).collect(),
            runtime_files: &profile.runtime.files,
            runtime_directories: directories.into_iter().collect(),
            headers_unneeded: profile.kernels.headers_unneeded.iter().map(|pattern| format!("./{pattern}")).collect(),
            runtime_links: links.iter().map(|(from, to)| Link { from: from.as_str(), to }).collect(),
            package_keys: profile.family.has_signed_packages().then_some(&release.package_keys),
            other_compilers: &profile.toolchain.compiler.other_versions,
        }
    }
}

impl<'a> OwnContext<'a> {
    pub(super) fn of(target: &'a Target, mirrors: &Mirrors) -> Result<Self, RenderError> {
        let Target { driver, distro, kernel, .. } = target;
        let (raw, directory) = (kernel.release.as_str(), kernel.release.directory());
        let recipe = Recipe::of(target)?;
        let driver_packages = driver_packages(target);
        let conf_dir = driver.dkms().map(|dkms| below_source(&dkms.directory)).unwrap_or_default();
        let modules_are_found = driver.modules().is_empty();
        Ok(Self {
            title: target.label().to_string(),
            driver: driver.profile.id.as_str(),
            kernel: raw,
            kernel_dir: recipe.kernel_dir,
            kernel_source: recipe.kernel_source,
            headers_image: kernel.headers_image.as_deref().map(|image| mirrors.image(image)).unwrap_or_default(),
            archives: Archives::of(target),
            utsrelease: format!("\"{raw}\""),
            build_from: toolchain_with(&driver_packages),
            driver_packages,
            headers: fetched(&kernel.headers, distro, mirrors),
            source_dir: SOURCE_DIR,
            make_variables: recipe.make_variables,
            steps: recipe.steps,
            dkms_settings: recipe.dkms_settings,
            conf_dir,
            licence_files: driver.profile.licence_files.iter().map(InnerPath::as_str).collect(),
            modules: driver.modules().iter().map(TakenModule::of).collect(),
            modules_are_found,
            // Where modules are listed, what is not listed is not taken.
            ignored_modules: if modules_are_found { &driver.profile.ignored_modules } else { &[] },
            modules_name: directory,
            modules_dir: format!("/opt/lib/modules/{directory}"),
            release_link: if directory == raw { "" } else { raw },
            has_firmware: !driver.version().firmware.is_empty(),
            labels: labels(target).into_iter().map(|(name, value)| Label { name, value }).collect(),
        })
    }
}

impl<'a> TakenModule<'a> {
    pub(super) fn of(module: &'a Module) -> Self {
        Self {
            file: module.file.as_ref().map_or("", |file| file.as_str()),
            // Kbuild keeps the file's name as it is, the kernel knows only `_`.
            pattern: format!("{}.ko", module.name.replace(['-', '_'], "[-_]")),
            install: module.install.as_str(),
        }
    }
}

/// The stage with everything that compiles, where these packages come on top of the usual ones.
fn toolchain_with(driver_packages: &[String]) -> &'static str {
    if driver_packages.is_empty() { "toolchain" } else { "driver-toolchain" }
}

/// The stage of a target's Dockerfile whose files are its toolchain.
#[must_use]
pub fn toolchain_stage(target: &Target) -> &'static str {
    toolchain_with(&driver_packages(target))
}

/// Whether a target's toolchain has packages that only the driver needs.
#[must_use]
pub fn has_driver_toolchain(target: &Target) -> bool {
    !driver_packages(target).is_empty()
}

/// What only the driver needs, each as a dependency that any of several packages may fulfil.
fn driver_packages(target: &Target) -> Vec<String> {
    let profile = &target.distro.profile;
    let dkms = if target.driver.dkms().is_some() { &profile.dkms.packages[..] } else { &[] };
    let own = target.driver.build().packages.get(profile.family.name()).map_or(&[][..], Vec::as_slice);
    dkms.iter().chain(own.iter().filter(|package| !dkms.contains(package))).map(|package| package.replace('|', " | ")).collect()
}

fn fetched<'a>(packages: &'a [Package], distro: &PlannedDistro, mirrors: &Mirrors) -> Vec<Fetched<'a>> {
    let proof = |package: &Package| match distro.profile.family.has_signed_packages() {
        false => "",
        true if mirrors.is_trusted(&package.url) || is_of_trusted(package, distro) => "listed",
        true => "signed",
    };
    packages.iter().map(|package| Fetched { sha256: &package.sha256, url: mirrors.package(&package.url), proof: proof(package) }).collect()
}

/// Whether a package is from a repository that the profile trusts without a signature.
fn is_of_trusted(package: &Package, distro: &PlannedDistro) -> bool {
    let fallbacks = distro.release.fallbacks.iter().flat_map(|fallback| &fallback.repositories);
    let trusted = distro.release.repositories.iter().chain(fallbacks).filter(|repository| repository.trusted);
    trusted.map(|repository| repository.url.split('{').next().unwrap_or_default()).any(|base| package.url.starts_with(base))
}
