//! Boots kernels: one image at a time, or all images of a kernel in one boot.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

use super::devices::{self, Model};
use super::initramfs::{self, Participant};
use super::judge::{Ending, judge};
use super::qemu::{Listeners, Machine};
use super::store::{self, Kernel};
use super::transcript::Transcript;
use super::{Accelerator, BootError, BootOptions, Emulator, Report, Subject};
use crate::arch::Arch;
use crate::env;
use crate::fetch::Fetcher;

/// Boots kernels, as many at a time as there are processors.
pub struct Booter {
    fetcher: Arc<Fetcher>,
    options: BootOptions,
    slots: Semaphore,
    emulators: Mutex<HashMap<Arch, Arc<Emulator>>>,
    models: Mutex<HashMap<Arch, Arc<Vec<Model>>>>,
}

/// A boot that was made.
struct Booted {
    heard: Transcript,
    ending: Ending,
    accelerator: Accelerator,
    time: Duration,
}

impl Booter {
    /// Nothing is looked for yet.
    #[must_use]
    pub fn new(fetcher: Arc<Fetcher>, options: BootOptions) -> Self {
        Self { fetcher, options, slots: Semaphore::new(env::processors()), emulators: Mutex::default(), models: Mutex::default() }
    }

    /// With QEMU as it is said to be.
    #[cfg(test)]
    pub(crate) async fn with_emulator(self, emulator: Emulator) -> Self {
        self.emulators.lock().await.insert(emulator.arch, Arc::new(emulator));
        self
    }

    /// Whether images for the same kernel are to share a boot.
    #[must_use]
    pub fn together(&self) -> bool {
        self.options.together
    }

    /// QEMU for an architecture, looked for and tried once.
    ///
    /// # Errors
    /// When there is none.
    pub async fn emulator(&self, arch: Arch) -> Result<Arc<Emulator>, BootError> {
        let mut emulators = self.emulators.lock().await;
        if let Some(known) = emulators.get(&arch) {
            return Ok(known.clone());
        }
        let emulator = Arc::new(Emulator::find(arch).await?);
        emulators.insert(arch, emulator.clone());
        Ok(emulator)
    }

    /// From now on emulated: what runs the probe may still not run a kernel.
    async fn without_kvm(&self, emulator: &Emulator) -> Arc<Emulator> {
        let why = Some("KVM did not start a kernel".to_owned());
        let emulated = Arc::new(Emulator { accelerator: Accelerator::Tcg, why, ..emulator.clone() });
        self.emulators.lock().await.insert(emulator.arch, emulated.clone());
        emulated
    }

    /// Values of QEMU's `-device` for what profiles ask for.
    ///
    /// # Errors
    /// When QEMU does not have one of them, or not for this machine.
    pub async fn devices(&self, arch: Arch, devices: &[String]) -> Result<Vec<String>, BootError> {
        if devices.is_empty() {
            return Ok(Vec::new());
        }
        let emulator = self.emulator(arch).await?;
        let mut models = self.models.lock().await;
        let known = match models.get(&arch) {
            Some(known) => known.clone(),
            None => models.entry(arch).or_insert(Arc::new(devices::models(&emulator).await?)).clone(),
        };
        devices::arguments(devices, &known, &emulator.program)
    }

    /// Boots the kernel with an image's files. `work` is a folder for what is large and goes away.
    ///
    /// # Errors
    /// When nothing could be booted. What the kernel has against the image are findings.
    pub async fn check(&self, subject: &Subject, work: &Path, cancel: &CancellationToken) -> Result<Report, BootError> {
        let booted = self.boot(&[subject], work, cancel).await?;
        Ok(booted.report(subject, 0, 1))
    }

    /// Boots a kernel once with all of these images for it, one after the other; what it has shown of each, in their order.
    ///
    /// Modules that break the kernel take the others along, and what one leaves behind may stop the next. So whatever such a boot has against an image
    /// is not believed: there is no report, and the image is to be booted alone.
    pub async fn check_together(&self, subjects: &[Subject], work: &Path, cancel: &CancellationToken) -> Vec<Option<Report>> {
        let booted = self.boot(&subjects.iter().collect::<Vec<_>>(), work, cancel).await.ok();
        let report = |(position, subject)| booted.as_ref().map(|booted| booted.report(subject, position, subjects.len())).filter(Report::is_clean);
        subjects.iter().enumerate().map(report).collect()
    }

