//! A profile as a page of the catalogue, in Markdown.

use std::fmt::{Display, Write as _};

use crate::profile::distro::{DistroProfile, KernelRules};
use crate::profile::driver::{Answer, DriverProfile, DriverVersion, Redistribution, Requirements, Source};

/// What people want to know of a driver before they take it.
pub(super) fn driver(profile: &DriverProfile) -> String {
    let mut page = heading(&profile.name, &profile.summary);
    let redistribution = match profile.redistribution {
        Redistribution::Permitted => "",
        Redistribution::Unmodified => "; may be passed on unmodified",
        Redistribution::Disputed => "; whether binaries may be passed on is disputed, so `--accept-licence` is needed to push",
        Redistribution::Forbidden => "; may not be passed on, so `--accept-licence` is needed to push",
    };
    row(&mut page, "home page", format!("<{}>", profile.homepage));
    row(&mut page, "licence of the modules", format!("`{}`{redistribution}", profile.licence));
    if let Some(needs) = requirements(&profile.requires) {
        row(&mut page, "needs", needs);
    }
    if let Some(in_tree) = &profile.in_tree {
        row(&mut page, "part of the kernel", format!("from {} on, as `{}`: skipped there", in_tree.since, in_tree.module));
    }
    if !profile.modules.is_empty() {
        row(&mut page, "modules, in load order", code(profile.modules.iter().map(|module| &module.name)));
    }
    if !profile.remove_first.is_empty() {
        row(&mut page, "unloads first", code(&profile.remove_first));
    }
    if !profile.load_first.is_empty() {
        row(&mut page, "loads first", code(&profile.load_first));
    }
    row(&mut page, "without its hardware", answer(profile.load.without_hardware));
    row(&mut page, "proven", profile.proven.name());
    if let Some(why) = &profile.deploy.privileged {
        row(&mut page, "privileged", why);
    }
    page.push_str("\n## Versions\n\nThe first one that supports a kernel is what `--driver` without a version means.\n\n");
    page.push_str("| version | kernels | source | firmware |\n|---|---|---|---|\n");
    for version in &profile.versions {
        let _ = writeln!(page, "{}", version_row(version));
    }
    page
}

fn version_row(version: &DriverVersion) -> String {
    let sources = version.sources.iter().map(|source| match source {
        Source::Archive(archive) => format!("[archive]({})", archive.url.replace("{version}", version.version.as_str())),
        Source::Deb(deb) => format!("[Debian package]({})", deb.url.replace("{version}", version.version.as_str())),
        Source::Path(path) => format!("`{}`", path.directory),
    });
    let sources: Vec<_> = sources.collect();
    let licences: Vec<_> = version.firmware.iter().map(|firmware| format!("`{}`", firmware.licence)).collect();
    let kernels = requirements(&version.requires).unwrap_or_default();
    format!("| {} | {kernels} | {} | {} |", version.version, sources.join(", "), licences.join(", "))
}

/// What people want to know of a distribution.
pub(super) fn distro(profile: &DistroProfile) -> String {
    let mut page = heading(&profile.name, "");
    row(&mut page, "home page", format!("<{}>", profile.homepage));
    row(&mut page, "packages", format!("`{}`", profile.family.name()));
    row(&mut page, "architectures", code(profile.arches.iter().map(|arch| arch.oci())));
    row(&mut page, "proven", profile.proven.words());
    row(&mut page, "kernels are booted", if profile.boot.is_some() { "with `--boot`" } else { "no: where their images are is not known" });
    row(&mut page, "nodes look for firmware in", format!("`{}`", profile.node.firmware_directory));
    page.push_str("\n## Kernels\n\nWhat `uname -r` says there fits one of these patterns:\n\n");
    for pattern in &profile.kernels.recognise {
        let _ = writeln!(page, "- `{pattern}`");
    }
    headers_elsewhere(&mut page, &profile.kernels);
    page.push_str("\n## Releases\n\n| release | base image of the build | repositories | older kernels |\n|---|---|---|---|\n");
    for release in &profile.releases {
        let repositories: Vec<_> = release.repositories.iter().map(|repository| format!("`{}` of <{}>", repository.suite, repository.url)).collect();
        let fallbacks: Vec<_> = release.fallbacks.iter().map(|fallback| format!("`--fallback {}`", fallback.id)).collect();
        let _ = writeln!(page, "| `{}` | `{}` | {} | {} |", release.id, release.base_image, repositories.join("<br>"), fallbacks.join(", "));
    }
    page
}

/// Where the headers are that no repository has.
fn headers_elsewhere(page: &mut String, kernels: &KernelRules) {
    if kernels.are_published() {
        return;
    }
    page.push_str("\n## Headers\n\nNo repository has them: kernels are named exactly, and where their headers are.\n\n| where | |\n|---|---|\n");
    if let Some(archives) = &kernels.archives {
        let places: Vec<_> = archives.places.iter().map(|place| format!("`{}` for `{}`", place.url, place.versions)).collect();
        row(page, &format!("`--os-version VERSION`: {}", archives.version_is), places.join("<br>"));
    }
    if let Some(image) = &kernels.in_image {
        row(page, "`--headers-image IMAGE`", image);
    }
}

fn heading(name: &str, summary: &str) -> String {
    let summary = if summary.is_empty() { String::new() } else { format!("{summary}.\n\n") };
    format!("# {name}\n\n{summary}| | |\n|---|---|\n")
}

fn row(page: &mut String, what: &str, value: impl Display) {
    let _ = writeln!(page, "| {what} | {value} |");
}

fn code<T: Display>(words: impl IntoIterator<Item = T>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn requirements(requires: &Requirements) -> Option<String> {
    let kernel = match (requires.kernel.min, requires.kernel.below) {
        (Some(min), Some(below)) => Some(format!("kernels from {min} on, below {below}")),
        (Some(min), None) => Some(format!("kernels from {min} on")),
        (None, Some(below)) => Some(format!("kernels below {below}")),
        (None, None) => None,
    };
    let arches = (!requires.arches.is_empty()).then(|| code(requires.arches.iter().map(|arch| arch.oci())));
    let config = (!requires.config.is_empty()).then(|| code(&requires.config));
    let parts: Vec<_> = [kernel, arches, config].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn answer(answer: Answer) -> String {
    match answer {
        Answer::Loads => "loads".to_owned(),
        Answer::Unknown => "may load, or miss its device".to_owned(),
        error => format!("answers `{}`", error.name()),
    }
}
