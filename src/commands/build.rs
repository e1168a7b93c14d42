//! `kmodforge build`: the table of contents of the program.

mod licences;
mod options;
mod record_file;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use self::options::Choices;
use self::record_file::RecordFile;
use super::builder::{NoBuilder, connect_unless_cancelled, interrupted};
use super::session::{Session, temporary_folder};
use super::{attaching, outputs, selection};
use crate::builder::Builder;
use crate::cli::{BuildArgs, GlobalArgs, RunArgs};
use crate::env;
use crate::error::{Exit, Failure};
use crate::image::cache::LayerCache;
use crate::pipeline::attach::Attach;
use crate::pipeline::{self, Finished, Options, Workshop};
use crate::plan::{Plan, State};
use crate::record::Outcome;
use crate::reference::Digest;
use crate::registry::Registry;
use crate::ui::Ui;

/// Builds, checks and publishes what was selected.
///
/// # Errors
/// When nothing could be begun; what becomes of single targets is shown, recorded and told by the exit status.
pub async fn run(global: &GlobalArgs, args: &BuildArgs, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    let session = Session::open_in_gap(global, &args.select.project, &args.air_gap)?;
    refuse_nowhere(&session, args)?;
    forge(&session, args, ui, cancel).await
}

/// Builds and checks what was selected; images go where the arguments say, which may be nowhere.
///
/// # Errors
/// As [`run`].
pub async fn forge(session: &Session, args: &BuildArgs, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    let started = env::now();
    let choices = Choices::of(session, args)?;
    let booter = super::boot::booter(session, &args.boot, args.boot_together)?;

    let registry = Arc::new(session.registry(&args.registry)?);
    let (plan, bases) = tokio::select! {
        planned = plan(session, args, &choices, &registry, ui) => planned?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    selection::tell_skipped(&plan, ui);
    selection::tell_unverified(&plan, ui);
    if args.result.push {
        let accepted = session.project.iter().flat_map(|project| &project.content.accept_licences);
        licences::refuse(&plan, &accepted.chain(&args.licences.accepted_licences).map(String::as_str).collect::<Vec<_>>())?;
    }

    if let Some(booter) = &booter {
        let wanted = plan.targets.iter().filter(|target| matches!(target.state, State::Build(_)));
        super::boot::prepare(booter, wanted.map(|target| (target.arch, target.driver.profile.load.devices.as_slice())), ui).await?;
    }
    let builder = builder_for(&plan, session, args, ui, &cancel).await?;
    let work = temporary_folder()?;
    let options = choices.options(session, args, &plan, jobs(&args.run, builder.as_ref()), work.path(), bases);
    let workshop = Workshop { booter, ..workshop(session, options, args.result.push.then_some(registry), builder.clone())? };

    let record = RecordFile::new(&args.result.record, &plan, &builder.info().name, started);
    let progress = ui.progress();
    let finished = pipeline::run(&workshop, &plan.targets, &progress.events(), &cancel, &|index, result| record.keep(index, result)).await;
    progress.finish().await;

    let mut exit = exit_code(&plan, &finished, cancel.is_cancelled());
    let mut tell = |result: Result<(), Failure>| {
        if let Err(failure) = result {
            ui.failure(&failure);
            exit = exit.max(failure.exit);
        }
    };
    if !cancel.is_cancelled() {
        for failure in outputs::write(&args.result.outputs, &plan, &finished, builder.as_ref(), ui).await {
            tell(Err(failure));
        }
    }
    let (record, written) = record.finish();
    tell(written);
    print_digests(&finished, ui);
    ui.summary(&record, &args.result.record);
    Ok(exit)
}

/// An image that goes nowhere is refused before it is built.
fn refuse_nowhere(session: &Session, args: &BuildArgs) -> Result<(), Failure> {
    let repository = selection::has_repository(session, &args.select);
    if args.result.push && !repository {
        return Err(Failure::new(Exit::Usage, "there is no repository to push to").help("name one: --repo REGISTRY/PATH, or `repository:` in the project file"));
    }
    if !args.result.push && args.result.outputs.is_empty() {
        return Err(Failure::new(Exit::Usage, "the images would go nowhere").help("add --push, --output oci:DIR, --output oci-archive:FILE or --output docker"));
    }
    Ok(())
}

/// The plan, in which what is published already is settled if images are to be pushed, and the digests of its base images.
async fn plan(session: &Session, args: &BuildArgs, choices: &Choices, registry: &Registry, ui: &Ui) -> Result<(Plan, BTreeMap<String, Digest>), Failure> {
    let mut plan = selection::plan(session, &args.select, &choices.arguments(), ui).await?;
    refuse_unsigned(&plan, choices)?;
    let bases = selection::base_digests(session, registry, &plan).await;
    if args.result.push {
        selection::settle(&mut plan, registry, &bases, args.result.force).await?;
        let expected = choices.attach.as_ref().map(Attach::expected);
        attaching::settle(&mut plan, registry, expected.as_ref()).await?;
    }
    Ok((plan, bases))
}

/// KMM signs nothing that it can pull: an image whose Module wants signatures would stay without.
fn refuse_unsigned(plan: &Plan, choices: &Choices) -> Result<(), Failure> {
    let wanting = plan.targets.iter().find(|target| target.sign_only.is_some() && choices.signing.is_none());
    let Some(target) = wanting else { return Ok(()) };
    Err(Failure::new(Exit::Usage, format!("the Module wants `{}` signed, and there is no key to sign with", target.image))
        .help("name key and certificate: --sign-key FILE|pkcs11:…|exec:COMMAND --sign-cert FILE")
        .help("KMM signs nothing that it can pull; for images without signatures remove `sign` from the Module"))
}

/// The builder, if there is anything to build: a run that skips everything needs none.
async fn builder_for(plan: &Plan, session: &Session, args: &BuildArgs, ui: &Ui, cancel: &CancellationToken) -> Result<Arc<dyn Builder>, Failure> {
    if !plan.targets.iter().any(|target| matches!(target.state, State::Build(_))) {
        return Ok(Arc::new(NoBuilder::default()));
    }
    let builder = connect_unless_cancelled(session, &args.solve.builder.parse()?, cancel).await?;
    outputs::check(&args.result.outputs, builder.as_ref())?;
    ui.note(&format!("builder: {} at {}", builder.info().name, builder.info().endpoint));
    Ok(builder)
}

/// How many targets at once. Half of the time a target waits: for packages, the registry, a lock of the builder.
pub fn jobs(args: &RunArgs, builder: &dyn Builder) -> usize {
    let jobs = args.jobs.map_or_else(|| env::processors() * 2 + 2, usize::from);
    builder.info().max_parallel.map_or(jobs, |most| jobs.min(most))
}

/// What targets of a run share.
///
/// # Errors
/// When the cache cannot be used.
pub fn workshop(session: &Session, options: Options, registry: Option<Arc<Registry>>, builder: Arc<dyn Builder>) -> Result<Workshop, Failure> {
    Ok(Workshop {
        builder,
        fetcher: session.fetcher.clone(),
        registry,
        booter: None,
        layers: Arc::new(LayerCache::open(&session.cache.join("layers"))?),
        memory: session.memory.clone(),
        options,
        sources: pipeline::Once::default(),
        firmware: pipeline::Once::default(),
    })
}

/// The images that are there now, for programs: `registry/name:tag@sha256:…`.
fn print_digests(finished: &[Finished], ui: &Ui) {
    for target in finished.iter().filter(|finished| matches!(finished.record.outcome, Outcome::Built | Outcome::Published)) {
        if let (Some(image), Some(digest)) = (&target.record.image, &target.record.digest) {
            ui.data(&format!("{image}@{digest}\n"));
        }
    }
}

/// The worst of what became of the targets.
fn exit_code(plan: &Plan, finished: &[Finished], cancelled: bool) -> Exit {
    let any = |outcome: Outcome| finished.iter().any(|finished| finished.record.outcome == outcome);
    let done = any(Outcome::Built) || any(Outcome::Published);
    if cancelled {
        Exit::Interrupted
    } else if any(Outcome::Failed) || plan.skipped.iter().any(|skipped| skipped.reason.is_failure()) {
        Exit::Failed
    } else if any(Outcome::Rejected) {
        Exit::CheckFailed
    } else if done {
        Exit::Done
    } else {
        Exit::Unsupported
    }
}
