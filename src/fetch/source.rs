//! Driver sources and firmware: fetched, verified, and brought into one form.

mod outline;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

pub use self::outline::{Outline, outline};
use super::tree::{FIRMWARE, Node, Nodes, Tree};
pub use super::unpack::UnpackError;
use super::{DiskProblem, FetchError, Fetcher, Kind, unpack};
use crate::error::{Exit, Failure};

/// Version of the form that sources are brought into; grows when the same source would give other bytes.
const FORMAT: u32 = 2;

/// A place that holds a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum SourceSpec {
    /// A tar archive, plain or compressed with gzip, bzip2, xz or zstd.
    Archive {
        /// Where it is, by its official address.
        url: String,
        /// Its SHA-256, 64 hexadecimal digits.
        sha256: String,
        /// Directories to drop from the front of every path.
        strip: usize,
        /// Directory of the source below that; `.` for everything.
        directory: String,
    },
    /// A Debian binary package.
    Deb {
        /// Where it is, by its official address.
        url: String,
        /// Its SHA-256, 64 hexadecimal digits.
        sha256: String,
        /// Directory of the source in the package; `.` for everything.
        directory: String,
    },
    /// A directory on this machine.
    Path {
        /// The directory; a relative one counts from the profile's directory.
        directory: PathBuf,
    },
}

/// A driver's source, ready to be sent to a builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedSource {
    /// A tar archive, paths relative to the source's directory. Belongs to the cache and must not be changed.
    pub tar: PathBuf,
    /// SHA-256 of that archive. Equal files give equal archives, wherever they come from.
    pub sha256: String,
    /// The place that was used: official address, or directory.
    pub origin: String,
    /// SHA-256 of what is at that place; of a directory, that of the archive made from it.
    pub origin_sha256: String,
}

/// Firmware to take from one of several places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FirmwareSpec {
    /// Places that hold the same; the first that answers is used.
    pub sources: Vec<SourceSpec>,
    /// From the path in the source's directory (a file or a directory) to the path below `/firmware`.
    pub files: BTreeMap<String, String>,
}

/// Firmware, ready to become a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedFirmware {
    /// A tar archive whose paths begin with `firmware/`. Belongs to the cache and must not be changed.
    pub tar: PathBuf,
    /// SHA-256 of that archive.
    pub sha256: String,
    /// Files in it, by their paths below `firmware/`, sorted.
    pub files: Vec<String>,
    /// The places that were used, in the order of the profile.
    pub origins: Vec<String>,
}

/// Why there is no source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// None of the places could be used.
    #[error("none of {} places could be used", .0.len())]
    NoPlace(Vec<(String, FetchError)>),
    /// What was fetched is what the profile expects, but cannot be used.
    #[error("`{place}`: {error}")]
    Unusable {
        /// Official address, or directory.
        place: String,
        /// Why.
        error: UnpackError,
    },
    /// The cache cannot be written.
    #[error(transparent)]
    Cache(#[from] FetchError),
    /// The profile names no place.
    #[error("no place is given")]
    Nowhere,
}

/// What is remembered about a prepared archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Remembered {
    sha256: String,
    files: Vec<String>,
    origins: Vec<String>,
}

