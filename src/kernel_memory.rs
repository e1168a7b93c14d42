//! What earlier runs have seen of kernels: their configurations, so that a plan knows what only the headers can tell, and the evidence that
//! images are checked against, so that the next check needs no builder.

use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::kmod::config::KernelConfig;
use crate::package::PublishedKernel;
use crate::reference::Digest;

const CONFIG: &str = "config";
/// The number changes whenever other files are taken for evidence, or made in another way.
const EVIDENCE: &str = "evidence-1";

/// What is known of kernels, a file for each kind of knowledge, named by the digests of the header packages.
#[derive(Clone, Debug)]
pub struct KernelMemory {
    directory: PathBuf,
}

impl KernelMemory {
    /// Below the cache folder.
    pub fn new(cache: &Path) -> Self {
        Self { directory: cache.join("kernels") }
    }

    /// None for a kernel whose headers an image has: the image may be another tomorrow.
    fn file(&self, kernel: &PublishedKernel, ending: &str) -> Option<PathBuf> {
        if kernel.headers.is_empty() {
            return None;
        }
        let mut hash = Sha256::new();
        for package in &kernel.headers {
            hash.update(&package.sha256);
        }
        Some(self.directory.join(format!("{}.{ending}.zst", Digest::from_sha256(&hash.finalize().into()).hex())))
    }

    /// The kernel's configuration, if it was seen; an unreadable file counts as not seen.
    pub fn config(&self, kernel: &PublishedKernel) -> Option<KernelConfig> {
        let text = zstd::decode_all(std::fs::File::open(self.file(kernel, CONFIG)?).ok()?).ok()?;
        Some(KernelConfig::parse(&String::from_utf8_lossy(&text)))
    }

    /// Keeps a configuration. What cannot be kept is looked up again next time.
    ///
    /// # Errors
    /// When the cache folder cannot be written.
    pub fn remember(&self, kernel: &PublishedKernel, config: &[u8]) -> io::Result<()> {
        self.keep(config, self.file(kernel, CONFIG))
    }

    /// Writes the kernel's evidence to a file, a tar as the builder made it; false if it was not seen, or cannot be read any more.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn evidence(&self, kernel: &PublishedKernel, to: &Path) -> io::Result<bool> {
        let Some(bytes) = self.file(kernel, EVIDENCE).and_then(|file| std::fs::File::open(file).ok()).and_then(|file| zstd::decode_all(file).ok()) else {
            return Ok(false);
        };
        std::fs::write(to, bytes)?;
        Ok(true)
    }

    /// Keeps a kernel's evidence, a tar. What cannot be kept is made again next time.
    ///
    /// # Errors
    /// When the tar cannot be read, or the cache folder not written.
    pub fn remember_evidence(&self, kernel: &PublishedKernel, tar: &Path) -> io::Result<()> {
        self.keep(std::fs::File::open(tar)?, self.file(kernel, EVIDENCE))
    }

    fn keep(&self, content: impl io::Read, path: Option<PathBuf>) -> io::Result<()> {
        let Some(path) = path else { return Ok(()) };
        std::fs::create_dir_all(&self.directory)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        zstd::stream::copy_encode(content, &mut file, 3)?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::kernel;

    #[test]
    fn a_configuration_is_kept_for_the_kernel_it_was_seen_for() {
        let cache = tempfile::tempdir().unwrap();
        let memory = KernelMemory::new(cache.path());
        assert!(memory.config(&kernel("6.1.0-56-amd64")).is_none());
        memory.remember(&kernel("6.1.0-56-amd64"), b"CONFIG_VIDEO_DEV=m\n# CONFIG_USB is not set\n").unwrap();
        let config = KernelMemory::new(cache.path()).config(&kernel("6.1.0-56-amd64")).unwrap();
        assert!(config.is_on("CONFIG_VIDEO_DEV") && !config.is_on("CONFIG_USB"));
        assert!(memory.config(&kernel("6.1.0-55-amd64")).is_none());
        let mut rebuilt = kernel("6.1.0-56-amd64");
        rebuilt.headers[0].sha256 = "0".repeat(64);
        assert!(memory.config(&rebuilt).is_none(), "new headers of the same release may be configured otherwise");
    }

    #[test]
    fn evidence_is_given_back_as_it_was() {
        let cache = tempfile::tempdir().unwrap();
        let (memory, tar, copy) = (KernelMemory::new(cache.path()), cache.path().join("a.tar"), cache.path().join("b.tar"));
        assert!(!memory.evidence(&kernel("6.1.0-56-amd64"), &copy).unwrap() && !copy.exists());
        std::fs::write(&tar, b"a tar").unwrap();
        memory.remember_evidence(&kernel("6.1.0-56-amd64"), &tar).unwrap();
        assert!(memory.evidence(&kernel("6.1.0-56-amd64"), &copy).unwrap());
        assert_eq!(std::fs::read(&copy).unwrap(), b"a tar");
        assert!(!memory.evidence(&kernel("6.1.0-55-amd64"), &copy).unwrap());
    }

    #[test]
    fn nothing_is_remembered_of_what_an_image_has() {
        let cache = tempfile::tempdir().unwrap();
        let memory = KernelMemory::new(cache.path());
        let held = PublishedKernel { headers: Vec::new(), headers_image: Some("registry.example/devel:1".into()), ..kernel("6.1.0-56-amd64") };
        memory.remember(&held, b"CONFIG_X=y\n").unwrap();
        assert!(memory.config(&held).is_none());
    }

    #[test]
    fn a_damaged_memory_is_no_memory() {
        let cache = tempfile::tempdir().unwrap();
        let memory = KernelMemory::new(cache.path());
        memory.remember(&kernel("6.1.0-56-amd64"), b"CONFIG_X=y\n").unwrap();
        std::fs::write(memory.file(&kernel("6.1.0-56-amd64"), CONFIG).unwrap(), b"not zstd").unwrap();
        assert!(memory.config(&kernel("6.1.0-56-amd64")).is_none());
        std::fs::write(cache.path().join("occupied"), b"").unwrap();
        assert!(KernelMemory::new(&cache.path().join("occupied")).remember(&kernel("6.1.0-56-amd64"), b"").is_err());
    }
}
