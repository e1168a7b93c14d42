//! Static checks: what can be told about modules, without loading them, from the files of the kernel they are for.
//!
//! Each check is a function over a [`Subject`]; [`CHECKS`] names them all, and `docs/checks.md` explains each to users.
//! A check that lacks what it compares with says so in a note: nothing passes silently.

mod binary;
mod compiler;
mod contents;
mod firmware;
mod kernel;
mod report;
mod signature;
mod symbols;

use std::collections::BTreeSet;

pub use binary::unreadable;
pub use kernel::configured_otherwise;
pub use report::failure;
pub use signature::Signatures;

use crate::arch::Arch;
use crate::finding::{Finding, Severity};
use crate::kernel::KernelRelease;
use crate::kmod::Module;
use crate::kmod::config::KernelConfig;
use crate::kmod::symvers::Symvers;
use crate::profile::driver::ConfigRule;

/// What is known about a kernel, from its headers.
#[derive(Clone, Debug)]
pub struct KernelFacts {
    /// The release.
    pub release: KernelRelease,
    /// Its architecture.
    pub arch: Arch,
    /// What the facts were taken from, for people: `linux-headers-6.1.0-56-amd64 6.1.192-2`.
    pub headers: String,
    /// Its configuration.
    pub config: KernelConfig,
    /// What it exports; empty if its headers do not tell.
    pub symvers: Symvers,
    /// An empty module, compiled with the same headers and compiler.
    pub reference: Option<Module>,
}

/// What a driver's profile says about the result. Images that other tools made have none.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    /// The modules, in load order.
    pub modules: Vec<ExpectedModule>,
    /// Firmware that need not be in the image, as shell patterns; none where the profile does not know what the driver's modules ask for.
    pub optional_firmware: Option<Vec<String>>,
    /// Options that the kernel must have, or must not have.
    pub config: Vec<ConfigRule>,
}

/// A module that should be in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedModule {
    /// Its name; `-` and `_` are the same.
    pub name: String,
    /// Its path in the image: `/opt/lib/modules/6.1.0-56-amd64/extra/v4l2loopback.ko`.
    pub path: String,
    /// Whether the image may lack it.
    pub optional: bool,
}

/// What is checked: the files of an image, and the kernel they are for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The kernel.
    pub kernel: &'a KernelFacts,
    /// The modules, with their paths in the image.
    pub modules: &'a [(String, Module)],
    /// Paths of firmware files below `/firmware`.
    pub firmware: &'a BTreeSet<String>,
    /// The image's `modules.dep`, if it has one.
    pub modules_dep: Option<&'a str>,
    /// What the driver's profile says, if there is one.
    pub expectations: Option<&'a Expectations>,
    /// Who must have signed the modules, if that is asked.
    pub signatures: Option<&'a Signatures>,
}

/// A check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Its name; the heading of its section in `docs/checks.md`.
    pub id: &'static str,
    /// How much its findings matter, at most.
    pub severity: Severity,
    /// What holds when there is no finding.
    pub summary: &'static str,
    run: fn(&Check, &Subject<'_>) -> Vec<Finding>,
}

