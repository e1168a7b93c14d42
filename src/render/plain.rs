//! The same recipe without anything that old or small builders lack: no mounts, no context, the kernel as a build argument.

use std::collections::BTreeSet;

use serde::Serialize;

use super::context::{Label, Link, TakenModule};
use super::recipe::{Recipe, unmark};
use super::repositories::all_sources;
use super::{RenderError, SOURCE_DIR, any_kernel_labels};
use crate::mirror::Mirrors;
use crate::plan::{PlannedDistro, PlannedDriver};
use crate::profile::InnerPath;
use crate::profile::driver::{DriverVersion, FirmwareSource, Source};
use crate::template::{self, quote_shell};

/// What such a template may name.
#[derive(Serialize)]
pub(super) struct PlainContext<'a> {
    title: String,
    driver: &'a str,
    base_image: String,
    sources_list: Vec<String>,
    headers_package: String,
    packages: Vec<&'a str>,
    runtime_packages: &'a [String],
    runtime_files: &'a [String],
    runtime_directories: Vec<&'a str>,
    runtime_links: Vec<Link<'a>>,
    kernel_dir: String,
    needed_options: Vec<String>,
    forbidden_options: Vec<String>,
    source_dir: &'static str,
    source_fetches: Vec<String>,
    firmware_commands: Vec<String>,
    steps: Vec<String>,
    licence_files: Vec<&'a str>,
    modules: Vec<PlainModule<'a>>,
    labels: Vec<Label>,
}

#[derive(Serialize)]
struct PlainModule<'a> {
    #[serde(flatten)]
    taken: TakenModule<'a>,
    presence: &'static str,
}

/// A Dockerfile that makes an image for whatever kernel `KERNEL_FULL_VERSION` names, with what it fetches taken from `mirrors`.
///
/// # Errors
/// When the driver's source lies on this machine, or its build names an unknown placeholder.
pub fn dockerfile_for_any_kernel(driver: &PlannedDriver, distro: &PlannedDistro, mirrors: &Mirrors) -> Result<String, RenderError> {
    let name = format!("dockerfile/{}-plain.Dockerfile.tera", distro.profile.family.name());
    Ok(template::render(&name, &PlainContext::of(driver, distro, mirrors)?)?)
}

impl<'a> PlainContext<'a> {
    pub(super) fn of(driver: &'a PlannedDriver, distro: &'a PlannedDistro, mirrors: &Mirrors) -> Result<Self, RenderError> {
        if driver.modules().is_empty() || driver.dkms().is_some() {
            return Err(RenderError::OnlyBuilt { driver: driver.profile.id.to_string() });
        }
        let PlannedDistro { profile, release } = distro;
        let family = profile.family.name();
        let headers_package = profile.kernels.headers_package.as_ref().ok_or(RenderError::NotPlain { family })?;
        let version = driver.version();
        let recipe = Recipe::for_any_kernel(driver, distro)?;
        let own_packages = driver.build().packages.get(profile.family.name()).map_or(&[][..], Vec::as_slice);
        let compiler = release.default_compiler.iter().chain(release.compilers.iter().map(|rule| &rule.program)).map(String::as_str);
        let links = &profile.runtime.links;
        let directories: BTreeSet<_> = links.keys().filter_map(|link| Some(link.as_str().rsplit_once('/')?.0)).collect();
        let (needed, forbidden): (Vec<_>, Vec<_>) = driver.config_rules().into_iter().partition(|rule| rule.on);
        Ok(Self {
            title: format!("{} {} for kernels of {} {}", driver.profile.id, version.version, profile.id, release.id),
            driver: driver.profile.id.as_str(),
            base_image: mirrors.image(&release.base_image),
            sources_list: all_sources(release, mirrors),
            headers_package: unmark(&quote_shell(&headers_package.replace("{kernel}", "\u{e000}"))),
            packages: ["bzip2", "ca-certificates", "curl", "xz-utils", "zstd"]
                .into_iter()
                .chain(compiler)
                .chain(profile.toolchain.packages.iter().map(String::as_str))
                .chain(own_packages.iter().filter_map(|package| package.split('|').next()))
                .collect(),
            runtime_packages: &profile.runtime.packages,
            runtime_files: &profile.runtime.files,
            runtime_directories: directories.into_iter().collect(),
            runtime_links: links.iter().map(|(from, to)| Link { from: from.as_str(), to }).collect(),
            kernel_dir: recipe.kernel_dir,
            needed_options: needed.into_iter().map(|rule| rule.option).collect(),
            forbidden_options: forbidden.into_iter().map(|rule| rule.option).collect(),
            source_dir: SOURCE_DIR,
            source_fetches: fetches(&version.sources, driver, SOURCE_DIR, mirrors)?,
            firmware_commands: firmware(version, driver, mirrors)?,
            steps: recipe.steps,
            licence_files: driver.profile.licence_files.iter().map(InnerPath::as_str).collect(),
            modules: driver
                .modules()
                .iter()
                .map(|module| PlainModule { taken: TakenModule::of(module), presence: if module.optional { "optional" } else { "needed" } })
                .collect(),
            labels: any_kernel_labels(driver, distro).into_iter().map(|(name, value)| Label { name, value }).collect(),
        })
    }
}

