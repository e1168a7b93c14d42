//! The images to deploy, from records or from the registry.

use crate::cli::{FleetArgs, GlobalArgs, SelectArgs};
use crate::commands::plan::arguments;
use crate::commands::session::{Session, source_date_epoch};
use crate::commands::signing::Certificate;
use crate::commands::{records, selection};
use crate::deploy::fleet::{Fleet, FleetError};
use crate::error::{Exit, Failure};
use crate::image::layer::Compression;
use crate::pipeline::blank_record;
use crate::plan::{Plan, State, Target};
use crate::record::{Outcome, Record, TargetRecord};
use crate::ui::Ui;

/// The images that are named, all of them published unless what is missing is allowed to be.
///
/// # Errors
/// When records or selection are wrong, the registry does not answer, or something is not published.
pub(super) async fn gather(global: &GlobalArgs, args: &FleetArgs, ui: &Ui) -> Result<Fleet, Failure> {
    let records = if args.records.is_empty() { of_registry(global, args, ui).await? } else { of_files(args)? };
    let fleet = Fleet::of(&records)?;
    if !args.allow_missing
        && let Some(failure) = refuse_missing(&fleet)
    {
        return Err(failure);
    }
    for missing in &fleet.missing {
        ui.note(&format!("left out: {}: {}", missing.target, missing.why));
    }
    if fleet.images.is_empty() {
        return Err(Failure::new(Exit::Failed, "no image is published that could be deployed").help("build and push them: kmodforge build --push"));
    }
    Ok(fleet)
}

fn of_files(args: &FleetArgs) -> Result<Vec<TargetRecord>, Failure> {
    if is_selecting(&args.select) || args.certificate.sign_cert.is_some() {
        return Err(Failure::new(Exit::Usage, "records and a selection of targets exclude each other")
            .help("name records, whose images are deployed, or drivers and kernels, whose images are looked for in the registry"));
    }
    let mut records = args.records.iter().map(|path| records::read(path)).collect::<Result<Vec<Record>, _>>()?;
    records.sort_by_key(|record| record.started);
    Ok(records.into_iter().flat_map(|record| record.targets).collect())
}

fn is_selecting(select: &SelectArgs) -> bool {
    let SelectArgs {
        project,
        drivers,
        source,
        kernels,
        kernels_from,
        cluster,
        module,
        distros,
        arches,
        repo,
        tag_template,
        fallbacks,
        headers_image,
        os_version,
        about_source: _,
    } = select;
    project.file.is_some()
        || source.is_some()
        || kernels_from.is_some()
        || cluster.from_cluster
        || module.is_some()
        || repo.is_some()
        || tag_template.is_some()
        || !(drivers.is_empty()
            && kernels.is_empty()
            && distros.is_empty()
            && arches.is_empty()
            && fallbacks.is_empty()
            && headers_image.is_none()
            && os_version.is_none())
}

/// What the registry has of the selected targets, as a run of `build` would record it.
async fn of_registry(global: &GlobalArgs, args: &FleetArgs, ui: &Ui) -> Result<Vec<TargetRecord>, Failure> {
    let session = Session::open(global, &args.select.project)?;
    if !selection::has_repository(&session, &args.select) {
        return Err(Failure::new(Exit::Usage, "there is no repository to look for images in")
            .help("name one: --repo REGISTRY/PATH, or `repository:` in the project file")
            .help("or name the record of a build: kmodforge-record.json"));
    }
    let recipe = arguments(Compression::default(), source_date_epoch()?) + &Certificate::of(session.project.as_ref(), &args.certificate).arguments()?;
    let mut plan = selection::plan(&session, &args.select, &recipe, ui).await?;
    let registry = session.registry(&args.registry)?;
    let bases = selection::base_digests(&session, &registry, &plan).await;
    selection::settle(&mut plan, &registry, &bases, false).await?;
    selection::tell_skipped(&plan, ui);
    Ok(recorded(&plan))
}

fn recorded(plan: &Plan) -> Vec<TargetRecord> {
    let record = |target: &Target| match &target.state {
        State::Published { manifest, index } => TargetRecord {
            digest: Some(manifest.to_string()),
            index_digest: Some(index.to_string()),
            ..blank_record(target, Outcome::Published, "already published")
        },
        State::Build(why) => blank_record(target, Outcome::Cancelled, why.as_str()),
    };
    plan.targets.iter().map(record).collect()
}

/// A manifest must not leave out kernels by surprise.
fn refuse_missing(fleet: &Fleet) -> Option<Failure> {
    let first = fleet.missing.first()?;
    let count = fleet.missing.len();
    let headline = if count == 1 { "a target has no published image".to_owned() } else { format!("{count} targets have no published image") };
    let failure = fleet.missing.iter().take(10).fold(Failure::new(Exit::Failed, headline), |failure, missing| {
        failure.fact(if std::ptr::eq(missing, first) { "missing" } else { "" }, format!("{}: {}", missing.target, missing.why))
    });
    let failure = if count > 10 { failure.fact("", format!("… and {} more", count - 10)) } else { failure };
    Some(failure.help("build and push them: kmodforge build --push").help("deploy the others alone: --allow-missing"))
}

impl From<FleetError> for Failure {
    fn from(error: FleetError) -> Self {
        let failure = Self::new(Exit::Usage, error.to_string());
        match error {
            FleetError::NoRollout(_) => failure.help("an older kmodforge wrote it: run `kmodforge build --push` again, which records what is published"),
            FleetError::Unreadable { .. } => failure.help("expected what `kmodforge build` writes: kmodforge-record.json"),
            FleetError::SharedModule { .. } => failure.help("deploy one of the two: --driver NAME, or a record of its own"),
        }
    }
}
