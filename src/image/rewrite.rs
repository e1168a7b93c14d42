//! An image that exists, with other bytes in some of its files. Everything else stays as it is, byte for byte: other files, times, owners and
//! whatever other tools wrote into the image's documents.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use ::tar::Header;
use serde_json::{Value, json};

use super::FileError;
use super::assemble::Image;
use super::contents::{StoredImage, uncompress};
use super::layer::{Compression, Layer, compressor};
use super::manifest::{Blob, CONFIG, MANIFEST};
use super::scan::{Kind, LARGEST, LIMITS, Rules, TarIndex};
use super::tar::BLOCK;
use crate::arch::Arch;
use crate::reference::{Digest, Hashing};

/// How many bytes of old files are in memory at a time, unless one alone has more.
const BATCH_BYTES: u64 = 64 << 20;
/// How many files are replaced at a time.
const BATCH_FILES: usize = 256;

/// A file to replace, and its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldFile {
    /// Its path, without a slash before it.
    pub path: String,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Which files are replaced, and with what.
pub struct Replacement<'a, E> {
    /// Whether the file at a path is to be replaced.
    pub is_wanted: &'a dyn Fn(&str) -> bool,
    /// The new bytes of some files, in their order.
    pub replace: &'a Replace<'a, E>,
}

/// Makes the new bytes of some files.
pub type Replace<'a, E> = dyn Fn(&[OldFile]) -> Result<Vec<Vec<u8>>, E> + 'a;

