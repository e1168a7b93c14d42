//! The story of one target: render → fetch, headers → solve → check → sign → boot → assemble → publish → attach → record.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

use super::event::{Event, Phase};
use super::instructions::Instructions;
use super::log::Log;
use super::sources::{firmware, sources};
use super::together::{Seat, Slot};
use super::{Finished, TargetError, Workshop, blank_record, seconds};
use crate::builder::{Content, ContextFile, SolveError, SolveRequest};
use crate::check;
use crate::error::Failure;
use crate::fetch::source::{self, PreparedFirmware, PreparedSource};
use crate::finding::Severity;
use crate::image::artifacts::Artifacts;
use crate::image::assemble::{Image, ImageSpec, assemble};
use crate::kmod::config::KernelConfig;
use crate::plan::{State, Target};
use crate::record::{Outcome, TargetRecord};
use crate::render;

/// Does what the plan says about a target, and tells how it went.
pub(super) async fn build(
    workshop: &Workshop,
    target: &Target,
    index: usize,
    place: Place<'_>,
    events: &UnboundedSender<Event>,
    cancel: &CancellationToken,
) -> (Finished, Option<Failure>) {
    if let State::Published { manifest, index } = &target.state {
        let (digest, index_digest) = (Some(manifest.to_string()), Some(index.to_string()));
        let record = TargetRecord { digest, index_digest, ..blank_record(target, Outcome::Published, "already published") };
        return (Finished { record, image: None }, None);
    }
    if cancel.is_cancelled() {
        return (Finished { record: blank_record(target, Outcome::Cancelled, "not begun"), image: None }, None);
    }
    let _ = events.send(Event::TargetStarted(index));
    let mut story = Story::new(workshop, target, index, place, events, cancel);
    let result = story.build().await;
    let (record, image, failure) = story.end(result);
    (Finished { record, image }, failure)
}

/// Where a target is worked on.
pub(super) struct Place<'a> {
    /// Its worker.
    pub(super) slot: Slot<'a>,
    /// Its part in a boot that it shares with others.
    pub(super) seat: Option<Seat>,
}

/// One target on its way.
pub(super) struct Story<'a> {
    pub(super) workshop: &'a Workshop,
    /// As it was planned; once its build has told which modules there are, with them.
    pub(super) target: Cow<'a, Target>,
    index: usize,
    place: Place<'a>,
    events: &'a UnboundedSender<Event>,
    pub(super) cancel: &'a CancellationToken,
    log: Log,
    pub(super) record: TargetRecord,
    started: std::time::Duration,
    /// Whether a module taints the kernel as proprietary.
    proprietary: bool,
    phases: BTreeMap<String, f64>,
    phase: Option<(Phase, std::time::Duration)>,
    /// Context files that every solve has.
    files: Vec<ContextFile>,
}

impl<'a> Story<'a> {
    pub(super) fn new(
        workshop: &'a Workshop,
        target: &'a Target,
        index: usize,
        place: Place<'a>,
        events: &'a UnboundedSender<Event>,
        cancel: &'a CancellationToken,
    ) -> Self {
        let name = format!("{}-{}-{}-{}", target.driver.profile.id, target.driver.version().version, target.kernel.release.tag(), target.arch);
        Self {
            workshop,
            target: Cow::Borrowed(target),
            index,
            place,
            events,
            cancel,
            log: Log::open(&workshop.options.logs, &name),
            record: blank_record(target, Outcome::Built, "built"),
            started: crate::env::now(),
            proprietary: false,
            phases: BTreeMap::new(),
            phase: None,
            files: Vec::new(),
        }
    }

    /// What is left of it: the record, what came out, and what the user is told when nothing did.
    pub(super) fn end<T>(self, result: Result<T, TargetError>) -> (TargetRecord, Option<T>, Option<Failure>) {
        let mut record = self.record;
        record.log = self.log.path().map(|path| path.display().to_string());
        record.seconds = seconds(crate::env::now().saturating_sub(self.started));
        record.phases = self.phases;
        match result {
            Ok(value) => (record, Some(value), None),
            Err(error) => {
                record.outcome = error.outcome();
                record.why = error.summary();
                if let TargetError::Rejected(_) | TargetError::NotLoaded { .. } = &error {
                    record.digest = None;
                }
                (record, None, error.explain(&self.target))
            }
        }
    }

