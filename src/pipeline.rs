//! N targets at a time, and what they share. The story of one target is in [`target`].

pub mod attach;
mod boot;
mod discover;
pub mod event;
mod failure;
mod gather;
mod inspect;
mod instructions;
mod log;
mod sign;
mod sources;
mod target;
mod together;

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

pub use boot::{boot_plan, boot_record};
pub use discover::name_modules;
pub use failure::{TargetError, explain_solve};
pub use gather::{Gathering, gather};
pub use inspect::{Inspection, expectations, inspect, kernel_facts};
pub use instructions::Instructions;
pub use sign::Signing;
pub use sources::{firmware, sources};

use self::event::Event;
use self::target::Place;
use self::together::{Groups, Slot};
use crate::boot::Booter;
use crate::builder::{Builder, SolveOptions, SolveRequest};
use crate::fetch::Fetcher;
use crate::fetch::source::{PreparedFirmware, PreparedSource};
use crate::image::assemble::Image;
use crate::image::cache::LayerCache;
use crate::image::layer::Compression;
use crate::kernel_memory::KernelMemory;
use crate::plan::{State, Target};
use crate::record::{Outcome, TargetLabel, TargetRecord};
use crate::reference::Digest;
use crate::registry::Registry;
use crate::render;

/// What all targets of a run have in common.
pub struct Workshop {
    /// Where is built.
    pub builder: Arc<dyn Builder>,
    /// Where sources come from.
    pub fetcher: Arc<Fetcher>,
    /// Where images are pushed; `None` if they are not.
    pub registry: Option<Arc<Registry>>,
    /// Layers that targets share.
    pub layers: Arc<LayerCache>,
    /// Configurations of kernels.
    pub memory: KernelMemory,
    /// What boots kernels with the images; `None` if that is not done.
    pub booter: Option<Arc<Booter>>,
    /// Choices.
    pub options: Options,
    /// Sources, prepared once per driver version.
    pub sources: Once<(String, String), PreparedSource>,
    /// Firmware, prepared once per driver version.
    pub firmware: Once<(String, String), Option<PreparedFirmware>>,
}

/// Choices of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many targets at once.
    pub jobs: usize,
    /// Stop at the first failure.
    pub fail_fast: bool,
    /// What every solve has in common.
    pub solve: Arc<SolveOptions>,
    /// Compression of layers.
    pub compression: Compression,
    /// Time of everything in the image, seconds since 1970.
    pub epoch: u64,
    /// What is attached to published images; nothing if `None`.
    pub attach: Option<attach::Attach>,
    /// Folder for build logs.
    pub logs: PathBuf,
    /// Folder for what is on its way; the caller removes it.
    pub work: PathBuf,
    /// Digests of base images, by the reference in the profile, where a registry tells.
    pub base_digests: BTreeMap<String, Digest>,
    /// Who signs the modules, if anybody does.
    pub signing: Option<Signing>,
    /// Folder that relative `path:` sources of a driver count from, by its id.
    pub driver_folders: HashMap<String, PathBuf>,
}

/// Results that are made once, whoever asks first; a failure is not kept.
pub struct Once<K, V>(Mutex<HashMap<K, Arc<OnceCell<V>>>>);

impl<K, V> Default for Once<K, V> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
    }
}

impl<K: Hash + Eq, V: Clone> Once<K, V> {
    /// The value for `key`, made by `make` if nobody has made it.
    ///
    /// # Errors
    /// What `make` says.
    pub async fn get<E, F: Future<Output = Result<V, E>>>(&self, key: K, make: impl FnOnce() -> F) -> Result<V, E> {
        let cell = match self.0.lock() {
            Ok(mut cells) => cells.entry(key).or_default().clone(),
            Err(poisoned) => poisoned.into_inner().entry(key).or_default().clone(),
        };
        cell.get_or_try_init(make).await.cloned()
    }
}

/// What a target left.
pub struct Finished {
    /// For the record.
    pub record: TargetRecord,
    /// The image, if there is one; its layers lie in the work folder.
    pub image: Option<Image>,
}