/// Why an image could not be rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError<E> {
    /// A layer cannot be read.
    #[error(transparent)]
    Layer(#[from] super::contents::ContentsError),
    /// A file on this machine.
    #[error(transparent)]
    File(#[from] FileError),
    /// The image's documents do not fit together.
    #[error("the image's documents do not fit together: {0}")]
    Documents(&'static str),
    /// Whoever makes the new bytes.
    #[error(transparent)]
    Replace(E),
}

/// An image with new files, and how many there are.
#[derive(Debug)]
pub struct Rewritten {
    /// The image.
    pub image: Image,
    /// How many files were replaced.
    pub files: usize,
}

/// Replaces files in all layers (the compressed files `layers`, lowest first), and adds labels to configuration and manifest.
/// New layers and whatever else is needed on the way lie in the folder `work`.
///
/// # Errors
/// When a layer cannot be read or written, the documents are wrong, or `replacement` fails.
pub fn rewrite<E>(
    stored: &StoredImage,
    arch: Arch,
    layers: &[PathBuf],
    work: &Path,
    labels: &[(String, String)],
    replacement: &Replacement<'_, E>,
) -> Result<Rewritten, RewriteError<E>> {
    let documents = || RewriteError::Documents("the configuration has another number of layers than the manifest");
    let mut new_layers = Vec::new();
    let mut files = 0;
    for (number, (path, descriptor)) in layers.iter().zip(&stored.manifest.layers).enumerate() {
        let diff_id = stored.config.rootfs.diff_ids.get(number).ok_or_else(documents)?;
        let old = Layer {
            name: "layer",
            digest: descriptor.digest.clone(),
            diff_id: diff_id.clone(),
            size: descriptor.size,
            tar_size: 0,
            media_type: descriptor.media_type.clone(),
            path: path.clone(),
        };
        let (layer, replaced) = rewrite_layer(old, number, work, replacement)?;
        new_layers.push(layer);
        files += replaced;
    }
    Ok(Rewritten { image: describe(stored, arch, new_layers, labels)?, files })
}

/// The layer with its new files, or the old one where there are none.
fn rewrite_layer<E>(old: Layer, number: usize, work: &Path, replacement: &Replacement<'_, E>) -> Result<(Layer, usize), RewriteError<E>> {
    let tar = work.join(format!("layer-{number}.tar"));
    uncompress_layer(&old.path, &tar)?;
    let index = TarIndex::open(&tar, Rules::Lenient, LIMITS)
        .map_err(|problem| super::contents::ContentsError { layer: old.path.clone(), problem: super::contents::LayerProblem::Tar(problem) })?;
    // By place, so that hard links are replaced once.
    let mut places: BTreeMap<u64, (&str, u64)> = BTreeMap::new();
    for (path, kind) in index.entries() {
        if let Kind::File { size, offset, .. } = kind
            && (replacement.is_wanted)(path)
        {
            places.entry(*offset).or_insert((path, *size));
        }
    }
    let result = if places.is_empty() { Ok((old, 0)) } else { write_layer(&old, &index, &places, work, number, replacement) };
    // Up to many gigabytes that nobody needs any more.
    let _ = std::fs::remove_file(&tar);
    result
}

fn uncompress_layer<E>(layer: &Path, tar: &Path) -> Result<(), RewriteError<E>> {
    uncompress(layer, tar).map_err(|problem| super::contents::ContentsError { layer: layer.to_owned(), problem }.into())
}

fn write_layer<E>(
    old: &Layer,
    index: &TarIndex,
    places: &BTreeMap<u64, (&str, u64)>,
    work: &Path,
    number: usize,
    replacement: &Replacement<'_, E>,
) -> Result<(Layer, usize), RewriteError<E>> {
    let path = work.join(format!("layer-{number}.new"));
    let compression = compression_of(&old.path).map_err(FileError::at(&old.path))?;
    let file = Hashing::new(BufWriter::with_capacity(1 << 16, File::create(&path).map_err(FileError::at(&path))?));
    let mut out = Hashing::new(compressor(compression, file).map_err(FileError::at(&path))?);
    let source = File::open(index.path()).map_err(FileError::at(index.path()))?;
    let mut copy = Patch { source: &source, position: 0, out: &mut out };
    for batch in batches(places) {
        let read = |(offset, (name, size)): &(u64, (&str, u64))| {
            if *size > LARGEST {
                return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("`{name}` has more than {} MiB", LARGEST >> 20)));
            }
            let mut bytes = vec![0; usize::try_from(*size).map_err(io::Error::other)?];
            source.read_exact_at(&mut bytes, *offset)?;
            Ok(OldFile { path: (*name).to_owned(), bytes })
        };
        let files: Vec<OldFile> = batch.iter().map(read).collect::<io::Result<_>>().map_err(FileError::at(index.path()))?;
        let new = (replacement.replace)(&files).map_err(RewriteError::Replace)?;
        for ((offset, (_, size)), bytes) in batch.iter().zip(&new) {
            copy.put(*offset, *size, bytes).map_err(FileError::at(&path))?;
        }
    }
    copy.rest().map_err(FileError::at(&path))?;
    let (diff_id, tar_size) = (out.digest(), out.length);
    let mut file = out.into_inner().finish().map_err(FileError::at(&path))?;
    file.flush().map_err(FileError::at(&path))?;
    let layer = Layer { digest: file.digest(), diff_id, size: file.length, tar_size, path, ..old.clone() };
    Ok((layer, places.len()))
}

/// Parts of the files that fit into memory together.
fn batches<'a>(places: &BTreeMap<u64, (&'a str, u64)>) -> Vec<Vec<(u64, (&'a str, u64))>> {
    let mut batches: Vec<Vec<_>> = Vec::new();
    let mut bytes = 0;
    for (offset, file) in places {
        bytes += file.1;
        match batches.last_mut() {
            Some(last) if bytes <= BATCH_BYTES && last.len() < BATCH_FILES => last.push((*offset, *file)),
            _ => {
                bytes = file.1;
                batches.push(vec![(*offset, *file)]);
            }
        }
    }
    batches
}

/// Copies a tar, with other contents here and there.
struct Patch<'a, W> {
    source: &'a File,
    /// How far the tar is copied.
    position: u64,
    out: &'a mut W,
}

