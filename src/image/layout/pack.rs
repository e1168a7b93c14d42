//! An archive as a folder, and back: to change what is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Content, INDEX_FILE, Layout, LayoutError, VERSION, VERSION_FILE, blob_path, replace, write_tar};
use crate::image::FileError;
use crate::image::manifest::Descriptor;

/// What an index or a manifest names, whatever it is of.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Named {
    manifests: Vec<Descriptor>,
    layers: Vec<Descriptor>,
    blobs: Vec<Descriptor>,
    config: Option<Descriptor>,
}

/// Copies everything that the names of a layout lead to into the layout `dir`, which is made.
///
/// # Errors
/// When something is missing or damaged, or cannot be written.
pub fn unpack(layout: &Layout, dir: &Path) -> Result<(), LayoutError> {
    let blobs = dir.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).map_err(FileError::at(&blobs))?;
    for descriptor in reachable(layout)? {
        layout.copy(&descriptor, &dir.join(blob_path(&descriptor.digest)))?;
    }
    replace(dir, INDEX_FILE, &mut layout.index().to_blob().bytes.as_slice())?;
    replace(dir, VERSION_FILE, &mut &*VERSION)
}

/// Writes the layout `dir` as an archive, without what no name leads to.
///
/// # Errors
/// When the archive cannot be written; then there is still the old one, or none.
pub fn pack(dir: &Path, file: &Path) -> Result<(), LayoutError> {
    let layout = Layout::open(dir)?;
    let paths: BTreeMap<String, PathBuf> =
        reachable(&layout)?.into_iter().map(|descriptor| blob_path(&descriptor.digest)).map(|path| (path.clone(), dir.join(path))).collect();
    let contents: BTreeMap<String, Content<'_>> = paths.iter().map(|(path, source)| (path.clone(), Content::File(source))).collect();
    write_tar(file, contents.iter(), &layout.index().to_blob().bytes)
}

/// Every blob that `index.json` leads to, once.
fn reachable(layout: &Layout) -> Result<Vec<Descriptor>, LayoutError> {
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    let mut documents = layout.index().manifests.clone();
    while let Some(descriptor) = documents.pop() {
        if !seen.insert(descriptor.digest.clone()) {
            continue;
        }
        let Named { manifests, layers, blobs, config } = layout.document(&descriptor)?;
        documents.extend(manifests);
        found.extend(layers.into_iter().chain(blobs).chain(config).filter(|blob| seen.insert(blob.digest.clone())));
        found.push(descriptor);
    }
    Ok(found)
}
