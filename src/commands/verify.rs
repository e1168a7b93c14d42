//! `kmodforge verify`: the static checks, on any image from a registry or a layout, and what a policy demands besides.

mod attached;
mod boot;
mod image;
mod kernel;
mod modules;
mod show;
mod signatures;

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::image::{Files, Modules};
use self::kernel::Kernels;
use super::local_image::{LocalImage, Named, fetch};
use super::selection;
use super::session::{Session, host_arch, temporary_folder};
use crate::arch::Arch;
use crate::check;
use crate::check::{Expectations, KernelFacts};
use crate::cli::{BootArgs, GlobalArgs, VerifyArgs, VerifyFormat};
use crate::error::{Exit, Failure};
use crate::finding::{Finding, Severity};
use crate::image::contents::Contents;
use crate::kernel::KernelRelease;
use crate::kmod::Module;
use crate::plan::{ChosenDriver, Target};
use crate::policy::{Attached, Judgement, Policy};
use crate::record::BootRecord;
use crate::render::ANNOTATION;
use crate::ui::Ui;

/// Label and annotation: licences of what is in an image (OCI image specification, "Pre-Defined Annotation Keys").
const LICENCES: &str = "org.opencontainers.image.licenses";

/// Checks an image; every architecture of it, or those that were asked for, and every kernel that it is for.
///
/// # Errors
/// When the policy is wrong, or the image or its kernel's headers cannot be had.
pub async fn run(global: &GlobalArgs, args: &VerifyArgs, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    let policy = args.policy.as_deref().map(Policy::load).transpose()?;
    let session = Session::open(global, &args.project)?;
    let images = match &args.module {
        None if args.kernels.len() > 1 || args.cluster.from_cluster => {
            return Err(Failure::new(Exit::Usage, "an image is for one kernel").help("name it: --kernel RELEASE; several kernels are for --module"));
        }
        None => vec![args.clone()],
        Some(file) => modules::images(&session, args, file, ui).await?,
    };
    let (mut worst, mut reports) = (Exit::Done, Vec::new());
    for image in &images {
        match verify(&session, image, policy.as_ref(), ui, &cancel).await {
            Ok(more) => reports.extend(more),
            // One image that cannot be had says nothing of the others that a Module names.
            Err(failure) if args.module.is_some() && failure.exit != Exit::Interrupted => {
                worst = worst.max(failure.exit);
                ui.failure(&failure);
            }
            Err(failure) => return Err(failure),
        }
    }
    match args.format {
        VerifyFormat::Table => {}
        VerifyFormat::Json => ui.json_data(&reports.iter().map(|report| show::json(args, report)).collect::<Vec<_>>()),
        VerifyFormat::Sarif => ui.json_data(&show::sarif(&reports)),
    }
    let passed = reports.iter().all(|report| report.judgement.errors().next().is_none());
    // What could not be looked at goes before what was found wanting.
    Ok(if worst == Exit::Done && !passed { Exit::CheckFailed } else { worst })
}

/// Checks one image: what there is to say of each of its architectures and kernels.
async fn verify(session: &Session, args: &VerifyArgs, policy: Option<&Policy>, ui: &Ui, cancel: &CancellationToken) -> Result<Vec<Report>, Failure> {
    let booter = super::boot::booter(session, &boot_args(args, policy), false)?;
    let work = temporary_folder()?;
    let images = fetch(session, Named { image: &args.image, arches: &args.arches, registry: &args.registry }, work.path()).await?;
    if let Some(booter) = &booter {
        super::boot::prepare(booter, images.iter().map(|image| (image.arch().unwrap_or_else(host_arch), &[][..])), ui).await?;
    }
    let gate = Gate { session, args, policy, kernels: Kernels::new(session, args, cancel) };
    let mut reports = Vec::new();
    for (position, image) in images.iter().enumerate() {
        let folder = work.path().join(format!("image-{position}"));
        let opened = gate.open(image, &folder).await?;
        for kernel in kernel::releases(args, image, &opened.files)? {
            let mut report = gate.verify(&opened, kernel, &folder).await?;
            if let Some(booter) = &booter {
                report.boot = Some(boot::boot(booter, args, &mut report, &folder, cancel).await?);
            }
            let report = gate.judge(&opened, report);
            if args.format == VerifyFormat::Table {
                show::table(&report, ui);
            }
            reports.push(report);
        }
    }
    Ok(reports)
}

/// What the command line says about boots, and the policy where it says nothing.
fn boot_args(args: &VerifyArgs, policy: Option<&Policy>) -> BootArgs {
    let demanded = policy.is_some_and(|policy| policy.boot) && !args.boot.no_boot;
    BootArgs { boot: args.boot.boot || demanded, ..args.boot.clone() }
}

