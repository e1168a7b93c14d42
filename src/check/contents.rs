//! Checks of the image's files and of the kernel's options: which modules there are, and what depmod wrote.

use std::collections::{BTreeMap, BTreeSet};

use super::symbols::Siblings;
use super::{Check, ExpectedModule, Subject, listed};
use crate::finding::Finding;
use crate::kmod::kernel_name;

/// The kernel has the options that the driver needs, and none that it cannot live with.
pub(super) fn kernel_config(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let kernel = subject.kernel;
    let Some(expectations) = subject.expectations.filter(|expectations| !expectations.config.is_empty()) else { return Vec::new() };
    if let Some(note) = check.needs_config(subject) {
        return vec![note];
    }
    let broken = expectations.config.iter().filter(|rule| kernel.config.is_on(&rule.option) != rule.on);
    broken
        .map(|rule| {
            let (found, expected) = if rule.on { ("not set", "`y` or `m`") } else { ("set", "not set") };
            let message = format!("{} has {}`{}`", kernel.release, if rule.on { "no " } else { "" }, rule.option);
            check.finding(message).differs(found, expected)
        })
        .collect()
}

/// Every module of the driver is in its place.
pub(super) fn modules_present(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    if subject.modules.is_empty() {
        return vec![check.finding(format!("the image holds no module for {}", subject.kernel.release))];
    }
    let expected = subject.expectations.iter().flat_map(|expectations| &expectations.modules);
    expected.filter_map(|expected| misplaced(check, subject, expected)).collect()
}

fn misplaced(check: &Check, subject: &Subject<'_>, expected: &ExpectedModule) -> Option<Finding> {
    let name = kernel_name(&expected.name);
    let mut paths = subject.modules.iter().filter(|(_, module)| module.name() == name).map(|(path, _)| path);
    let found = paths.next();
    match found {
        Some(path) if *path == expected.path || paths.any(|path| *path == expected.path) => None,
        Some(path) => {
            let message = format!("module `{}` is not where the driver's profile has it", expected.name);
            Some(check.finding(message).file(path).differs(path, &expected.path))
        }
        None if expected.optional => None,
        None => {
            let message = format!("module `{}` is not in the image", expected.name);
            let built = format!("modules {}", listed(subject.modules.iter().map(|(_, module)| module.file.as_str())));
            Some(check.finding(message).differs(built, &expected.path).help("the build succeeded without it: see the build log"))
        }
    }
}

/// No module is in the image that the profile does not name, and none is there twice.
pub(super) fn modules_unexpected(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let expected = subject.expectations.map(|expectations| expectations.modules.iter().map(|module| kernel_name(&module.name)).collect());
    let known: Option<BTreeSet<String>> = expected;
    let mut seen = BTreeMap::new();
    let mut findings = Vec::new();
    for (path, module) in subject.modules {
        let name = module.name();
        if known.as_ref().is_some_and(|known| !known.contains(&name)) {
            let message = format!("`{}` is none of the driver's modules", module.file);
            findings.push(check.finding(message).file(path).help("name it in the profile, below `modules` or `ignored_modules`"));
        } else if let Some(first) = seen.insert(name, path) {
            let message = format!("`{}` is in the image twice", module.file);
            findings.push(check.finding(message).file(path).differs(first, "one of them"));
        }
    }
    findings
}

/// Modules are not compressed: older kmods cannot read them, and signatures would not be found.
pub(super) fn module_compressed(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let packed = subject.modules.iter().filter_map(|(path, module)| Some((path, module, module.compression?)));
    packed
        .map(|(path, module, compression)| {
            let message = format!("`{}` is compressed; a node's modprobe may not be able to read it", module.file);
            check.finding(message).file(path).differs(compression.to_string(), "a plain `.ko`: layers are compressed anyway")
        })
        .collect()
}

/// `modules.dep` lists exactly the image's modules, and for each the modules whose symbols it needs.
pub(super) fn depmod(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let directory = format!("/lib/modules/{}/", subject.kernel.release.directory());
    let help = "run `depmod -b /opt` for this release when the image is made";
    let Some(text) = subject.modules_dep else {
        let message = format!("the image has no `modules.dep` for {}; modprobe finds no module", subject.kernel.release);
        return vec![check.finding(message).differs("none", format!("/opt{directory}modules.dep")).help(help)];
    };
    let siblings = Siblings::of(subject);
    let mut lines: BTreeMap<&str, Vec<&str>> =
        text.lines().filter_map(|line| line.split_once(':')).map(|(path, needs)| (path, needs.split_whitespace().collect())).collect();
    let mut findings = Vec::new();
    for (path, module) in subject.modules {
        let Some((_, below)) = path.split_once(&directory) else {
            let message = format!("`{}` is not in the directory of {}", module.file, subject.kernel.release);
            findings.push(check.finding(message).file(path).differs(path, format!("a path below /opt{directory}")));
            continue;
        };
        let Some(listed_needs) = lines.remove(below) else {
            let message = format!("`modules.dep` does not list `{}`", module.file);
            findings.push(check.finding(message).file(path).help(help));
            continue;
        };
        let file_of = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let listed_needs: BTreeSet<_> = listed_needs.into_iter().map(file_of).collect();
        let needs = module.imports.iter().filter_map(|import| siblings.get(&import.name)).map(|(owner, _)| owner.file.as_str());
        let missing: Vec<_> = needs.filter(|file| *file != module.file && !listed_needs.contains(*file)).collect();
        if !missing.is_empty() {
            let message = format!("`modules.dep` does not tell that `{}` needs {}", module.file, listed(missing));
            findings.push(check.finding(message).file(path).help(help));
        }
    }
    if !lines.is_empty() {
        let message = format!("`modules.dep` lists modules that are not in the image: {}", listed(lines.into_keys()));
        findings.push(check.finding(message).help(help));
    }
    findings
}
