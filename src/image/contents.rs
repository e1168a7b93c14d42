//! The files of any image, whoever made it: its layers laid over each other as a container would see them.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure};
use crate::parallel;

use super::FileError;
use super::manifest::{Config, Manifest};
use super::scan::links::follow;
use super::scan::{FileReader, Kind, LARGEST, LIMITS, Problem, Rules, TarIndex};
use crate::reference::Digest;

/// Manifest and configuration of an image that exists somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredImage {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration.
    pub config: Config,
    /// The manifest as it is stored, with what other tools wrote into it.
    pub manifest_json: Vec<u8>,
    /// The configuration as it is stored.
    pub config_json: Vec<u8>,
}

/// The files of an image. Uncompressed layers are kept in a folder of the caller's; contents are read from there.
#[derive(Debug)]
pub struct Contents {
    layers: Vec<TarIndex>,
    /// By their paths: the layer that has the entry, its path there, and what it is.
    entries: BTreeMap<String, (usize, String, Kind)>,
}

impl Contents {
    /// Uncompresses layers (zstd, gzip or plain tar, lowest first) into the folder `work` and indexes them.
    ///
    /// # Errors
    /// When a layer cannot be read as a tar, or written to `work`.
    pub fn open(layers: &[PathBuf], work: &Path) -> Result<Self, ContentsError> {
        let open = |number: usize, layer: &PathBuf| {
            let tar = work.join(format!("layer-{number}.tar"));
            let damaged = |problem| ContentsError { layer: layer.clone(), problem };
            uncompress(layer, &tar).map_err(damaged)?;
            TarIndex::open(&tar, Rules::Lenient, LIMITS).map_err(|problem| damaged(LayerProblem::Tar(problem)))
        };
        let mut contents = Self { layers: Vec::new(), entries: BTreeMap::new() };
        for index in parallel::map(layers, open) {
            contents.lay(index?);
        }
        Ok(contents)
    }

    fn lay(&mut self, layer: TarIndex) {
        for whiteout in layer.whiteouts() {
            let (dir, name) = whiteout.rsplit_once('/').unwrap_or(("", whiteout));
            if name == ".wh..wh..opq" {
                self.remove_below(dir);
            } else {
                let path = format!("{dir}/{}", name.trim_start_matches(".wh."));
                let path = path.trim_start_matches('/');
                self.entries.remove(path);
                self.remove_below(path);
            }
        }
        for (path, kind) in layer.entries() {
            let place = self.place(path, &layer);
            if *kind != Kind::Directory {
                self.remove_below(&place);
            }
            self.entries.insert(place, (self.layers.len(), path.clone(), kind.clone()));
        }
        self.layers.push(layer);
    }

    /// Where an entry of a layer comes to lie: below what a link of a lower layer points to, if the layer itself does not say what the directory is.
    /// So do runtimes put `lib/modules/…` into an image whose `lib` is a link to `usr/lib`.
    fn place(&self, path: &str, layer: &TarIndex) -> String {
        let Some((dir, name)) = path.rsplit_once('/') else { return path.to_owned() };
        let kind_of = |dir: &str| match layer.entries().get(dir) {
            Some(kind) => Some(kind),
            None => self.entries.get(dir).map(|(_, _, kind)| kind),
        };
        follow(kind_of, dir, 0).map_or_else(|_| path.to_owned(), |dir| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") })
    }

    fn remove_below(&mut self, dir: &str) {
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let below: Vec<String> = self.entries.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix)).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.entries.remove(&path);
        }
    }

    /// Every path, without a slash before it, and what is there; links are not followed.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.entries.iter().map(|(path, (_, _, kind))| (path.as_str(), kind))
    }

    /// A reader of a file, as a container would find it: links on the way are followed. `None` when there is no file.
    #[must_use]
    pub fn reader(&self, path: &str) -> Option<FileReader> {
        let place = follow(|path| self.entries.get(path).map(|(_, _, kind)| kind), path, 0).ok()?;
        let (layer, path, _) = self.entries.get(&place)?;
        self.layers[*layer].reader(path)
    }

    /// The bytes of a file; `Ok(None)` when there is none.
    ///
    /// # Errors
    /// When the uncompressed layer cannot be read.
    pub fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        self.reader(path)
            .map(|mut reader| {
                if reader.remaining() > LARGEST {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {} MiB", LARGEST >> 20)));
                }
                let mut bytes = Vec::new();
                reader.read_to_end(&mut bytes).map(|_| bytes)
            })
            .transpose()
    }
}

/// A reader of the tar in a layer, whatever its compression: told by its first bytes, since media types are not always right.
pub(crate) fn uncompressed(layer: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(layer)?);
    let start = io::BufRead::fill_buf(&mut file)?;
    Ok(match start {
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(file)?),
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        _ => Box::new(file),
    })
}

pub(super) fn uncompress(layer: &Path, tar: &Path) -> Result<(), LayerProblem> {
    let mut content = uncompressed(layer).map_err(FileError::at(layer))?.take(LIMITS.bytes);
    let mut out = File::create(tar).map_err(FileError::at(tar))?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = content.read(&mut buffer).map_err(|error| LayerProblem::Tar(Problem::Damaged(error.to_string())))?;
        if read == 0 {
            return Ok(());
        }
        io::Write::write_all(&mut out, &buffer[..read]).map_err(FileError::at(tar))?;
    }
}

/// Why an image's files cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("layer `{layer}`: {problem}")]
pub struct ContentsError {
    /// The layer's file.
    pub layer: PathBuf,
    /// What is wrong.
    pub problem: LayerProblem,
}

/// What is wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerProblem {
    /// It cannot be read as a tar.
    #[error(transparent)]
    Tar(#[from] Problem),
    /// A file on this machine.
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<ContentsError> for Failure {
    fn from(ContentsError { layer, problem }: ContentsError) -> Self {
        match problem {
            LayerProblem::File(error) => error.into(),
            LayerProblem::Tar(problem) => {
                Self::new(Exit::Failed, format!("a layer of the image cannot be read: {problem}")).fact("layer", layer.display().to_string())
            }
        }
    }
}
