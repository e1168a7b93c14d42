//! `kmodforge fetch`: everything that targets are built from goes into a bundle, a target at a time for each worker.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use futures::future::try_join_all;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::event::{Event, Phase};
use super::instructions::{Instructions, signature, toolchain_name};
use super::target::{Place, Story, blocking};
use super::together::Slot;
use super::{Once, TargetError, Workshop, blank_record};
use crate::bundle::{BundleError, Draft};
use crate::fetch::{FetchError, Kind};
use crate::plan::Target;
use crate::record::{Outcome, TargetLabel, TargetRecord};
use crate::reference::{Digest, Hashing};
use crate::render;

/// What a run fills, and with what.
pub struct Gathering<'a> {
    /// Where is built, and what from. Its fetcher must record into `draft`.
    pub workshop: &'a Workshop,
    /// The bundle.
    pub draft: Arc<Draft>,
    /// Whether kernels are going to be booted.
    pub boot: bool,
    /// Whether toolchains that are in the bundle stay; else they are installed anew.
    pub keep_toolchains: bool,
}

/// Toolchains that this run has made: by what they are made from, and by the digests of their archives before they were compressed.
#[derive(Default)]
struct Toolchains {
    made: Once<String, ()>,
    archives: Mutex<BTreeMap<Digest, String>>,
}

/// Fetches for all targets, as many at a time as there are jobs, and returns what became of each.
pub async fn gather(gathering: &Gathering<'_>, targets: &[Target], events: &UnboundedSender<Event>, cancel: &CancellationToken) -> Vec<TargetRecord> {
    let labels: Arc<[TargetLabel]> = targets.iter().map(Target::label).collect();
    let _ = events.send(Event::Started { targets: labels });
    let (stop, options) = (cancel.child_token(), &gathering.workshop.options);
    let slots = Semaphore::new(options.jobs.max(1));
    let toolchains = Toolchains::default();
    let work = async |(index, target): (usize, &Target)| {
        let slot = Slot::take(&slots).await;
        let started = crate::env::now();
        if stop.is_cancelled() {
            return blank_record(target, Outcome::Cancelled, "not begun");
        }
        let _ = events.send(Event::TargetStarted(index));
        let mut story = Story::new(gathering.workshop, target, index, Place { slot, seat: None }, events, &stop);
        (story.record.outcome, story.record.why) = (Outcome::Fetched, "fetched".to_owned());
        let result = tokio::select! {
            result = gathering.one(&mut story, &toolchains) => result,
            () = stop.cancelled() => Err(TargetError::Cancelled),
        };
        let (record, _, failure) = story.end(result);
        if options.fail_fast && record.outcome == Outcome::Failed {
            stop.cancel();
        }
        let time = crate::env::now().saturating_sub(started);
        let _ = events.send(Event::TargetFinished { target: index, record: Box::new(record.clone()), failure: failure.map(Box::new), time });
        record
    };
    futures::stream::iter(targets.iter().enumerate()).map(work).buffered(usize::MAX).collect().await
}

impl Gathering<'_> {
    /// Everything of one target.
    async fn one(&self, story: &mut Story<'_>, toolchains: &Toolchains) -> Result<(), TargetError> {
        story.enter(Phase::Fetch);
        let target = story.target.clone();
        let image = if self.boot { &target.kernel.image[..] } else { &[] };
        let packages = render::packages(&target).map(|(_, package)| package).chain(image);
        let fetcher = &self.workshop.fetcher;
        let packages = packages.map(async |package| fetcher.verified(Kind::Package, &package.url, &package.sha256).await.map(drop));
        let (packages, sources) = tokio::join!(try_join_all(packages), super::target::fetch(self.workshop, &target));
        packages.map_err(TargetError::from)?;
        for (_, url) in render::signatures(&target) {
            signature(fetcher, &url).await?;
        }
        let (source, _) = sources?;
        story.record.source = Some(format!("{} sha256:{}", source.origin, source.origin_sha256));
        self.toolchain(story, toolchains).await?;
        self.draft.target(&story.target.label().to_string());
        story.leave();
        Ok(())
    }

    /// The target's toolchain: installed once by the builder, for whoever needs it first.
    async fn toolchain(&self, story: &mut Story<'_>, toolchains: &Toolchains) -> Result<(), TargetError> {
        let base = self.workshop.options.base_digests.get(story.target.build_image());
        let key = render::toolchain_key(&story.target, base)?;
        story.enter(Phase::Toolchain);
        toolchains.made.get(key.clone(), || self.install(story, &key, toolchains)).await
    }

    async fn install(&self, story: &mut Story<'_>, key: &str, toolchains: &Toolchains) -> Result<(), TargetError> {
        let what = toolchain_name(&story.target);
        let (draft, keep, held) = (self.draft.clone(), self.keep_toolchains, (key.to_owned(), what.clone()));
        if blocking(move || Ok(keep && draft.held_toolchain(&held.0, &held.1))).await? {
            return Ok(());
        }
        let Instructions { dockerfile, .. } = Instructions::of(&story.target, &self.workshop.fetcher, &self.workshop.options.base_digests).await?;
        let tar = story.solve(&dockerfile, render::toolchain_stage(&story.target), Vec::new()).await?;
        story.tell("compressing what was installed");
        let archive = blocking({
            let tar = tar.clone();
            move || File::open(&tar).and_then(Digest::read).map_err(|error| TargetError::Internal(format!("{}: {error}", tar.display())))
        });
        let archive = archive.await?;
        let known = toolchains.archives.lock().unwrap_or_else(PoisonError::into_inner).get(&archive).cloned();
        let sha256 = if let Some(sha256) = known {
            sha256
        } else {
            let (draft, tar) = (self.draft.clone(), tar.clone());
            blocking(move || compress(&tar, &draft, &what).map_err(|error| FetchError::from(error).into())).await?
        };
        let _ = std::fs::remove_file(&tar);
        toolchains.archives.lock().unwrap_or_else(PoisonError::into_inner).insert(archive, sha256.clone());
        self.draft.toolchain(key, &sha256);
        Ok(())
    }
}

/// Puts a root file system into the bundle, in the compression that every builder's `ADD` unpacks; gives its SHA-256.
fn compress(tar: &Path, draft: &Draft, what: &str) -> Result<String, BundleError> {
    let failed = |error: io::Error| draft.failed(&error);
    let part = draft.part()?;
    let mut encoder = GzEncoder::new(Hashing::new(BufWriter::with_capacity(1 << 18, part.as_file())), Compression::fast());
    io::copy(&mut BufReader::with_capacity(1 << 18, File::open(tar).map_err(failed)?), &mut encoder).map_err(failed)?;
    let mut hashing = encoder.finish().map_err(failed)?;
    hashing.flush().map_err(failed)?;
    let digest = hashing.digest();
    drop(hashing);
    draft.keep(part, digest.hex(), what)?;
    Ok(digest.hex().to_owned())
}
