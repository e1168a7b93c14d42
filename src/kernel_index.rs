//! Where kernel releases come from: the indexes of a distribution's repositories, or a user's list.

mod apt;
mod extract;
mod list;
mod packages;
mod release_file;
mod repodata;
mod resolve;
mod rpm;
mod rules;
mod version;

use std::fmt;
use std::sync::Arc;

use futures::future::try_join_all;

pub use self::list::{ListError, parse_list};
use self::resolve::Resolver;
use self::rules::Rules;
use crate::arch::Arch;
use crate::error::{Exit, Failure};
use crate::fetch::{FetchError, Fetcher, Problem};
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
}

/// Why the repositories could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A regular expression of the profile is wrong.
    #[error("`{field}`: {reason}")]
    Pattern {
        /// The profile's field.
        field: &'static str,
        /// Its value.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The server has no such suite.
    #[error("{0} is not there")]
    Missing(RepositoryName),
    /// Something could not be fetched.
    #[error("{repository}: {error}")]
    Fetch {
        /// Of which repository.
        repository: RepositoryName,
        /// Why.
        error: Box<FetchError>,
    },
    /// A file of the repository cannot be understood.
    #[error("{repository}: `{file}`: {reason}")]
    Damaged {
        /// The repository.
        repository: RepositoryName,
        /// Path below the suite.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `Valid-Until` is over.
    #[error("{repository} expired at {until}")]
    Expired {
        /// The repository.
        repository: RepositoryName,
        /// The date, as the repository writes it.
        until: String,
    },
    /// The repository has no index for a component and an architecture.
    #[error("{repository} has no `{path}`")]
    NoIndex {
        /// The repository.
        repository: RepositoryName,
        /// Path below the suite, without the compression's suffix.
        path: String,
    },
    /// Packages for the runtime tools are not there.
    #[error("no {}", names.join(", "))]
    NoRuntime {
        /// Names; alternatives are separated by `|`.
        names: Vec<String>,
        /// `debian bookworm, arm64`.
        of: String,
        /// The repositories that were read.
        looked_in: Vec<String>,
    },
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
    fn of(repository: &Repository) -> Self {
        // Only repositories of apt have components, and have to.
        let (asked_for, listed_in) =
            if repository.components.is_empty() { ("`repodata/repomd.xml`", "its repomd.xml") } else { ("`InRelease`, then `Release`", "its Release file") };
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
/// Each run asks for the repositories' Release files; indexes are fetched and read only when their digests have changed.
/// Signatures are not verified yet: see `release_file`.
pub async fn read(fetcher: &Fetcher, request: &IndexRequest<'_>) -> Result<PublishedRelease, IndexError> {
    let IndexRequest { distro, release, arch, build_arch, fallbacks } = *request;
    let rules = Arc::new(Rules::of(distro, release)?);
    let family = distro.family;
    let arches = if arch == build_arch { vec![family.arch_name(arch)] } else { vec![family.arch_name(arch), family.arch_name(build_arch)] };
    let repositories: Vec<_> = release.repositories.iter().chain(fallbacks).filter(|repository| repository.has(arch)).collect();
    let shelves = match family {
        Family::Apt => try_join_all(repositories.iter().map(|repository| apt::read_repository(fetcher, &rules, repository, &arches))).await?,
        Family::Dnf => try_join_all(repositories.iter().map(|repository| rpm::read_repository(fetcher, &rules, repository, arches[0]))).await?,
    };
    let optional = 1..release.repositories.iter().filter(|repository| repository.has(arch)).count();
    let mut looked_in = Vec::new();
    for (at, (repository, shelf)) in repositories.iter().zip(&shelves).enumerate() {
        match shelf {
            Some(shelf) => looked_in.push(shelf.suite.clone()),
            None if optional.contains(&at) => looked_in.push(format!("{} (not there)", repository.suite)),
            None => return Err(IndexError::Missing(RepositoryName::of(repository))),
        }
    }
    let shelves: Vec<_> = shelves.into_iter().flatten().collect();
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
    })
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Pattern { field, pattern, reason } => {
                Self::new(Exit::Usage, format!("`{field}` of the distro profile is not a regular expression")).fact("found", pattern).fact("reason", reason)
            }
            IndexError::Missing(repository) => Self::new(Exit::Failed, format!("the repository {repository} does not exist"))
                .fact("asked for", repository.asked_for)
                .help("releases that are no longer supported move to an archive: name it in `mirrors`, or in a profile of your own"),
            IndexError::Fetch { repository, error } => fetch_failure(&repository, *error),
            IndexError::Damaged { repository, file, reason } => {
                Self::new(Exit::Failed, format!("`{file}` of the repository {repository} cannot be read: {reason}"))
                    .help("something between here and the repository answers in its place, or the mirror is damaged")
            }
            IndexError::Expired { repository, until } => Self::new(Exit::Failed, format!("the repository {repository} has expired"))
                .fact("until", until)
                .help("the mirror is not updated any more; for a frozen copy set `frozen: true` below `mirrors` in the project file"),
            IndexError::NoIndex { repository, path } => {
                Self::new(Exit::Failed, format!("the repository {repository} has no `{path}`")).help("correct `components` or `arches` of the distro profile")
            }
            IndexError::NoRuntime { names, of, looked_in } => Self::new(Exit::Failed, format!("no package `{}` for {of}", names.join("`, `")))
                .fact("looked in", looked_in.join(", "))
                .help("correct `runtime.packages` of the distro profile"),
        }
    }
}

fn fetch_failure(repository: &RepositoryName, error: FetchError) -> Failure {
    if let FetchError::Transfer { place, problem: Problem::Digest { found, expected }, .. } = error {
        return Failure::new(Exit::Failed, format!("the repository {repository} does not fit together"))
            .fact("file", place.asked)
            .fact("found", format!("sha256:{found}"))
            .fact("expected", format!("sha256:{expected} ({})", repository.listed_in))
            .help("the mirror is being updated: try again in some minutes");
    }
    let mut failure = Failure::from(error);
    failure.facts.insert(0, ("for".to_owned(), format!("the repository {repository}")));
    failure
}

/// For `fuzz/`: reads bytes as each of the files that a repository has.
#[cfg(fuzzing)]
pub fn read_as_anything(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = release_file::ReleaseFile::parse(&text);
    let _ = packages::scan(bytes, |_| true);
    let _ = repodata::primary(bytes);
    let _ = repodata::scan(bytes, |_| true);
    let (left, right) = text.split_once(' ').unwrap_or((&text, ""));
    assert_eq!(version::compare(left, right), version::compare(right, left).reverse());
}

#[cfg(test)]
mod tests;
