//! What the Dockerfile templates are told about a target.

use std::collections::BTreeSet;

use serde::Serialize;

use super::recipe::{Recipe, below_source};
use super::{RenderError, SOURCE_DIR, labels};
use crate::mirror::Mirrors;
use crate::package::Package;
use crate::plan::{PlannedDistro, PlannedToolchain, Target};
use crate::profile::InnerPath;
use crate::profile::distro::Repository;
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
}

/// What depends on the driver and the kernel.
#[derive(Serialize)]
pub(super) struct OwnContext<'a> {
    title: String,
    driver: &'a str,
    kernel: &'a str,
    kernel_dir: String,
    utsrelease: String,
    driver_packages: Vec<String>,
    headers: Vec<Fetched<'a>>,
    headers_unneeded: Vec<String>,
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
            sources_list: release.repositories.iter().map(|repository| sources_line(repository, mirrors)).collect(),
            toolchain_packages: &toolchain.packages,
            runtime: fetched(runtime, mirrors),
            runtime_names: runtime.iter().map(|package| package.name.as_str()).collect(),
            runtime_files: &profile.runtime.files,
            runtime_directories: directories.into_iter().collect(),
            runtime_links: links.iter().map(|(from, to)| Link { from: from.as_str(), to }).collect(),
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
            utsrelease: format!("\"{raw}\""),
            build_from: if driver_packages.is_empty() { "toolchain" } else { "driver-toolchain" },
            driver_packages,
            headers: fetched(&kernel.headers, mirrors),
            headers_unneeded: distro.profile.kernels.headers_unneeded.iter().map(|pattern| format!("./{pattern}")).collect(),
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

/// What only the driver needs, each as a dependency that any of several packages may fulfil.
fn driver_packages(target: &Target) -> Vec<String> {
    let profile = &target.distro.profile;
    let dkms = if target.driver.dkms().is_some() { &profile.dkms.packages[..] } else { &[] };
    let own = target.driver.build().packages.get(profile.family.name()).map_or(&[][..], Vec::as_slice);
    dkms.iter().chain(own.iter().filter(|package| !dkms.contains(package))).map(|package| package.replace('|', " | ")).collect()
}

fn fetched<'a>(packages: &'a [Package], mirrors: &Mirrors) -> Vec<Fetched<'a>> {
    packages.iter().map(|package| Fetched { sha256: &package.sha256, url: mirrors.package(&package.url) }).collect()
}

/// A line of `sources.list`.
pub(super) fn sources_line(repository: &Repository, mirrors: &Mirrors) -> String {
    let frozen = (!repository.check_valid_until || mirrors.frozen).then_some("check-valid-until=no");
    let trusted = (repository.trusted || mirrors.is_trusted(&repository.url)).then_some("trusted=yes");
    let options: Vec<_> = frozen.into_iter().chain(trusted).collect();
    let options = if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) };
    format!("deb {options}{} {} {}", mirrors.package(&repository.url), repository.suite, repository.components.join(" "))
}
