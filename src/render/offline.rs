//! The Dockerfile of a target for a builder without a network: the same steps, on what lies beside it.
//!
//! What online installs compiler and build tools becomes the root file system that these steps have left (`toolchain.tar.gz`), for all stages that
//! begin with a part of it. Packages, which steps look for by their digests before they fetch them, are mounted where the cache would be. So every
//! other step is what it is online, whatever the family, and the input digest does not know the difference.

use sha2::{Digest as _, Sha256};

use super::{RenderError, dockerfile, toolchain_stage};
use crate::mirror::Mirrors;
use crate::package::Package;
use crate::plan::Target;
use crate::profile::distro::Family;
use crate::reference::Digest;

/// The file with the root file system of compiler and build tools.
pub const TOOLCHAIN: &str = "toolchain.tar.gz";

/// What the templates of all families mount where packages are kept by their digests.
const CACHE: &str = "--mount=type=cache,id=kmodforge-packages,";

/// Stages that unpack packages.
const HEADERS: &str = "headers";
const PROGRAMS: &str = "tools";

/// What a target's toolchain is made from, as a name for it: the steps of its stages, and the base image as far as it is known.
///
/// # Errors
/// When the target cannot be rendered.
pub fn toolchain_key(target: &Target, base: Option<&Digest>) -> Result<String, RenderError> {
    let text = dockerfile(target, &Mirrors::default())?;
    let stages = Stages::of(&text);
    let mut hash = Sha256::new();
    for stage in stages.needed_for(toolchain_stage(target)) {
        for line in stage.text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            hash.update(line);
            hash.update("\n");
        }
    }
    hash.update(base.map(Digest::as_str).unwrap_or_default());
    Ok(Digest::from_sha256(&hash.finalize().into()).hex().to_owned())
}

/// Packages that lie beside the Dockerfile, by their paths there.
pub fn packages(target: &Target) -> impl Iterator<Item = (String, &Package)> {
    let stages = [(HEADERS, &target.kernel.headers[..]), (PROGRAMS, &target.runtime[..])];
    stages.into_iter().flat_map(|(stage, packages)| packages.iter().map(move |package| (format!("packages/{stage}/{}", package.sha256), package)))
}

/// Signatures of packages that are files of their own, by their paths beside the Dockerfile, with their official addresses.
pub fn signatures(target: &Target) -> impl Iterator<Item = (String, String)> {
    let detached = target.distro.profile.family == Family::Pacman;
    packages(target).filter(move |_| detached).map(|(path, package)| (format!("{path}.sig"), format!("{}.sig", package.url)))
}

/// The target's Dockerfile, which fetches nothing: [`TOOLCHAIN`], [`packages`] and [`signatures`] must lie beside it.
///
/// # Errors
/// When the target cannot be rendered.
pub fn offline_dockerfile(target: &Target, mirrors: &Mirrors) -> Result<String, RenderError> {
    let online = dockerfile(target, mirrors)?;
    let stages = Stages::of(&online);
    let replaced = stages.ancestors(toolchain_stage(target));
    let mut text =
        format!("{}\n# Compiler and build tools, as a builder with a network has left them.\nFROM scratch AS base\nADD {TOOLCHAIN} /\n", stages.title);
    for stage in &replaced {
        // Options of the image, not of its files.
        for line in stage.text.lines().filter(|line| line.starts_with("SHELL ") || line.starts_with("ENV ")) {
            text.extend([line, "\n"]);
        }
    }
    for pair in replaced.windows(2) {
        text.extend(["FROM ", pair[0].name, " AS ", pair[1].name, "\n"]);
    }
    for stage in stages.all.iter().filter(|stage| !replaced.iter().any(|replaced| replaced.name == stage.name)) {
        text.push_str(&stage.text.replace(CACHE, &format!("--mount=type=bind,source=packages/{},rw,", stage.name)));
    }
    Ok(text)
}

/// A Dockerfile in parts.
struct Stages<'t> {
    /// The comment that it begins with.
    title: &'t str,
    all: Vec<Stage<'t>>,
}

/// A stage, with the comment in front of it.
struct Stage<'t> {
    name: &'t str,
    from: &'t str,
    text: &'t str,
}

impl<'t> Stages<'t> {
    /// Takes apart what the templates of this program make: stages have names, and none begins in the middle of another's step.
    fn of(text: &'t str) -> Self {
        let (title, _) = text.split_once("\n\n").unwrap_or_default();
        let mut starts: Vec<usize> = Vec::new();
        let (mut at, mut comment) = (title.len() + 1, None);
        for line in text[at.min(text.len())..].split_inclusive('\n') {
            if line.starts_with("FROM ") {
                starts.push(comment.unwrap_or(at));
            }
            let outside = line.starts_with('#') || line == "\n";
            comment = if outside { comment.or(Some(at)) } else { None };
            at += line.len();
        }
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let all = starts.iter().copied().zip(ends).filter_map(|(start, end)| Stage::of(&text[start..end])).collect();
        Self { title: &text[..(title.len() + 1).min(text.len())], all }
    }

    fn find(&self, name: &str) -> Option<&Stage<'t>> {
        self.all.iter().find(|stage| stage.name == name)
    }

    /// A stage and those that it begins with, the first one first.
    fn ancestors(&self, name: &str) -> Vec<&Stage<'t>> {
        let mut found: Vec<_> = std::iter::successors(self.find(name), |stage| self.find(stage.from)).collect();
        found.reverse();
        found
    }

    /// A stage, those that it begins with, and those that are mounted into one of them.
    fn needed_for(&self, name: &str) -> Vec<&Stage<'t>> {
        let mut needed = self.ancestors(name);
        let mut next = 0;
        while let Some(stage) = needed.get(next).copied() {
            next += 1;
            let mounted = stage.text.split("type=bind,from=").skip(1).filter_map(|rest| rest.split([',', ' ']).next());
            for other in mounted.flat_map(|name| self.ancestors(name)).collect::<Vec<_>>() {
                if !needed.iter().any(|stage| stage.name == other.name) {
                    needed.push(other);
                }
            }
        }
        needed
    }
}

impl<'t> Stage<'t> {
    fn of(text: &'t str) -> Option<Self> {
        let line = text.lines().find_map(|line| line.strip_prefix("FROM "))?;
        let (from, name) = line.split_once(" AS ")?;
        Some(Self { name: name.trim_end(), from, text })
    }
}

#[cfg(test)]
mod tests;
