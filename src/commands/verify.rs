//! `kmodforge verify`: the static checks, on any image from a registry or a layout.

mod boot;
mod image;
mod modules;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::image::Files;
use super::builder::connect_unless_cancelled;
use super::local_image::{LocalImage, Named, fetch};
use super::selection;
use super::session::{Session, host_arch, temporary_folder};
use crate::arch::Arch;
use crate::builder::{Builder, SolveOptions, SolveRequest};
use crate::buildkit::BuilderChoice;
use crate::check::{self, Expectations, Signatures};
use crate::cli::{GlobalArgs, TextFormat, VerifyArgs};
use crate::error::{Exit, Failure};
use crate::finding::{Finding, Severity};
use crate::image::artifacts::Artifacts;
use crate::image::contents::Contents;
use crate::kernel::KernelRelease;
use crate::kernel_selector::KernelSelector;
use crate::kmm::glob_fits;
use crate::kmod::Module;
use crate::pipeline::{explain_solve, kernel_facts};
use crate::plan::{ChosenDriver, Group, Known, Naming, Plan, Target};
use crate::profile::driver::{DriverProfile, Requirements};
use crate::record::BootRecord;
use crate::render::{self, ANNOTATION};
use crate::sign::signed_by;
use crate::signer::read_certificate;
use crate::ui::Ui;

/// Checks an image; every architecture of it, or those that were asked for.
///
/// # Errors
/// When the image or its kernel's headers cannot be had.
pub async fn run(global: &GlobalArgs, args: &VerifyArgs, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    let session = Session::open(global, &args.project)?;
    let Some(file) = &args.module else {
        if args.kernels.len() > 1 || args.cluster.from_cluster {
            return Err(Failure::new(Exit::Usage, "an image is for one kernel").help("name it: --kernel RELEASE; several kernels are for --module"));
        }
        let (exit, reports) = run_one(&session, args, ui, &cancel).await?;
        if args.format == TextFormat::Json {
            ui.json_data(&reports);
        }
        return Ok(exit);
    };
    let mut worst = Exit::Done;
    let mut reports = Vec::new();
    for args in modules::images(&session, args, file, ui).await? {
        match run_one(&session, &args, ui, &cancel).await {
            Ok((exit, more)) => {
                worst = worst.max(exit);
                reports.extend(more);
            }
            Err(failure) if failure.exit == Exit::Interrupted => return Err(failure),
            Err(failure) => {
                worst = worst.max(failure.exit);
                ui.failure(&failure);
            }
        }
    }
    if args.format == TextFormat::Json {
        ui.json_data(&reports);
    }
    Ok(worst)
}

/// Checks an image, and what there is to say of each of its architectures.
async fn run_one(session: &Session, args: &VerifyArgs, ui: &Ui, cancel: &CancellationToken) -> Result<(Exit, Vec<serde_json::Value>), Failure> {
    let booter = super::boot::booter(session, &args.boot)?;
    let work = temporary_folder()?;
    let images = fetch(session, Named { image: &args.image, arches: &args.arches, registry: &args.registry }, work.path()).await?;
    if let Some(booter) = &booter {
        super::boot::prepare(booter, images.iter().map(|image| image.arch().unwrap_or_else(host_arch)), ui).await?;
    }
    let builder = connect_unless_cancelled(session, &BuilderChoice::Auto, cancel).await?;
    let mut worst = Exit::Done;
    let mut reports = Vec::new();
    for (position, image) in images.iter().enumerate() {
        let folder = work.path().join(format!("image-{position}"));
        let mut report = verify(session, args, builder.as_ref(), image, &folder, cancel).await?;
        if let Some(booter) = &booter {
            report.boot = Some(boot::boot(booter, args, &mut report, &folder, cancel).await?);
        }
        if args.format == TextFormat::Table {
            show(&args.image, &report, ui);
        }
        if report.findings.iter().any(|finding| finding.severity == Severity::Error) {
            worst = Exit::CheckFailed;
        }
        reports.push(json!({
            "image": args.image, "digest": image.stored.digest, "arch": report.arch, "kernel": report.kernel, "headers": report.headers,
            "modules": report.modules, "checks": check::CHECKS.len(), "findings": report.findings, "boot": report.boot,
        }));
    }
    Ok((worst, reports))
}

/// What the checks of one image say.
struct Report {
    arch: Arch,
    kernel: KernelRelease,
    headers: String,
    modules: Vec<String>,
    findings: Vec<Finding>,
    target: Target,
    known_driver: bool,
    contents: Arc<Contents>,
    boot: Option<BootRecord>,
}

