//! Files of an image, wherever they lie.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::image::artifacts::{Artifacts, ArtifactsError, FIRMWARE, MODULES, TOOLS};
use crate::image::contents::Contents;
use crate::image::scan::Kind;

/// The files of an image as a container would see them.
pub trait Files: Send + Sync {
    /// Every path, without a slash before it. Directories above an entry may be missing.
    fn list(&self) -> BTreeMap<String, Kind>;
    /// The bytes of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
}

impl Files for Contents {
    fn list(&self) -> BTreeMap<String, Kind> {
        self.entries().map(|(path, kind)| (path.to_owned(), kind.clone())).collect()
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        Self::read(self, path)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("`/{path}`")))
    }
}

/// An image before it is assembled: what the builder sent, and the firmware.
pub struct Unassembled {
    artifacts: Arc<Artifacts>,
    firmware: Option<Artifacts>,
}

impl Unassembled {
    /// `firmware` is the tar of the target's firmware.
    ///
    /// # Errors
    /// When that tar cannot be used.
    pub fn new(artifacts: Arc<Artifacts>, firmware: Option<&Path>) -> Result<Self, ArtifactsError> {
        Ok(Self { artifacts, firmware: firmware.map(Artifacts::open_firmware).transpose()? })
    }
}

impl Files for Unassembled {
    fn list(&self) -> BTreeMap<String, Kind> {
        let below = |artifacts: &Artifacts, root: &str| -> Vec<(String, Kind)> {
            artifacts.paths(root).map(|(path, kind)| (path[root.len() + 1..].to_owned(), kind.clone())).collect()
        };
        let mut files: BTreeMap<_, _> = below(&self.artifacts, TOOLS).into_iter().chain(below(&self.artifacts, MODULES)).collect();
        if let Some(firmware) = &self.firmware {
            files.extend(firmware.paths(FIRMWARE).map(|(path, kind)| (path.to_owned(), kind.clone())));
        }
        files
    }

    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let found = match &self.firmware {
            Some(firmware) if path.starts_with("firmware/") => firmware.read(path),
            _ => [MODULES, TOOLS]
                .iter()
                .map(|root| format!("{root}/{path}"))
                .find(|path| self.artifacts.get(path).is_some())
                .map_or_else(|| Err(ArtifactsError::Missing { path: path.to_owned() }), |path| self.artifacts.read(&path)),
        };
        found.map_err(|error| io::Error::other(error.to_string()))
    }
}
