//! Reading the repositories of families whose packages are RPMs.

use std::sync::Arc;

use super::extract::{Index, Interest};
use super::repodata;
use super::resolve::Shelf;
use super::signature::Seal;
use super::{IndexError, RepositoryName, cached};
use crate::fetch::{Fetcher, Kind};
use crate::profile::distro::{Family, Repository};

/// The file that names all others.
const REPOMD: &str = "repodata/repomd.xml";

/// What matters of a repository's packages for an architecture, by the family's name of it; none if the server has no such repository.
///
/// `repomd.xml` is verified by the signature beside it where the profile has a keyring; every other file by the SHA-256 in it.
pub(super) async fn read_repository(
    fetcher: &Fetcher,
    interest: &Arc<Interest>,
    repository: &Repository,
    seal: &Seal<'_>,
    arch: &str,
) -> Result<Option<Shelf>, IndexError> {
    let name = RepositoryName::of(Family::Dnf, repository);
    let Some(url) = base_url(fetcher, &name, repository.url.replace("{arch}", arch)).await? else { return Ok(None) };
    let Some(repomd) = cached(fetcher, &name, &format!("{url}/{REPOMD}")).await? else { return Ok(None) };
    let signature = if seal.is_closed() { cached(fetcher, &name, &format!("{url}/{REPOMD}.asc")).await? } else { None };
    let repomd = seal.open_detached(repomd, signature.as_deref()).map_err(|fault| fault.at(&name, REPOMD))?;
    let primary = repodata::primary(repomd.as_bytes());
    let primary = primary.map_err(|reason| IndexError::Damaged { repository: name.clone(), file: REPOMD.to_owned(), reason })?;
    let place = format!("{url}/{}", primary.path);
    let index = Index { name: &name, url: &place, path: &primary.path, digest: &primary.sha256, scan: |stream, wants| repodata::scan(stream, wants) };
    let stanzas = index.read(fetcher, interest, async || fetcher.temporary(Kind::Package, &place, &primary.sha256).await).await?;
    Ok(Some(Shelf { suite: repository.suite.clone(), url, unverified: seal.place(repository), automatic: true, stanzas }))
}

/// The repository itself, where its URL is that of a list.
async fn base_url(fetcher: &Fetcher, name: &RepositoryName, url: String) -> Result<Option<String>, IndexError> {
    if !url.ends_with("/mirror.list") {
        return Ok(Some(url));
    }
    let Some(list) = cached(fetcher, name, &url).await? else { return Ok(None) };
    let list = String::from_utf8_lossy(&list);
    let first = list.lines().map(str::trim).find(|line| line.starts_with("https://") || line.starts_with("http://"));
    let damaged = || IndexError::Damaged { repository: name.clone(), file: "mirror.list".to_owned(), reason: "it names no mirror".to_owned() };
    first.map(|first| Some(first.trim_end_matches('/').to_owned())).ok_or_else(damaged)
}
