//! A target → its Dockerfile and what must lie beside it, and the digest of everything that goes in. Pure.

mod recipe;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::arch::Arch;
use crate::error::{Exit, Failure};
use crate::mirror::Mirrors;
use crate::package::Package;
use crate::plan::{Inputs, Plan, Target};
use crate::profile::driver::{DriverVersion, Source};
use crate::reference::Digest;
use crate::template::{self, TemplateError};

/// Version of what a build leaves behind; grows whenever the same inputs give another image.
pub const FORMAT: u32 = 1;

/// Prefix of kmodforge's own annotations and labels.
pub const ANNOTATION: &str = "io.kmodforge.";

/// Where the driver's source lies while it is compiled.
pub const SOURCE_DIR: &str = "/kmodforge/source";

/// A target that cannot be rendered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RenderError {
    /// The template and its context do not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A value in the driver's build names something unknown.
    #[error("driver `{driver}`: {message}")]
    Placeholder {
        /// The driver.
        driver: String,
        /// What is wrong.
        message: String,
    },
}

/// What the Dockerfile template may name. One field per name: a guard in the tests compares them with the template.
#[derive(Serialize)]
struct Context<'a> {
    title: String,
    base_image: String,
    cache_id: String,
    compiler: &'a str,
    cross: &'a str,
    driver: &'a str,
    kernel: &'a str,
    kernel_dir: String,
    utsrelease: String,
    sources_list: Vec<String>,
    toolchain_packages: &'a [String],
    driver_packages: &'a [String],
    runtime: Vec<Fetched<'a>>,
    runtime_files: &'a [String],
    runtime_directories: Vec<&'a str>,
    runtime_links: Vec<Link<'a>>,
    headers: Vec<Fetched<'a>>,
    build_from: &'static str,
    source_dir: &'static str,
    make_variables: String,
    steps: Vec<String>,
    modules: Vec<TakenModule<'a>>,
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
struct Link<'a> {
    from: &'a str,
    to: &'a str,
}

#[derive(Serialize)]
struct TakenModule<'a> {
    file: &'a str,
    pattern: String,
    install: &'a str,
}

#[derive(Serialize)]
struct Label {
    name: String,
    value: String,
}

/// The target's Dockerfile, with what it fetches taken from `mirrors`.
///
/// # Errors
/// When the driver's build names an unknown placeholder.
pub fn dockerfile(target: &Target, mirrors: &Mirrors) -> Result<String, RenderError> {
    let release = &target.distro.release;
    let profile = &target.distro.profile;
    let kernel = target.kernel.release.as_str();
    let fetched = |packages: &'_ [Package]| -> Vec<(String, String)> { packages.iter().map(|p| (p.sha256.clone(), mirrors.package(&p.url))).collect() };
    let (runtime, headers) = (fetched(&target.runtime), fetched(&target.kernel.headers));
    let driver_packages = target.driver.build().packages.get(profile.family.name()).map_or(&[][..], Vec::as_slice);
    let directory = target.kernel.release.directory();
    let context = Context {
        title: target.label().to_string(),
        base_image: mirrors.image(&release.base_image),
        cache_id: format!("{}-{}-{}", profile.id, release.id, target.toolchain.build_arch),
        compiler: &target.toolchain.compiler,
        cross: &target.toolchain.cross,
        driver: target.driver.profile.id.as_str(),
        kernel,
        kernel_dir: profile.kernels.directory.replace("{kernel}", kernel),
        utsrelease: format!("\"{kernel}\""),
        sources_list: release.repositories.iter().map(|repository| recipe::sources_line(repository, mirrors)).collect(),
        toolchain_packages: &target.toolchain.packages,
        driver_packages,
        runtime: runtime.iter().map(|(sha256, url)| Fetched { sha256, url: url.clone() }).collect(),
        runtime_files: &profile.runtime.files,
        runtime_directories: profile
            .runtime
            .links
            .keys()
            .filter_map(|link| Some(link.as_str().rsplit_once('/')?.0))
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        runtime_links: profile.runtime.links.iter().map(|(from, to)| Link { from: from.as_str(), to }).collect(),
        headers: headers.iter().map(|(sha256, url)| Fetched { sha256, url: url.clone() }).collect(),
        build_from: if driver_packages.is_empty() { "toolchain" } else { "driver-toolchain" },
        source_dir: SOURCE_DIR,
        make_variables: recipe::make_variables(target)?,
        steps: recipe::steps(target)?,
        modules: target
            .driver
            .modules()
            .iter()
            .map(|module| TakenModule {
                file: module.file.as_ref().map_or("", |file| file.as_str()),
                pattern: format!("{}.ko", module.name.replace(['-', '_'], "[-_]")),
                install: module.install.as_str(),
            })
            .collect(),
        modules_name: directory,
        modules_dir: format!("/opt/lib/modules/{directory}"),
        release_link: if directory == kernel { "" } else { kernel },
        has_firmware: !target.driver.version().firmware.is_empty(),
        labels: labels(target).into_iter().map(|(name, value)| Label { name, value }).collect(),
    };
    Ok(template::render(&format!("dockerfile/{}.Dockerfile.tera", profile.family.name()), &context)?)
}

