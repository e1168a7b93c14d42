//! `kmodforge fetch`: everything that targets are built from, in one folder.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::build::{jobs, workshop};
use super::builder::connect_unless_cancelled;
use super::session::{Session, load_catalog, source_date_epoch, temporary_folder};
use super::{selection, solving};
use crate::builder::Builder;
use crate::bundle::Draft;
use crate::cli::{FetchArgs, GlobalArgs};
use crate::env;
use crate::error::{Exit, Failure, counted};
use crate::fetch::Origin;
use crate::image::layer::Compression;
use crate::pipeline::{Gathering, Options, gather};
use crate::plan::Plan;
use crate::record::{Outcome, TargetRecord};
use crate::ui::{Ui, size};

/// Fills a bundle with what was selected.
///
/// # Errors
/// When nothing could be begun, or the bundle cannot be written; what becomes of single targets is shown and told by the exit status.
pub async fn run(global: &GlobalArgs, args: &FetchArgs, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    // What is wrong with profiles and project is told before anything is written.
    load_catalog(global, &args.select.project)?;
    let draft = Arc::new(Draft::open(&args.output)?);
    let session = Session::with_origin(global, &args.select.project, Origin::Recorded(draft.clone()))?;
    let (plan, options) = tokio::select! {
        planned = plan(&session, args, &draft, ui) => planned?,
        () = cancel.cancelled() => return Err(interrupted(&args.output)),
    };
    selection::tell_skipped(&plan, ui);
    selection::tell_unverified(&plan, ui);
    // Indexes were good by now, and are judged by this time where the bundle is used.
    let time = env::now().as_secs();
    if plan.targets.is_empty() {
        return Ok(if plan.skipped.iter().any(|skipped| skipped.reason.is_failure()) { Exit::Failed } else { Exit::Unsupported });
    }
    let builder = connect_unless_cancelled(&session, &args.solve.builder.parse()?, &cancel).await?;
    ui.note(&format!("builder: {} at {}", builder.info().name, builder.info().endpoint));
    let work = temporary_folder()?;
    let options = Options { jobs: jobs(&args.run, builder.as_ref()), work: work.path().to_owned(), ..options };
    let finished = fetch(&session, args, &plan, Parts { options, builder, draft: draft.clone() }, ui, &cancel).await?;
    if cancel.is_cancelled() {
        return Err(interrupted(&args.output));
    }
    finish(&plan, &finished, &draft, time, &args.output, ui)
}

/// The plan, and everything about the run that it decides. Base images are asked for their digests, which images are labelled with.
async fn plan(session: &Session, args: &FetchArgs, draft: &Draft, ui: &Ui) -> Result<(Plan, Options), Failure> {
    // What becomes of the modules later makes no difference to what they are built from.
    let compression = Compression::default();
    let plan = selection::plan(session, &args.select, &super::plan::arguments(compression, 0), ui).await?;
    refuse_images(&plan)?;
    let registry = session.registry(&args.registry)?;
    let bases = selection::base_digests(session, &registry, &plan).await;
    for (reference, digest) in &bases {
        draft.base_image(reference, digest);
    }
    let options = Options {
        jobs: 1,
        fail_fast: args.run.fail_fast,
        solve: Arc::new(solving::options(&args.solve, false)?),
        compression,
        epoch: source_date_epoch()?,
        attach: None,
        logs: args.log_dir.clone(),
        work: env::temp_dir(),
        base_digests: bases,
        signing: None,
        driver_folders: session.driver_folders(&plan),
    };
    Ok((plan, options))
}

/// A bundle holds files; what an image has stays in a registry.
fn refuse_images(plan: &Plan) -> Result<(), Failure> {
    let Some(target) = plan.targets.iter().find(|target| target.kernel.headers_image.is_some()) else { return Ok(()) };
    Err(Failure::new(Exit::Usage, format!("a bundle cannot hold the headers of {}", target.kernel.release))
        .fact("because", format!("they are part of the image {}", target.build_image()))
        .help("copy the image to a registry within reach, name that in `mirrors` → `images`, and build without a bundle"))
}

/// What a run works with.
struct Parts {
    options: Options,
    builder: Arc<dyn Builder>,
    draft: Arc<Draft>,
}

async fn fetch(session: &Session, args: &FetchArgs, plan: &Plan, parts: Parts, ui: &Ui, cancel: &CancellationToken) -> Result<Vec<TargetRecord>, Failure> {
    let gathering = Gathering {
        workshop: &workshop(session, parts.options, None, parts.builder)?,
        draft: parts.draft,
        boot: args.boot || session.project.as_ref().and_then(|project| project.content.boot).is_some_and(|boot| boot.on),
        keep_toolchains: !args.solve.no_cache,
    };
    let progress = ui.progress();
    let finished = gather(&gathering, &plan.targets, &progress.events(), cancel).await;
    progress.finish().await;
    Ok(finished)
}

/// Writes down what is in the bundle, if anything is, and says so.
fn finish(plan: &Plan, finished: &[TargetRecord], draft: &Draft, time: u64, folder: &Path, ui: &Ui) -> Result<Exit, Failure> {
    let fetched = finished.iter().filter(|record| record.outcome == Outcome::Fetched).count();
    let complete = fetched == finished.len();
    if fetched > 0 {
        let filled = draft.finish(concat!("kmodforge ", env!("CARGO_PKG_VERSION")), time, complete)?;
        ui.data(&format!("{}@{}\n", folder.display(), filled.digest));
        ui.note(&format!("{} in {}, for {}", size(filled.bytes), counted(filled.files, "file"), counted(fetched, "target")));
    }
    if !complete {
        ui.note(&format!("{} not fetched; run again: what is there stays", counted(finished.len() - fetched, "target")));
    }
    let failed = !complete || plan.skipped.iter().any(|skipped| skipped.reason.is_failure());
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn interrupted(folder: &Path) -> Failure {
    Failure::new(Exit::Interrupted, format!("interrupted before `{}` was complete", folder.display())).help("run again: what was fetched stays")
}
