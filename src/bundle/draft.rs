//! Filling a bundle.

use std::collections::HashSet;
use std::fs::{File, Permissions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

use super::{BundleError, CONTENTS, Contents, FILES, FileFacts, SCHEMA, digest_of, read};
use crate::error::io_words;
use crate::reference::Digest;

/// A bundle that is being filled. What was in it before and is needed again stays; the rest goes when it is finished.
#[derive(Debug)]
pub struct Draft {
    folder: PathBuf,
    before: Contents,
    now: Mutex<Now>,
    /// Locked as long as it is filled.
    _lock: File,
}

/// What is in it so far.
#[derive(Debug, Default)]
struct Now {
    contents: Contents,
    /// Files from before that are what they should be.
    verified: HashSet<String>,
}

/// A bundle that was filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// How many files are in it.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Digest of its `bundle.json`, which has those of all files.
    pub digest: Digest,
}

impl Draft {
    /// Opens a bundle, or begins one in a folder that is empty or not there yet.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let before = match read(folder) {
            Ok(before) => before,
            // Whatever it should have listed, its files are still known by their names.
            Err(BundleError::Unreadable { .. }) => Some(Contents::default()),
            Err(error) => return Err(error),
        };
        if before.is_none() {
            refuse_occupied(folder)?;
        }
        let failed = |error: io::Error| write_error(folder, &error);
        let files = folder.join(FILES);
        std::fs::create_dir_all(&files).map_err(failed)?;
        let lock = File::open(&files).map_err(failed)?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(BundleError::Busy { folder: folder.to_owned() }),
            // A file system without locks: nobody can be told apart there.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        // Nobody else is at work, so what is unfinished never will be.
        for entry in std::fs::read_dir(&files).map_err(failed)?.flatten() {
            if entry.file_name().as_encoded_bytes().starts_with(PART.as_bytes()) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
        Ok(Self { folder: folder.to_owned(), before: before.unwrap_or_default(), now: Mutex::default(), _lock: lock })
    }

    /// A file that is in it already, and good. `from` is its official address.
    pub fn held(&self, sha256: &str, from: &str) -> Option<PathBuf> {
        let path = self.path(sha256);
        if !self.now().verified.contains(sha256) {
            digest_of(&path).ok().filter(|found| found == sha256)?;
        }
        self.list(sha256, from).ok()?;
        Some(path)
    }

    /// A new file in it, which goes away unless it is kept.
    pub fn part(&self) -> Result<NamedTempFile, BundleError> {
        tempfile::Builder::new().prefix(PART).tempfile_in(self.folder.join(FILES)).map_err(|error| self.failed(&error))
    }

    /// Keeps a file whose SHA-256 is known to be this.
    pub fn keep(&self, part: NamedTempFile, sha256: &str, from: &str) -> Result<PathBuf, BundleError> {
        let path = self.path(sha256);
        self.publish(part, &path)?;
        self.list(sha256, from)?;
        Ok(path)
    }

    /// What an official address answers now; `None` if there is nothing.
    pub fn answer(&self, url: &str, bytes: Option<&[u8]>) -> Result<(), BundleError> {
        let sha256 = bytes.map(|bytes| Digest::of(bytes).hex().to_owned());
        if let (Some(bytes), Some(sha256)) = (bytes, &sha256)
            && self.held(sha256, url).is_none()
        {
            let mut part = self.part()?;
            part.write_all(bytes).map_err(|error| self.failed(&error))?;
            self.keep(part, sha256, url)?;
        }
        self.now().contents.places.insert(url.to_owned(), sha256);
        Ok(())
    }

    /// What an official address answers now is a file that is in the bundle.
    pub fn answer_file(&self, url: &str, sha256: &str) {
        self.now().contents.places.insert(url.to_owned(), Some(sha256.to_owned()));
    }

    /// The digest of a base image, by the reference in the profile.
    pub fn base_image(&self, reference: &str, digest: &Digest) {
        self.now().contents.base_images.insert(reference.to_owned(), digest.clone());
    }

    /// Whether the toolchain that is made from this is in it already; if so, it stays.
    pub fn held_toolchain(&self, key: &str, what: &str) -> bool {
        let Some(sha256) = self.before.toolchains.get(key) else { return false };
        let held = self.held(sha256, what).is_some();
        if held {
            self.toolchain(key, sha256);
        }
        held
    }

    /// The toolchain that is made from this.
    pub fn toolchain(&self, key: &str, sha256: &str) {
        self.now().contents.toolchains.insert(key.to_owned(), sha256.to_owned());
    }

    /// Everything that a target is built from is in it.
    pub fn target(&self, target: &str) {
        self.now().contents.targets.insert(target.to_owned());
    }

    /// Says what is in it. Files that are not needed any more go, unless something that should be there is missing.
    pub fn finish(&self, tool: &str, time: u64, complete: bool) -> Result<Filled, BundleError> {
        let contents = Contents { schema: SCHEMA, tool: tool.to_owned(), fetched: time, ..std::mem::take(&mut self.now().contents) };
        let mut text = serde_json::to_vec_pretty(&contents).map_err(|error| self.failed(&error.into()))?;
        text.push(b'\n');
        let mut part = tempfile::Builder::new().prefix(PART).tempfile_in(&self.folder).map_err(|error| self.failed(&error))?;
        part.write_all(&text).map_err(|error| self.failed(&error))?;
        self.publish(part, &self.folder.join(CONTENTS))?;
        if complete {
            self.remove_unlisted(&contents);
        }
        let bytes = contents.files.values().map(|facts| facts.size).sum();
        Ok(Filled { files: contents.files.len(), bytes, digest: Digest::of(&text) })
    }

    /// Puts a file in its place, whole, for all to read.
    fn publish(&self, part: NamedTempFile, path: &Path) -> Result<(), BundleError> {
        let file = part.as_file();
        let written = file.set_permissions(Permissions::from_mode(0o644)).and_then(|()| file.sync_data());
        written.and_then(|()| part.persist(path).map(drop).map_err(|error| error.error)).map_err(|error| self.failed(&error))
    }

    /// Best effort: a bundle with old files in it works as well.
    fn remove_unlisted(&self, contents: &Contents) {
        for entry in std::fs::read_dir(self.folder.join(FILES)).into_iter().flatten().flatten() {
            if !entry.file_name().to_str().is_some_and(|name| contents.files.contains_key(name)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn list(&self, sha256: &str, from: &str) -> Result<(), BundleError> {
        let size = std::fs::metadata(self.path(sha256)).map_err(|error| self.failed(&error))?.len();
        let mut now = self.now();
        now.verified.insert(sha256.to_owned());
        now.contents.files.entry(sha256.to_owned()).or_insert_with(|| FileFacts { size, from: from.to_owned() });
        Ok(())
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(FILES).join(sha256)
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a problem with one of its files means.
    pub fn failed(&self, error: &io::Error) -> BundleError {
        write_error(&self.folder, error)
    }

    /// The same, from words.
    pub fn failed_with(&self, reason: String) -> BundleError {
        BundleError::Write { folder: self.folder.clone(), reason }
    }
}

/// How the names of unfinished files begin.
const PART: &str = ".part-";

fn write_error(folder: &Path, error: &io::Error) -> BundleError {
    BundleError::Write { folder: folder.to_owned(), reason: io_words(error) }
}

/// A folder that holds something else stays as it is. What an interrupted fetch left is nothing else.
fn refuse_occupied(folder: &Path) -> Result<(), BundleError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(write_error(folder, &error)),
    };
    let others = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut others: Vec<_> = others.filter(|name| name != FILES && !name.starts_with(PART)).collect();
    others.sort();
    others.into_iter().next().map_or(Ok(()), |found| Err(BundleError::Occupied { folder: folder.to_owned(), found }))
}
