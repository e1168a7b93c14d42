//! `--module`: the images that Modules of KMM name, as targets.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{UNNAMED, cluster, driver_named, group_for, plan_of};
use crate::cli::SelectArgs;
use crate::commands::session::Session;
use crate::error::{Exit, Failure, io_words};
use crate::kernel::KernelRelease;
use crate::kernel_index::{Cluster, ClusterNode};
use crate::kernel_selector::KernelSelector;
use crate::kmm::{Found, Module, ModuleFile, NoImage, Resolution, glob_fits};
use crate::kmod::kernel_name;
use crate::plan::{ChosenDriver, Naming, Plan, PlanError, PlannedDriver, Target};
use crate::profile::driver::DriverProfile;
use crate::reference::Reference;
use crate::ui::Ui;

/// Where kmodforge's images have their modules and firmware.
const DIR_NAME: &str = "/opt";
const FIRMWARE_PATH: &str = "/firmware";

/// Which kernels images are wanted for.
#[derive(Clone, Copy)]
pub struct Kernels<'a> {
    /// Those that were named; a Module must have an image for each.
    pub named: &'a [KernelSelector],
    /// Those of a cluster's nodes; a Module counts for the nodes that it selects.
    pub cluster: &'a Cluster,
}

/// Reads a file with Modules.
///
/// # Errors
/// When it cannot be read, or a cluster would not take what it holds.
pub fn read(file: &Path) -> Result<ModuleFile, Failure> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(Exit::Usage, format!("the Module `{name}` cannot be read: {}", io_words(&error)))
            .help("expected a YAML file: kubectl get module NAME -o yaml")
    })?;
    Ok(ModuleFile::read(&name, &text)?)
}

/// The targets of a file's Modules, under the names that the Modules expect.
///
/// # Errors
/// When the file is wrong, a Module cannot use what kmodforge builds, or a kernel that was named has no image.
pub(super) async fn plan(session: &Session, select: &SelectArgs, file: &Path, kernels: Kernels<'_>, ui: &Ui) -> Result<Plan, Failure> {
    if kernels.named.is_empty() && kernels.cluster.nodes.is_empty() {
        return Err(Failure::new(Exit::Usage, "no kernel is selected")
            .help("name those that the Module's nodes run: --kernel RELEASE, --kernels-from FILE or --from-cluster"));
    }
    let file = read(file)?;
    let naming = Naming::new(UNNAMED, None, None)?;
    let mut plan = Plan::default();
    for (found, driver) in drivers(session, &file, &select.drivers)? {
        tell(&found.module, &file, &driver.0, ui);
        let nodes = selected(&found.module, kernels.cluster);
        let mut selectors = kernels.named.to_vec();
        selectors.extend(cluster::selectors(session, &nodes, select, ui)?);
        if selectors.is_empty() {
            ui.note(&format!("Module `{}` selects no node", found.module.name()));
            continue;
        }
        let mut arches: Vec<_> = nodes.iter().map(|node| node.arch).collect::<BTreeSet<_>>().into_iter().collect();
        if !kernels.named.is_empty() {
            arches.clear();
        }
        let group = group_for(session, select, vec![driver], selectors, &arches).await?;
        let part = plan_of(session, &[group], &select.fallbacks, &naming).await?;
        take(&mut plan, part, &found, &file, kernels.named, ui)?;
    }
    if plan.targets.is_empty() && plan.skipped.is_empty() {
        return Err(Failure::new(Exit::Failed, format!("no Module of `{}` names an image for one of the kernels", file.name)));
    }
    plan.arrange().map_err(same_image)?;
    Ok(plan)
}

/// Names a Module's targets, and adds them to the plan.
fn take(plan: &mut Plan, part: Plan, found: &Found, file: &ModuleFile, named: &[KernelSelector], ui: &Ui) -> Result<(), Failure> {
    let module = &found.module;
    let left_alone = |kernel: &KernelRelease| named.iter().all(|selector| selector.exact() != Some(kernel));
    let mut told = BTreeSet::new();
    for mut target in part.targets {
        let kernel = target.kernel.release.clone();
        match image_for(module, file, &kernel) {
            Ok((image, resolution)) => {
                target.image = image;
                target.sign_only = resolution.sign.map(|sign| sign.files_to_sign.into());
                refuse_unknown_files(module, &target)?;
                let same = |other: &Target| other.image == target.image && other.label() == target.label();
                if !plan.targets.iter().any(same) {
                    plan.targets.push(target);
                }
            }
            Err(None) if left_alone(&kernel) => {
                if told.insert(kernel.clone()) {
                    ui.note(&format!("left out: {kernel}: no mapping of Module `{}` matches it; KMM leaves its nodes alone", module.name()));
                }
            }
            Err(None) => return Err(no_mapping(module, file, &kernel)),
            Err(Some(failure)) => return Err(failure),
        }
    }
    plan.skipped.extend(part.skipped.into_iter().filter(|skipped| module.resolve(&skipped.target.kernel).is_ok()));
    Ok(())
}

