//! What a driver profile must say beyond being well-formed.

use std::collections::BTreeMap;

use super::{Build, DriverProfile, DriverVersion, FirmwareSource, KernelRange, Load, Module, Requirements, Source, Step};
use crate::profile::distro::Family;
use crate::profile::problem::{Checker, Problem, ProfileError};
use crate::reference::Reference;
use crate::rollout::Hints;
use crate::yaml::{Source as Document, Trail};

/// Names for values of a build, documented at [`Build`].
const BUILD_NAMES: &[&str] = &["kernel", "kernel_dir", "kernel_source", "source", "cc", "cross", "arch", "machine", "triplet", "version"];
/// Archives that can be unpacked.
const ARCHIVES: &[&str] = &[".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst"];

pub(super) fn check(profile: &DriverProfile, document: &Document) -> Result<(), ProfileError> {
    let checker = Checker(document);
    checker.url(&Trail::to("homepage"), &profile.homepage)?;
    licence(&checker, &Trail::to("licence"), &profile.licence)?;
    check_requirements(&checker, &Trail::to("requires"), &profile.requires)?;
    check_in_tree(&checker, profile)?;
    let versions = Trail::to("versions");
    checker.some(&versions, "versions", &profile.versions)?;
    checker.unique(&versions, Some("version"), "version", profile.versions.iter().map(|version| version.version.as_str()))?;
    check_build(&checker, &Trail::to("build"), &profile.build)?;
    if document.has_key("modules") {
        check_modules(&checker, &Trail::to("modules"), &profile.modules)?;
    }
    for (index, version) in profile.versions.iter().enumerate() {
        check_version(&checker, &versions.then(index), profile, version)?;
    }
    check_patterns(&checker, &Trail::to("ignored_modules"), &profile.ignored_modules)?;
    check_patterns(&checker, &Trail::to("firmware").then("optional"), &profile.firmware.optional)?;
    for (key, modules) in [("remove_first", &profile.remove_first), ("load_first", &profile.load_first)] {
        for (index, module) in modules.iter().enumerate() {
            module_name(&checker, &Trail::to(key).then(index), module)?;
        }
        checker.unique(&Trail::to(key), None, "module", modules.iter().map(|name| name.replace('-', "_")))?;
    }
    check_load(&checker, &Trail::to("load"), &profile.load)?;
    check_deploy(&checker, &Trail::to("deploy"), &profile.deploy)
}

fn check_deploy(checker: &Checker<'_>, trail: &Trail, hints: &Hints) -> Result<(), ProfileError> {
    let Some(plugin) = &hints.device_plugin else { return Ok(()) };
    let trail = trail.then("device_plugin");
    checker.form(&trail.then("image"), &plugin.image, ("an image", "a reference with a tag or a digest, `registry.example/plugin:1.0`"), |image| {
        image.parse::<Reference>().is_ok_and(|image| image.tag.is_some() || image.digest.is_some())
    })?;
    for (index, path) in plugin.host_paths.iter().enumerate() {
        checker.form(&trail.then("host_paths").then(index), path, ("a directory of the node", "an absolute path without `..`, `/dev/dri`"), |path| {
            path.starts_with('/') && !path.split('/').any(|part| part == "..")
        })?;
    }
    Ok(())
}

fn check_load(checker: &Checker<'_>, trail: &Trail, load: &Load) -> Result<(), ProfileError> {
    let parameters = trail.then("parameters");
    for (module, values) in &load.parameters {
        checker.key(&parameters, module, MODULE_NAME, is_module_name)?;
        check_parameters(checker, &parameters.then(module.as_str()), values)?;
    }
    for (index, device) in load.devices.iter().enumerate() {
        let grammar = ("a QEMU device", "a name and properties, `edu` or `e1000e,mac=52:54:00:12:34:56`");
        checker.form(&trail.then("devices").then(index), device, grammar, |device| {
            device.starts_with(|c: char| c.is_ascii_alphanumeric()) && device.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.,=:".contains(&b))
        })?;
    }
    Ok(())
}

fn check_version(checker: &Checker<'_>, trail: &Trail, profile: &DriverProfile, version: &DriverVersion) -> Result<(), ProfileError> {
    check_sources(checker, &trail.then("sources"), &version.sources)?;
    for (index, firmware) in version.firmware.iter().enumerate() {
        check_firmware(checker, &trail.then("firmware").then(index), firmware)?;
    }
    let requires = trail.then("requires");
    check_requirements(checker, &requires, &version.requires)?;
    let all = profile.requirements(version);
    check_range(checker, &requires.then("kernel"), all.kernel)?;
    check_config(checker, &requires.then("config"), &all)?;
    if let Some(build) = &version.build {
        check_build(checker, &trail.then("build"), build)?;
    }
    if let Some(modules) = &version.modules {
        check_modules(checker, &trail.then("modules"), modules)?;
    }
    Ok(())
}

