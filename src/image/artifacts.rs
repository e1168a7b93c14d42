//! The tar that a builder streams back, and the client's tar of firmware: nothing in them is believed before it is checked.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure, io_words};

use super::overlay::Overlay;
use super::scan::{FileReader, Kind, LARGEST, LIMITS, Problem, Root, Rules, TarIndex};

/// Files of the tools layer, below `/` of the image.
pub const TOOLS: &str = "tools";
/// Files of the modules layer, below `/` of the image.
pub const MODULES: &str = "modules";
/// What is kept for checks and the record, and never enters the image.
pub const EVIDENCE: &str = "evidence";
/// Firmware: both the directory in the client's tar and the one in the image.
pub const FIRMWARE: &str = "firmware";

const BUILDER_ROOTS: &[Root] =
    &[Root { name: TOOLS, is_image_root: true }, Root { name: MODULES, is_image_root: true }, Root { name: EVIDENCE, is_image_root: true }];
const FIRMWARE_ROOTS: &[Root] = &[Root { name: FIRMWARE, is_image_root: false }];

/// The checked files of one target, left where they are on disk, and what was put in the place of some.
#[derive(Clone, Debug)]
pub struct Artifacts {
    index: TarIndex,
    overlay: Overlay,
}

impl Artifacts {
    /// Checks and indexes a builder's tar with `tools/`, `modules/` and `evidence/`.
    ///
    /// # Errors
    /// When the tar is damaged, truncated or unreasonably large, or an entry has no place in an image: absolute paths, `..`, control
    /// characters, device nodes, duplicates, links that leave their layer.
    pub fn open(tar: &Path) -> Result<Self, ArtifactsError> {
        Self::with(tar, "the builder's tar", BUILDER_ROOTS)
    }

    /// Checks and indexes a tar of firmware, whose entries are all below `firmware/`.
    ///
    /// # Errors
    /// As [`Artifacts::open`]; links must stay below `firmware/`, too.
    pub fn open_firmware(tar: &Path) -> Result<Self, ArtifactsError> {
        Self::with(tar, "the firmware tar", FIRMWARE_ROOTS)
    }

    fn with(tar: &Path, what: &'static str, roots: &'static [Root]) -> Result<Self, ArtifactsError> {
        let index = TarIndex::open(tar, Rules::Strict(roots), LIMITS).map_err(|problem| ArtifactsError::Refused { what, tar: tar.to_owned(), problem })?;
        Ok(Self { index, overlay: Overlay::default() })
    }

    /// Paths below `prefix` (`modules`, `evidence/headers`) with what they are, in bytewise order. Paths begin with the top-level directory.
    pub fn paths<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Kind)> {
        let below = move |path: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/'));
        self.index
            .entries()
            .range(prefix.to_owned()..)
            .take_while(move |(path, _)| path.starts_with(prefix))
            .filter(move |(path, _)| below(path))
            .map(|(path, kind)| (path.as_str(), self.overlay.kind(path).unwrap_or(kind)))
    }

    /// What is at a path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Kind> {
        self.overlay.kind(path).or_else(|| self.index.entries().get(path))
    }

    /// The bytes of a file. Links are not followed.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be read.
    pub fn read(&self, path: &str) -> Result<Vec<u8>, ArtifactsError> {
        let mut reader = self.reader(path)?;
        if reader.remaining() > LARGEST {
            let source = io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {} MiB", LARGEST >> 20));
            return Err(ArtifactsError::Unreadable { path: path.to_owned(), source });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(reader.remaining()).unwrap_or_default());
        reader.read_to_end(&mut bytes).map_err(|source| ArtifactsError::Unreadable { path: path.to_owned(), source })?;
        Ok(bytes)
    }

    /// A reader of a file's bytes. Links are not followed.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn reader(&self, path: &str) -> Result<FileReader, ArtifactsError> {
        let reader = self.overlay.reader(path).or_else(|| self.index.reader(path));
        reader.ok_or_else(|| ArtifactsError::Missing { path: path.to_owned() })
    }

    /// Puts other bytes in the place of a file, and of the hard links to it. They are kept on disk, beside the tar and without a name.
    ///
    /// # Errors
    /// When there is no such file, or the bytes cannot be kept.
    pub fn replace(&mut self, path: &str, bytes: &[u8]) -> Result<(), ArtifactsError> {
        let Some(Kind::File { offset, .. }) = self.index.entries().get(path) else { return Err(ArtifactsError::Missing { path: path.to_owned() }) };
        let folder = self.index.path().parent().unwrap_or(Path::new("."));
        let place = self.overlay.keep(bytes, folder).map_err(|source| ArtifactsError::Unwritable { path: path.to_owned(), source })?;
        for (name, kind) in self.index.entries() {
            if let Kind::File { executable, offset: other, .. } = kind
                && (name == path || other == offset)
            {
                self.overlay.files.insert(name.clone(), Kind::File { executable: *executable, size: bytes.len() as u64, offset: place });
            }
        }
        Ok(())
    }
}

/// Why a tar, or a file in it, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactsError {
    /// The tar cannot be trusted.
    #[error("{what} is refused: {problem}")]
    Refused {
        /// `the builder's tar`, `the firmware tar`.
        what: &'static str,
        /// Where it is.
        tar: PathBuf,
        /// What is wrong with it.
        problem: Problem,
    },
    /// The tar has no such file.
    #[error("the builder's tar has no file `{path}`")]
    Missing {
        /// The file.
        path: String,
    },
    /// What was put in the place of a file could not be kept.
    #[error("cannot keep the new `{path}`: {}", io_words(.source))]
    Unwritable {
        /// The file.
        path: String,
        /// The operating system's words.
        source: io::Error,
    },
    /// A file of the tar could not be read.
    #[error("cannot read `{path}` in the builder's tar: {source}")]
    Unreadable {
        /// The file.
        path: String,
        /// The operating system's words.
        source: io::Error,
    },
}

impl From<ArtifactsError> for Failure {
    fn from(error: ArtifactsError) -> Self {
        let failure = Self::new(Exit::Failed, error.to_string());
        match error {
            ArtifactsError::Refused { tar, problem, .. } => {
                let failure = failure.fact("tar", tar.display().to_string());
                match problem {
                    Problem::Damaged(_) | Problem::Truncated(_) => failure.help("run again: the transfer may have been cut short"),
                    Problem::TooManyEntries(_) | Problem::TooLarge(_) => failure.help("look at what the driver's build recipe installs"),
                    Problem::Entry { .. } => failure.help("nothing was published; look at what the driver's build recipe installs"),
                }
            }
            ArtifactsError::Missing { .. } => failure.help("the Dockerfile's stage `artifacts` must make this file"),
            ArtifactsError::Unwritable { .. } => failure.help("make room in the temporary folder, or set TMPDIR"),
            ArtifactsError::Unreadable { .. } => failure,
        }
    }
}
