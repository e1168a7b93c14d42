//! `kmodforge build`: the table of contents of the program.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::session::{Session, source_date_epoch};
use super::{outputs, selection};
use crate::builder::{Builder, Secret, SolveOptions};
use crate::buildkit::{self, BuilderChoice};
use crate::cli::{BuildArgs, Compression, GlobalArgs, Output, SecretArg, SecretSource};
use crate::env;
use crate::error::{Exit, Failure, io_words};
use crate::image::cache::LayerCache;
use crate::image::layer;
use crate::pipeline::event::Event;
use crate::pipeline::{self, Finished, Options, Workshop};
use crate::plan::{Plan, State};
use crate::record::{Outcome, Record, SCHEMA, TargetRecord};
use crate::reference::Digest;
use crate::registry::Registry;
use crate::ui::Ui;

/// Secrets that rendered Dockerfiles use.
const SECRETS: [&str; 1] = ["apt-auth"];

/// Builds, checks and publishes what was selected.
///
/// # Errors
/// When nothing could be begun; what becomes of single targets is shown, recorded and told by the exit status.
pub async fn run(global: &GlobalArgs, args: &BuildArgs, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    let started = env::now();
    let session = Session::open(global, &args.select.project)?;
    let solve = Arc::new(solve_options(args)?);
    let epoch = source_date_epoch()?;
    refuse_nowhere(&session, args)?;

    let registry = Arc::new(session.registry(&args.registry)?);
    let planning = make_plan(&session, args, &registry, epoch);
    let (plan, bases) = tokio::select! {
        planned = planning => planned?,
        () = cancel.cancelled() => return Err(interrupted()),
    };
    for skipped in &plan.skipped {
        match Failure::try_from(skipped) {
            Ok(failure) => ui.failure(&failure),
            Err(reason) => ui.note(&format!("{}: {reason}", skipped.target)),
        }
    }

    let work = tempfile::Builder::new().prefix("kmodforge-").tempdir().map_err(|error| no_room(&error))?;
    let options = |jobs| Options {
        jobs,
        fail_fast: args.run.fail_fast,
        mirrors: session.mirrors(),
        solve: solve.clone(),
        compression: match args.result.compression {
            Compression::Zstd => layer::Compression::Zstd,
            Compression::Gzip => layer::Compression::Gzip,
        },
        epoch,
        logs: args.result.log_dir.clone(),
        work: work.path().to_owned(),
        base_digests: bases.clone(),
        driver_folders: plan
            .targets
            .iter()
            .map(|target| (target.driver.profile.id.to_string(), session.driver_folder(target.driver.profile.id.as_str())))
            .collect(),
    };

    let to_build = plan.targets.iter().any(|target| matches!(target.state, State::Build(_)));
    let (builder, builder_name): (Arc<dyn Builder>, String) = if to_build {
        let connected = connect(args, &session, ui, &cancel).await?;
        outputs::check(&args.result.outputs, connected.as_ref())?;
        let name = connected.info().name.clone();
        (connected, name)
    } else {
        (Arc::new(NoBuilder::default()), String::new())
    };
    let jobs = args.run.jobs.map_or_else(|| env::processors() * 2 + 2, usize::from);
    let jobs = builder.info().max_parallel.map_or(jobs, |most| jobs.min(most));
    let workshop = Workshop {
        builder: builder.clone(),
        fetcher: session.fetcher.clone(),
        registry: args.result.push.then(|| registry.clone()),
        layers: Arc::new(LayerCache::open(&session.cache.join("layers")).map_err(Failure::from)?),
        memory: session.memory.clone(),
        options: options(jobs),
        sources: pipeline::Once::default(),
        firmware: pipeline::Once::default(),
    };

    let record = Mutex::new(new_record(&plan, started, builder_name));
    let progress = ui.progress();
    let finished = run_targets(&workshop, &plan, &record, &args.result.record, &progress.events(), &cancel).await;
    progress.finish().await;

    let mut outcome = exit_code(&plan, &finished, cancel.is_cancelled());
    if !cancel.is_cancelled() {
        for failure in outputs::write(&args.result.outputs, &plan, &finished, builder.as_ref(), ui).await {
            ui.failure(&failure);
            outcome = outcome.max(failure.exit);
        }
    }
    let mut record = record.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    record.seconds = env::now().saturating_sub(started).as_secs_f64();
    if let Err(failure) = write_record(&args.result.record, &record) {
        ui.failure(&failure);
        outcome = outcome.max(Exit::Failed);
    }
    for target in finished.iter().filter(|finished| matches!(finished.record.outcome, Outcome::Built | Outcome::Published)) {
        if let (Some(image), Some(digest)) = (&target.record.image, &target.record.digest) {
            ui.data(&format!("{image}@{digest}\n"));
        }
    }
    ui.summary(&record, &args.result.record);
    Ok(outcome)
}

/// What is to be done, and the digests of base images.
async fn make_plan(session: &Session, args: &BuildArgs, registry: &Registry, epoch: u64) -> Result<(Plan, HashMap<String, Digest>), Failure> {
    let arguments = super::plan::arguments(compression_name(args.result.compression), epoch);
    let mut plan = selection::plan(session, &args.select, &arguments).await?;
    let bases = selection::base_digests(session, registry, &plan).await;
    if args.result.push {
        selection::settle(&mut plan, registry, &bases, args.result.force).await?;
    }
    Ok((plan, bases))
}

