//! What a distro profile must say beyond being well-formed.

use regex::Regex;

use super::recognise::anchored;
use super::{BootRules, DistroProfile, KernelRules, Release, Repository, Runtime, Toolchain};
use crate::profile::problem::{Checker, Problem, ProfileError};
use crate::reference::Reference;
use crate::yaml::{Source, Trail};

const GROUPS: &[&str] = &["flavour", "arch", "release"];

pub(super) fn check(profile: &DistroProfile, document: &Source) -> Result<(), ProfileError> {
    let checker = Checker(document);
    checker.url(&Trail::to("homepage"), &profile.homepage)?;
    checker.some(&Trail::to("arches"), "arches", &profile.arches)?;
    checker.unique(&Trail::to("arches"), None, "architecture", profile.arches.iter().map(|arch| arch.oci()))?;
    check_kernels(&checker, &profile.kernels)?;
    let releases = Trail::to("releases");
    checker.some(&releases, "releases", &profile.releases)?;
    checker.unique(&releases, Some("id"), "release", profile.releases.iter().map(|release| release.id.as_str()))?;
    let versions: Vec<_> = profile.releases.iter().map(|release| release.version.clone().unwrap_or_else(|| format!("of {}", release.id))).collect();
    checker.unique(&releases, Some("version"), "version", versions)?;
    for (index, release) in profile.releases.iter().enumerate() {
        check_release(&checker, &releases.then(index), release, profile.keyring.is_some())?;
    }
    check_toolchain(&checker, &profile.toolchain)?;
    check_runtime(&checker, &profile.runtime)?;
    checker.packages(&Trail::to("dkms").then("packages"), &profile.dkms.packages, true)?;
    directory(&checker, &Trail::to("node").then("firmware_directory"), &profile.node.firmware_directory)?;
    profile.boot.as_ref().map_or(Ok(()), |boot| check_boot(&checker, boot))
}

fn check_boot(checker: &Checker<'_>, boot: &BootRules) -> Result<(), ProfileError> {
    let trail = Trail::to("boot");
    checker.some(&trail.then("packages"), "packages", &boot.packages)?;
    for (index, group) in boot.packages.iter().enumerate() {
        for name in group.split('|') {
            with_kernel(checker, &trail.then("packages").then(index), name)?;
        }
    }
    if let Some(pattern) = &boot.dependencies {
        compile(checker, &trail.then("dependencies"), pattern)?;
    }
    for (key, path) in boot.kernel.split('|').map(|path| ("kernel", path)).chain([("modules", boot.modules.as_str())]) {
        let trail = trail.then(key);
        with_kernel(checker, &trail, path)?;
        checker.form(&trail, path, ("a path in a package", "a relative path without `.`, `..`, empty parts and spaces"), |path| {
            path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains(|c: char| c.is_whitespace() || c.is_control())
        })?;
    }
    Ok(())
}

fn check_kernels(checker: &Checker<'_>, kernels: &KernelRules) -> Result<(), ProfileError> {
    let trail = Trail::to("kernels");
    let recognise = trail.then("recognise");
    checker.some(&recognise, "recognise", &kernels.recognise)?;
    for (index, pattern) in kernels.recognise.iter().enumerate() {
        let trail = recognise.then(index);
        let regex = compile(checker, &trail, pattern)?;
        if let Some(name) = regex.capture_names().flatten().find(|name| !GROUPS.contains(name)) {
            return Err(checker.fail(&trail, Problem::UnknownGroup { name: name.to_owned(), expected: GROUPS }));
        }
    }
    with_kernel(checker, &trail.then("headers_package"), &kernels.headers_package)?;
    compile(checker, &trail.then("headers_dependencies"), &kernels.headers_dependencies)?;
    file_patterns(checker, &trail.then("headers_unneeded"), &kernels.headers_unneeded)?;
    let directories = [("directory", Some(&kernels.directory)), ("source_directory", kernels.source_directory.as_ref())];
    for (key, value) in directories {
        if let Some(value) = value {
            with_kernel(checker, &trail.then(key), value)?;
            directory(checker, &trail.then(key), value)?;
        }
    }
    Ok(())
}

fn check_release(checker: &Checker<'_>, trail: &Trail, release: &Release, has_keyring: bool) -> Result<(), ProfileError> {
    let image = ("an image reference", "`registry/name:tag` or `registry/name@sha256:…`");
    checker.form(&trail.then("base_image"), &release.base_image, image, |image| image.parse::<Reference>().is_ok())?;
    check_repositories(checker, &trail.then("repositories"), &release.repositories, (&[], has_keyring))?;
    let fallbacks = trail.then("fallbacks");
    checker.unique(&fallbacks, Some("id"), "fallback", release.fallbacks.iter().map(|fallback| fallback.id.as_str()))?;
    for (index, fallback) in release.fallbacks.iter().enumerate() {
        check_repositories(checker, &fallbacks.then(index).then("repositories"), &fallback.repositories, (&["timestamp"], has_keyring))?;
    }
    if let Some(compiler) = &release.default_compiler {
        program(checker, &trail.then("default_compiler"), compiler)?;
    }
    Ok(())
}