/// Brings a driver's source into one form: a sorted tar without owners, dates or anything unsafe.
///
/// The first place wins that answers and whose digest matches; one that was used before and is still in the cache comes
/// first, so that neither a network nor a server that is back again changes what is built. `base` is where relative
/// directories count from.
pub async fn prepare(fetcher: &Fetcher, sources: &[SourceSpec], base: &Path) -> Result<PreparedSource, SourceError> {
    if let Some(prepared) = sources.iter().find_map(|source| known(fetcher, source)) {
        return Ok(prepared);
    }
    let (source, file) = first_that_answers(fetcher, sources, base).await?;
    let key = key("source", source);
    let _turn = fetcher.turn(&key).await;
    if let Some(prepared) = known(fetcher, source) {
        return Ok(prepared);
    }
    let (spool, part) = (fetcher.part("sources")?, fetcher.part("sources")?);
    let owned = source.clone();
    let (part, sha256) = blocking(move || convert(&owned, &file, spool, part).map_err(|error| owned.unusable(error))).await?;
    let (tar, origin_sha256) = match source.sha256() {
        Some(origin) => (tar_path(fetcher, &key), origin.to_owned()),
        None => (tar_path(fetcher, &sha256), sha256.clone()),
    };
    super::keep(part, &tar)?;
    let prepared = PreparedSource { tar, sha256: sha256.clone(), origin: source.place(), origin_sha256 };
    if source.sha256().is_some() {
        remember(fetcher, &key, &Remembered { sha256, files: Vec::new(), origins: vec![source.place()] })?;
    }
    Ok(prepared)
}

/// Brings firmware into one form, under the same rules; none when the profile names none.
pub async fn prepare_firmware(fetcher: &Fetcher, firmware: &[FirmwareSpec], base: &Path) -> Result<Option<PreparedFirmware>, SourceError> {
    if firmware.is_empty() {
        return Ok(None);
    }
    let key = key("firmware", firmware);
    let _turn = fetcher.turn(&key).await;
    let local = firmware.iter().flat_map(|one| &one.sources).any(|source| source.sha256().is_none());
    if !local && let Some(about) = recall(fetcher, &key) {
        return Ok(Some(PreparedFirmware { tar: tar_path(fetcher, &key), sha256: about.sha256, files: about.files, origins: about.origins }));
    }
    let mut found = Vec::new();
    for one in firmware {
        let (source, file) = first_that_answers(fetcher, &one.sources, base).await?;
        found.push((source.clone(), file, one.files.clone(), fetcher.part("sources")?));
    }
    let origins: Vec<_> = found.iter().map(|(source, ..)| source.place()).collect();
    let (spool, part) = (fetcher.part("sources")?, fetcher.part("sources")?);
    let (part, sha256, files) = blocking(move || collect_firmware(found, spool, part)).await?;
    let tar = tar_path(fetcher, if local { &sha256 } else { &key });
    super::keep(part, &tar)?;
    if !local {
        remember(fetcher, &key, &Remembered { sha256: sha256.clone(), files: files.clone(), origins: origins.clone() })?;
    }
    Ok(Some(PreparedFirmware { tar, sha256, files, origins }))
}

/// Takes a source's directory out of what was fetched. Debian's packages hold the licence elsewhere: it comes along as `copyright`.
fn convert(source: &SourceSpec, file: &Path, spool: NamedTempFile, part: NamedTempFile) -> Result<(NamedTempFile, String), UnpackError> {
    let mut tree = read_tree(source, file, spool)?;
    let mut nodes = tree.below(source.directory())?;
    if let (SourceSpec::Deb { .. }, Some(text)) = (source, tree.copyright()) {
        nodes.entry("copyright".into()).or_insert(text);
    }
    finish(&mut tree, &nodes, part)
}

/// A place, what was fetched from it, the files to take, and an empty file to work with.
type Found = (SourceSpec, PathBuf, BTreeMap<String, String>, NamedTempFile);

fn collect_firmware(found: Vec<Found>, spool: NamedTempFile, part: NamedTempFile) -> Result<(NamedTempFile, String, Vec<String>), SourceError> {
    let mut all = Tree::new(spool);
    for (source, file, files, spool) in found {
        let add = |all: &mut Tree| {
            let mut tree = read_tree(&source, &file, spool)?;
            files.iter().try_for_each(|(from, to)| all.adopt(&mut tree, &join(source.directory(), from), &join(FIRMWARE, to)))
        };
        add(&mut all).map_err(|error| source.unusable(error))?;
    }
    let unusable = |error| SourceError::Unusable { place: FIRMWARE.to_owned(), error };
    let nodes = all.below(".").map_err(unusable)?;
    let files = nodes.iter().filter(|(_, node)| **node != Node::Directory).filter_map(|(path, _)| path.strip_prefix(FIRMWARE)?.strip_prefix('/'));
    let files = files.map(str::to_owned).collect();
    let (part, sha256) = finish(&mut all, &nodes, part).map_err(unusable)?;
    Ok((part, sha256, files))
}