fn show(image: &str, report: &Report, ui: &Ui) {
    for finding in report.findings.iter().filter(|finding| finding.severity != Severity::Error) {
        ui.finding(finding);
    }
    if let Some(failure) = check::failure(&report.findings, image, None) {
        ui.failure(&failure);
    } else {
        let modules = report.modules.join(", ");
        let booted = report.boot.as_ref().map(|boot| format!(", booted {:.1}s", boot.seconds)).unwrap_or_default();
        ui.data(&format!("{image} ({}): {} checks passed against {}{booted} ({modules})\n", report.arch, check::CHECKS.len(), report.headers));
    }
}

async fn verify(
    session: &Session,
    args: &VerifyArgs,
    builder: &dyn Builder,
    image: &LocalImage,
    folder: &Path,
    cancel: &CancellationToken,
) -> Result<Report, Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::new(Exit::Failed, format!("`{}`: {error}", folder.display())))?;
    let contents = Arc::new(Contents::open(&image.layers, folder)?);
    let files = Files::of(&contents, &args.image)?;
    let kernel = kernel_of(args, image, &files)?;
    let arch = image.arch().unwrap_or_else(host_arch);
    let driver = driver_of(session, args, image)?;
    let target = target_for(session, args, &kernel, arch, driver.as_ref()).await?;
    let facts =
        kernel_facts(&target, &evidence(session, builder, &target, folder, cancel).await?).map_err(|error| Failure::new(Exit::Failed, error.to_string()))?;

    let modules = files.modules_for(&contents, &kernel)?;
    let modules_dep = files.modules_dep(&contents, &kernel);
    let signatures = signatures(args, &contents, &modules)?;
    let expectations = driver.is_some().then(|| expectations(&target, &modules));
    let subject = check::Subject {
        kernel: &facts,
        modules: &modules,
        firmware: &files.firmware,
        modules_dep: modules_dep.as_deref(),
        expectations: expectations.as_ref(),
        signatures: signatures.as_ref(),
    };
    let mut findings = check::run_all(&subject);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let modules = modules.iter().map(|(path, _)| path.clone()).collect();
    Ok(Report { arch, headers: facts.headers.clone(), modules, kernel, findings, target, known_driver: driver.is_some(), contents, boot: None })
}

/// What is wrong with signatures, if a certificate was named.
fn signatures(args: &VerifyArgs, contents: &Contents, modules: &[(String, Module)]) -> Result<Option<Signatures>, Failure> {
    let Some(file) = &args.certificate else { return Ok(None) };
    let certificate = read_certificate(file)?;
    let mut faults = BTreeMap::new();
    let must_be = |path: &str| args.files_to_sign.is_empty() || args.files_to_sign.iter().any(|glob| glob_fits(glob, path));
    for (path, _) in modules.iter().filter(|(path, _)| must_be(path)) {
        if let Err(fault) = signed_by(&certificate, path, &image::read(contents, path.trim_start_matches('/'))?)? {
            faults.insert(path.clone(), fault);
        }
    }
    Ok(Some(Signatures { signer: certificate.subject.clone(), faults }))
}

/// The kernel that was named, else the label's, else the one that the paths name.
fn kernel_of(args: &VerifyArgs, image: &LocalImage, files: &Files) -> Result<KernelRelease, Failure> {
    let releases = files.releases();
    let label = image.label(&format!("{ANNOTATION}kernel"));
    let text = match (args.kernels.first(), label, releases.len()) {
        (Some(named), ..) => named.clone(),
        (None, Some(label), _) => label.to_owned(),
        (None, None, 1) => releases.iter().next().map(ToString::to_string).unwrap_or_default(),
        _ => {
            return Err(Failure::new(Exit::Usage, format!("`{}` does not tell which kernel it is for", args.image))
                .fact("found", if releases.is_empty() { "no `lib/modules/<release>`".into() } else { releases.into_iter().collect::<Vec<_>>().join(", ") })
                .help("name it: --kernel RELEASE"));
        }
    };
    text.parse().map_err(|error: crate::kernel::InvalidRelease| Failure::new(Exit::Usage, error.to_string()))
}

