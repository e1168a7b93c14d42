//! OCI image layouts: a folder, or the same as a tar (OCI image specification, "Image Layout").

mod pack;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure};
use crate::reference::Digest;

use super::FileError;
use super::assemble::Image;
use super::manifest::{Blob, Descriptor, Index, REF_NAME};
use super::scan::Problem;
use super::tar::TarWriter;

pub use pack::{pack, unpack};
pub use read::Layout;

const VERSION_FILE: &str = "oci-layout";
const VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_FILE: &str = "index.json";
/// How files are called before they are complete.
const TEMPORARY: &str = ".kmodforge-";

fn blob_path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Adds an image to the layout in folder `dir` under `name` and returns the digest of the index it is in; the layout is made if it is missing.
///
/// Images of other architectures under the same name stay, as do other names. Whatever happens, the layout is whole: files appear complete,
/// and the name changes last. Several threads and processes may write to one layout.
///
/// # Errors
/// When `dir` holds something else, its index cannot be read, or a file not written.
pub fn write_dir(dir: &Path, name: &str, image: &Image) -> Result<Digest, LayoutError> {
    let _lock = prepare(dir)?;
    for layer in &image.layers {
        put(dir, &layer.digest, &mut File::open(&layer.path).map_err(FileError::at(&layer.path))?)?;
    }
    for blob in [&image.config, &image.manifest] {
        put(dir, &blob.digest, &mut blob.bytes.as_slice())?;
    }
    let layout = Layout::open(dir)?;
    let is_named = |descriptor: &Descriptor| descriptor.annotations.get(REF_NAME).is_some_and(|other| other == name);
    let present = layout.index().manifests.iter().find(|descriptor| is_named(descriptor));
    let present = match present {
        Some(descriptor) => layout.read_index(descriptor)?,
        None => None,
    };
    let index = present.unwrap_or_else(|| Index::of(Vec::new())).with(image.descriptor()).to_blob();
    put(dir, &index.digest, &mut index.bytes.as_slice())?;
    let mut top = layout.index().clone();
    top.manifests.retain(|descriptor| !is_named(descriptor));
    top.manifests.push(named(&index, name));
    top.manifests.sort_by(|a, b| a.annotations.get(REF_NAME).cmp(&b.annotations.get(REF_NAME)));
    replace(dir, INDEX_FILE, &mut top.to_blob().bytes.as_slice())?;
    Ok(index.digest)
}

/// Writes images, each under its name, as one archive; those with the same name become one index. The same images give the same bytes.
///
/// # Errors
/// When a layer cannot be read or the archive not written; then there is no archive, or still the old one.
pub fn write_archive(file: &Path, images: &[(&str, &Image)]) -> Result<(), LayoutError> {
    let mut names: BTreeMap<&str, Index> = BTreeMap::new();
    let mut layers: BTreeMap<String, Content<'_>> = BTreeMap::new();
    let mut documents: BTreeMap<String, Content<'_>> = BTreeMap::new();
    for (name, image) in images {
        let index = names.entry(name).or_insert_with(|| Index::of(Vec::new()));
        *index = index.with(image.descriptor());
        layers.extend(image.layers.iter().map(|layer| (blob_path(&layer.digest), Content::File(&layer.path))));
        documents.extend([&image.config, &image.manifest].map(|blob| (blob_path(&blob.digest), Content::Bytes(&blob.bytes))));
    }
    let indexes: Vec<(&str, Blob)> = names.iter().map(|(name, index)| (*name, index.to_blob())).collect();
    documents.extend(indexes.iter().map(|(_, blob)| (blob_path(&blob.digest), Content::Bytes(&blob.bytes))));
    let top = Index::of(Vec::new());
    let top = Index { manifests: indexes.iter().map(|(name, blob)| named(blob, name)).collect(), ..top }.to_blob();
    write_tar(file, layers.iter().chain(&documents), &top.bytes)
}

/// Where the bytes of a file in an archive are.
#[derive(Clone, Copy)]
enum Content<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

/// Writes an archive with these blobs and `index.json`, beside its place and then over it.
fn write_tar<'a>(file: &Path, blobs: impl Iterator<Item = (&'a String, &'a Content<'a>)>, top: &[u8]) -> Result<(), LayoutError> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(FileError::at(dir))?;
    let write = || {
        let mut tar = TarWriter::new(BufWriter::with_capacity(1 << 16, new.as_file()), 0);
        tar.directory("blobs")?;
        tar.directory("blobs/sha256")?;
        for (path, content) in blobs {
            match content {
                Content::Bytes(bytes) => tar.file(path, false, bytes.len() as u64, &mut &**bytes)?,
                Content::File(source) => {
                    let mut source = File::open(source)?;
                    tar.file(path, false, source.metadata()?.len(), &mut source)?;
                }
            }
        }
        tar.file(INDEX_FILE, false, top.len() as u64, &mut &*top)?;
        tar.file(VERSION_FILE, false, VERSION.len() as u64, &mut &VERSION[..])?;
        tar.finish()?.flush()
    };
    write().map_err(FileError::at(file))?;
    publish(new, file)
}