/// Runs the pipeline; the record on disk grows with every finished target, so that a later failure loses nothing.
async fn run_targets(
    workshop: &Workshop,
    plan: &Plan,
    record: &Mutex<Record>,
    file: &Path,
    events: &UnboundedSender<Event>,
    cancel: &CancellationToken,
) -> Vec<Finished> {
    let done = |index: usize, result: &TargetRecord| {
        let mut record = record.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        record.targets[index] = result.clone();
        if result.outcome != Outcome::Published {
            // Tried again, and told, at the end.
            let _ = write_record(file, &record);
        }
    };
    pipeline::run(workshop, &plan.targets, events, cancel, &done).await
}

fn new_record(plan: &Plan, started: std::time::Duration, builder: String) -> Record {
    Record {
        schema: SCHEMA,
        tool: format!("kmodforge {}", env!("CARGO_PKG_VERSION")),
        started: started.as_secs(),
        seconds: 0.0,
        builder,
        targets: plan.targets.iter().map(|target| pipeline::blank_record(target, Outcome::Cancelled, "not begun")).collect(),
    }
}

fn write_record(file: &Path, record: &Record) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
        std::fs::create_dir_all(&folder)?;
        let temporary = tempfile::NamedTempFile::new_in(&folder)?;
        serde_json::to_writer_pretty(&temporary, record)?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        temporary.as_file().set_permissions(permissions)?;
        temporary.persist(file).map_err(|error| error.error)?;
        Ok(())
    };
    write().map_err(|error| {
        Failure::new(Exit::Failed, format!("the record `{}` cannot be written: {}", file.display(), io_words(&error)))
            .help("choose another place: --record FILE; what was pushed stays pushed")
    })
}

async fn connect(args: &BuildArgs, session: &Session, ui: &Ui, cancel: &CancellationToken) -> Result<Arc<dyn Builder>, Failure> {
    let choice: BuilderChoice = args.solve.builder.parse()?;
    let builder = connect_builder(session, &choice, cancel).await?;
    ui.note(&format!("builder: {} at {}", builder.info().name, builder.info().endpoint));
    Ok(builder)
}

/// A connected builder; a private one ends when it is dropped.
///
/// # Errors
/// When there is none.
pub async fn connect_builder(session: &Session, choice: &BuilderChoice, cancel: &CancellationToken) -> Result<Arc<dyn Builder>, Failure> {
    let hosts = session.image_hosts();
    let options = buildkit::Options { cache_dir: &session.cache, insecure_registries: &hosts, credentials: session.credentials()? };
    tokio::select! {
        connected = buildkit::connect(choice, &options) => Ok(Arc::new(connected?.builder)),
        () = cancel.cancelled() => Err(interrupted()),
    }
}

fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted before anything was built")
}

fn no_room(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("no temporary folder can be made in `{}`: {}", env::temp_dir().display(), io_words(error)))
        .help("set TMPDIR to a folder that can be written and has room")
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

fn compression_name(compression: Compression) -> &'static str {
    match compression {
        Compression::Zstd => "zstd",
        Compression::Gzip => "gzip",
    }
}

fn solve_options(args: &BuildArgs) -> Result<SolveOptions, Failure> {
    Ok(SolveOptions {
        secrets: args.solve.secrets.iter().map(read_secret).collect::<Result<_, _>>()?,
        network: args.solve.network,
        cache_from: args.solve.cache_from.clone(),
        cache_to: args.solve.cache_to.clone(),
        no_cache: args.solve.no_cache,
    })
}

fn read_secret(secret: &SecretArg) -> Result<Secret, Failure> {
    if !SECRETS.contains(&secret.id.as_str()) {
        return Err(Failure::new(Exit::Usage, format!("no build step uses a secret `{}`", secret.id))
            .fact("expected", "`apt-auth`: logins for package repositories, as apt_auth.conf(5) describes them"));
    }
    let data = match &secret.source {
        SecretSource::File(file) => {
            std::fs::read(file).map_err(|error| Failure::new(Exit::Usage, format!("the secret's file `{}` cannot be read: {error}", file.display())))?
        }
        SecretSource::Env(name) => env::var(name).ok_or_else(|| Failure::new(Exit::Usage, format!("the secret's variable `{name}` is not set")))?.into_bytes(),
    };
    Ok(Secret { id: secret.id.clone(), data: data.into() })
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

/// Stands in where nothing is to be built, so that a run that skips everything needs no builder.
#[derive(Default)]
struct NoBuilder(crate::builder::BuilderInfo);

impl Builder for NoBuilder {
    fn info(&self) -> &crate::builder::BuilderInfo {
        &self.0
    }

    fn solve<'a>(
        &'a self,
        _: crate::builder::SolveRequest,
        _: &'a Path,
        _: UnboundedSender<crate::builder::BuildEvent>,
        _: CancellationToken,
    ) -> futures::future::BoxFuture<'a, Result<(), crate::builder::SolveError>> {
        Box::pin(async { Err(crate::builder::SolveError::Unsupported("there is nothing to build".into())) })
    }
}

/// Names of the outputs, for messages.
#[must_use]
pub fn output_name(output: &Output) -> String {
    match output {
        Output::OciDir(folder) => format!("oci:{}", folder.display()),
        Output::OciArchive(file) => format!("oci-archive:{}", file.display()),
        Output::Docker => "docker".into(),
    }
}
