//! The check of firmware.

use std::collections::BTreeSet;

use super::{Check, Subject, listed};
use crate::finding::{Finding, Severity};
use crate::kmod::Module;

/// Firmware that modules name is in the image, or declared optional. Without a profile nobody knows what is optional.
pub(super) fn firmware(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let optional: Vec<&String> = subject.expectations.iter().flat_map(|expectations| &expectations.optional_firmware).collect();
    let severity = if subject.expectations.is_some() { check.severity } else { Severity::Warning };
    let mut findings = Vec::new();
    for (path, module) in subject.modules {
        let missing = module.info.firmware().filter(|name| !present(subject, name) && !optional.iter().any(|pattern| fits(pattern, name)));
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
    names.any(|name| subject.firmware.contains(&name) || subject.firmware.iter().any(|file| fits(&name, file)))
}

/// Whether a name fits a shell pattern: `*`, `?` and `[…]`, where `*` matches `/` as well.
fn fits(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // What follows the last `*`, and where it was tried.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix('*') {
            retry = Some((rest, name));
            pattern = rest;
        } else if pattern.is_empty() && name.is_empty() {
            return true;
        } else if let Some((pattern_rest, name_rest)) = step(pattern, name) {
            (pattern, name) = (pattern_rest, name_rest);
        } else {
            let Some((rest, tried)) = retry else { return false };
            let Some(c) = tried.chars().next() else { return false };
            (pattern, name) = (rest, &tried[c.len_utf8()..]);
            retry = Some((rest, name));
        }
    }
}

/// Matches one character.
fn step<'p, 'n>(pattern: &'p str, name: &'n str) -> Option<(&'p str, &'n str)> {
    let c = name.chars().next()?;
    let name = &name[c.len_utf8()..];
    if let Some(rest) = pattern.strip_prefix('?') {
        return Some((rest, name));
    }
    if let Some((class, rest)) = pattern.strip_prefix('[').and_then(|pattern| pattern.split_once(']')) {
        let (wanted, class) = class.strip_prefix(['!', '^']).map_or((true, class), |class| (false, class));
        return (in_class(class, c) == wanted).then_some((rest, name));
    }
    Some((pattern.strip_prefix(c)?, name))
}

/// Whether a class (`a-z_`) has a character.
fn in_class(class: &str, c: char) -> bool {
    let class: Vec<char> = class.chars().collect();
    class.contains(&c) || class.windows(3).any(|range| range[1] == '-' && (range[0]..=range[2]).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, name) in [
            ("nvidia/535.261.03/gsp_*.bin", "nvidia/535.261.03/gsp_tu10x.bin"),
            ("*", "kmf/core.bin"),
            ("intel/ibt-[0-9][0-9]-?.sfi", "intel/ibt-12-3.sfi"),
            ("a*b*c", "aXbXbXc"),
            ("[!a]x", "bx"),
        ] {
            assert!(fits(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("kmf", "kmf/core.bin"), ("*.bin", "core.binary"), ("a*b", "aXc"), ("[!a]x", "ax"), ("?", "")] {
            assert!(!fits(pattern, name), "{pattern} {name}");
        }
    }
}
