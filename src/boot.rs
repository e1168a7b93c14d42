//! Proof that an image works: its own kernel is started in QEMU, and the image's own `modprobe` loads, unloads and loads its modules.
//!
//! ```text
//! packages ─► store (kernel, its modules) ─┐
//! image's files ───────────────────────────┴► initramfs ─► qemu ─► transcript ─► judge ─► findings
//! ```

mod cpio;
mod error;
mod files;
mod initramfs;
mod judge;
mod lz4;
mod qemu;
mod script;
mod store;
mod transcript;
mod vmlinux;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;

pub use self::error::BootError;
pub use self::files::{Files, Unassembled};
pub use self::qemu::{Accelerator, Emulator};
use crate::arch::Arch;
use crate::env;
use crate::fetch::Fetcher;
use crate::finding::Finding;
use crate::kernel::KernelRelease;
use crate::package::Package;
use crate::profile::distro::BootRules;
use crate::profile::driver::{Load, Module};

/// Names of the checks that a boot makes; each is a section of `docs/checks.md`.
pub const CHECKS: [&str; 6] = ["boot-load", "boot-firmware", "boot-device", "boot-unload", "boot-kernel-log", "boot-kernel"];

/// How boots are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootOptions {
    /// How long one boot may take.
    pub timeout: Duration,
    /// Start kernels so that they refuse modules without a signature that they know (`module.sig_enforce=1`).
    pub enforce_signatures: bool,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_mins(2), enforce_signatures: false }
    }
}

/// A module to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedModule {
    /// Its name.
    pub name: String,
    /// Parameters to load it with.
    pub parameters: BTreeMap<String, String>,
}

/// What is done with an image's modules, in the order of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The kernel.
    pub kernel: KernelRelease,
    /// Directory in the image that has `lib/modules/<release>`: `/opt`.
    pub base: String,
    /// Modules of the kernel that are loaded and must then go.
    pub remove_first: Vec<String>,
    /// Modules of the kernel that are loaded first.
    pub load_first: Vec<String>,
    /// The image's modules in load order.
    pub modules: Vec<PlannedModule>,
    /// What is expected.
    pub load: Load,
    /// The image has firmware in `/firmware`.
    pub firmware: bool,
    /// Firmware that the driver can do without, as shell patterns; none if no profile tells.
    pub optional_firmware: Option<Vec<String>>,
}

impl Plan {
    /// The modules of a profile that are loaded on their own, with the parameters that they need.
    #[must_use]
    pub fn modules<'a>(modules: impl IntoIterator<Item = &'a Module>, load: &Load) -> Vec<PlannedModule> {
        let planned = |module: &Module| {
            let mut parameters = module.parameters.clone();
            parameters.extend(load.parameters.get(&module.name).cloned().unwrap_or_default());
            PlannedModule { name: module.name.clone(), parameters }
        };
        modules.into_iter().filter(|module| module.load).map(planned).collect()
    }
}

/// An image and the kernel that it is for.
pub struct Subject {
    /// What is to be done.
    pub plan: Plan,
    /// The kernel's architecture.
    pub arch: Arch,
    /// The packages of the kernel's image.
    pub packages: Vec<Package>,
    /// Where things are in them.
    pub rules: BootRules,
    /// The image's files.
    pub files: Arc<dyn Files>,
}

/// What a boot has shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What is wrong, in the order of what was done.
    pub findings: Vec<Finding>,
    /// What ran the kernel.
    pub accelerator: Accelerator,
    /// Modules that were loaded, by the kernel's spelling.
    pub loaded: Vec<String>,
    /// Devices that they were bound to.
    pub bound: Vec<String>,
    /// The kernel's taint flags with everything loaded.
    pub taint: Option<u64>,
    /// From the start of QEMU to its end.
    pub time: Duration,
}

/// Boots kernels, as many at a time as there are processors.
pub struct Booter {
    fetcher: Arc<Fetcher>,
    options: BootOptions,
    slots: Semaphore,
    emulators: Mutex<HashMap<Arch, Arc<Emulator>>>,
}

impl Booter {
    /// Nothing is looked for yet.
    #[must_use]
    pub fn new(fetcher: Arc<Fetcher>, options: BootOptions) -> Self {
        Self { fetcher, options, slots: Semaphore::new(env::processors()), emulators: Mutex::default() }
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

    /// Boots the kernel with an image's files; the console goes to `log`. `work` is a folder for what is large and goes away.
    ///
    /// # Errors
    /// When nothing could be booted. What the kernel has against the image are findings.
    pub async fn check(&self, subject: Subject, work: &Path, log: &Path, cancel: &CancellationToken) -> Result<Report, BootError> {
        let emulator = self.emulator(subject.arch).await?;
        if subject.packages.is_empty() {
            return Err(BootError::NoPackages(subject.plan.kernel));
        }
        let kernel = store::kernel(&self.fetcher, &subject.packages, &subject.rules, &subject.plan.kernel, subject.arch).await?;
        let kernel = Arc::new(kernel);
        // Never closed; without a permit the boot would merely not be counted.
        let _slot = tokio::select! {
            slot = self.slots.acquire() => slot.ok(),
            () = cancel.cancelled() => return Err(BootError::Cancelled),
        };
        let initramfs = tempfile::Builder::new().prefix("boot-").suffix(".cpio").tempfile_in(work);
        let initramfs = initramfs.map_err(|error| BootError::Cache { path: work.to_owned(), error })?.into_temp_path();
        let (plan, path, own_kernel) = (subject.plan.clone(), initramfs.to_path_buf(), kernel.clone());
        let files = subject.files;
        let writing = tokio::task::spawn_blocking(move || {
            let root = initramfs::Root::new(files.as_ref());
            let (programs, own) = (root.programs()?, root.own_modules(&plan, &own_kernel)?);
            if programs.depmod.is_none() && !own.is_empty() {
                return Err(BootError::NoProgram("depmod"));
            }
            root.write(&plan, &own, &programs, &own_kernel, &path)
        });
        let size = writing.await.map_err(|error| BootError::Internal(error.to_string()))??;
        let mut machine = qemu::Machine {
            emulator: &emulator,
            kernel: &kernel.image,
            initramfs: &initramfs,
            size,
            devices: &subject.plan.load.devices,
            enforce_signatures: self.options.enforce_signatures,
        };
        let started = env::now();
        let emulated;
        let (mut heard, mut ending) = machine.run(log, self.options.timeout, cancel).await?;
        if emulator.accelerator == Accelerator::Kvm && !heard.up {
            emulated = self.without_kvm(&emulator).await;
            machine.emulator = &emulated;
            (heard, ending) = machine.run(log, self.options.timeout, cancel).await?;
        }
        let time = env::now().saturating_sub(started);
        let live = heard.steps.iter().filter(|step| step.verb == "load" && step.state.as_deref() == Some("live"));
        Ok(Report {
            findings: judge::judge(&subject.plan, &heard, &ending),
            accelerator: machine.emulator.accelerator,
            loaded: live.map(|step| step.module.clone()).collect(),
            bound: heard.bound.iter().map(|(_, device)| device.clone()).collect(),
            taint: heard.taint,
            time,
        })
    }
}
