//! Checks of each module by itself: format, version magic, layout.

use object::elf::{EM_AARCH64, EM_X86_64};

use super::{Check, KernelFacts, Subject};
use crate::arch::Arch;
use crate::finding::{Finding, Severity};
use crate::kmod::{Format, KmodError};

/// Class, byte order and machine are those of the architecture.
pub(super) fn elf_format(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let arch = subject.kernel.arch;
    let machine = match arch {
        Arch::Amd64 => EM_X86_64,
        Arch::Arm64 => EM_AARCH64,
    };
    let expected = Format { wide: true, big_endian: false, machine: machine.0 };
    let foreign = subject.modules.iter().filter(|(_, module)| module.format != expected);
    foreign
        .map(|(path, module)| {
            let message = format!("`{}` is not for {arch}", module.file);
            check.finding(message).file(path).differs(module.format.to_string(), expected.to_string())
        })
        .collect()
}

/// Said of a file that is named like a module and is none.
#[must_use]
pub fn unreadable(error: &KmodError) -> Finding {
    let finding = Finding::new("elf-format", Severity::Error, format!("`{}` is not a kernel module", error.file));
    finding.differs(error.fault.to_string(), "a relocatable ELF file with a `.modinfo` section")
}

/// The version magic is what the kernel's headers give (`include/linux/vermagic.h`).
pub(super) fn vermagic(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let kernel = subject.kernel;
    let of_reference = kernel.reference.as_ref().and_then(|reference| reference.info.vermagic());
    // A reference that was compiled with the headers of another kernel proves nothing.
    let expected = of_reference.filter(|vermagic| release(vermagic) == kernel.release.as_str());
    let mut findings = Vec::new();
    for (path, module) in subject.modules {
        let found = module.info.vermagic();
        let fits = match (found, expected) {
            (Some(found), Some(expected)) => found == expected,
            (Some(found), None) => release(found) == kernel.release.as_str() && (kernel.config.is_empty() || known_flags(found) == flags_of(kernel)),
            (None, _) => false,
        };
        if !fits {
            let expected = expected.map_or_else(|| format!("{} {}", kernel.release, flags_of(kernel).join(" ")), str::to_owned);
            let message = format!("`{}` was compiled for another kernel than {}", module.file, kernel.release);
            let found = found.unwrap_or("no `vermagic` in `.modinfo`");
            findings.push(check.finding(message).file(path).differs(found, expected).help("the headers used were not this kernel's"));
        }
    }
    findings
}

fn release(vermagic: &str) -> &str {
    vermagic.split(' ').next().unwrap_or_default()
}

const FLAGS: [&str; 6] = ["SMP", "preempt_rt", "preempt", "mod_unload", "modversions", "aarch64"];

/// The flags of a version magic that the configuration decides about; distributions add others.
fn known_flags(vermagic: &str) -> Vec<&'static str> {
    FLAGS.into_iter().filter(|flag| vermagic.split(' ').skip(1).any(|word| word == *flag)).collect()
}

/// The flags that follow from a kernel's configuration.
fn flags_of(kernel: &KernelFacts) -> Vec<&'static str> {
    let on = |option: &str| kernel.config.is_on(option);
    let realtime = on("CONFIG_PREEMPT_RT");
    let wanted = |flag: &&str| match *flag {
        "SMP" => on("CONFIG_SMP"),
        "preempt_rt" => realtime,
        // `PREEMPT_BUILD` since Linux 5.15
        "preempt" => !realtime && (on("CONFIG_PREEMPT_BUILD") || on("CONFIG_PREEMPT")),
        "mod_unload" => on("CONFIG_MODULE_UNLOAD"),
        "modversions" => on("CONFIG_MODVERSIONS"),
        _ => kernel.arch == Arch::Arm64,
    };
    FLAGS.into_iter().filter(wanted).collect()
}

/// `struct module` has the size that it has in an empty module, compiled with the kernel's headers.
pub(super) fn module_struct(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let kernel = subject.kernel;
    let Some(expected) = kernel.reference.as_ref().and_then(|reference| reference.this_module) else {
        let note = format!("not checked: no module compiled with {} is at hand", kernel.headers);
        return if subject.modules.is_empty() { Vec::new() } else { vec![check.note(note)] };
    };
    let bytes = |size: u64| format!("{size} bytes of `.gnu.linkonce.this_module`");
    let different = subject.modules.iter().filter(|(_, module)| module.this_module != Some(expected));
    different
        .map(|(path, module)| {
            let message = format!("`{}` was compiled with another `struct module` than {} has", module.file, kernel.release);
            let found = module.this_module.map_or_else(|| "no `.gnu.linkonce.this_module`".to_owned(), bytes);
            let expected = format!("{} (an empty module compiled with {})", bytes(expected), kernel.headers);
            check.finding(message).file(path).differs(found, expected).help("the headers used were not this kernel's")
        })
        .collect()
}

/// Modules use retpolines if the kernel does: otherwise it complains, and calls itself vulnerable.
pub(super) fn retpoline(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    // The option's name changed in Linux 6.9.
    let wanted = ["CONFIG_RETPOLINE", "CONFIG_MITIGATION_RETPOLINE"].into_iter().find(|option| subject.kernel.config.is_on(option));
    let Some(option) = wanted else { return check.needs_config(subject).into_iter().collect() };
    let without = subject.modules.iter().filter(|(_, module)| !module.info.retpoline());
    without
        .map(|(path, module)| {
            let message = format!("`{}` was compiled without retpolines", module.file);
            check.finding(message).file(path).differs("no `retpoline=Y` in `.modinfo`", format!("`{option}`, as {} has it", subject.kernel.release))
        })
        .collect()
}
