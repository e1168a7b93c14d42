//! `kmodforge deploy kmm`: Modules for Kernel Module Management.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fleet;
use crate::cli::{GlobalArgs, KmmArgs};
use crate::commands::session::Session;
use crate::deploy::daemonset::{NodeLabel, TolerationArg};
use crate::deploy::fleet::{Fleet, FleetImage};
use crate::deploy::kmm::{InClusterBuild, Recipe, Resources, Settings, resources};
use crate::deploy::manifest;
use crate::error::{Exit, Failure, counted};
use crate::plan::{PlannedDistro, PlannedDriver};
use crate::render::dockerfile_for_any_kernel;
use crate::ui::Ui;

/// Prints the resources, and tells what they assume.
///
/// # Errors
/// When images are missing, or KMM cannot do what they need.
pub(super) async fn run(global: &GlobalArgs, args: &KmmArgs, ui: &Ui) -> Result<(), Failure> {
    let fleet = fleet::gather(global, &args.fleet, ui).await?;
    let build = if args.in_cluster.in_cluster_build { Some(in_cluster_build(global, args, &fleet)?) } else { None };
    let resources = resources(&fleet, &settings(args, build))?;
    ui.data(&manifest::stream(&resources.objects)?);
    tell(&resources, &fleet, ui);
    Ok(())
}

fn settings(args: &KmmArgs, build: Option<InClusterBuild>) -> Settings {
    Settings {
        version: args.kmm_version,
        namespace: args.namespace.to_string(),
        name: args.name.as_ref().map(ToString::to_string),
        selector: labels(&args.node_selector),
        tolerations: args.tolerations.iter().map(TolerationArg::toleration).collect(),
        pull_secret: args.pull_secret.as_ref().map(ToString::to_string),
        plain_http: args.fleet.registry.plain_http.clone(),
        tags: args.tags,
        ordered_upgrade: args.ordered_upgrade,
        build,
        preflight: args.preflight.clone(),
        hub: args.hub.then(|| labels(&args.cluster_selector)),
    }
}

fn labels(labels: &[NodeLabel]) -> BTreeMap<String, String> {
    labels.iter().map(|label| (label.key.to_string(), label.value.clone())).collect()
}

/// A recipe for every driver, version and release of a distribution that is deployed, from the profiles of today.
fn in_cluster_build(global: &GlobalArgs, args: &KmmArgs, fleet: &Fleet) -> Result<InClusterBuild, Failure> {
    let session = Session::open(global, &args.fleet.select.project)?;
    let key = |image: &FleetImage| (image.driver.clone(), image.version.clone(), image.distro.clone(), image.distro_release.clone());
    let wanted: BTreeSet<_> = fleet.images.iter().map(key).collect();
    let recipes = wanted.into_iter().map(|(driver, version, distro, distro_release)| {
        let profile = session.catalog.driver(&driver)?;
        let unknown = |what: String| {
            Failure::new(Exit::Usage, format!("there is no recipe of {driver} {version} for {distro} {distro_release}: {what}"))
                .help("the images were made with other profiles: name their folder (--profiles DIR), or build again")
        };
        let index =
            profile.versions.iter().position(|known| known.version.as_str() == version).ok_or_else(|| unknown("its profile has no such version".into()))?;
        let planned = PlannedDriver { profile: Arc::new(profile.clone()), index };
        let system = session.catalog.distro(&distro)?;
        let release = system.release(&distro_release).ok_or_else(|| unknown(format!("the profile of {distro} has no such release")))?;
        let system = PlannedDistro { profile: Arc::new(system.clone()), release: release.clone() };
        let directories: BTreeSet<_> = planned.modules().iter().map(|module| module.install.to_string()).collect();
        let dockerfile = dockerfile_for_any_kernel(&planned, &system, &session.mirrors())?;
        Ok(Recipe { driver, version, distro, distro_release, dockerfile, directories: directories.into_iter().collect() })
    });
    Ok(InClusterBuild {
        recipes: recipes.collect::<Result<_, Failure>>()?,
        sign: args.in_cluster.sign_secrets.clone(),
        selector: labels(&args.in_cluster.build_selector),
    })
}

fn tell(resources: &Resources, fleet: &Fleet, ui: &Ui) {
    let kinds = [
        ("ConfigMap", "ConfigMaps"),
        ("Module", "Modules"),
        ("ManagedClusterModule", "ManagedClusterModules"),
        ("PreflightValidation", "PreflightValidations"),
    ];
    let counts = kinds.into_iter().filter_map(|(one, several)| match resources.objects.iter().filter(|object| object.kind() == one).count() {
        0 => None,
        1 => Some(format!("1 {one}")),
        count => Some(format!("{count} {several}")),
    });
    let images = counted(fleet.images.len(), "image");
    ui.note(&format!("{} for {images}", counts.collect::<Vec<_>>().join(", ")));
    let mut told = BTreeSet::new();
    for assumption in resources.assumptions.iter().filter(|assumption| told.insert(*assumption)) {
        ui.note(&format!("assumed: {assumption}"));
    }
}