/// The image that a Module names for a kernel, and everything else that it says; `Err(None)` if it names none.
///
/// # Errors
/// When KMM itself would fail, or nothing can be pushed under that name.
pub fn image_for(module: &Module, file: &ModuleFile, kernel: &KernelRelease) -> Result<(Reference, Resolution), Option<Failure>> {
    let wrong = |headline: String| Failure::new(Exit::Usage, headline).fact("file", &file.name);
    let resolution = module.resolve(kernel.as_str()).map_err(|error| match error {
        NoImage::NoMapping => None,
        error => Some(wrong(format!("Module `{}` names no usable image for {kernel}: {error}", module.name()))),
    })?;
    let named = |failure: Failure| Some(failure.fact("image", &resolution.image));
    let reference: Reference = resolution.image.parse().map_err(|error: crate::reference::InvalidReference| {
        named(wrong(format!("the image of Module `{}` for {kernel} is none: {}", module.name(), error.reason)))
    })?;
    if reference.digest.is_some() {
        return Err(named(
            wrong(format!("Module `{}` names its image for {kernel} by a digest", module.name()))
                .help("only an image that exists has one: name it by a tag, build it, and then write down its digest"),
        ));
    }
    if reference.tag.is_none() {
        return Err(named(
            wrong(format!("the image of Module `{}` for {kernel} has no tag", module.name())).help("KMM takes the registry's port for one: add `:TAG`"),
        ));
    }
    Ok((reference, resolution))
}

/// Why a kernel that was named has no image.
pub fn no_mapping(module: &Module, file: &ModuleFile, kernel: &KernelRelease) -> Failure {
    let mappings = module.spec.module_loader.iter().flat_map(|loader| &loader.container.kernel_mappings);
    let words = mappings.map(|mapping| match (&mapping.literal, &mapping.regexp) {
        (Some(literal), _) if !literal.is_empty() => format!("literal `{literal}`"),
        (_, regexp) => format!("regexp `{}`", regexp.as_deref().unwrap_or_default()),
    });
    let failure = Failure::new(Exit::Usage, format!("no mapping of Module `{}` matches {kernel}", module.name()))
        .fact("file", &file.name)
        .fact("mappings", words.collect::<Vec<_>>().join("\n"));
    let failure =
        if kernel.as_str().ends_with('+') { failure.help(format!("KMM compares with `{}`, without the trailing `+`", kernel.directory())) } else { failure };
    failure.help("KMM leaves nodes with that kernel alone: add a mapping, or leave the kernel out")
}

/// The driver of each Module: the one that makes its module. Where drivers are named, Modules of others are left out.
///
/// # Errors
/// When there is none, or several.
pub fn drivers(session: &Session, file: &ModuleFile, names: &[String]) -> Result<Vec<(Found, ChosenDriver)>, Failure> {
    let asked_for: Vec<ChosenDriver> = names.iter().map(|name| driver_named(session, name)).collect::<Result<_, _>>()?;
    let mut chosen = Vec::new();
    for found in &file.modules {
        let module = &found.module;
        let wanted = module.spec.module_loader.as_ref().and_then(|loader| loader.container.modprobe.module_name.as_deref()).filter(|name| !name.is_empty());
        let known = session.catalog.driver_entries().map(|entry| (Arc::new(entry.profile.clone()), None));
        let candidates: Vec<ChosenDriver> = if names.is_empty() { known.collect() } else { asked_for.clone() };
        let fitting: Vec<ChosenDriver> = match wanted {
            Some(wanted) => candidates.into_iter().filter(|(profile, _)| makes(profile, wanted)).collect(),
            // `rawArgs` do not tell.
            None if names.is_empty() => Vec::new(),
            None => candidates,
        };
        match fitting.as_slice() {
            [driver] => chosen.push((found.clone(), driver.clone())),
            [] if !names.is_empty() && file.modules.len() > 1 => {}
            [] => return Err(no_driver(module, file, wanted, &asked_for)),
            several => {
                let ids = several.iter().map(|(profile, _)| profile.id.to_string()).collect::<Vec<_>>().join(", ");
                let failure = Failure::new(Exit::Usage, format!("several drivers make the module of Module `{}`", module.name()));
                return Err(failure.fact("file", &file.name).fact("drivers", ids).help("name one: --driver NAME"));
            }
        }
    }
    if chosen.is_empty() {
        let modules = file.modules.iter().map(|found| format!("`{}`", found.module.name())).collect::<Vec<_>>().join(", ");
        return Err(Failure::new(Exit::Usage, format!("no driver that was named makes the module of a Module of `{}`", file.name)).fact("Modules", modules));
    }
    Ok(chosen)
}

/// Whether a driver makes a module, in one of its versions.
fn makes(profile: &DriverProfile, module: &str) -> bool {
    let of_versions = profile.versions.iter().flat_map(|version| profile.modules_of(version));
    of_versions.into_iter().any(|made| kernel_name(&made.name) == kernel_name(module))
}