    async fn build(&mut self) -> Result<Image, TargetError> {
        if self.log.path().is_none() {
            let _ = self.events.send(Event::Note(format!("the build log {}", self.log.describe())));
        }
        let options = &self.workshop.options;
        let Instructions { dockerfile, files } = Instructions::of(&self.target, &self.workshop.fetcher, &options.base_digests).await?;
        self.files = files;
        let (source, firmware) = self.prepare(&dockerfile).await?;
        self.enter(Phase::Compile);
        self.consult_conf(&dockerfile, &source).await?;
        let tar = self.solve(&dockerfile, "artifacts", self.context(&source)).await?;
        self.enter(Phase::Check);
        let artifacts = self.check(&tar, firmware.as_ref()).await?;
        let artifacts = self.sign(artifacts).await?;
        self.boot(&artifacts, firmware.as_ref()).await?;
        let gathered = self.gather(&artifacts, &source, firmware.as_ref()).await?;
        self.enter(Phase::Assemble);
        let image = self.assemble(artifacts, firmware).await?;
        self.enter(Phase::Publish);
        self.publish(&image).await?;
        if let Some(gathered) = gathered {
            self.enter(Phase::Attach);
            self.attach(&image, &gathered).await?;
        }
        self.leave();
        Ok(image)
    }

    pub(super) fn enter(&mut self, phase: Phase) {
        self.leave();
        self.phase = Some((phase, crate::env::now()));
        let _ = self.events.send(Event::Phase(self.index, phase));
    }

    pub(super) fn leave(&mut self) {
        if let Some((phase, since)) = self.phase.take() {
            *self.phases.entry(phase.name().into()).or_default() += seconds(crate::env::now().saturating_sub(since));
        }
    }

    /// What it does within its phase.
    pub(super) fn tell(&self, words: &str) {
        let _ = self.events.send(Event::Doing(self.index, words.to_owned()));
    }

    /// The source is fetched by this machine while the builder unpacks the headers.
    async fn prepare(&mut self, dockerfile: &Arc<str>) -> Result<(PreparedSource, Option<PreparedFirmware>), TargetError> {
        let target = self.target.clone();
        let fetching = fetch(self.workshop, &target);
        let consulting = async {
            self.enter(Phase::Headers);
            self.consult_headers(dockerfile).await?;
            self.enter(Phase::Fetch);
            Ok::<_, TargetError>(())
        };
        let (fetched, consulted) = tokio::join!(fetching, consulting);
        consulted?;
        let (source, firmware) = fetched?;
        self.record.source = Some(format!("{} sha256:{}", source.origin, source.origin_sha256));
        Ok((source, firmware))
    }

    /// What only the headers can tell is asked before anything compiles, and remembered.
    async fn consult_headers(&mut self, dockerfile: &Arc<str>) -> Result<(), TargetError> {
        let rules = self.target.driver.config_rules();
        if rules.is_empty() {
            return Ok(());
        }
        let config = if let Some(config) = self.workshop.memory.config(&self.target.kernel) {
            config
        } else {
            let tar = self.solve(dockerfile, "facts", Vec::new()).await?;
            let bytes = Artifacts::open(&tar)?.read("evidence/config")?;
            let _ = std::fs::remove_file(&tar);
            if let Err(error) = self.workshop.memory.remember(&self.target.kernel, &bytes) {
                let _ = self.events.send(Event::Note(format!("the configuration of {} could not be kept: {error}", self.target.kernel.release)));
            }
            KernelConfig::parse(&String::from_utf8_lossy(&bytes))
        };
        check::unsupported(&config, &rules).map_or(Ok(()), |reason| Err(TargetError::Unsupported(reason)))
    }

    /// Whether the driver is for this kernel at all, where only its `dkms.conf` knows. It is run in the builder, before anything compiles.
    async fn consult_conf(&mut self, dockerfile: &Arc<str>, source: &PreparedSource) -> Result<(), TargetError> {
        if self.target.driver.dkms().is_none() {
            return Ok(());
        }
        let tar = self.solve(dockerfile, "conf", self.context(source)).await?;
        let reason = super::discover::unsupported(&Artifacts::open(&tar)?)?;
        let _ = std::fs::remove_file(&tar);
        reason.map_or(Ok(()), |reason| Err(TargetError::Unsupported(reason)))
    }

