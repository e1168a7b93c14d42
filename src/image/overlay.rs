//! Files that take the place of files in a tar: signed modules. One of them is in memory at a time, the rest lies in a file without a name,
//! which is gone as soon as nobody reads it any more.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::scan::{FileReader, Kind};

/// Places in the file begin here: beyond those of any tar, since what has the same place is taken for the same file.
const BASE: u64 = 1 << 62;

/// Files by their paths.
#[derive(Clone, Debug, Default)]
pub(super) struct Overlay {
    pub(super) files: BTreeMap<String, Kind>,
    store: Option<Arc<File>>,
    length: u64,
}

impl Overlay {
    pub(super) fn kind(&self, path: &str) -> Option<&Kind> {
        self.files.get(path)
    }

    pub(super) fn reader(&self, path: &str) -> Option<FileReader> {
        match (self.files.get(path)?, &self.store) {
            (Kind::File { size, offset, .. }, Some(store)) => {
                let start = offset.checked_sub(BASE)?;
                Some(FileReader::new(Arc::clone(store), start, start + size))
            }
            _ => None,
        }
    }

    /// Keeps some bytes; returns their place.
    pub(super) fn keep(&mut self, bytes: &[u8], folder: &Path) -> io::Result<u64> {
        let store = match &self.store {
            Some(store) => Arc::clone(store),
            None => Arc::clone(self.store.insert(Arc::new(tempfile::tempfile_in(folder)?))),
        };
        store.write_all_at(bytes, self.length)?;
        let place = BASE + self.length;
        self.length += bytes.len() as u64;
        Ok(place)
    }
}
