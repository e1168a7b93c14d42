//! Compressed layers, kept between runs: the tools and firmware of a distribution are compressed once, however many kernels there are.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::env;
use crate::reference::{Digest, Hashing};

use super::FileError;
use super::layer::{Compression, Content, Layer, LayerError};

/// Layers that nobody asked for in this time are deleted.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// How files are called before they are complete.
const TEMPORARY: &str = ".layer-";

/// A folder of compressed layers, shared by all targets of a run and by runs.
#[derive(Debug)]
pub struct LayerCache {
    dir: PathBuf,
    entries: Mutex<HashMap<String, Arc<Mutex<Option<Stored>>>>>,
}

/// What is known about a stored layer, and written beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    digest: Digest,
    size: u64,
}

impl LayerCache {
    /// Uses `dir`, which is made when it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(dir: &Path) -> Result<Self, FileError> {
        fs::create_dir_all(dir).map_err(FileError::at(dir))?;
        delete_unused(dir);
        Ok(Self { dir: dir.to_owned(), entries: Mutex::default() })
    }

    /// The layer of some content: taken from the cache, or made and kept.
    ///
    /// Of several threads that ask for the same layer one makes it, the others wait.
    pub(crate) fn layer(&self, name: &'static str, content: &Content<'_>, compression: Compression) -> Result<Layer, LayerError> {
        let (diff_id, tar_size) = content.identify()?;
        let key = format!("{}.{}", diff_id.hex(), compression.settings());
        let path = self.dir.join(&key);
        let entry = Arc::clone(self.entries.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default());
        let mut entry = entry.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = match entry.take().or_else(|| self.load(&key)) {
            Some(stored) => stored,
            None => self.make(&key, content, compression, tar_size)?,
        };
        let Stored { digest, size } = entry.insert(stored).clone();
        Ok(Layer { name, digest, diff_id, size, tar_size, media_type: compression.media_type().to_owned(), path })
    }

    /// A layer of an earlier run, if its bytes are still what they were.
    fn load(&self, key: &str) -> Option<Stored> {
        let path = self.dir.join(key);
        let stored: Stored = serde_json::from_slice(&fs::read(self.facts(key)).ok()?).ok()?;
        let file = File::open(&path).ok()?;
        let mut hash = Hashing::new(io::sink());
        io::copy(&mut BufReader::with_capacity(1 << 16, &file), &mut hash).ok()?;
        // Tells the next run's cleaning that the layer is in use; if that fails, it is made again some day.
        let _ = file.set_modified(UNIX_EPOCH + env::now());
        (stored == Stored { digest: hash.digest(), size: hash.length }).then_some(stored)
    }

    fn make(&self, key: &str, content: &Content<'_>, compression: Compression, tar_size: u64) -> Result<Stored, LayerError> {
        let new = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.dir).map_err(FileError::at(&self.dir))?;
        let (digest, size) = content.compress(compression, tar_size, new.path())?;
        let stored = Stored { digest, size };
        self.keep(new, &self.dir.join(key))?;
        let facts = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.dir).map_err(FileError::at(&self.dir))?;
        fs::write(facts.path(), serde_json::to_vec(&stored).unwrap_or_default()).map_err(FileError::at(facts.path()))?;
        self.keep(facts, &self.facts(key))?;
        Ok(stored)
    }

    fn keep(&self, file: tempfile::NamedTempFile, path: &Path) -> Result<(), FileError> {
        file.persist(path).map(|_| ()).map_err(|error| FileError { path: self.dir.clone(), source: error.error })
    }

    fn facts(&self, key: &str) -> PathBuf {
        self.dir.join(format!("{key}.json"))
    }
}

/// Cleans up; what cannot be deleted stays, and does no harm.
fn delete_unused(dir: &Path) {
    let limit = UNIX_EPOCH + env::now().saturating_sub(KEPT);
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_old = entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|modified| modified < limit);
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_ours = name.starts_with(TEMPORARY) || name.split_once('.').is_some_and(|(digest, _)| digest.len() == 64);
        if is_old && is_ours {
            let _ = fs::remove_file(entry.path());
        }
    }
}
