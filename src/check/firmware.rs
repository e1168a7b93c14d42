//! The check of firmware.

use std::collections::BTreeSet;

use super::{Check, Subject, listed};
use crate::finding::{Finding, Severity};
use crate::kmod::Module;
use crate::pattern::matches;

/// Firmware that modules name is in the image, or declared optional. Without a profile that knows the modules nobody knows what is optional.
pub(super) fn firmware(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let known = subject.expectations.as_ref().and_then(|expectations| expectations.optional_firmware.as_deref());
    let optional = known.unwrap_or_default();
    let severity = if known.is_some() { check.severity } else { Severity::Warning };
    let mut findings = Vec::new();
    for (path, module) in subject.modules {
        let missing = module.info.firmware().filter(|name| !present(subject, name) && !optional.iter().any(|pattern| matches(pattern, name)));
        let missing: BTreeSet<_> = missing.collect();
        if !missing.is_empty() {
            findings.push(Finding { severity, ..missing_firmware(check, module, &missing).file(path) });
        }
    }
    findings
}

fn missing_firmware(check: &Check, module: &Module, names: &BTreeSet<&str>) -> Finding {
    let message = format!("firmware that `{}` may ask for is not in the image", module.file);
    check
        .finding(message)
        .differs(format!("nothing at {}", listed(names.iter().copied())), "a file below /firmware for each")
        .help("add it to the profile's `firmware`, or its name to `optional`")
}

/// Whether a file has the name, or fits it where it is a pattern; compressed ones count if the kernel can read them.
fn present(subject: &Subject<'_>, name: &str) -> bool {
    let config = &subject.kernel.config;
    let suffixes = [("", true), (".xz", config.is_on("CONFIG_FW_LOADER_COMPRESS_XZ")), (".zst", config.is_on("CONFIG_FW_LOADER_COMPRESS_ZSTD"))];
    let mut names = suffixes.into_iter().filter(|(_, readable)| *readable).map(|(suffix, _)| format!("{name}{suffix}"));
    names.any(|name| subject.firmware.contains(&name) || subject.firmware.iter().any(|file| matches(&name, file)))
}