    /// The build's context: the driver's source, and what the Dockerfile adds besides. Firmware does not pass through the builder.
    fn context(&self, source: &PreparedSource) -> Vec<ContextFile> {
        let tar = Content::File { path: source.tar.clone(), sha256: source.sha256.clone() };
        let scripts = render::scripts(&self.target).into_iter().map(|(name, text)| (name, Content::Bytes(text.as_bytes().into())));
        [("source.tar", tar)].into_iter().chain(scripts).map(|(path, content)| ContextFile { path: path.to_owned(), content }).collect()
    }

    /// Has the builder solve a stage; the result is a tar in the work folder.
    pub(super) async fn solve(&mut self, dockerfile: &Arc<str>, stage: &str, context: Vec<ContextFile>) -> Result<PathBuf, TargetError> {
        let label = self.target.label();
        let request = SolveRequest {
            name: format!("{} {} {}", label.driver, label.version, label.kernel),
            dockerfile: dockerfile.clone(),
            stage: stage.to_owned(),
            build_args: Vec::new(),
            context: [context, self.files.clone()].concat(),
            platform: Some(render::platform(&self.target).to_owned()),
            options: self.workshop.options.solve.clone(),
        };
        let output = self.workshop.options.work.join(format!("{}-{stage}.tar", self.index));
        let (sender, mut receiver) = unbounded_channel();
        let solving = self.workshop.builder.solve(request, &output, sender, self.cancel.clone());
        let (log, events, index) = (&mut self.log, self.events, self.index);
        let listening = async {
            while let Some(event) = receiver.recv().await {
                log.write(&event);
                let _ = events.send(Event::Build(index, super::log::shorten(event)));
            }
        };
        let (result, ()) = tokio::join!(solving, listening);
        match result {
            Ok(()) => Ok(output),
            Err(SolveError::Cancelled) => Err(TargetError::Cancelled),
            Err(error) => Err(TargetError::Solve { error, log: self.log.describe() }),
        }
    }

    async fn check(&mut self, tar: &Path, firmware: Option<&PreparedFirmware>) -> Result<Arc<Artifacts>, TargetError> {
        let (target, tar, firmware) = (self.target.clone().into_owned(), tar.to_owned(), firmware.cloned());
        let (artifacts, target, inspection) = blocking(move || {
            let artifacts = Artifacts::open(&tar)?;
            let target = super::discover::with_modules(target, &artifacts)?;
            let inspection = super::inspect(&target, &artifacts, firmware.as_ref())?;
            Ok((Arc::new(artifacts), target, inspection))
        })
        .await?;
        if self.target.driver.modules().is_empty() {
            let _ = self.events.send(Event::Note(super::discover::describe(&target)));
        }
        if self.target.driver.modules().len() != target.driver.modules().len() {
            let found = super::blank_record(&target, Outcome::Built, "built");
            (self.record.modules, self.record.rollout) = (found.modules, found.rollout);
        }
        self.target = Cow::Owned(target);
        let errors = inspection.errors();
        self.record.checks = inspection.checks;
        self.record.findings = inspection.findings;
        self.record.compiler = Some(inspection.compiler);
        self.proprietary = inspection.proprietary;
        if errors.is_empty() { Ok(artifacts) } else { Err(TargetError::Rejected(errors)) }
    }

    async fn sign(&mut self, artifacts: Arc<Artifacts>) -> Result<Arc<Artifacts>, TargetError> {
        let Some(signing) = self.workshop.options.signing.clone() else { return Ok(artifacts) };
        self.enter(Phase::Sign);
        let signed = blocking({
            let (signing, only) = (signing.clone(), self.target.sign_only.clone());
            move || super::sign::sign(&artifacts, &signing, only.as_deref())
        })
        .await?;
        self.record.signer = Some(signing.describe(signed.hash));
        self.record.findings.extend(signed.warning);
        Ok(Arc::new(signed.artifacts))
    }

