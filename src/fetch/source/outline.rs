//! What a source looks like, for those who must tell how it is built.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read as _};

use super::{PreparedSource, SourceError, UnpackError};

/// Names of files that tell how a source is built.
const TELLING: [&str; 6] = ["dkms.conf", "Kbuild", "Makefile", "makefile", "GNUmakefile", "configure"];

/// Bytes that are read of each of them.
const LONGEST: u64 = 256 << 10;

/// Names of a source's files, and what some of them say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Paths of files and links below the source's directory.
    pub files: BTreeSet<String>,
    /// Texts of files that tell how the source is built.
    pub texts: BTreeMap<String, String>,
}

/// Looks through a prepared source.
pub fn outline(source: &PreparedSource) -> Result<Outline, SourceError> {
    let unusable = |error| SourceError::Unusable { place: source.origin.clone(), error };
    let file = File::open(&source.tar).map_err(|error| unusable(UnpackError::read(&source.tar, &error)))?;
    let damaged = |error: std::io::Error| unusable(UnpackError::damaged(&error));
    let mut outline = Outline::default();
    for entry in tar::Archive::new(BufReader::with_capacity(1 << 16, file)).entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if TELLING.contains(&path.rsplit('/').next().unwrap_or_default()) {
            let mut bytes = Vec::new();
            entry.by_ref().take(LONGEST).read_to_end(&mut bytes).map_err(damaged)?;
            outline.texts.insert(path.clone(), String::from_utf8_lossy(&bytes).into_owned());
        }
        outline.files.insert(path);
    }
    Ok(outline)
}
