//! From entries of indexes to kernels: which packages belong together.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::packages::Stanza;
use super::rules::Rules;
use super::version::{Bound, compare_in};
use crate::arch::Arch;
use crate::kernel::KernelRelease;
use crate::package::{Package, PublishedKernel};
use crate::profile::distro::Family;

/// One repository's entries.
#[derive(Debug)]
pub(super) struct Shelf {
    /// `bookworm-security`.
    pub(super) suite: String,
    /// Official base URL.
    pub(super) url: String,
    /// Where it was fetched from, if its index was taken without a signature.
    pub(super) unverified: Option<String>,
    /// Packages are taken from it although nobody names it.
    pub(super) automatic: bool,
    pub(super) stanzas: Vec<Stanza>,
}

/// An entry and where it is from.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    stanza: &'a Stanza,
    shelf: &'a Shelf,
}

impl Found<'_> {
    fn package(self) -> Package {
        let Stanza { name, version, arch, filename, size, sha256, .. } = self.stanza.clone();
        Package { name, version, arch, url: format!("{}/{filename}", self.shelf.url), sha256, size }
    }
}

/// Everything that was found for one target.
pub(super) struct Resolver<'a> {
    rules: &'a Rules,
    family: Family,
    /// The architecture of the kernels, by the family's name.
    target: &'static str,
    /// The architecture that compiles.
    build: &'static str,
    /// By name, newest first.
    by_name: HashMap<&'a str, Vec<Found<'a>>>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(rules: &'a Rules, target: Arch, build: Arch, shelves: &'a [Shelf]) -> Self {
        let family = rules.family;
        let mut by_name: HashMap<&str, Vec<Found<'a>>> = HashMap::new();
        for found in shelves.iter().flat_map(|shelf| shelf.stanzas.iter().map(move |stanza| Found { stanza, shelf })) {
            by_name.entry(&found.stanza.name).or_default().push(found);
        }
        for found in by_name.values_mut() {
            found.sort_by(|a, b| compare_in(family, &b.stanza.version, &a.stanza.version));
        }
        Self { rules, family, target: family.arch_name(target), build: family.arch_name(build), by_name }
    }

    fn is_for_any(&self, stanza: &Stanza) -> bool {
        stanza.arch == self.family.any_arch()
    }

    /// The kernels, oldest first, each once: the newest headers win whose dependencies are all there.
    pub(super) fn kernels(&self) -> Vec<PublishedKernel> {
        let mut headers: BTreeMap<KernelRelease, (String, Vec<Found<'a>>)> = BTreeMap::new();
        for found in self.by_name.values().flatten().filter(|found| found.stanza.arch == self.target) {
            let Some((release, flavour)) = self.rules.kernel(found.stanza) else { continue };
            headers.entry(release).or_insert_with(|| (flavour, Vec::new())).1.push(*found);
        }
        let resolved = headers.into_iter().filter_map(|(release, (flavour, found))| {
            match found.into_iter().map(|found| self.kernel(found, &release, &flavour)).reduce(Result::or)? {
                Ok(kernel) => Some(kernel),
                Err(missing) => {
                    tracing::warn!(%release, missing, "the headers' dependencies are not in the repositories; the kernel is left out");
                    None
                }
            }
        });
        resolved.collect()
    }

    fn kernel(&self, headers: Found<'a>, release: &KernelRelease, flavour: &str) -> Result<PublishedKernel, String> {
        let mut chosen = vec![headers];
        let mut compilers = Vec::new();
        let mut next = 0;
        while let Some(found) = chosen.get(next).copied() {
            next += 1;
            for alternatives in found.stanza.depends.split(',') {
                let alternatives: Vec<_> = alternatives.split('|').filter_map(Dependency::parse).collect();
                if let Some(program) = alternatives.iter().find_map(|one| self.rules.compiler_program(one.name))
                    && !compilers.iter().any(|name| name == program)
                {
                    compilers.push(program.to_owned());
                }
                let family: Vec<_> = alternatives.iter().filter(|one| self.rules.is_headers_dependency(one.name)).collect();
                if family.is_empty() || chosen.iter().any(|found| family.iter().any(|one| one.accepts(self.family, found.stanza))) {
                    continue;
                }
                let best = family.iter().find_map(|one| self.closest(one, found.stanza));
                chosen.push(best.ok_or_else(|| alternatives_text(&family))?);
            }
        }
        if compilers.is_empty() {
            compilers.extend(self.rules.compiler_of(release).map(ToOwned::to_owned));
        }
        let headers_packages = chosen.iter().map(|found| found.package()).collect();
        let image = self.image(release, headers.stanza);
        let (release, flavour, origin) = (release.clone(), flavour.to_owned(), headers.shelf.suite.clone());
        Ok(PublishedKernel {
            release,
            flavour,
            headers: headers_packages,
            headers_image: None,
            os_version: None,
            image,
            compilers,
            backport: !headers.shelf.automatic,
            origin,
        })
    }

    /// The packages of a kernel's image, in the version of its headers if it is there; none when one of them is missing.
    fn image(&self, release: &KernelRelease, headers: &Stanza) -> Vec<Package> {
        let named = |group: &Vec<(String, String)>| group.iter().find_map(|(before, after)| self.beside(&format!("{before}{release}{after}"), headers));
        let Some(mut chosen) = self.rules.images.iter().map(named).collect::<Option<Vec<_>>>() else { return Vec::new() };
        let mut next = 0;
        while let Some(found) = chosen.get(next).copied() {
            next += 1;
            for alternatives in found.stanza.depends.split(',') {
                let alternatives: Vec<_> = alternatives.split('|').filter_map(Dependency::parse).collect();
                let family: Vec<_> = alternatives.iter().filter(|one| self.rules.is_image_dependency(one.name)).collect();
                if family.is_empty() || chosen.iter().any(|found| family.iter().any(|one| one.accepts(self.family, found.stanza))) {
                    continue;
                }
                let Some(best) = family.iter().find_map(|one| self.beside(one.name, found.stanza)) else { return Vec::new() };
                chosen.push(best);
            }
        }
        chosen.iter().map(|found| found.package()).collect()
    }

    /// A package for the target: the version of another package, else the newest.
    fn beside(&self, name: &str, other: &Stanza) -> Option<Found<'a>> {
        let fits = |found: &&Found<'a>| found.stanza.arch == self.target || self.is_for_any(found.stanza);
        let mut fitting = self.by_name.get(name)?.iter().filter(fits);
        let same = |found: &&Found<'a>| compare_in(self.family, &found.stanza.version, &other.version) == Ordering::Equal;
        fitting.clone().find(same).or_else(|| fitting.next()).copied()
    }

    /// What fulfils a dependency: the version of the package that depends on it, else the oldest that will do, because
    /// that is nearest to what the kernel was built with, and stays when newer ones come. Without a bound, the newest.
    /// Packages whose architecture does not matter are taken for the machine that compiles.
    fn closest(&self, dependency: &Dependency<'_>, dependent: &Stanza) -> Option<Found<'a>> {
        let all = self.by_name.get(dependency.name)?;
        let acceptable = |found: &&Found<'a>| dependency.accepts(self.family, found.stanza);
        let runs_here = |found: &&Found<'a>| found.stanza.foreign && (found.stanza.arch == self.build || self.is_for_any(found.stanza));
        let fits = |found: &&Found<'a>| found.stanza.arch == self.target || self.is_for_any(found.stanza);
        let mut fitting: Vec<_> = all.iter().filter(acceptable).filter(runs_here).collect();
        if fitting.is_empty() {
            fitting = all.iter().filter(acceptable).filter(fits).collect();
        }
        let same = fitting.iter().find(|found| compare_in(self.family, &found.stanza.version, &dependent.version) == Ordering::Equal);
        let other = if dependency.bound.is_some() { fitting.last() } else { fitting.first() };
        same.or(other).map(|found| **found)
    }

    /// The packages of the runtime tools for the target, by name; or the groups of names of which there is none.
    pub(super) fn runtime(&self) -> Result<Vec<Package>, Vec<String>> {
        let pick = |group: &Vec<String>| group.iter().find_map(|name| self.newest(name)).ok_or_else(|| group.join("|"));
        let (found, missing): (Vec<_>, Vec<_>) = self.rules.runtime.iter().map(pick).partition(Result::is_ok);
        if !missing.is_empty() {
            return Err(missing.into_iter().filter_map(Result::err).collect());
        }
        let packages: BTreeSet<_> = found.into_iter().filter_map(Result::ok).map(Found::package).collect();
        Ok(packages.into_iter().collect())
    }

    /// The newest of a name for the target, preferably from a repository that packages are taken from without asking.
    fn newest(&self, name: &str) -> Option<Found<'a>> {
        let fits = |found: &&Found<'a>| found.stanza.arch == self.target || self.is_for_any(found.stanza);
        let mut fitting = self.by_name.get(name)?.iter().filter(fits);
        fitting.clone().find(|found| found.shelf.automatic).or_else(|| fitting.next()).copied()
    }

    /// Names of compiler packages for the machine that compiles, sorted.
    pub(super) fn compilers(&self) -> Vec<String> {
        let installable = |found: &Found<'_>| found.shelf.automatic && (found.stanza.arch == self.build || self.is_for_any(found.stanza));
        let names = self.by_name.iter().filter(|(name, found)| self.rules.is_compiler(name) && found.iter().any(installable));
        names.map(|(name, _)| (*name).to_owned()).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// One alternative of a dependency: `linux-kbuild-6.1 (>= 6.1.170-3)`.
struct Dependency<'a> {
    text: &'a str,
    name: &'a str,
    bound: Option<Bound>,
}

impl<'a> Dependency<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let end = text.find([' ', '(', '[', '<', ':']).unwrap_or(text.len());
        let bound = text.split_once('(').and_then(|(_, rest)| Bound::parse(rest.split(')').next()?));
        (end > 0).then_some(Self { text, name: &text[..end], bound })
    }

    fn accepts(&self, family: Family, stanza: &Stanza) -> bool {
        let accepts = |bound: &Bound| bound.accepts(family, &stanza.version) || stanza.provides.iter().any(|version| bound.accepts(family, version));
        stanza.name == self.name && self.bound.as_ref().is_none_or(accepts)
    }
}

fn alternatives_text(alternatives: &[&Dependency<'_>]) -> String {
    alternatives.iter().map(|one| one.text).collect::<Vec<_>>().join(" | ")
}
