//! What a distro profile must say beyond being well-formed.

use regex::Regex;

use super::recognise::anchored;
use super::{Archives, BootRules, DistroProfile, Family, KernelRules, Release, Repository, Runtime, Toolchain};
use crate::profile::problem::{Checker, Problem, ProfileError};
use crate::reference::Reference;
use crate::yaml::{Source, Trail};

const GROUPS: &[&str] = &["flavour", "arch", "release"];

pub(super) fn check(profile: &DistroProfile, document: &Source) -> Result<(), ProfileError> {
    let checker = Checker(document);
    checker.url(&Trail::to("homepage"), &profile.homepage)?;
    checker.some(&Trail::to("arches"), "arches", &profile.arches)?;
    checker.unique(&Trail::to("arches"), None, "architecture", profile.arches.iter().map(|arch| arch.oci()))?;
    check_family(&checker, profile)?;
    check_kernels(&checker, &profile.kernels)?;
    let releases = Trail::to("releases");
    checker.some(&releases, "releases", &profile.releases)?;
    checker.unique(&releases, Some("id"), "release", profile.releases.iter().map(|release| release.id.as_str()))?;
    let versions: Vec<_> = profile.releases.iter().map(|release| release.version.clone().unwrap_or_else(|| format!("of {}", release.id))).collect();
    checker.unique(&releases, Some("version"), "version", versions)?;
    for (index, release) in profile.releases.iter().enumerate() {
        check_release(&checker, &releases.then(index), release, profile)?;
    }
    check_toolchain(&checker, &profile.toolchain)?;
    check_runtime(&checker, &profile.runtime)?;
    checker.packages(&Trail::to("dkms").then("packages"), &profile.dkms.packages, true)?;
    directory(&checker, &Trail::to("node").then("firmware_directory"), &profile.node.firmware_directory)?;
    profile.boot.as_ref().map_or(Ok(()), |boot| check_boot(&checker, boot))
}

/// What each family cannot do without, and what it makes nothing of.
fn check_family(checker: &Checker<'_>, profile: &DistroProfile) -> Result<(), ProfileError> {
    let (family, kernels, compiler) = (profile.family, &profile.kernels, &profile.toolchain.compiler);
    let (apt, in_packages) = (family == Family::Apt, kernels.are_published());
    let (in_kernels, in_compiler) = (Trail::to("kernels"), Trail::to("toolchain").then("compiler"));
    let keys = [
        ("headers_package", &in_kernels, kernels.headers_package.is_some(), apt && in_packages, apt),
        ("headers_dependencies", &in_kernels, kernels.headers_dependencies.is_some(), apt && in_packages, true),
        ("headers_versions", &in_kernels, !kernels.headers_versions.is_empty(), !apt && in_packages, !apt),
        ("from_dependencies", &in_compiler, compiler.from_dependencies.is_some(), false, true),
        ("cross_package", &in_compiler, compiler.cross_package.is_some(), false, apt),
        ("other_versions", &in_compiler, !compiler.other_versions.is_empty(), false, !apt || kernels.archives.is_some()),
        ("archives", &in_kernels, kernels.archives.is_some(), false, apt),
    ];
    for (key, trail, there, needed, known) in keys {
        if needed && !there {
            return Err(checker.fail(&Trail::to("family"), Problem::FamilyNeeds { family: family.name(), key }));
        }
        if there && !known {
            return Err(checker.fail_key(&trail.then(key), Problem::FamilyHasNo { family: family.name(), key }));
        }
    }
    Ok(())
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
        inner_path(checker, &trail, path)?;
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
    if let Some(package) = &kernels.headers_package {
        with_kernel(checker, &trail.then("headers_package"), package)?;
    }
    for (name, release) in &kernels.headers_versions {
        let trail = trail.then("headers_versions").then(name.as_str());
        compile(checker, &trail, name)?;
        checker.text(&trail, release, &["version", "revision", "source_revision", "upstream", "patchset", "arch"])?;
        if !release.contains("{upstream}") {
            needs_placeholder(checker, &trail, release, "version")?;
        }
    }
    if let Some(pattern) = &kernels.headers_dependencies {
        compile(checker, &trail.then("headers_dependencies"), pattern)?;
    }
    file_patterns(checker, &trail.then("headers_unneeded"), &kernels.headers_unneeded)?;
    if let Some(archives) = &kernels.archives {
        check_archives(checker, &trail.then("archives"), archives)?;
    }
    let directories = [("directory", Some(&kernels.directory)), ("source_directory", kernels.source_directory.as_ref())];
    for (key, value) in directories {
        if let Some(value) = value {
            checker.text(&trail.then(key), value, &["kernel", "kernel_base", "kernel_flavour", "machine"])?;
            if !value.contains("{kernel_base}") {
                needs_placeholder(checker, &trail.then(key), value, "kernel")?;
            }
            directory(checker, &trail.then(key), value)?;
        }
    }
    Ok(())
}