/// Commands that each fetch and unpack a source into a directory; the first that succeeds is enough.
fn fetches(sources: &[Source], driver: &PlannedDriver, into: &str, mirrors: &Mirrors) -> Result<Vec<String>, RenderError> {
    let version = driver.version().version.as_str();
    let command = |source: &Source| {
        let (url, sha256, unpack) = match source {
            Source::Archive(archive) => {
                (archive.url.replace("{version}", version), archive.sha256.as_str(), unpack_archive(archive.strip, archive.directory.as_str(), into))
            }
            Source::Deb(deb) => (deb.url.clone(), deb.sha256.as_str(), unpack_deb(deb.directory.as_str(), into)),
            Source::Path(_) => return Err(RenderError::Local { driver: driver.profile.id.to_string() }),
        };
        let file = format!("/kmodforge/fetched/{sha256}");
        Ok(format!("{{ /kmodforge/fetch {file} {sha256} {} && file={file} && {unpack}; }}", quote_shell(&mirrors.source(&url))))
    };
    sources.iter().map(command).collect()
}

fn unpack_archive(strip: usize, directory: &str, into: &str) -> String {
    let directory = if directory.is_empty() { ".".to_owned() } else { directory.to_owned() };
    format!(
        "rm -rf /kmodforge/unpacked && mkdir -p /kmodforge/unpacked {into} && tar -xf \"$file\" --no-same-owner --strip-components={strip} -C /kmodforge/unpacked && cp -a /kmodforge/unpacked/{}/. {into}/",
        quote_shell(&directory)
    )
}

fn unpack_deb(directory: &str, into: &str) -> String {
    format!(
        "rm -rf /kmodforge/unpacked && mkdir -p /kmodforge/unpacked {into} && dpkg-deb -x \"$file\" /kmodforge/unpacked && cp -a /kmodforge/unpacked/{}/. {into}/",
        quote_shell(directory)
    )
}

/// Commands that bring firmware to its place in the image.
fn firmware(version: &DriverVersion, driver: &PlannedDriver, mirrors: &Mirrors) -> Result<Vec<String>, RenderError> {
    let command = |(number, firmware): (usize, &FirmwareSource)| {
        let into = format!("/kmodforge/firmware-{number}");
        let fetched = fetches(&firmware.sources, driver, &into, mirrors)?.join(" || ");
        let copies = firmware.files.iter().map(|(from, to)| {
            let to = quote_shell(&format!("/image/firmware/{to}"));
            format!("mkdir -p \"$(dirname {to})\"; cp -a {} {to}", quote_shell(&format!("{into}/{from}")))
        });
        Ok(format!("{fetched} || exit 1; {}", copies.collect::<Vec<_>>().join("; ")))
    };
    version.firmware.iter().enumerate().map(command).collect()
}