impl<W: Write> Patch<'_, W> {
    /// Puts `bytes` in the place of the `size` bytes at `offset`, right behind whose header they are.
    fn put(&mut self, offset: u64, size: u64, bytes: &[u8]) -> io::Result<()> {
        let start = offset.checked_sub(BLOCK).filter(|start| *start >= self.position).ok_or(io::ErrorKind::InvalidData)?;
        self.copy_to(start)?;
        let mut header = Header::new_old();
        self.source.read_exact_at(header.as_mut_bytes(), start)?;
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(bytes)?;
        let padding = (bytes.len() as u64).next_multiple_of(BLOCK) - bytes.len() as u64;
        io::copy(&mut io::repeat(0).take(padding), self.out)?;
        self.position = offset + size.next_multiple_of(BLOCK);
        Ok(())
    }

    fn copy_to(&mut self, end: u64) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 16];
        while self.position < end {
            let wanted = usize::try_from(end - self.position).unwrap_or(usize::MAX).min(buffer.len());
            let read = self.source.read_at(&mut buffer[..wanted], self.position)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.out.write_all(&buffer[..read])?;
            self.position += read as u64;
        }
        Ok(())
    }

    fn rest(&mut self) -> io::Result<()> {
        let end = self.source.metadata()?.len();
        self.copy_to(end)
    }
}

/// Told by the first bytes, since media types are not always right.
fn compression_of(layer: &Path) -> io::Result<Option<Compression>> {
    let mut start = [0; 4];
    let read = File::open(layer)?.read(&mut start)?;
    Ok(match start.get(..read) {
        Some([0x28, 0xb5, 0x2f, 0xfd]) => Some(Compression::Zstd),
        Some([0x1f, 0x8b, ..]) => Some(Compression::Gzip),
        _ => None,
    })
}

/// The image's documents as they were, with new digests and labels.
fn describe<E>(stored: &StoredImage, arch: Arch, layers: Vec<Layer>, labels: &[(String, String)]) -> Result<Image, RewriteError<E>> {
    let broken = RewriteError::Documents;
    let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let mut config = parse(&stored.config_json).ok_or(broken("the configuration is no JSON"))?;
    let diff_ids = config.pointer_mut("/rootfs/diff_ids").ok_or(broken("the configuration has no `rootfs`"))?;
    *diff_ids = layers.iter().map(|layer| json!(layer.diff_id)).collect();
    extend(&mut config, &["config", "Labels"], labels).ok_or(broken("the configuration's labels are no map"))?;
    let config_type = stored.manifest.config.media_type.as_str();
    let config = Blob::new(if config_type.is_empty() { CONFIG } else { config_type }, config.to_string().into_bytes());

    let mut manifest = parse(&stored.manifest_json).ok_or(broken("the manifest is no JSON"))?;
    name(&mut manifest["config"], &config.digest, config.size());
    for (number, layer) in layers.iter().enumerate() {
        let place = manifest.pointer_mut(&format!("/layers/{number}")).ok_or(broken("the manifest has too few layers"))?;
        name(place, &layer.digest, layer.size);
    }
    extend(&mut manifest, &["annotations"], labels).ok_or(broken("the manifest's annotations are no map"))?;
    let manifest = Blob::new(stored.manifest.media_type.as_deref().unwrap_or(MANIFEST), manifest.to_string().into_bytes());

    let mut annotations = stored.manifest.annotations.clone();
    annotations.extend(labels.iter().cloned());
    let total_size = manifest.size() + config.size() + layers.iter().map(|layer| layer.size).sum::<u64>();
    Ok(Image { arch, manifest, config, layers, annotations, total_size })
}

fn name(descriptor: &mut Value, digest: &Digest, size: u64) {
    descriptor["digest"] = json!(digest);
    descriptor["size"] = json!(size);
}

/// Adds to a map of texts, which is made where it is missing.
fn extend(document: &mut Value, path: &[&str], texts: &[(String, String)]) -> Option<()> {
    let mut place = document;
    for key in path {
        place = place.as_object_mut()?.entry(*key).or_insert(Value::Null);
        if place.is_null() {
            *place = json!({});
        }
    }
    let map = place.as_object_mut()?;
    map.extend(texts.iter().map(|(key, value)| (key.clone(), json!(value))));
    Some(())
}