/// Every check, in the order in which findings are shown: the cause before its consequences.
pub static CHECKS: &[Check] = &[
    Check { id: "kernel-config", severity: Severity::Error, summary: "the kernel has the options that the driver needs", run: contents::kernel_config },
    Check { id: "modules-present", severity: Severity::Error, summary: "every module of the driver is in its place", run: contents::modules_present },
    Check { id: "modules-unexpected", severity: Severity::Error, summary: "no other module is in the image", run: contents::modules_unexpected },
    Check { id: "module-compressed", severity: Severity::Warning, summary: "modules are not compressed", run: contents::module_compressed },
    Check {
        id: "module-signature",
        severity: Severity::Error,
        summary: "every module is signed by whom a certificate names, if one is given",
        run: signature::module_signature,
    },
    Check { id: "elf-format", severity: Severity::Error, summary: "class, byte order and machine are those of the architecture", run: binary::elf_format },
    Check { id: "vermagic", severity: Severity::Error, summary: "the version magic is the kernel's", run: binary::vermagic },
    Check { id: "symbol-crc", severity: Severity::Error, summary: "imported symbols have the versions that the kernel has", run: symbols::symbol_crc },
    Check { id: "module-struct", severity: Severity::Error, summary: "`struct module` has the size that the kernel has", run: binary::module_struct },
    Check { id: "compiler", severity: Severity::Error, summary: "modules were compiled by the kernel's compiler", run: compiler::compiler },
    Check { id: "retpoline", severity: Severity::Warning, summary: "modules use retpolines if the kernel does", run: binary::retpoline },
    Check {
        id: "symbol-unresolved",
        severity: Severity::Error,
        summary: "the kernel or the image exports every imported symbol",
        run: symbols::symbol_unresolved,
    },
    Check { id: "symbol-duplicate", severity: Severity::Error, summary: "no module exports a symbol that is taken", run: symbols::symbol_duplicate },
    Check { id: "symbol-namespace", severity: Severity::Error, summary: "the namespaces of imported symbols are imported", run: symbols::symbol_namespace },
    Check { id: "gpl-only", severity: Severity::Error, summary: "the licence allows the symbols that are used", run: symbols::gpl_only },
    Check { id: "depends", severity: Severity::Error, summary: "modules that others depend on exist", run: symbols::depends },
    Check { id: "depmod", severity: Severity::Error, summary: "`modules.dep` lists exactly the image's modules", run: contents::depmod },
    Check { id: "firmware", severity: Severity::Error, summary: "firmware that modules name is in the image", run: firmware::firmware },
];

/// Makes every check.
#[must_use]
pub fn run_all(subject: &Subject<'_>) -> Vec<Finding> {
    CHECKS.iter().flat_map(|check| check.run(subject)).collect()
}

/// Why a driver cannot exist for a kernel, known before anything is compiled: the kernel has no `CONFIG_VIDEO_DEV`, say.
#[must_use]
pub fn unsupported(config: &KernelConfig, rules: &[ConfigRule]) -> Option<String> {
    let broken = rules.iter().find(|rule| config.is_on(&rule.option) != rule.on)?;
    Some(format!("kernel has {}`{}`", if broken.on { "no " } else { "" }, broken.option))
}

impl Check {
    /// Makes the check.
    #[must_use]
    pub fn run(&self, subject: &Subject<'_>) -> Vec<Finding> {
        (self.run)(self, subject)
    }

    /// A finding of this check, as severe as its findings get.
    fn finding(&self, message: impl Into<String>) -> Finding {
        Finding::new(self.id, self.severity, message)
    }

    /// Says that the check could not be made.
    fn note(&self, message: impl Into<String>) -> Finding {
        Finding::new(self.id, Severity::Note, message)
    }

    /// Says that the check could not be made, as nothing is known about the kernel's symbols.
    fn needs_symvers(&self, subject: &Subject<'_>) -> Option<Finding> {
        let missing = subject.kernel.symvers.is_empty() && !subject.modules.is_empty();
        missing.then(|| self.note(format!("not checked: {} hold no `Module.symvers`", subject.kernel.headers)))
    }

    /// Says that the check could not be made, as nothing is known about the kernel's options.
    fn needs_config(&self, subject: &Subject<'_>) -> Option<Finding> {
        let missing = subject.kernel.config.is_empty() && !subject.modules.is_empty();
        missing.then(|| self.note(format!("not checked: {} hold no `.config`", subject.kernel.headers)))
    }
}

/// Names for a sentence: the first three, and how many more there are.
fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: BTreeSet<_> = names.into_iter().collect();
    let shown: Vec<_> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
    let more = names.len() - shown.len();
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

#[cfg(test)]
mod tests;