impl SourceSpec {
    /// The place as people know it.
    fn place(&self) -> String {
        match self {
            Self::Archive { url, .. } | Self::Deb { url, .. } => super::error::without_credentials(url),
            Self::Path { directory } => directory.display().to_string(),
        }
    }

    fn unusable(&self, error: UnpackError) -> SourceError {
        SourceError::Unusable { place: self.place(), error }
    }

    fn sha256(&self) -> Option<&str> {
        match self {
            Self::Archive { sha256, .. } | Self::Deb { sha256, .. } => Some(sha256),
            Self::Path { .. } => None,
        }
    }

    fn directory(&self) -> &str {
        match self {
            Self::Archive { directory, .. } | Self::Deb { directory, .. } => directory,
            Self::Path { .. } => ".",
        }
    }
}

async fn first_that_answers<'a>(fetcher: &Fetcher, sources: &'a [SourceSpec], base: &Path) -> Result<(&'a SourceSpec, PathBuf), SourceError> {
    let mut refusals = Vec::new();
    for source in sources {
        let found = match source {
            SourceSpec::Archive { url, sha256, .. } | SourceSpec::Deb { url, sha256, .. } => fetcher.verified(Kind::Source, url, sha256).await,
            SourceSpec::Path { directory } => {
                let directory = base.join(directory);
                let found = std::fs::read_dir(&directory).map_err(|error| FetchError::Local { path: directory.clone(), problem: DiskProblem::of(&error) });
                found.map(|_| directory)
            }
        };
        match found {
            Ok(path) => return Ok((source, path)),
            Err(error) => {
                tracing::debug!(place = source.place(), %error, "source does not answer");
                refusals.push((source.place(), error));
            }
        }
    }
    if refusals.is_empty() { Err(SourceError::Nowhere) } else { Err(SourceError::NoPlace(refusals)) }
}

fn read_tree(source: &SourceSpec, file: &Path, spool: NamedTempFile) -> Result<Tree, UnpackError> {
    let mut tree = Tree::new(spool);
    match source {
        SourceSpec::Archive { strip, .. } => tree.add_tar(unpack::open_archive(file)?, *strip)?,
        SourceSpec::Deb { .. } => tree.add_tar(unpack::open_deb(file)?, 0)?,
        SourceSpec::Path { .. } => tree.add_directory(file)?,
    }
    Ok(tree)
}

fn finish(tree: &mut Tree, nodes: &Nodes, mut part: NamedTempFile) -> Result<(NamedTempFile, String), UnpackError> {
    let path = part.path().to_owned();
    let sha256 = tree.write_tar(nodes, part.as_file_mut(), &path)?;
    part.as_file().sync_data().map_err(|error| UnpackError::write(&path, &error))?;
    Ok((part, sha256))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, SourceError> + Send + 'static) -> Result<T, SourceError> {
    // The work does not panic, and it is not cancelled.
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(SourceError::Unusable { place: "source".to_owned(), error: UnpackError::Damaged(error.to_string()) }))
}

fn join(directory: &str, path: &str) -> String {
    match (directory, path) {
        (".", path) => path.to_owned(),
        (directory, ".") => directory.to_owned(),
        (directory, path) => format!("{directory}/{path}"),
    }
}

fn key(what: &str, spec: impl Serialize) -> String {
    super::sha256(&serde_json::to_vec(&(what, FORMAT, spec)).unwrap_or_default())
}

fn tar_path(fetcher: &Fetcher, key: &str) -> PathBuf {
    fetcher.cache_dir().join("sources").join(format!("{key}.tar"))
}

