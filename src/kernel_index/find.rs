//! Packages by their names.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::extract::Interest;
use super::{IndexError, IndexRequest, read_shelves};
use crate::fetch::{Fetcher, sha256};
use crate::package::Package;

/// A package that a repository has, with what its index says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePackage {
    /// The package.
    pub package: Package,
    /// `bookworm-security`.
    pub suite: String,
    /// The repository, if its word is taken without a signature: `bookworm-security of http://…`.
    pub unverified: Option<String>,
    /// Id of the distribution's release: `bookworm`.
    pub release: String,
    /// Groups of packages of which it needs one each, by name.
    pub depends: Vec<Vec<String>>,
    /// Home page; may be empty.
    pub homepage: String,
    /// What it is, in one line; may be empty.
    pub summary: String,
}

/// Every version of packages that a release has, the newest first. With `every_component`, also those in components that its profile
/// does not name (`contrib`, `non-free`).
///
/// # Errors
/// When a repository cannot be read, or is not signed by its owner. One that does not exist has no package.
pub async fn find_packages(
    fetcher: &Fetcher,
    request: &IndexRequest<'_>,
    names: &BTreeSet<String>,
    every_component: bool,
) -> Result<Vec<SourcePackage>, IndexError> {
    let IndexRequest { distro, release, arch, fallbacks, .. } = *request;
    let digest = sha256(&serde_json::to_vec(&(names, every_component, env!("CARGO_PKG_VERSION"))).unwrap_or_default());
    let wants = Box::new({
        let names = names.clone();
        move |name: &str| names.contains(name)
    });
    let interest = Arc::new(Interest { wants, digest, every_component });
    let repositories: Vec<_> = release.repositories.iter().chain(fallbacks).filter(|repository| repository.has(arch)).collect();
    let shelves = read_shelves(fetcher, request, &repositories, &interest, &[distro.family.arch_name(arch)]).await?;
    let mut found = Vec::new();
    for shelf in shelves.into_iter().flatten() {
        for stanza in shelf.stanzas {
            let url = format!("{}/{}", shelf.url, stanza.filename);
            let depends = stanza.depends.split(',').map(|group| group.split('|').filter_map(name_of).collect::<Vec<_>>());
            found.push(SourcePackage {
                depends: depends.filter(|group| !group.is_empty()).collect(),
                package: Package { name: stanza.name, version: stanza.version, arch: stanza.arch, url, sha256: stanza.sha256, size: stanza.size },
                suite: shelf.suite.clone(),
                unverified: shelf.unverified.clone(),
                release: release.id.to_string(),
                homepage: stanza.homepage,
                summary: stanza.summary,
            });
        }
    }
    newest_first(&mut found);
    Ok(found)
}

/// The name in a dependency: `libc6` of `libc6:any (>= 2.34) [amd64]`.
fn name_of(dependency: &str) -> Option<String> {
    let dependency = dependency.trim();
    let end = dependency.find([' ', '(', '[', '<', ':']).unwrap_or(dependency.len());
    (end > 0).then(|| dependency[..end].to_owned())
}

/// Sorts the newest version to the front.
pub fn newest_first(packages: &mut [SourcePackage]) {
    packages.sort_by(|a, b| super::version::compare(&b.package.version, &a.package.version));
}