fn no_driver(module: &Module, file: &ModuleFile, wanted: Option<&str>, named: &[ChosenDriver]) -> Failure {
    let name = module.name();
    let (headline, help) = match (wanted, named) {
        (None, _) => (format!("Module `{name}` does not tell which kernel module it loads"), "name the driver that makes it: --driver NAME"),
        (Some(wanted), []) => (
            format!("no driver profile makes `{wanted}`, the module of Module `{name}`"),
            "write one (docs/driver-profiles.md), and name its folder: --profiles DIR",
        ),
        (Some(wanted), [(profile, _), ..]) => {
            (format!("driver `{}` does not make `{wanted}`, the module of Module `{name}`", profile.id), "leave --driver out, or name the driver that makes it")
        }
    };
    Failure::new(Exit::Usage, headline).fact("file", &file.name).help(help)
}

/// The nodes that a Module selects.
pub fn selected<'c>(module: &Module, cluster: &'c Cluster) -> Vec<&'c ClusterNode> {
    let fits = |node: &&ClusterNode| module.spec.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    cluster.nodes.iter().filter(fits).collect()
}

/// What a Module says and kmodforge does otherwise.
fn tell(module: &Module, file: &ModuleFile, profile: &DriverProfile, ui: &Ui) {
    let Some(loader) = &module.spec.module_loader else { return };
    let own = loader.container.kernel_mappings.iter().filter_map(|mapping| mapping.build.as_ref());
    let recipes: BTreeSet<&str> = loader.container.build.iter().chain(own).map(|build| build.dockerfile_config_map.name.as_str()).collect();
    for recipe in recipes {
        let place = if file.dockerfiles.iter().any(|name| name == recipe) { "" } else { ", which is not in the file" };
        ui.note(&format!(
            "Module `{}`: built by the profile of `{}`, not by the Dockerfile of ConfigMap `{recipe}`{place}; KMM builds nothing that it can pull",
            module.name(),
            profile.id
        ));
    }
}

/// Refuses a Module that could not use the images of kmodforge.
fn refuse_unusable(module: &Module, driver: &PlannedDriver) -> Result<(), Failure> {
    let Some(modprobe) = module.spec.module_loader.as_ref().map(|loader| &loader.container.modprobe) else { return Ok(()) };
    let refuse = |field: &str, found: &str, expected: &str| {
        Err(Failure::new(Exit::Usage, format!("Module `{}` looks for `{field}` elsewhere than kmodforge puts it", module.name()))
            .fact("found", found)
            .fact("expected", expected)
            .help(format!("change `modprobe.{field}` of the Module")))
    };
    let has_firmware = !driver.version().firmware.is_empty();
    match modprobe.firmware_path.as_deref().filter(|path| !path.is_empty()) {
        _ if modprobe.dir_name() != DIR_NAME => refuse("dirName", modprobe.dir_name(), DIR_NAME),
        Some(path) if !has_firmware => {
            refuse("firmwarePath", path, &format!("none: driver `{}` has no firmware, and KMM fails where there is nothing to copy", driver.profile.id))
        }
        Some(path) if path.trim_end_matches('/') != FIRMWARE_PATH => refuse("firmwarePath", path, FIRMWARE_PATH),
        None if has_firmware => refuse("firmwarePath", "none", FIRMWARE_PATH),
        _ => Ok(()),
    }
}

/// Refuses `filesToSign` that the image will not have: KMM would sign nothing, too.
fn refuse_unknown_files(module: &Module, target: &Target) -> Result<(), Failure> {
    refuse_unusable(module, &target.driver)?;
    let files = target.module_paths();
    let unknown = target
        .sign_only
        .iter()
        .flat_map(|globs| globs.iter())
        .find(|glob| !files.iter().any(|file| glob_fits(glob, file) || glob_fits(&kernel_name(glob), &kernel_name(file))));
    let Some(glob) = unknown else { return Ok(()) };
    let failure = Failure::new(Exit::Usage, format!("Module `{}` signs a file that its image for {} does not have", module.name(), target.kernel.release))
        .fact("found", glob)
        .fact("expected", files.join("\n"));
    let failure = if target.kernel.release.directory() == target.kernel.release.tag() {
        failure
    } else {
        failure.help(format!("KMM puts `{}` in the place of `${{KERNEL_FULL_VERSION}}` here: write `*` for the directory", target.kernel.release.tag()))
    };
    Err(failure.help("correct `filesToSign` of the Module"))
}

/// A Module may name one image for all kernels; an image of kmodforge is for one.
fn same_image(error: PlanError) -> Failure {
    match error {
        PlanError::SameTag { first, second, image } => Failure::new(Exit::Usage, format!("the Modules name one image for several kernels: `{image}`"))
            .fact("kernels", format!("{first}\n{second}"))
            .help("tell them apart: `${KERNEL_FULL_VERSION}` in `containerImage` of the Module"),
        error => error.into(),
    }
}