fn named(index: &Blob, name: &str) -> Descriptor {
    Descriptor { annotations: BTreeMap::from([(REF_NAME.to_owned(), name.to_owned())]), ..index.descriptor() }
}

/// Makes the layout if there is none, and locks it against other writers until the file is closed.
fn prepare(dir: &Path) -> Result<File, LayoutError> {
    let blobs = dir.join("blobs/sha256");
    let version = dir.join(VERSION_FILE);
    fs::create_dir_all(dir).map_err(FileError::at(dir))?;
    if !version.exists() {
        let is_foreign = |name: &str| !(name == "blobs" || name == VERSION_FILE || name.starts_with(TEMPORARY));
        let mut names = fs::read_dir(dir).map_err(FileError::at(dir))?.flatten().map(|entry| entry.file_name());
        // What is here may be another writer's, who was faster: then the version is here by now, since it is written first.
        if names.any(|name| is_foreign(&name.to_string_lossy())) && !version.exists() {
            return Err(LayoutError::NotALayout(dir.to_owned()));
        }
        let mut new = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(FileError::at(dir))?;
        new.write_all(VERSION).map_err(FileError::at(&version))?;
        readable(&new, &version)?;
        // Another writer may have been faster; the file that everybody locks must stay the same.
        if let Err(error) = new.persist_noclobber(&version)
            && error.error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(FileError { path: version, source: error.error }.into());
        }
    }
    fs::create_dir_all(&blobs).map_err(FileError::at(&blobs))?;
    let lock = File::open(&version).map_err(FileError::at(&version))?;
    lock.lock().map_err(FileError::at(&version))?;
    Ok(lock)
}

fn put(dir: &Path, digest: &Digest, content: &mut dyn io::Read) -> Result<(), LayoutError> {
    let path = blob_path(digest);
    if dir.join(&path).exists() { Ok(()) } else { replace(dir, &path, content) }
}

fn replace(dir: &Path, path: &str, content: &mut dyn io::Read) -> Result<(), LayoutError> {
    let path = dir.join(path);
    // Beside the blobs, so that a crash leaves nothing that looks like one.
    let mut new = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(dir).map_err(FileError::at(dir))?;
    io::copy(content, &mut new).map_err(FileError::at(&path))?;
    publish(new, &path)
}

fn publish(file: tempfile::NamedTempFile, path: &Path) -> Result<(), LayoutError> {
    readable(&file, path)?;
    file.persist(path).map_err(|error| FileError { path: path.to_owned(), source: error.error })?;
    Ok(())
}

/// Temporary files are private; what is published follows the custom for files that others may read.
fn readable(file: &tempfile::NamedTempFile, path: &Path) -> Result<(), FileError> {
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(FileError::at(path))
}

/// Why a layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// There is something, but no layout.
    #[error("`{0}` is no OCI layout")]
    NotALayout(PathBuf),
    /// A tar that cannot be read.
    #[error("`{path}` cannot be read: {problem}")]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// A blob that is named in a document is not there.
    #[error("`{layout}` has no blob {digest}")]
    MissingBlob {
        /// The layout.
        layout: PathBuf,
        /// The blob.
        digest: Digest,
    },
    /// A blob's bytes are not those of its name.
    #[error("blob {expected} of `{layout}` has digest {found}")]
    WrongDigest {
        /// The layout.
        layout: PathBuf,
        /// As it is named.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// A document is not what it should be.
    #[error("{what} of `{layout}` is not valid: {message}")]
    Document {
        /// The layout.
        layout: PathBuf,
        /// `index.json`, `manifest sha256:…`.
        what: String,
        /// What is wrong.
        message: String,
    },
    /// No image has this name.
    #[error("`{layout}` has no image named `{name}`")]
    NoSuchName {
        /// The layout.
        layout: PathBuf,
        /// What was asked for.
        name: String,
        /// What there is.
        names: Vec<String>,
    },
    /// A file on this machine.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<LayoutError> for Failure {
    fn from(error: LayoutError) -> Self {
        let failure = Self::new(Exit::Failed, error.to_string());
        match error {
            LayoutError::NotALayout(_) => failure
                .fact("expected", format!("a folder or tar with `{VERSION_FILE}` and `{INDEX_FILE}`"))
                .help("name an empty or a new folder, or an OCI layout"),
            LayoutError::MissingBlob { .. } | LayoutError::WrongDigest { .. } => failure.help("the layout is damaged: make it anew"),
            LayoutError::NoSuchName { names, .. } => failure.fact("found", if names.is_empty() { "no names".into() } else { names.join("\n") }),
            LayoutError::File(error) => error.into(),
            LayoutError::Archive { .. } | LayoutError::Document { .. } => failure,
        }
    }
}