/// The image's labels: the `org.opencontainers.image.*` set and kmodforge's own, which carry the raw kernel release.
pub fn labels(target: &Target) -> BTreeMap<String, String> {
    let driver = &target.driver;
    let own = |name: &str| format!("{ANNOTATION}{name}");
    let oci = |name: &str| format!("org.opencontainers.image.{name}");
    BTreeMap::from([
        (oci("title"), format!("{} {} for {}", driver.profile.id, driver.version().version, target.kernel.release)),
        (oci("description"), driver.profile.summary.clone()),
        (oci("version"), driver.version().version.to_string()),
        (oci("licenses"), driver.profile.licence.clone()),
        (oci("url"), driver.profile.homepage.clone()),
        (own("driver"), driver.profile.id.to_string()),
        (own("version"), driver.version().version.to_string()),
        (own("kernel"), target.kernel.release.to_string()),
        (own("distro"), format!("{}:{}", target.distro.profile.id, target.distro.release.id)),
        (own("arch"), target.arch.to_string()),
        (own("modules"), driver.modules().iter().filter(|module| module.load).map(|module| module.name.as_str()).collect::<Vec<_>>().join(" ")),
    ])
}

/// Annotations that tell a later run what an image was made from.
pub fn input_annotations(target: &Target, base: Option<&Digest>) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    if let Some(inputs) = &target.inputs {
        annotations.insert(format!("{ANNOTATION}input-digest"), inputs.digest.to_string());
        for (name, part) in inputs.parts {
            annotations.insert(format!("{ANNOTATION}input.{name}"), format!("{part:012x}"));
        }
    }
    if let Some(base) = base {
        annotations.insert(format!("{ANNOTATION}base-digest"), base.to_string());
    }
    annotations
}

/// Whether an image with these annotations is what the target would become: its digest of inputs is the same, and its base
/// image is the present one where both are known. If not, the reason to build again.
///
/// # Errors
/// The reason, in a few words.
pub fn is_current(target: &Target, annotations: &BTreeMap<String, String>, base: Option<&Digest>) -> Result<(), String> {
    let get = |name: &str| annotations.get(&format!("{ANNOTATION}{name}")).map(String::as_str);
    let Some(inputs) = &target.inputs else { return Err("inputs unknown".into()) };
    if target.driver.version().sources.iter().any(|source| matches!(source, Source::Path(_))) {
        return Err("source is a folder on this machine".into());
    }
    if get("input-digest").is_none() {
        return Err("tag exists, but holds an image that was not made by kmodforge".into());
    }
    if get("input-digest") != Some(inputs.digest.as_str()) {
        let changed: Vec<_> =
            inputs.parts.iter().filter(|(name, part)| get(&format!("input.{name}")) != Some(&format!("{part:012x}"))).map(|(name, _)| *name).collect();
        return Err(match changed.first() {
            Some(&"source") => "driver source changed".into(),
            Some(&"kernel") => "kernel headers changed".into(),
            Some(&"tools") => "programs of the image changed".into(),
            _ => "build recipe changed".into(),
        });
    }
    match (get("base-digest"), base) {
        (Some(then), Some(now)) if then != now.as_str() => Err("base image changed".into()),
        _ => Ok(()),
    }
}

/// Sets the input digests of all targets. `arguments` stands for the choices of the command line that end up in an image.
///
/// # Errors
/// When a target cannot be rendered.
pub fn fill_inputs(plan: &mut Plan, arguments: &str) -> Result<(), RenderError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let chunk = plan.targets.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> = plan
            .targets
            .chunks_mut(chunk)
            .map(|targets| {
                scope.spawn(move || {
                    for target in targets {
                        target.inputs = Some(inputs(target, arguments)?);
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or(Ok(())))
    })
}

/// Digests of what goes into a target's image. Mirrors do not count: they say where, not what.
///
/// # Errors
/// When the target cannot be rendered.
pub fn inputs(target: &Target, arguments: &str) -> Result<Inputs, RenderError> {
    let Target { driver, distro: _, kernel, arch, toolchain: _, runtime, image: _, inputs: _, state: _ } = target;
    let DriverVersion { version: _, sources, firmware, requires: _, build: _, modules: _ } = driver.version();
    let parts = [
        ("source", hash(&(sources.iter().map(source_identity).collect::<Vec<_>>(), firmware))),
        ("kernel", hash(&kernel.headers.iter().map(|package| &package.sha256).collect::<Vec<_>>())),
        ("tools", hash(&runtime.iter().map(|package| &package.sha256).collect::<Vec<_>>())),
        ("recipe", hash(&(FORMAT, dockerfile(target, &Mirrors::default())?, arch, arguments))),
    ];
    let mut whole = Sha256::new();
    for (_, part) in &parts {
        whole.update(part);
    }
    let short = |part: [u8; 32]| part.iter().take(6).fold(0, |number, byte| number << 8 | u64::from(*byte));
    Ok(Inputs { digest: Digest::from_sha256(&whole.finalize().into()), parts: parts.map(|(name, part)| (name, short(part))) })
}

/// What a source is, whichever place it comes from.
fn source_identity(source: &Source) -> String {
    match source {
        Source::Archive(archive) => format!("{}:{}:{}", archive.sha256.as_str(), archive.strip, archive.directory),
        Source::Deb(deb) => format!("{}:{}", deb.sha256.as_str(), deb.directory),
        Source::Path(path) => path.directory.clone(),
    }
}

fn hash<T: Serialize>(value: &T) -> [u8; 32] {
    struct Writer(Sha256);
    impl std::io::Write for Writer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer(Sha256::new());
    // Plain data into a hash: neither side can fail.
    let _ = serde_json::to_writer(&mut writer, value);
    writer.0.finalize().into()
}

/// The platform that the stages which run programs need.
pub fn platform(target: &Target) -> &'static str {
    let build_arch: Arch = target.toolchain.build_arch;
    build_arch.platform()
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let failure = Self::new(Exit::Usage, error.to_string());
        match error {
            RenderError::Placeholder { .. } => failure.help("see the driver profile reference for the placeholders that there are"),
            RenderError::Template(_) => failure.help("this is a fault of kmodforge; please report it"),
        }
    }
}

#[cfg(test)]
#[path = "render/tests.rs"]
mod tests;