/// The driver that was named, else the label's if the catalogue has it.
fn driver_of(session: &Session, args: &VerifyArgs, image: &LocalImage) -> Result<Option<ChosenDriver>, Failure> {
    if let Some(text) = &args.driver {
        return selection::driver_named(session, text).map(Some);
    }
    let (driver, version) = (image.label(&format!("{ANNOTATION}driver")), image.label(&format!("{ANNOTATION}version")));
    let Some(profile) = driver.and_then(|driver| session.catalog.driver(driver).ok()) else { return Ok(None) };
    let version = version.and_then(|version| profile.version(version)).map(|version| version.version.clone());
    Ok(version.map(|version| (Arc::new(profile.clone()), Some(version))))
}

/// A target for the kernel: what names its headers and compiler. The driver's requirements do not matter here.
async fn target_for(session: &Session, args: &VerifyArgs, kernel: &KernelRelease, arch: Arch, driver: Option<&ChosenDriver>) -> Result<Target, Failure> {
    let kernels = vec![KernelSelector::Exact(kernel.clone())];
    let distros = match &args.distro {
        Some(distro) => vec![selection::distro(session, distro)?],
        None => selection::recognising(session, &kernels)?,
    };
    let mut profile = match driver {
        Some((profile, _)) => profile.as_ref().clone(),
        None => unknown_driver()?,
    };
    profile.requires = Requirements::default();
    profile.in_tree = None;
    for version in &mut profile.versions {
        version.requires = Requirements::default();
    }
    let group = Group {
        drivers: vec![(Arc::new(profile), driver.and_then(|(_, version)| version.clone()))],
        distros,
        kernels,
        arches: vec![arch],
        excludes: Vec::new(),
    };
    let groups = [group];
    let indexes = selection::read_indexes(session, &groups, &[]).await?;
    let naming = Naming::new(selection::UNNAMED, None, None)?;
    let plan = Plan::new(&groups, &naming, &Known { indexes: &indexes, unsupported: &|_, _| None, build_arch: host_arch() })?;
    match (plan.targets.into_iter().next(), plan.skipped.into_iter().next()) {
        (Some(target), _) => Ok(target),
        (None, Some(skipped)) => Err(Failure::new(Exit::Failed, format!("the headers of {kernel} cannot be used: {}", skipped.reason))),
        (None, None) => Err(Failure::new(Exit::Failed, format!("no headers of {kernel} were found"))),
    }
}

/// What the kernel's headers tell, fetched and compiled as for a build.
async fn evidence(session: &Session, builder: &dyn Builder, target: &Target, folder: &Path, cancel: &CancellationToken) -> Result<Artifacts, Failure> {
    let request = SolveRequest {
        name: format!("headers of {}", target.kernel.release),
        dockerfile: render::dockerfile(target, &session.mirrors())?.into(),
        stage: "evidence".into(),
        build_args: Vec::new(),
        context: Vec::new(),
        platform: Some(render::platform(target).to_owned()),
        options: Arc::new(SolveOptions::default()),
    };
    let output = folder.join("evidence.tar");
    let (sender, _) = tokio::sync::mpsc::unbounded_channel();
    builder.solve(request, &output, sender, cancel.clone()).await.map_err(explain_solve)?;
    Ok(Artifacts::open(&output)?)
}

/// What the driver's profile says, with the modules wherever the image has them; what it lacks is missed below the same root.
fn expectations(target: &Target, modules: &[(String, Module)]) -> Expectations {
    let mut expectations = crate::pipeline::expectations(target);
    let root = modules.iter().find_map(|(path, _)| path.split_once("/lib/modules/")).map(|(root, _)| root);
    for expected in &mut expectations.modules {
        let name = crate::kmod::kernel_name(&expected.name);
        if let Some((path, _)) = modules.iter().find(|(_, module)| crate::kmod::kernel_name(&module.name()) == name) {
            expected.path.clone_from(path);
        } else if let (Some(root), Some((_, below))) = (root, expected.path.split_once("/lib/modules/")) {
            expected.path = format!("{root}/lib/modules/{below}");
        }
    }
    expectations
}

/// Stands for the driver of an image that no profile describes: it is not built.
fn unknown_driver() -> Result<DriverProfile, Failure> {
    let text = "{id: unknown, name: unknown, summary: unknown, homepage: 'https://example.org/', licence: NOASSERTION, \
        versions: [{version: '0', sources: [{path: {directory: .}}]}], build: {steps: [{kbuild: {}}]}, modules: [{name: unknown}]}";
    Ok(DriverProfile::load("unknown.yaml", text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_has_a_profile() {
        assert_eq!(unknown_driver().unwrap().id.as_str(), "unknown");
    }
}
