//! A bundle: everything that targets are built from, in one folder that can be carried to where there is no network.
//!
//! ```text
//! bundle.json      what is in it: `Contents`
//! files/<sha256>   the files, by their digests
//! ```
//!
//! Files are named by what they are, so that nothing that was carried is ever taken for something else, a second fetch brings only what is new, and
//! a broken one leaves the bundle as it was: `bundle.json` is replaced last.

mod draft;
mod error;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

pub use self::draft::{Draft, Filled};
pub use self::error::BundleError;
use crate::reference::Digest;

/// Version of the format; grows when a field changes its meaning, or a new one must not be overlooked.
pub const SCHEMA: u32 = 1;

/// The file that says what is in a bundle.
const CONTENTS: &str = "bundle.json";

/// The folder with the files.
const FILES: &str = "files";

/// What is in a bundle: `bundle.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `kmodforge 0.1.0`.
    pub tool: String,
    /// Seconds since 1970 when it was filled: the time by which signatures and indexes are judged.
    pub fetched: u64,
    /// Whom it was made for: `zfs 2.3.4 for 6.1.0-56-amd64 (debian bookworm, amd64)`.
    pub targets: BTreeSet<String>,
    /// Digests of base images, by the references in the profiles, as far as registries told.
    pub base_images: BTreeMap<String, Digest>,
    /// Root file systems with compiler and build tools (tar, gzip): SHA-256, by what they are made from.
    pub toolchains: BTreeMap<String, String>,
    /// What official addresses answered whose content changes: SHA-256, or null where there was nothing.
    pub places: BTreeMap<String, Option<String>>,
    /// All files, by their SHA-256.
    pub files: BTreeMap<String, FileFacts>,
}

/// What is known about a file besides its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// In bytes.
    pub size: u64,
    /// The official address that it was found at, or what it is.
    pub from: String,
}

/// A bundle that is taken from.
#[derive(Debug)]
pub struct Bundle {
    folder: PathBuf,
    contents: Contents,
    verified: Mutex<HashSet<String>>,
}

impl Bundle {
    /// Reads what is in a bundle; files are looked at when they are asked for.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let contents = read(folder)?.ok_or_else(|| BundleError::None { folder: folder.to_owned() })?;
        Ok(Self { folder: folder.to_owned(), contents, verified: Mutex::default() })
    }

    /// What is in it.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// A file that is known by its digest, looked through once. `what` is its official address, for messages.
    pub fn file(&self, sha256: &str, what: &str) -> Result<PathBuf, BundleError> {
        let Some(facts) = self.contents.files.get(sha256) else { return Err(self.lacks(what)) };
        let path = self.folder.join(FILES).join(sha256);
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(sha256) {
            return Ok(path);
        }
        let damaged = |found: String| BundleError::Damaged { path: path.clone(), from: facts.from.clone(), found, expected: sha256.to_owned() };
        match digest_of(&path) {
            Ok(found) if found == sha256 => {}
            Ok(found) => return Err(damaged(format!("sha256:{found}"))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(damaged("nothing".to_owned())),
            Err(error) => return Err(BundleError::unreadable(&path, &error)),
        }
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(sha256.to_owned());
        Ok(path)
    }

    /// SHA-256 of what an official address answered; `None` where there was nothing.
    pub fn place(&self, url: &str) -> Result<Option<&str>, BundleError> {
        self.contents.places.get(url).map(Option::as_deref).ok_or_else(|| self.lacks(url))
    }

    /// The toolchain that is made from this.
    pub fn toolchain(&self, key: &str, what: &str) -> Result<(PathBuf, &str), BundleError> {
        let sha256 = self.contents.toolchains.get(key).ok_or_else(|| self.lacks(what))?;
        Ok((self.file(sha256, what)?, sha256))
    }

    fn lacks(&self, what: &str) -> BundleError {
        BundleError::Lacks { what: what.to_owned(), folder: self.folder.clone(), targets: self.contents.targets.iter().cloned().collect() }
    }
}

/// What the folder says that it holds; `None` if it is no bundle.
fn read(folder: &Path) -> Result<Option<Contents>, BundleError> {
    /// What every version of the format has.
    #[derive(Deserialize)]
    struct Head {
        schema: u32,
        tool: String,
    }
    let path = folder.join(CONTENTS);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(BundleError::unreadable(&path, &error)),
    };
    let damaged = |error: serde_json::Error| BundleError::Unreadable { path: path.clone(), reason: error.to_string() };
    let head: Head = serde_json::from_slice(&text).map_err(damaged)?;
    if head.schema > SCHEMA {
        return Err(BundleError::Newer { folder: folder.to_owned(), tool: head.tool, schema: head.schema });
    }
    serde_json::from_slice(&text).map(Some).map_err(damaged)
}

/// SHA-256 of a file, as hexadecimal digits.
fn digest_of(path: &Path) -> io::Result<String> {
    File::open(path).and_then(Digest::read).map(|digest| digest.hex().to_owned())
}

#[cfg(test)]
mod tests;