fn check_archives(checker: &Checker<'_>, trail: &Trail, archives: &Archives) -> Result<(), ProfileError> {
    checker.some(&trail.then("places"), "places", &archives.places)?;
    let place = |trail: &Trail, url: &str| {
        checker.text(trail, url, &["os_version", "arch"])?;
        needs_placeholder(checker, trail, url, "os_version")?;
        checker.url(trail, url)
    };
    for (index, entry) in archives.places.iter().enumerate() {
        let trail = trail.then("places").then(index);
        compile(checker, &trail.then("versions"), &entry.versions)?;
        place(&trail.then("url"), &entry.url)?;
    }
    with_kernel(checker, &trail.then("directory"), &archives.directory)?;
    inner_path(checker, &trail.then("directory"), &archives.directory)?;
    let Some(compiler) = &archives.compiler else { return Ok(()) };
    let trail = trail.then("compiler");
    place(&trail.then("named_in"), &compiler.named_in)?;
    for (key, paths) in [("gcc", &compiler.gcc), ("clang", &compiler.clang), ("lld", &compiler.lld)] {
        checker.text(&trail.then(key), paths, &["machine"])?;
        paths.split('|').try_for_each(|path| inner_path(checker, &trail.then(key), path))?;
    }
    Ok(())
}

/// A path in a package or an archive that is named exactly.
fn inner_path(checker: &Checker<'_>, trail: &Trail, path: &str) -> Result<(), ProfileError> {
    checker.form(trail, path, ("a path in a package", "a relative path without `.`, `..`, empty parts and spaces"), is_plain)
}