fn check_sources(checker: &Checker<'_>, trail: &Trail, sources: &[Source]) -> Result<(), ProfileError> {
    checker.some(trail, "sources", sources)?;
    for (index, source) in sources.iter().enumerate() {
        let trail = trail.then(index);
        let (trail, url, endings, what) = match source {
            Source::Archive(archive) => {
                (trail.then("archive").then("url"), &archive.url, ARCHIVES, "`.tar`, `.tar.gz`, `.tgz`, `.tar.xz` or `.tar.zst` at its end")
            }
            Source::Deb(deb) => (trail.then("deb").then("url"), &deb.url, &[".deb"][..], "`.deb` at its end"),
            Source::Path(path) => {
                checker.form(&trail.then("path").then("directory"), &path.directory, ("a directory", "a path"), |path| !path.is_empty())?;
                continue;
            }
        };
        checker.url(&trail, url)?;
        checker.text(&trail, url, &["version"])?;
        let place = url.split(['?', '#']).next().unwrap_or_default();
        checker.form(&trail, url, ("a file that can be unpacked", what), |_| endings.iter().any(|ending| place.ends_with(ending)))?;
    }
    Ok(())
}

fn check_firmware(checker: &Checker<'_>, trail: &Trail, firmware: &FirmwareSource) -> Result<(), ProfileError> {
    check_sources(checker, &trail.then("sources"), &firmware.sources)?;
    if firmware.files.is_empty() {
        return Err(checker.fail(&trail.then("files"), Problem::Empty("files")));
    }
    licence(checker, &trail.then("licence"), &firmware.licence)
}

fn check_build(checker: &Checker<'_>, trail: &Trail, build: &Build) -> Result<(), ProfileError> {
    for (family, packages) in &build.packages {
        let trail = trail.then("packages");
        checker
            .key(&trail, family, ("a package family", "`apt`, `dnf`, `zypper` or `pacman`"), |name| Family::ALL.iter().any(|family| family.name() == name))?;
        checker.packages(&trail.then(family.as_str()), packages, true)?;
    }
    checker.some(&trail.then("steps"), "steps", &build.steps)?;
    if let Some(index) = build.steps.iter().position(|step| matches!(step, Step::Dkms(_)))
        && build.steps.len() > 1
    {
        return Err(checker.fail(&trail.then("steps").then(index), Problem::DkmsAmongOthers));
    }
    for (index, step) in build.steps.iter().enumerate() {
        check_step(checker, &trail.then("steps").then(index), step)?;
    }
    Ok(())
}

fn check_step(checker: &Checker<'_>, trail: &Trail, step: &Step) -> Result<(), ProfileError> {
    match step {
        Step::Kbuild(kbuild) => checker.variables(&trail.then("kbuild").then("variables"), &kbuild.variables, BUILD_NAMES),
        Step::Make(make) => {
            let trail = trail.then("make");
            for (index, target) in make.targets.iter().enumerate() {
                let trail = trail.then("targets").then(index);
                checker.form(&trail, target, ("a target", "a word that is neither an option nor an assignment"), |target| {
                    !target.is_empty() && !target.starts_with('-') && !target.contains('=')
                })?;
                checker.text(&trail, target, BUILD_NAMES)?;
            }
            checker.variables(&trail.then("variables"), &make.variables, BUILD_NAMES)
        }
        Step::Run(run) => {
            let trail = trail.then("run");
            checker.some(&trail.then("command"), "command", &run.command)?;
            for (index, word) in run.command.iter().enumerate() {
                checker.text(&trail.then("command").then(index), word, BUILD_NAMES)?;
            }
            checker.variables(&trail.then("environment"), &run.environment, BUILD_NAMES)
        }
        Step::Dkms(_) => Ok(()),
    }
}

fn check_modules(checker: &Checker<'_>, trail: &Trail, modules: &[Module]) -> Result<(), ProfileError> {
    checker.some(trail, "modules", modules)?;
    checker.unique(trail, Some("name"), "module", modules.iter().map(|module| module.name.replace('-', "_")))?;
    for (index, module) in modules.iter().enumerate() {
        let trail = trail.then(index);
        module_name(checker, &trail.then("name"), &module.name)?;
        if let Some(file) = &module.file {
            let stem = file.as_str().rsplit('/').next().and_then(|name| name.strip_suffix(".ko")).unwrap_or_default();
            if stem.replace('-', "_") != module.name.replace('-', "_") {
                return Err(checker.fail(&trail.then("file"), Problem::ModuleFile { module: module.name.clone(), file: file.to_string() }));
            }
        }
        check_parameters(checker, &trail.then("parameters"), &module.parameters)?;
    }
    Ok(())
}

