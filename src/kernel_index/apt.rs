//! Reading the repositories of the apt family.

use std::collections::HashSet;
use std::sync::Arc;

use futures::future::try_join_all;

use super::extract::{Index, Interest, Scan};
use super::packages::{Stanza, scan};
use super::release_file::ReleaseFile;
use super::resolve::Shelf;
use super::signature::{Seal, is_frozen};
use super::{IndexError, RepositoryName, cached};
use crate::fetch::{Fetcher, Kind};
use crate::profile::distro::{Family, Repository};

/// Compressions of an index, smallest first.
const SUFFIXES: [&str; 4] = [".xz", ".zst", ".gz", ""];

/// What matters of a repository's packages for these architectures; none if the server has no such suite.
pub(super) async fn read_repository(
    fetcher: &Fetcher,
    interest: &Arc<Interest>,
    repository: &Repository,
    seal: &Seal<'_>,
    arches: &[&str],
) -> Result<Option<Shelf>, IndexError> {
    let name = RepositoryName::of(Family::Apt, repository);
    let Some(release) = read_release(fetcher, repository, seal, &name).await? else { return Ok(None) };
    let mut indexes = Vec::new();
    let mut components = repository.components.clone();
    if interest.every_component {
        components.extend(release.components(arches).into_iter().filter(|component| !repository.components.contains(component)));
    }
    for component in &components {
        let extra = release.separate_all.then_some("all");
        for arch in arches.iter().copied().chain(extra) {
            let path = format!("{component}/binary-{arch}/Packages");
            let listed = SUFFIXES.iter().find_map(|suffix| release.sha256.get_key_value(&format!("{path}{suffix}")));
            match listed {
                Some((path, digest)) => indexes.push((path.as_str(), digest.as_str())),
                None if arch == "all" => {}
                None => return Err(IndexError::NoIndex { repository: name, path }),
            }
        }
    }
    let found = try_join_all(indexes.into_iter().map(|(path, digest)| read_index(fetcher, interest, repository, &name, &release, path, digest))).await?;
    let mut seen = HashSet::new();
    // Packages for all architectures are in the index of each.
    let stanzas = found.into_iter().flatten().filter(|stanza| seen.insert((stanza.name.clone(), stanza.version.clone(), stanza.arch.clone())));
    Ok(Some(Shelf {
        suite: repository.suite.clone(),
        url: repository.url.clone(),
        unverified: seal.place(repository),
        automatic: !release.not_automatic,
        stanzas: stanzas.collect(),
    }))
}

/// The Release file, if its owner has signed it: in itself, else in a file beside it.
async fn read_release(fetcher: &Fetcher, repository: &Repository, seal: &Seal<'_>, name: &RepositoryName) -> Result<Option<ReleaseFile>, IndexError> {
    let get = async |file: &str| cached(fetcher, name, &format!("{}/dists/{}/{file}", repository.url, repository.suite)).await;
    let (file, text) = if let Some(bytes) = get("InRelease").await? {
        ("InRelease", seal.open(bytes))
    } else {
        let Some(bytes) = get("Release").await? else { return Ok(None) };
        let signature = if seal.is_closed() { get("Release.gpg").await? } else { None };
        ("Release", seal.open_detached(bytes, signature.as_deref()))
    };
    let damaged = |reason: &str| IndexError::Damaged { repository: name.clone(), file: file.to_owned(), reason: reason.to_owned() };
    let text = text.map_err(|fault| fault.at(name, file))?;
    let release = ReleaseFile::parse(&text).map_err(damaged)?;
    // All suites are signed by the same keys: without this, one could be served in the place of another.
    if seal.is_closed() && !release.names.is_empty() && !release.names.contains(&repository.suite) {
        return Err(IndexError::OtherSuite { repository: name.clone(), found: release.names });
    }
    if let Some((until, seconds)) = &release.valid_until
        && !is_frozen(repository, fetcher.mirrors())
        && *seconds < fetcher.now()
    {
        return Err(IndexError::Expired { repository: name.clone(), until: until.clone() });
    }
    Ok(Some(release))
}

/// The wanted entries of one index: remembered ones as long as its digest stays.
async fn read_index(
    fetcher: &Fetcher,
    interest: &Arc<Interest>,
    repository: &Repository,
    name: &RepositoryName,
    release: &ReleaseFile,
    path: &str,
    digest: &str,
) -> Result<Vec<Stanza>, IndexError> {
    let suite = format!("{}/dists/{}", repository.url, repository.suite);
    let by_hash = path.rsplit_once('/').filter(|_| release.by_hash).map(|(directory, _)| format!("{suite}/{directory}/by-hash/SHA256/{digest}"));
    let plain = format!("{suite}/{path}");
    let fetch = async || match by_hash {
        Some(url) => match fetcher.temporary(Kind::Package, &url, digest).await {
            // Frozen copies of repositories often lack these names.
            Err(error) if error.is_missing() => fetcher.temporary(Kind::Package, &plain, digest).await,
            other => other,
        },
        None => fetcher.temporary(Kind::Package, &plain, digest).await,
    };
    let scan: Scan = |stream, wants| scan(stream, wants).map_err(|error| error.to_string());
    Index { name, url: &plain, path, digest, scan }.read(fetcher, interest, fetch).await
}