/// `placeholders` may be in addresses; `has_keyring`: the distribution has one for all.
fn check_repositories(
    checker: &Checker<'_>,
    trail: &Trail,
    repositories: &[Repository],
    (placeholders, has_keyring): (&[&'static str], bool),
) -> Result<(), ProfileError> {
    checker.some(trail, "repositories", repositories)?;
    for (index, repository) in repositories.iter().enumerate() {
        let trail = trail.then(index);
        checker.url(&trail.then("url"), &repository.url)?;
        checker.text(&trail.then("url"), &repository.url, placeholders)?;
        checker.form(&trail.then("url"), &repository.url, ("the base of a repository", "no `/` at its end"), |url| !url.ends_with('/'))?;
        suite(checker, &trail.then("suite"), &repository.suite)?;
        match (&repository.keyring, repository.trusted) {
            (Some(_), true) => return Err(checker.fail(&trail.then("trusted"), Problem::SignedAndTrusted)),
            (None, false) if !has_keyring => return Err(checker.fail(&trail, Problem::NoKeyring(repository.suite.clone()))),
            _ => {}
        }
        checker.some(&trail.then("components"), "components", &repository.components)?;
        for (index, component) in repository.components.iter().enumerate() {
            suite(checker, &trail.then("components").then(index), component)?;
        }
    }
    Ok(())
}

fn check_toolchain(checker: &Checker<'_>, toolchain: &Toolchain) -> Result<(), ProfileError> {
    let trail = Trail::to("toolchain");
    checker.packages(&trail.then("packages"), &toolchain.packages, false)?;
    checker.variables(&trail.then("variables"), &toolchain.variables, &[])?;
    let (trail, rule) = (trail.then("compiler"), &toolchain.compiler);
    let regex = compile(checker, &trail.then("from_dependencies"), &rule.from_dependencies)?;
    if !regex.capture_names().flatten().any(|name| name == "program") {
        return Err(checker.fail(&trail.then("from_dependencies"), Problem::MissingGroup("program")));
    }
    for (key, value, placeholders) in
        [("native_package", &rule.native_package, &["program"][..]), ("cross_package", &rule.cross_package, &["program", "triplet"])]
    {
        checker.text(&trail.then(key), value, placeholders)?;
        for name in placeholders {
            needs_placeholder(checker, &trail.then(key), value, name)?;
        }
    }
    Ok(())
}

fn check_runtime(checker: &Checker<'_>, runtime: &Runtime) -> Result<(), ProfileError> {
    let trail = Trail::to("runtime");
    checker.some(&trail.then("packages"), "packages", &runtime.packages)?;
    checker.packages(&trail.then("packages"), &runtime.packages, true)?;
    checker.some(&trail.then("files"), "files", &runtime.files)?;
    file_patterns(checker, &trail.then("files"), &runtime.files)?;
    for (link, target) in &runtime.links {
        let grammar = ("what a link in the image can point at", "a relative path that stays inside the image");
        checker.form(&trail.then("links").then(link.as_str()), target, grammar, |target| stays_inside(link.as_str(), target))?;
    }
    Ok(())
}

fn file_patterns(checker: &Checker<'_>, trail: &Trail, patterns: &[String]) -> Result<(), ProfileError> {
    checker.unique(trail, None, "pattern", patterns.iter().map(String::as_str))?;
    for (index, pattern) in patterns.iter().enumerate() {
        let grammar = ("a pattern of files", "a relative path without `.`, `..`, empty parts and spaces");
        checker.form(&trail.then(index), pattern, grammar, |pattern| {
            pattern.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !pattern.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\$`".contains(c))
        })?;
    }
    Ok(())
}

/// Whether a relative link leads to a place below the root.
fn stays_inside(link: &str, target: &str) -> bool {
    let mut depth = link.split('/').count() - 1;
    let part_stays = |part: &str| match part {
        "" => false,
        ".." if depth == 0 => false,
        ".." => {
            depth -= 1;
            true
        }
        "." => true,
        _ => {
            depth += 1;
            true
        }
    };
    target.split('/').all(part_stays) && !target.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn compile(checker: &Checker<'_>, trail: &Trail, pattern: &str) -> Result<Regex, ProfileError> {
    checker.form(trail, pattern, ("a pattern", "at least one character"), |pattern| !pattern.is_empty())?;
    Regex::new(pattern).and_then(|_| anchored(pattern)).map_err(|error| checker.fail(trail, Problem::regex(pattern, &error)))
}

fn with_kernel(checker: &Checker<'_>, trail: &Trail, template: &str) -> Result<(), ProfileError> {
    checker.text(trail, template, &["kernel"])?;
    needs_placeholder(checker, trail, template, "kernel")
}

fn needs_placeholder(checker: &Checker<'_>, trail: &Trail, template: &str, name: &'static str) -> Result<(), ProfileError> {
    if template.contains(&format!("{{{name}}}")) { Ok(()) } else { Err(checker.fail(trail, Problem::MissingPlaceholder(name))) }
}

fn directory(checker: &Checker<'_>, trail: &Trail, value: &str) -> Result<(), ProfileError> {
    checker.form(trail, value, ("a directory", "an absolute path without `.`, `..`, empty parts and spaces"), |path| {
        path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
            && !path.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\$`".contains(c))
    })
}

fn suite(checker: &Checker<'_>, trail: &Trail, value: &str) -> Result<(), ProfileError> {
    checker.form(trail, value, ("the name of a suite or component", "letters, digits, `.`, `_`, `-` and `/`"), |name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
    })
}

fn program(checker: &Checker<'_>, trail: &Trail, value: &str) -> Result<(), ProfileError> {
    checker.form(trail, value, ("the name of a program", "letters, digits, `.`, `_`, `+` and `-`"), |name| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(&b))
    })
}