fn known(fetcher: &Fetcher, source: &SourceSpec) -> Option<PreparedSource> {
    let origin_sha256 = source.sha256()?.to_owned();
    let key = key("source", source);
    let about = recall(fetcher, &key)?;
    Some(PreparedSource { tar: tar_path(fetcher, &key), sha256: about.sha256, origin: source.place(), origin_sha256 })
}

/// Nothing is remembered where the files themselves are asked for, to go into a bundle.
fn recall(fetcher: &Fetcher, key: &str) -> Option<Remembered> {
    if fetcher.is_recording() {
        return None;
    }
    let about = std::fs::read(fetcher.cache_dir().join("sources").join(format!("{key}.json"))).ok()?;
    tar_path(fetcher, key).is_file().then(|| serde_json::from_slice(&about).ok())?
}

fn remember(fetcher: &Fetcher, key: &str, about: &Remembered) -> Result<(), SourceError> {
    let about = serde_json::to_vec(about).unwrap_or_default();
    Ok(fetcher.write("sources", &format!("{key}.json"), &about)?)
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        match error {
            SourceError::NoPlace(mut refusals) if refusals.len() == 1 => refusals.remove(0).1.into(),
            SourceError::NoPlace(refusals) => {
                let failure = Self::new(Exit::Failed, format!("none of the {} places of the source could be used", refusals.len()));
                let failure = refusals.into_iter().fold(failure, |failure, (place, error)| failure.fact("tried", tried(&place, error)));
                failure.help("without a way to these places, name a mirror of one: `mirrors` → `sources` in the project file")
            }
            SourceError::Unusable { place, error } => unusable(&place, error),
            SourceError::Cache(error) => error.into(),
            SourceError::Nowhere => Self::new(Exit::Usage, "the profile names no place for the source").help("give at least one entry below `sources`"),
        }
    }
}

/// The place, and below it why it could not be used, with what was found and expected.
fn tried(place: &str, error: FetchError) -> String {
    let failure = Failure::from(error);
    let facts = failure.facts.iter().map(|(label, value)| format!("\n  {label:<9} {value}"));
    format!("{place}\n  {}{}", failure.headline, facts.collect::<String>())
}

fn unusable(place: &str, error: UnpackError) -> Failure {
    let failed = |reason: String| Failure::new(Exit::Failed, format!("`{place}` cannot be used: {reason}"));
    match error {
        UnpackError::NotAnArchive => failed(error.to_string()).help("expected a tar archive: plain, or compressed with gzip, bzip2, xz or zstd"),
        UnpackError::Compression(_) => {
            failed(error.to_string()).help("expected a tar archive: plain, or compressed with gzip, bzip2, xz or zstd; pack it again")
        }
        UnpackError::NotADeb(_) => {
            failed(error.to_string()).help("expected a binary package with `data.tar`; for a tar archive use `archive` in place of `deb`")
        }
        UnpackError::Damaged(_) => failed(error.to_string()).help("its SHA-256 is the expected one: the file was damaged before the digest was taken"),
        UnpackError::Unsafe { .. } => failed(error.to_string()).help("such an entry could write outside of the source; nothing was unpacked"),
        UnpackError::TooLarge(_) => {
            failed(error.to_string()).help("nothing of it was used; a source that is as large can be given as a directory with fewer files")
        }
        UnpackError::Missing { ref holds, .. } => {
            let holds = if holds.is_empty() { "nothing".to_owned() } else { holds.join(", ") };
            failed(error.to_string()).fact("holds", holds).help("correct `strip`, `directory` or `files` in the driver's profile")
        }
        UnpackError::Conflict(_) => Failure::new(Exit::Usage, error.to_string()).help("correct `files` of the driver's firmware"),
        UnpackError::Read { .. } => Failure::new(Exit::Failed, error.to_string()),
        UnpackError::Write { path, problem } => FetchError::Cache { path, problem }.into(),
    }
}

#[cfg(test)]
mod tests;