/// Works on all targets, `jobs` at a time, and returns what became of each, in the order of `targets`.
///
/// `done` is called after each target, so that results are kept whatever happens to later ones.
pub async fn run(
    workshop: &Workshop,
    targets: &[Target],
    events: &UnboundedSender<Event>,
    cancel: &CancellationToken,
    done: &(dyn Fn(usize, &TargetRecord) + Sync),
) -> Vec<Finished> {
    let labels: Arc<[TargetLabel]> = targets.iter().map(Target::label).collect();
    let _ = events.send(Event::Started { targets: labels });
    let stop = cancel.child_token();
    let groups = if workshop.booter.as_ref().is_some_and(|booter| booter.together()) { Groups::of(targets) } else { Groups::default() };
    let slots = Semaphore::new(workshop.options.jobs.max(1));
    let finished: Vec<_> = targets.iter().map(|_| OnceLock::new()).collect();
    let work = async |index: usize, slot: Slot<'_>| {
        let started = crate::env::now();
        let place = Place { slot, seat: groups.seat(index) };
        let (result, failure) = target::build(workshop, &targets[index], index, place, events, &stop).await;
        let time = crate::env::now().saturating_sub(started);
        if workshop.options.fail_fast && matches!(result.record.outcome, Outcome::Failed | Outcome::Rejected) {
            stop.cancel();
        }
        done(index, &result.record);
        let _ = events.send(Event::TargetFinished { target: index, record: Box::new(result.record.clone()), failure: failure.map(Box::new), time });
        let _ = finished[index].set(result);
    };
    // No target begins before it has a place; one that lends its place to others stays among those at work.
    let places = futures::stream::iter(groups.order(targets.len())).then(|index| Slot::take(&slots).map(move |slot| (index, slot)));
    let working = places.for_each_concurrent(None, |(index, slot)| work(index, slot));
    tokio::join!(working, warm_up(workshop, targets, &stop));
    let mut finished: Vec<_> = finished.into_iter().filter_map(OnceLock::into_inner).collect();
    for (index, finished) in finished.iter_mut().enumerate() {
        let last = workshop.registry.as_ref().and_then(|registry| registry.index_of(&targets[index].image)).map(|digest| digest.to_string());
        // Another architecture under the same tag came later.
        if finished.record.index_digest.is_some() && last.is_some() && finished.record.index_digest != last {
            finished.record.index_digest = last;
            done(index, &finished.record);
        }
    }
    finished
}

/// Has the builder install each toolchain while headers are still being unpacked. What goes wrong here goes wrong again,
/// and is told, where the toolchain is used. From a bundle, it is not installed.
async fn warm_up(workshop: &Workshop, targets: &[Target], stop: &CancellationToken) {
    if workshop.fetcher.bundle().is_some() {
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    let mut solves = Vec::new();
    for target in targets.iter().filter(|target| matches!(target.state, State::Build(_))) {
        let key = (&target.distro.release.id, &target.toolchain.packages, target.toolchain.build_arch, &target.driver.build().packages);
        if seen.insert(format!("{key:?}"))
            && let Ok(Instructions { dockerfile, .. }) = Instructions::of(target, &workshop.fetcher, &workshop.options.base_digests).await
        {
            let number = solves.len();
            solves.push(async move {
                let request = SolveRequest {
                    name: format!("toolchain of {} {}", target.distro.profile.id, target.distro.release.id),
                    dockerfile,
                    stage: "warm".into(),
                    build_args: Vec::new(),
                    context: Vec::new(),
                    platform: Some(render::platform(target).into()),
                    options: workshop.options.solve.clone(),
                };
                let output = workshop.options.work.join(format!("warm-{number}.tar"));
                let (sender, _) = tokio::sync::mpsc::unbounded_channel();
                let _ = workshop.builder.solve(request, &output, sender, stop.clone()).await;
                let _ = std::fs::remove_file(&output);
            });
        }
    }
    futures::future::join_all(solves).await;
}

/// A record for a target that nothing was done for, or not yet.
pub fn blank_record(target: &Target, outcome: Outcome, why: impl Into<String>) -> TargetRecord {
    TargetRecord {
        target: target.label(),
        outcome,
        why: why.into(),
        image: Some(target.image.to_string()),
        digest: None,
        index_digest: None,
        input_digest: target.inputs.as_ref().map(|inputs| inputs.digest.to_string()).unwrap_or_default(),
        source: None,
        headers: target.headers(),
        unverified: target.unverified.to_vec(),
        compiler: None,
        modules: target.driver.modules().iter().filter(|module| module.load).map(|module| module.name.clone()).collect(),
        checks: 0,
        findings: Vec::new(),
        boot: None,
        image_bytes: 0,
        pushed_bytes: 0,
        attachments: Vec::new(),
        seconds: 0.0,
        phases: BTreeMap::new(),
        log: None,
        signer: None,
        rollout: Some(target.rollout()),
    }
}

/// Seconds with the precision that a record needs.
fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
#[path = "pipeline/tests.rs"]
mod tests;
