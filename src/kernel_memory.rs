//! What earlier runs have seen of kernels: their configurations, so that a plan knows what only the headers can tell.

use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::kmod::config::KernelConfig;
use crate::package::PublishedKernel;
use crate::reference::Digest;

/// Configurations of kernels, one file each, named by the digests of the header packages.
#[derive(Clone, Debug)]
pub struct KernelMemory {
    directory: PathBuf,
}

impl KernelMemory {
    /// Below the cache folder.
    pub fn new(cache: &std::path::Path) -> Self {
        Self { directory: cache.join("kernels") }
    }

    fn file(&self, kernel: &PublishedKernel) -> PathBuf {
        let mut hash = Sha256::new();
        for package in &kernel.headers {
            hash.update(&package.sha256);
        }
        self.directory.join(format!("{}.config.zst", Digest::from_sha256(&hash.finalize().into()).hex()))
    }

    /// The kernel's configuration, if it was seen; an unreadable file counts as not seen.
    pub fn config(&self, kernel: &PublishedKernel) -> Option<KernelConfig> {
        let text = zstd::decode_all(std::fs::File::open(self.file(kernel)).ok()?).ok()?;
        Some(KernelConfig::parse(&String::from_utf8_lossy(&text)))
    }

    /// Keeps a configuration. What cannot be kept is looked up again next time.
    ///
    /// # Errors
    /// When the cache folder cannot be written.
    pub fn remember(&self, kernel: &PublishedKernel, config: &[u8]) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.directory)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        zstd::stream::copy_encode(config, &mut file, 3)?;
        file.persist(self.file(kernel)).map_err(|error| error.error)?;
        Ok(())
    }
}