fn check_parameters(checker: &Checker<'_>, trail: &Trail, parameters: &BTreeMap<String, String>) -> Result<(), ProfileError> {
    for (name, value) in parameters {
        checker.key(trail, name, MODULE_NAME, is_module_name)?;
        checker.form(&trail.then(name.as_str()), value, ("a parameter's value", "one line without quotes"), |value| {
            !value.contains(|c: char| c.is_control() || "'\"\\".contains(c))
        })?;
    }
    Ok(())
}

fn check_requirements(checker: &Checker<'_>, trail: &Trail, requires: &Requirements) -> Result<(), ProfileError> {
    checker.unique(&trail.then("arches"), None, "architecture", requires.arches.iter().map(|arch| arch.oci()))?;
    checker.unique(&trail.then("config"), None, "option", requires.config.iter().map(ToString::to_string))?;
    check_config(checker, &trail.then("config"), requires)?;
    check_range(checker, &trail.then("kernel"), requires.kernel)
}

fn check_config(checker: &Checker<'_>, trail: &Trail, requires: &Requirements) -> Result<(), ProfileError> {
    for (index, rule) in requires.config.iter().enumerate() {
        if requires.config[..index].iter().any(|other| other.option == rule.option && other.on != rule.on) {
            return Err(checker.fail(&trail.then(index), Problem::ConfigContradiction(rule.option.clone())));
        }
    }
    Ok(())
}

fn check_range(checker: &Checker<'_>, trail: &Trail, range: KernelRange) -> Result<(), ProfileError> {
    match range {
        KernelRange { min: Some(min), below: Some(below) } if min >= below => Err(checker.fail(trail, Problem::EmptyRange { min, below })),
        _ => Ok(()),
    }
}

fn check_in_tree(checker: &Checker<'_>, profile: &DriverProfile) -> Result<(), ProfileError> {
    let Some(in_tree) = &profile.in_tree else { return Ok(()) };
    let since = in_tree.since;
    module_name(checker, &Trail::to("in_tree").then("module"), &in_tree.module)?;
    let trail = Trail::to("requires").then("kernel");
    match profile.requires.kernel {
        KernelRange { min: Some(min), .. } if min >= since => Err(checker.fail(&trail.then("min"), Problem::AlwaysInTree { since, min })),
        KernelRange { below: Some(below), .. } if below > since => Err(checker.fail(&trail.then("below"), Problem::InTreeBelow { since, below })),
        _ => Ok(()),
    }
}

fn check_patterns(checker: &Checker<'_>, trail: &Trail, patterns: &[String]) -> Result<(), ProfileError> {
    checker.unique(trail, None, "pattern", patterns.iter().map(String::as_str))?;
    for (index, pattern) in patterns.iter().enumerate() {
        checker.form(&trail.then(index), pattern, ("a pattern of files", "a relative path without `.`, `..` and empty parts"), |pattern| {
            pattern.split('/').all(|part| !matches!(part, "" | "." | "..")) && !pattern.contains(char::is_control)
        })?;
    }
    Ok(())
}

const MODULE_NAME: (&str, &str) = ("the name of a module or parameter", "letters, digits, `_` and `-`");

fn module_name(checker: &Checker<'_>, trail: &Trail, name: &str) -> Result<(), ProfileError> {
    checker.form(trail, name, MODULE_NAME, is_module_name)
}

/// The kernel's limit is `MODULE_NAME_LEN`, 56 bytes with the final zero (include/linux/moduleparam.h).
fn is_module_name(name: &str) -> bool {
    !name.is_empty() && name.len() < 56 && !name.starts_with('-') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// SPDX expressions, as far as their grammar goes: identifiers with `AND`, `OR`, `WITH` and parentheses between them.
fn licence(checker: &Checker<'_>, trail: &Trail, expression: &str) -> Result<(), ProfileError> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let mut depth = 0_i32;
    let mut wants_name = true;
    let fits = spaced.split_whitespace().all(|word| match word {
        "(" if wants_name => {
            depth += 1;
            true
        }
        ")" if !wants_name => {
            depth -= 1;
            depth >= 0
        }
        "AND" | "OR" | "WITH" => !std::mem::replace(&mut wants_name, true),
        name => std::mem::replace(&mut wants_name, false) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-+:".contains(&b)),
    });
    checker.form(trail, expression, ("an SPDX expression", "one such as `GPL-2.0-only` or `MIT OR GPL-2.0-only`"), |_| fits && depth == 0 && !wants_name)
}
