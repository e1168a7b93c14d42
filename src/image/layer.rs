//! One layer: entries of a checked tar, in order, with nothing of the machine in them, hashed and compressed while they stream by.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::GzBuilder;

use crate::reference::{Digest, Hashing};

use super::FileError;
use super::artifacts::{Artifacts, ArtifactsError};
use super::scan::Kind;
use super::tar::TarWriter;

/// Measured on the tools layer (8 MB of kmod and its libraries, single thread):
/// level 3: 3.50 MB, 0.07 s; 6: 3.32 MB, 0.19 s; 9: 3.26 MB, 0.27 s; 12: 3.24 MB, 0.59 s; 19: 2.89 MB, 4.9 s. Level 6 needs 9 MB of memory, 19 needs 94 MB.
const ZSTD_LEVEL: i32 = 6;
const GZIP_LEVEL: u32 = 6;

/// How layers are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Zstandard; containerd 1.5, Docker 23 and later can read it.
    #[default]
    Zstd,
    /// Gzip, which everything can read.
    Gzip,
}

impl Compression {
    /// The layer's media type (OCI image specification, "Image Layer Filesystem Changeset").
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        }
    }

    /// As the command line names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// Everything besides the content that the compressed bytes depend on.
    pub(crate) fn settings(self) -> String {
        match self {
            Self::Zstd => format!("zstd-{}-{ZSTD_LEVEL}", zstd::zstd_safe::version_string()),
            Self::Gzip => format!("gzip-zlib-rs-{GZIP_LEVEL}"),
        }
    }
}

/// A finished layer on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `tools`, `firmware`, `modules`.
    pub name: &'static str,
    /// Digest of the compressed bytes.
    pub digest: Digest,
    /// Digest of the tar.
    pub diff_id: Digest,
    /// Compressed size in bytes.
    pub size: u64,
    /// Size of the tar in bytes.
    pub tar_size: u64,
    /// [`Compression::media_type`].
    pub media_type: String,
    /// Where the compressed bytes are.
    pub path: PathBuf,
}

/// What a layer is made of, and when: the same content gives the same bytes.
pub(crate) struct Content<'a> {
    artifacts: &'a Artifacts,
    entries: BTreeMap<&'a str, (&'a str, &'a Kind)>,
    epoch: u64,
}

impl<'a> Content<'a> {
    /// Entries of `artifacts` below `root`; the root's own name is kept in paths if `keep_root`.
    pub(crate) fn new(artifacts: &'a Artifacts, root: &'a str, keep_root: bool, epoch: u64) -> Self {
        let cut = if keep_root { 0 } else { root.len() + 1 };
        let entries: BTreeMap<_, _> = artifacts.paths(root).map(|(path, kind)| (&path[cut..], (path, kind))).collect();
        let parents: Vec<_> = entries.keys().flat_map(|path| path.match_indices('/').map(|(end, _)| &path[..end])).collect();
        let mut entries = entries;
        for parent in parents {
            entries.entry(parent).or_insert((parent, &Kind::Directory));
        }
        Self { artifacts, entries, epoch }
    }

    /// Whether there is anything but directories.
    pub(crate) fn has_files(&self) -> bool {
        self.entries.values().any(|(_, kind)| **kind != Kind::Directory)
    }

    /// Digest and length of the tar, without writing it.
    pub(crate) fn identify(&self) -> Result<(Digest, u64), LayerError> {
        let sink = self.write(Hashing::new(io::sink()))?;
        Ok((sink.digest(), sink.length))
    }

    fn write<W: Write>(&self, out: W) -> Result<W, LayerError> {
        let mut tar = TarWriter::new(out, self.epoch);
        // Hard links share their place in the builder's tar: the first name in order gets the bytes.
        let mut written: BTreeMap<u64, &str> = BTreeMap::new();
        for (path, (source, kind)) in &self.entries {
            let result = match kind {
                Kind::Directory => tar.directory(path),
                Kind::Symlink(target) => tar.symlink(path, target),
                Kind::File { executable, offset, .. } if written.contains_key(offset) => tar.hard_link(path, written[offset], *executable),
                Kind::File { executable, size, offset } => {
                    if *size > 0 {
                        written.insert(*offset, path);
                    }
                    tar.file(path, *executable, *size, &mut self.artifacts.reader(source)?)
                }
            };
            result.map_err(LayerError::Write)?;
        }
        tar.finish().map_err(LayerError::Write)
    }

    /// Writes the compressed layer to `path`; returns digest and size of the compressed bytes.
    pub(crate) fn compress(&self, compression: Compression, tar_size: u64, path: &Path) -> Result<(Digest, u64), LayerError> {
        let at = |error: LayerError| match error {
            LayerError::Write(source) => LayerError::File(FileError { path: path.to_owned(), source }),
            other => other,
        };
        let file = Hashing::new(BufWriter::with_capacity(1 << 16, File::create(path).map_err(FileError::at(path))?));
        let mut file = match compression {
            Compression::Zstd => self.zstd(tar_size, file),
            Compression::Gzip => self.gzip(file),
        }
        .map_err(at)?;
        file.flush().map_err(FileError::at(path))?;
        Ok((file.digest(), file.length))
    }

    fn zstd<W: Write>(&self, tar_size: u64, out: W) -> Result<W, LayerError> {
        let encoder = || {
            let mut encoder = zstd::Encoder::new(out, ZSTD_LEVEL)?;
            encoder.set_pledged_src_size(Some(tar_size))?;
            encoder.include_checksum(false)?;
            Ok(encoder)
        };
        self.write(encoder().map_err(LayerError::Write)?)?.finish().map_err(LayerError::Write)
    }

    fn gzip<W: Write>(&self, out: W) -> Result<W, LayerError> {
        self.write(gzip_encoder(out))?.finish().map_err(LayerError::Write)
    }
}

/// What turns a tar into a layer's bytes.
pub(super) enum Compressor<W: Write> {
    Zstd(zstd::Encoder<'static, W>),
    Gzip(flate2::write::GzEncoder<W>),
    Plain(W),
}

/// A compressor with the settings of our own layers, or none.
pub(super) fn compressor<W: Write>(compression: Option<Compression>, out: W) -> io::Result<Compressor<W>> {
    Ok(match compression {
        Some(Compression::Zstd) => Compressor::Zstd(zstd::Encoder::new(out, ZSTD_LEVEL)?),
        Some(Compression::Gzip) => Compressor::Gzip(gzip_encoder(out)),
        None => Compressor::Plain(out),
    })
}

/// 255: "unknown operating system" (RFC 1952), as Go's writer has it.
fn gzip_encoder<W: Write>(out: W) -> flate2::write::GzEncoder<W> {
    GzBuilder::new().mtime(0).operating_system(255).write(out, flate2::Compression::new(GZIP_LEVEL))
}

impl<W: Write> Compressor<W> {
    /// Writes what is left, and returns what was written to.
    pub(super) fn finish(self) -> io::Result<W> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Plain(out) => Ok(out),
        }
    }
}

impl<W: Write> Write for Compressor<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Zstd(encoder) => encoder.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Plain(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Zstd(encoder) => encoder.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Plain(out) => out.flush(),
        }
    }
}

/// Why a layer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A file of the builder's tar could not be read.
    #[error(transparent)]
    Artifacts(#[from] ArtifactsError),
    /// The layer could not be written, or an entry changed while it was read.
    #[error("{0}")]
    Write(io::Error),
    /// A file on this machine.
    #[error(transparent)]
    File(#[from] FileError),
}
