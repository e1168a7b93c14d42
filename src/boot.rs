//! Proof that an image works: its own kernel is started in QEMU, and the image's own `modprobe` loads, unloads and loads its modules.
//!
//! ```text
//! packages ─► store (kernel, its modules) ─┐
//! image's files ───────────────────────────┴► initramfs ─► qemu ─► transcript ─► judge ─► findings
//! ```

mod booter;
mod cpio;
mod devices;
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

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub use self::booter::Booter;
pub use self::error::BootError;
pub use self::files::{Files, Unassembled};
pub use self::qemu::{Accelerator, Emulator};
use crate::arch::Arch;
use crate::finding::{Finding, Severity};
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
    /// Images for the same kernel share a boot.
    pub together: bool,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self { timeout: Duration::from_mins(2), enforce_signatures: false, together: false }
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
#[derive(Clone)]
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
    /// Where the console goes.
    pub log: PathBuf,
    /// Hears what is being done: `loading v4l2loopback`.
    pub tell: Arc<dyn Fn(&str) + Send + Sync>,
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
    /// How many images shared the boot.
    pub images: usize,
}

impl Report {
    /// Whether nothing was found that anybody needs to know.
    fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Warning)
    }
}