    /// Loads the modules into their kernel, if that is asked for.
    async fn boot(&mut self, artifacts: &Arc<Artifacts>, firmware: Option<&PreparedFirmware>) -> Result<(), TargetError> {
        let Some(booter) = &self.workshop.booter else { return Ok(()) };
        self.enter(Phase::Boot);
        let log = self.log.of_boot();
        let (events, index) = (self.events.clone(), self.index);
        let tell = Arc::new(move |words: &str| _ = events.send(Event::Doing(index, words.to_owned())));
        let subject = super::boot::subject(&self.target, artifacts.clone(), firmware, log.clone(), tell)?;
        let work = &self.workshop.options.work;
        let (report, others) = match self.place.seat.take() {
            Some(seat) => {
                let others = seat.others();
                (seat.boot(booter, subject, work, &mut self.place.slot, self.cancel).await?, others)
            }
            None => (booter.check(&subject, work, self.cancel).await?, Vec::new()),
        };
        self.record.boot = Some(super::boot_record(&report, &log, others));
        let errors: Vec<_> = report.findings.iter().filter(|finding| finding.severity == Severity::Error).cloned().collect();
        self.record.findings.extend(report.findings);
        if errors.is_empty() { Ok(()) } else { Err(TargetError::NotLoaded { findings: errors, log: log.display().to_string() }) }
    }

    async fn assemble(&mut self, artifacts: Arc<Artifacts>, firmware: Option<PreparedFirmware>) -> Result<Image, TargetError> {
        let spec = self.spec();
        let work = self.workshop.options.work.join(format!("{}-image", self.index));
        let layers = self.workshop.layers.clone();
        let image = blocking(move || {
            std::fs::create_dir_all(&work).map_err(|error| TargetError::Internal(format!("{}: {error}", work.display())))?;
            Ok(assemble(&artifacts, firmware.as_ref().map(|firmware| firmware.tar.as_path()), &spec, &layers, &work)?)
        })
        .await?;
        let _ = std::fs::remove_file(self.workshop.options.work.join(format!("{}-artifacts.tar", self.index)));
        self.record.digest = Some(image.manifest.digest.to_string());
        self.record.image_bytes = image.total_size;
        Ok(image)
    }

    fn spec(&self) -> ImageSpec {
        let options = &self.workshop.options;
        let mut labels = render::labels(&self.target);
        labels.extend(render::input_annotations(&self.target, options.base_digests.get(self.target.build_image())));
        if let Some(signer) = &self.record.signer {
            labels.extend(render::signer_labels(signer));
        }
        if self.proprietary {
            labels.insert(render::TAINTS.into(), "P".into());
        }
        ImageSpec {
            epoch: options.epoch,
            compression: options.compression,
            annotations: labels.clone(),
            labels,
            env: vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin".into()],
            ..ImageSpec::new(self.target.arch)
        }
    }

    async fn publish(&mut self, image: &Image) -> Result<(), TargetError> {
        let Some(registry) = &self.workshop.registry else { return Ok(()) };
        if self.cancel.is_cancelled() {
            return Err(TargetError::Cancelled);
        }
        let (events, index) = (self.events.clone(), self.index);
        let progress = move |bytes: u64, total: u64| {
            let _ = events.send(Event::Upload { target: index, bytes, total });
        };
        let pushed = tokio::select! {
            pushed = registry.push(&self.target.image, image, &progress) => pushed?,
            () = self.cancel.cancelled() => return Err(TargetError::Cancelled),
        };
        self.record.index_digest = Some(pushed.index.to_string());
        self.record.pushed_bytes = pushed.uploaded_bytes;
        Ok(())
    }
}

/// Source and firmware, from the first place that has them.
pub(super) async fn fetch(workshop: &Workshop, target: &Target) -> Result<(PreparedSource, Option<PreparedFirmware>), TargetError> {
    let version = target.driver.version();
    let key = (target.driver.profile.id.to_string(), version.version.to_string());
    let folder = workshop.options.driver_folders.get(&key.0).cloned().unwrap_or_default();
    let fetcher = &workshop.fetcher;
    let source = workshop.sources.get(key.clone(), || async { source::prepare(fetcher, &sources(version), &folder).await }).await?;
    let firmware = workshop.firmware.get(key, || async { source::prepare_firmware(fetcher, &firmware(version), &folder).await }).await?;
    Ok((source, firmware))
}

pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, TargetError> + Send + 'static) -> Result<T, TargetError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| TargetError::Internal(error.to_string()))?
}