    /// Boots the kernel of the first subject with all of them.
    async fn boot(&self, subjects: &[&Subject], work: &Path, cancel: &CancellationToken) -> Result<Booted, BootError> {
        let Some(first) = subjects.first() else { return Err(BootError::Internal("a boot without an image".to_owned())) };
        let emulator = self.emulator(first.arch).await?;
        let wanted = union(subjects.iter().map(|subject| subject.plan.load.devices.as_slice()));
        let devices = self.devices(first.arch, &wanted).await?;
        if first.packages.is_empty() {
            return Err(BootError::NoPackages(first.plan.kernel.clone()));
        }
        let tell_all = |words: &str| subjects.iter().for_each(|subject| (subject.tell)(words));
        tell_all("fetching the kernel");
        let kernel = store::kernel(&self.fetcher, &first.packages, &first.rules, &first.plan.kernel, first.arch).await?;
        let kernel = Arc::new(kernel);
        tell_all("waiting for a processor");
        // Never closed; without a permit the boot would merely not be counted.
        let _slot = tokio::select! {
            slot = self.slots.acquire() => slot.ok(),
            () = cancel.cancelled() => return Err(BootError::Cancelled),
        };
        let initramfs = tempfile::Builder::new().prefix("boot-").suffix(".cpio").tempfile_in(work);
        let initramfs = initramfs.map_err(|error| BootError::Cache { path: work.to_owned(), error })?.into_temp_path();
        let size = write_initramfs(subjects, kernel.clone(), &initramfs).await?;
        let enforce_signatures = self.options.enforce_signatures;
        let mut machine = Machine { emulator: &emulator, kernel: &kernel.image, initramfs: &initramfs, size, devices: &devices, enforce_signatures };
        tell_all("starting the kernel");
        let told = std::sync::Mutex::new(String::new());
        let tell = |heard: &Transcript| {
            let Some((position, words)) = heard.doing() else { return };
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            if *told != words {
                subjects.iter().skip(position).take(1).for_each(|subject| (subject.tell)(&words));
                *told = words;
            }
        };
        let listeners = Listeners { logs: subjects.iter().map(|subject| subject.log.as_path()).collect(), heard: &tell };
        let started = env::now();
        let emulated;
        let (mut heard, mut ending) = machine.run(&listeners, self.options.timeout, cancel).await?;
        if emulator.accelerator == Accelerator::Kvm && !heard.up {
            emulated = self.without_kvm(&emulator).await;
            machine.emulator = &emulated;
            (heard, ending) = machine.run(&listeners, self.options.timeout, cancel).await?;
        }
        Ok(Booted { heard, ending, accelerator: machine.emulator.accelerator, time: env::now().saturating_sub(started) })
    }
}

impl Booted {
    /// What it has shown of the image at a position, of so many.
    fn report(&self, subject: &Subject, position: usize, images: usize) -> Report {
        let part = self.heard.parts.get(position).cloned().unwrap_or_default();
        let live = part.steps.iter().filter(|step| step.verb == "load" && step.state.as_deref() == Some("live"));
        Report {
            findings: judge(&subject.plan, &self.heard, position, &self.ending),
            accelerator: self.accelerator,
            loaded: live.map(|step| step.module.clone()).collect(),
            bound: part.bound.iter().map(|(_, device)| device.clone()).collect(),
            taint: part.taint(),
            time: self.time,
            images,
        }
    }
}

/// Puts the archive together, in a thread of its own; its size in bytes.
async fn write_initramfs(subjects: &[&Subject], kernel: Arc<Kernel>, path: &Path) -> Result<u64, BootError> {
    let subjects: Vec<_> = subjects.iter().map(|subject| (subject.plan.clone(), subject.files.clone())).collect();
    let path = path.to_owned();
    let writing = tokio::task::spawn_blocking(move || {
        let participants = subjects.iter().map(|(plan, files)| Participant::new(plan, files.as_ref(), &kernel)).collect::<Result<Vec<_>, _>>()?;
        initramfs::write(&participants, &kernel, &path)
    });
    writing.await.map_err(|error| BootError::Internal(error.to_string()))?
}

/// Devices enough for whoever asks for the most of a kind.
fn union<'a>(lists: impl Iterator<Item = &'a [String]>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for list in lists {
        for (position, device) in list.iter().enumerate() {
            let count = |devices: &[String]| devices.iter().filter(|other| *other == device).count();
            if count(&all) < count(&list[..=position]) {
                all.push(device.clone());
            }
        }
    }
    all
}

#[cfg(test)]
#[path = "booter/tests.rs"]
mod tests;
