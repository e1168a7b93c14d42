//! Reading layouts, also those that other tools wrote.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use crate::image::FileError;
use crate::image::contents::StoredImage;
use crate::image::manifest::{Descriptor, Index, Manifest, REF_NAME, is_index};
use crate::image::scan::{LIMITS, Rules, TarIndex};
use crate::reference::{Digest, Hashing};

use super::{INDEX_FILE, LayoutError, VERSION_FILE, blob_path};

/// Documents are read into memory; none of an image that runs is larger.
const LARGEST_DOCUMENT: u64 = 16 << 20;

/// A layout that was found on disk.
#[derive(Debug)]
pub struct Layout {
    path: PathBuf,
    /// `None` for a folder.
    archive: Option<TarIndex>,
    index: Index,
}

impl Layout {
    /// Opens a layout: a folder, or a tar of one.
    ///
    /// # Errors
    /// When it is something else.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let is_dir = std::fs::metadata(path).map_err(FileError::at(path))?.is_dir();
        let archive = if is_dir {
            None
        } else {
            Some(TarIndex::open(path, Rules::Lenient, LIMITS).map_err(|problem| LayoutError::Archive { path: path.to_owned(), problem })?)
        };
        let mut layout = Self { path: path.to_owned(), archive, index: Index::of(Vec::new()) };
        if layout.open_file(VERSION_FILE)?.is_none() {
            return Err(LayoutError::NotALayout(path.to_owned()));
        }
        if let Some(file) = layout.open_file(INDEX_FILE)? {
            let mut bytes = Vec::new();
            file.take(LARGEST_DOCUMENT).read_to_end(&mut bytes).map_err(FileError::at(path))?;
            layout.index = layout.parse(INDEX_FILE, &bytes)?;
        }
        Ok(layout)
    }

    /// `index.json`.
    pub(super) fn index(&self) -> &Index {
        &self.index
    }

    /// The names in `index.json`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.index.manifests.iter().filter_map(|descriptor| descriptor.annotations.get(REF_NAME).cloned()).collect()
    }

    /// Every image under `name`, or all images; attestations and other things that are no images are left out.
    ///
    /// # Errors
    /// When there is no such name, a document is missing or damaged.
    pub fn images(&self, name: Option<&str>) -> Result<Vec<StoredImage>, LayoutError> {
        let is_wanted = |descriptor: &&Descriptor| name.is_none_or(|name| descriptor.annotations.get(REF_NAME).is_some_and(|other| other == name));
        let todo: Vec<Descriptor> = self.index.manifests.iter().filter(is_wanted).rev().cloned().collect();
        if let (true, Some(name)) = (todo.is_empty(), name) {
            return Err(LayoutError::NoSuchName { layout: self.path.clone(), name: name.to_owned(), names: self.names() });
        }
        self.images_of(todo)
    }

    /// The images that some descriptors name, last first, and those in indexes that they name.
    fn images_of(&self, mut todo: Vec<Descriptor>) -> Result<Vec<StoredImage>, LayoutError> {
        let mut images = Vec::new();
        while let Some(descriptor) = todo.pop() {
            if descriptor.platform.as_ref().is_some_and(|platform| platform.os == "unknown") {
                continue;
            }
            if let Some(index) = self.read_index(&descriptor)? {
                todo.extend(index.manifests.into_iter().rev());
                continue;
            }
            let manifest_json = self.read(&descriptor)?;
            let manifest: Manifest = self.parse(&format!("manifest {}", descriptor.digest), &manifest_json)?;
            let config_json = self.read(&manifest.config)?;
            let config = self.parse(&format!("configuration {}", manifest.config.digest), &config_json)?;
            images.push(StoredImage { digest: descriptor.digest, manifest, config, manifest_json, config_json });
        }
        Ok(images)
    }

    /// Every image, with its name if it has one.
    ///
    /// # Errors
    /// As [`Layout::images`].
    pub fn named_images(&self) -> Result<Vec<(Option<String>, StoredImage)>, LayoutError> {
        let mut images = Vec::new();
        for descriptor in &self.index.manifests {
            let name = descriptor.annotations.get(REF_NAME);
            images.extend(self.images_of(vec![descriptor.clone()])?.into_iter().map(|image| (name.cloned(), image)));
        }
        Ok(images)
    }

    /// A file with a blob, checked against its digest: the layout's own, or a copy in `folder` if the layout is an archive.
    ///
    /// # Errors
    /// When there is no such blob, its digest is wrong, or the copy cannot be written.
    pub fn file(&self, descriptor: &Descriptor, folder: &Path) -> Result<PathBuf, LayoutError> {
        if self.archive.is_some() {
            let copy = folder.join(descriptor.digest.hex());
            self.copy(descriptor, &copy)?;
            return Ok(copy);
        }
        let path = self.path.join(blob_path(&descriptor.digest));
        let digest = Digest::read(self.blob(&descriptor.digest)?).map_err(FileError::at(&path))?;
        self.check(&descriptor.digest, digest)?;
        Ok(path)
    }

    /// Copies a blob to a file and checks its digest.
    ///
    /// # Errors
    /// When there is no such blob, its digest is wrong, or the file cannot be written.
    pub fn copy(&self, descriptor: &Descriptor, to: &Path) -> Result<(), LayoutError> {
        let mut file = Hashing::new(File::create(to).map_err(FileError::at(to))?);
        io::copy(&mut self.blob(&descriptor.digest)?, &mut file).map_err(FileError::at(to))?;
        self.check(&descriptor.digest, file.digest())
    }

    /// The index a descriptor names; `None` when it names an image.
    pub(super) fn read_index(&self, descriptor: &Descriptor) -> Result<Option<Index>, LayoutError> {
        let bytes = self.read(descriptor)?;
        if !is_index(&descriptor.media_type, &bytes) {
            return Ok(None);
        }
        self.parse(&format!("index {}", descriptor.digest), &bytes).map(Some)
    }

    /// A document that a descriptor names, as far as `T` knows it.
    pub(super) fn document<T: DeserializeOwned>(&self, descriptor: &Descriptor) -> Result<T, LayoutError> {
        self.parse(&format!("manifest {}", descriptor.digest), &self.read(descriptor)?)
    }

    fn read(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let mut bytes = Vec::new();
        self.blob(&descriptor.digest)?.take(LARGEST_DOCUMENT).read_to_end(&mut bytes).map_err(FileError::at(&self.path))?;
        self.check(&descriptor.digest, Digest::of(&bytes))?;
        Ok(bytes)
    }

    fn blob(&self, digest: &Digest) -> Result<Box<dyn Read>, LayoutError> {
        self.open_file(&blob_path(digest))?.ok_or_else(|| LayoutError::MissingBlob { layout: self.path.clone(), digest: digest.clone() })
    }

    fn open_file(&self, path: &str) -> Result<Option<Box<dyn Read>>, LayoutError> {
        if let Some(archive) = &self.archive {
            return Ok(archive.reader(path).map(|reader| Box::new(reader) as Box<dyn Read>));
        }
        let path = self.path.join(path);
        match File::open(&path) {
            Ok(file) => Ok(Some(Box::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(FileError { path, source }.into()),
        }
    }

    fn check(&self, expected: &Digest, found: Digest) -> Result<(), LayoutError> {
        if *expected == found {
            return Ok(());
        }
        Err(LayoutError::WrongDigest { layout: self.path.clone(), expected: expected.clone(), found })
    }

    fn parse<T: DeserializeOwned>(&self, what: &str, bytes: &[u8]) -> Result<T, LayoutError> {
        serde_json::from_slice(bytes).map_err(|error| LayoutError::Document { layout: self.path.clone(), what: what.to_owned(), message: error.to_string() })
    }
}
