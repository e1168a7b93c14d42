//! The archive that `docker load` takes (Docker image specification 1.2, as `docker save` writes it).
//!
//! Layers are plain tars in it: a Docker Engine before 23 cannot load zstd, and uncompressed loads fastest.

use std::io::{self, Write};

use serde::Serialize;

use crate::reference::Reference;

use super::assemble::Image;
use super::contents::uncompressed;
use super::tar::TarWriter;

/// One element of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes an image under a name; layers are uncompressed while they stream.
///
/// # Errors
/// When a layer cannot be read, or `out` not written.
pub fn write_archive<W: Write>(image: &Image, name: &Reference, out: W) -> io::Result<W> {
    let config = format!("{}.json", image.config.digest.hex());
    let layer_path = |diff_id: &str| format!("{diff_id}/layer.tar");
    let entry =
        Entry { config: config.clone(), repo_tags: vec![name.to_string()], layers: image.layers.iter().map(|layer| layer_path(layer.diff_id.hex())).collect() };
    let manifest = serde_json::to_vec(&[entry])?;
    let mut tar = TarWriter::new(out, 0);
    for layer in &image.layers {
        tar.directory(layer.diff_id.hex())?;
        tar.file(&layer_path(layer.diff_id.hex()), false, layer.tar_size, &mut uncompressed(&layer.path)?)?;
    }
    tar.file(&config, false, image.config.size(), &mut image.config.bytes.as_slice())?;
    tar.file("manifest.json", false, manifest.len() as u64, &mut manifest.as_slice())?;
    tar.finish()
}
