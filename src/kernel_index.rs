//! Where kernel releases come from: the indexes of a distribution's repositories, the nodes of a cluster, or a user's list.

mod apt;
mod cluster;
mod error;
mod extract;
mod find;
mod list;
mod packages;
mod pacman;
mod release_file;
mod repodata;
mod resolve;
mod rpm;
mod rules;
mod signature;
mod version;

use std::fmt;
use std::sync::Arc;

use futures::future::try_join_all;

pub use self::cluster::{Cluster, ClusterError, ClusterNode, ClusterRequest, read_nodes};
pub use self::error::IndexError;
use self::extract::Interest;
pub use self::find::{SourcePackage, find_packages, newest_first};
pub use self::list::{ListError, parse_list};
use self::resolve::{Resolver, Shelf};
use self::rules::Rules;
use self::signature::Seal;
use crate::arch::Arch;
use crate::fetch::{FetchError, Fetcher, Kind};
use crate::openpgp::Keyrings;
use crate::package::PublishedRelease;
use crate::profile::distro::{DistroProfile, Family, Release, Repository};

/// What to read: one release of a distribution, for one architecture.
#[derive(Clone, Copy, Debug)]
pub struct IndexRequest<'a> {
    /// The distribution.
    pub distro: &'a DistroProfile,
    /// Its release.
    pub release: &'a Release,
    /// The architecture of the kernels.
    pub arch: Arch,
    /// The architecture of the machine that compiles. The tools that come with the headers, and compilers, are taken for it.
    pub build_arch: Arch,
    /// Repositories to read besides (`--fallback`), with `{timestamp}` filled in.
    pub fallbacks: &'a [Repository],
    /// Keys that repositories are signed with.
    pub keyrings: &'a Keyrings,
}

/// A repository as messages name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryName {
    /// `bookworm-security`.
    pub suite: String,
    /// Official base URL.
    pub url: String,
    /// The files by one of which it is known to exist.
    pub asked_for: &'static str,
    /// The file that its other files are verified by.
    pub listed_in: &'static str,
}

impl RepositoryName {
    fn of(family: Family, repository: &Repository) -> Self {
        let (asked_for, listed_in) = match family {
            Family::Apt => ("`InRelease`, then `Release`", "its Release file"),
            Family::Dnf | Family::Zypper => ("`repodata/repomd.xml`", "its repomd.xml"),
            Family::Pacman => ("its database", "its database"),
        };
        Self { suite: repository.suite.clone(), url: repository.url.clone(), asked_for, listed_in }
    }
}

impl fmt::Display for RepositoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` of {}", self.suite, self.url)
    }
}

/// What the repositories of a distribution's release publish.
///
/// The first repository of a release is its main one and must be there, as must those of a fallback. Others come and go
/// (backports begin late, security support ends): one that its server does not have is listed in `looked_in` as
/// `bookworm-backports (not there)`. Every other trouble is an error, so that a kernel is never missed unnoticed.
///
/// Each run asks for the repositories' Release files and verifies their signatures; indexes are fetched and read only when their digests have changed.
pub async fn read(fetcher: &Fetcher, request: &IndexRequest<'_>) -> Result<PublishedRelease, IndexError> {
    let IndexRequest { distro, release, arch, build_arch, fallbacks, .. } = *request;
    let rules = Arc::new(Rules::of(distro, release)?);
    let family = distro.family;
    let arches = if arch == build_arch { vec![family.arch_name(arch)] } else { vec![family.arch_name(arch), family.arch_name(build_arch)] };
    let repositories: Vec<_> = release.repositories.iter().chain(fallbacks).filter(|repository| repository.has(arch)).collect();
    let wants = Box::new({
        let rules = rules.clone();
        move |name: &str| rules.wants(name)
    });
    let interest = Arc::new(Interest { wants, digest: rules.digest.clone(), every_component: false });
    let shelves = read_shelves(fetcher, request, &repositories, &interest, &arches).await?;
    let optional = 1..release.repositories.iter().filter(|repository| repository.has(arch)).count();
    let mut looked_in = Vec::new();
    for (at, (repository, shelf)) in repositories.iter().zip(&shelves).enumerate() {
        match shelf {
            Some(shelf) => looked_in.push(shelf.suite.clone()),
            None if optional.contains(&at) => looked_in.push(format!("{} (not there)", repository.suite)),
            None => return Err(IndexError::Missing(RepositoryName::of(family, repository))),
        }
    }
    let shelves: Vec<_> = shelves.into_iter().flatten().collect();
    let unverified = shelves.iter().filter_map(|shelf| shelf.unverified.clone()).collect();
    let resolver = Resolver::new(&rules, arch, build_arch, &shelves);
    let of = || format!("{} {}, {arch}", distro.id, release.id);
    let runtime = resolver.runtime().map_err(|names| IndexError::NoRuntime { names, of: of(), looked_in: looked_in.clone() })?;
    Ok(PublishedRelease {
        distro: distro.id.to_string(),
        release: release.id.to_string(),
        arch: arch.oci().to_owned(),
        kernels: resolver.kernels(),
        runtime,
        compilers: resolver.compilers(),
        looked_in,
        unverified,
    })
}

/// What repositories have of what matters, each once its signature has been verified.
async fn read_shelves(
    fetcher: &Fetcher,
    request: &IndexRequest<'_>,
    repositories: &[&Repository],
    interest: &Arc<Interest>,
    arches: &[&str],
) -> Result<Vec<Option<Shelf>>, IndexError> {
    let read = async |repository: &Repository| {
        let seal = Seal::of(request.distro, repository, fetcher, request.keyrings)?;
        match request.distro.family {
            Family::Apt => apt::read_repository(fetcher, interest, repository, &seal, arches).await,
            Family::Dnf | Family::Zypper => rpm::read_repository(fetcher, interest, repository, &seal, arches[0]).await,
            Family::Pacman => pacman::read_repository(fetcher, interest, repository, &seal, arches[0]).await,
        }
    };
    try_join_all(repositories.iter().map(|repository| read(repository))).await
}

/// A file that changes at its place; none if it is not there.
async fn cached(fetcher: &Fetcher, name: &RepositoryName, url: &str) -> Result<Option<Vec<u8>>, IndexError> {
    match fetcher.cached(Kind::Package, url).await {
        Ok(file) => Ok(Some(file.bytes)),
        Err(error) if FetchError::is_missing(&error) => Ok(None),
        Err(error) => Err(IndexError::Fetch { repository: name.clone(), error: Box::new(error) }),
    }
}

/// For `fuzz/`: reads bytes as each of the files that a repository has.
#[cfg(fuzzing)]
pub fn read_as_anything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = release_file::ReleaseFile::parse(&text);
    let _ = packages::scan(bytes, |_| true);
    let _ = repodata::primary(bytes);
    let _ = repodata::scan(bytes, |_| true);
    let _ = pacman::scan(bytes, |_| true);
    let (left, right) = text.split_once(' ').unwrap_or((&text, ""));
    assert_eq!(version::compare(left, right), version::compare(right, left).reverse());
}

#[cfg(test)]
mod tests;
