//! From the builder's tar to an OCI image: files are checked, laid out in three layers and described, byte for byte the same every time.
//!
//! ```text
//! artifacts.tar ─► Artifacts ─► layers (tools, firmware, modules) ─► Image ─► registry | layout | Docker archive
//! ```

pub mod artifacts;
pub mod assemble;
pub mod cache;
pub mod contents;
pub mod docker;
#[cfg(test)]
pub(crate) mod fixture;
pub mod layer;
pub mod layout;
pub mod manifest;
mod overlay;
pub mod rewrite;
pub mod scan;
pub mod tar;

use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure, io_words};

pub use artifacts::Artifacts;
pub use assemble::{Image, ImageSpec, assemble};
pub use cache::LayerCache;
pub use layer::{Compression, Layer};

/// Annotations whose names begin like this are repeated in the index, so that one request for a tag tells everything.
pub const ANNOTATION_PREFIX: &str = "io.kmodforge.";
/// Annotation and label: digest of everything that went into the image.
pub const INPUT_DIGEST: &str = "io.kmodforge.input-digest";
/// Annotation and label: the kernel release as `uname -r` prints it.
pub const KERNEL: &str = "io.kmodforge.kernel";

/// A file could not be read or written on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// The operating system's words.
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: an operation on `path` failed.
    pub(crate) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { path, source }
    }
}

impl From<FileError> for Failure {
    fn from(FileError { path, source }: FileError) -> Self {
        let path = path.display().to_string();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::new(Exit::Failed, "the disk is full").fact("file", path).help("free some space and run again: what is published stays published");
        }
        Self::new(Exit::Failed, format!("cannot use `{path}`: {}", io_words(&source)))
    }
}