/// Whether a path leads straight down, and is one word in a shell.
fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | "..")) && !path.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\$`".contains(c))
}

fn check_release(checker: &Checker<'_>, trail: &Trail, release: &Release, profile: &DistroProfile) -> Result<(), ProfileError> {
    let image = ("an image reference", "`registry/name:tag` or `registry/name@sha256:…`");
    checker.form(&trail.then("base_image"), &release.base_image, image, |image| image.parse::<Reference>().is_ok())?;
    check_repositories(checker, &trail.then("repositories"), &release.repositories, (profile, &[]))?;
    let fallbacks = trail.then("fallbacks");
    checker.unique(&fallbacks, Some("id"), "fallback", release.fallbacks.iter().map(|fallback| fallback.id.as_str()))?;
    for (index, fallback) in release.fallbacks.iter().enumerate() {
        check_repositories(checker, &fallbacks.then(index).then("repositories"), &fallback.repositories, (profile, &["timestamp", "day", "version"]))?;
    }
    if let Some(compiler) = &release.default_compiler {
        program(checker, &trail.then("default_compiler"), compiler)?;
    }
    for (index, compiler) in release.compilers.iter().enumerate() {
        let trail = trail.then("compilers").then(index);
        compile(checker, &trail.then("kernels"), &compiler.kernels)?;
        program(checker, &trail.then("program"), &compiler.program)?;
    }
    let keys = trail.then("package_keys");
    let family = profile.family;
    if !family.has_signed_packages() && !release.package_keys.is_empty() {
        return Err(checker.fail_key(&keys, Problem::FamilyHasNo { family: family.name(), key: "package_keys" }));
    }
    if family.has_signed_packages() && release.package_keys.is_empty() && !release.repositories.iter().all(|repository| repository.trusted) {
        return Err(checker.fail(trail, Problem::NoPackageKeys(release.id.to_string())));
    }
    release.package_keys.iter().enumerate().try_for_each(|(index, file)| directory(checker, &keys.then(index), file))
}

/// `filled_in` are placeholders whose values users give.
fn check_repositories(
    checker: &Checker<'_>,
    trail: &Trail,
    repositories: &[Repository],
    (profile, filled_in): (&DistroProfile, &[&'static str]),
) -> Result<(), ProfileError> {
    checker.some(trail, "repositories", repositories)?;
    let family = profile.family;
    let mut placeholders = filled_in.to_vec();
    if family != Family::Apt {
        placeholders.push("arch");
    }
    for (index, repository) in repositories.iter().enumerate() {
        let trail = trail.then(index);
        checker.url(&trail.then("url"), &repository.url)?;
        checker.text(&trail.then("url"), &repository.url, &placeholders)?;
        checker.form(&trail.then("url"), &repository.url, ("the base of a repository", "no `/` at its end"), |url| !url.ends_with('/'))?;
        suite(checker, &trail.then("suite"), &repository.suite)?;
        match (&repository.keyring, repository.trusted) {
            (Some(_), true) => return Err(checker.fail(&trail.then("trusted"), Problem::SignedAndTrusted)),
            (None, false) if profile.keyring.is_none() && !family.has_signed_packages() => {
                return Err(checker.fail(&trail, Problem::NoKeyring(repository.suite.clone())));
            }
            _ => {}
        }
        if family == Family::Apt {
            checker.some(&trail.then("components"), "components", &repository.components)?;
        } else if !repository.components.is_empty() {
            return Err(checker.fail_key(&trail.then("components"), Problem::FamilyHasNo { family: family.name(), key: "components" }));
        }
        for (index, component) in repository.components.iter().enumerate() {
            suite(checker, &trail.then("components").then(index), component)?;
        }
    }
    Ok(())
}

fn check_toolchain(checker: &Checker<'_>, toolchain: &Toolchain) -> Result<(), ProfileError> {
    let trail = Trail::to("toolchain");
    checker.packages(&trail.then("packages"), &toolchain.packages, false)?;
    checker.variables(&trail.then("variables"), &toolchain.variables, &["cc"])?;
    let (trail, rule) = (trail.then("compiler"), &toolchain.compiler);
    if let Some(pattern) = &rule.from_dependencies {
        let regex = compile(checker, &trail.then("from_dependencies"), pattern)?;
        if !regex.capture_names().flatten().any(|name| name == "program") {
            return Err(checker.fail(&trail.then("from_dependencies"), Problem::MissingGroup("program")));
        }
    }
    let packages = [("native_package", Some(&rule.native_package), &["program"][..]), ("cross_package", rule.cross_package.as_ref(), &["program", "triplet"])];
    for (key, value, placeholders) in packages {
        let Some(value) = value else { continue };
        checker.text(&trail.then(key), value, placeholders)?;
        for name in placeholders {
            needs_placeholder(checker, &trail.then(key), value, name)?;
        }
    }
    for (index, other) in rule.other_versions.iter().enumerate() {
        let trail = trail.then("other_versions").then(index);
        checker.text(&trail.then("package"), &other.package, &["major"])?;
        let grammar = ("a package name", "lower-case letters, digits, `+`, `-` and `.`");
        checker.form(&trail.then("package"), &other.package.replace("{major}", "1"), grammar, |name| {
            name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-._".contains(&b))
        })?;
        checker.text(&trail.then("program"), &other.program, &["major"])?;
        directory(checker, &trail.then("program"), &other.program)?;
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
        checker.form(&trail.then(index), pattern, grammar, is_plain)?;
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
    checker
        .form(trail, value, ("a directory", "an absolute path without `.`, `..`, empty parts and spaces"), |path| path.strip_prefix('/').is_some_and(is_plain))
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