/// What is known when an image comes to the gate.
struct Gate<'a> {
    session: &'a Session,
    args: &'a VerifyArgs,
    policy: Option<&'a Policy>,
    kernels: Kernels<'a>,
}

/// An image whose files can be read.
struct Opened<'a> {
    image: &'a LocalImage,
    contents: Arc<Contents>,
    files: Files,
    driver: Option<ChosenDriver>,
    /// What is attached to it, if that is asked.
    attached: Option<Attached>,
}

/// What the checks say about an image and one kernel.
struct Report {
    image: String,
    digest: String,
    arch: Arch,
    kernel: KernelRelease,
    headers: String,
    modules: Vec<String>,
    /// What was found, before the policy is asked.
    findings: Vec<Finding>,
    judgement: Judgement,
    target: Target,
    known_driver: bool,
    contents: Arc<Contents>,
    boot: Option<BootRecord>,
}

impl Gate<'_> {
    async fn open<'a>(&self, image: &'a LocalImage, folder: &Path) -> Result<Opened<'a>, Failure> {
        std::fs::create_dir_all(folder).map_err(|error| Failure::new(Exit::Failed, format!("`{}`: {error}", folder.display())))?;
        let contents = Arc::new(Contents::open(&image.layers, folder)?);
        let files = Files::of(&contents, &self.args.image)?;
        let driver = driver_of(self.session, self.args, image)?;
        let attached = match self.policy.filter(|policy| policy.asks_registry()) {
            Some(_) if image.is_file => Some(Attached::default()),
            Some(policy) => {
                let registry = self.session.registry(&self.args.registry)?;
                Some(attached::attached(policy, &registry, &self.args.image, &image.stored.digest).await?)
            }
            None => None,
        };
        Ok(Opened { image, contents, files, driver, attached })
    }

    async fn verify(&self, opened: &Opened<'_>, kernel: KernelRelease, folder: &Path) -> Result<Report, Failure> {
        let arch = opened.image.arch().unwrap_or_else(host_arch);
        let target = self.kernels.target(&kernel, arch, opened.driver.as_ref()).await?;
        let facts = self.kernels.facts(&target, folder).await?;
        let Modules { modules, unreadable } = opened.files.modules_for(&opened.contents, &kernel)?;
        let modules_dep = opened.files.modules_dep(&opened.contents, &kernel);
        let signatures = signatures::of(self.args, self.policy, &opened.contents, &modules)?;
        let expectations = opened.driver.is_some().then(|| expectations(&target, &modules));
        let subject = check::Subject {
            kernel: &facts,
            modules: &modules,
            firmware: &opened.files.firmware,
            modules_dep: modules_dep.as_deref(),
            expectations: expectations.as_ref(),
            signatures: signatures.as_ref(),
        };
        let mut findings = unreadable;
        findings.extend(check::run_all(&subject));
        if modules.is_empty() {
            let releases = opened.files.releases().into_iter().collect::<Vec<_>>().join(", ");
            if let Some(missing) = findings.iter_mut().find(|finding| finding.check == "modules-present") {
                missing.found = Some(format!("modules for {releases}"));
            }
        }
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            findings.extend(self.configured_otherwise(opened, &facts, &modules, folder).await);
        }
        if let Some(policy) = self.policy {
            findings.extend(policy.check_modules(opened.image.label(LICENCES), &modules));
        }
        let modules = modules.into_iter().map(|(path, _)| path).collect();
        Ok(Report {
            image: self.args.image.clone(),
            digest: opened.image.stored.digest.to_string(),
            arch,
            headers: facts.headers,
            modules,
            kernel,
            findings,
            judgement: Judgement::default(),
            target,
            known_driver: opened.driver.is_some(),
            contents: Arc::clone(&opened.contents),
            boot: None,
        })
    }

    /// In what the kernel that an image was made for is configured otherwise than the one that it is checked against.
    async fn configured_otherwise(&self, opened: &Opened<'_>, facts: &KernelFacts, modules: &[(String, Module)], folder: &Path) -> Option<Finding> {
        let meant = kernel::meant(opened.image, &opened.files, modules).filter(|meant| *meant != facts.release)?;
        // Kernels go; what cannot be compared any more is no reason to say nothing of the rest.
        let target = self.kernels.target(&meant, facts.arch, None).await.ok()?;
        let of_meant = self.kernels.facts(&target, folder).await.ok()?;
        check::configured_otherwise(facts, &of_meant)
    }

    /// The report with what the policy makes of it.
    fn judge(&self, opened: &Opened<'_>, mut report: Report) -> Report {
        let mut findings = std::mem::take(&mut report.findings);
        if let Some(policy) = self.policy {
            findings.extend(policy.check_boot(report.boot.is_some()));
            findings.extend(opened.attached.iter().flat_map(|attached| policy.check_attached(attached)));
        }
        report.judgement = Judgement::of(findings, self.policy);
        report
    }
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
