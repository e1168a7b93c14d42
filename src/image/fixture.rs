//! Tars as builders make them, and as they never should, for tests.

use std::path::{Path, PathBuf};

use ::tar::{Builder, EntryType, Header};

use super::{Artifacts, Image, ImageSpec, LayerCache, assemble};
use crate::arch::Arch;

/// A tar in the making; names are written as they are, however bad.
pub(crate) struct TestTar(Builder<Vec<u8>>);

impl TestTar {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// What a small driver's build exports.
    pub(crate) fn driver(module: &str) -> Self {
        Self::new()
            .dir("tools/")
            .dir("tools/usr/bin/")
            .file("tools/usr/bin/kmod", 0o755, b"kmod")
            .link("tools/usr/bin/modprobe", "kmod")
            .link("tools/bin", "/usr/bin")
            .hard_link("tools/usr/bin/depmod", "tools/usr/bin/kmod")
            .file("modules/opt/lib/modules/6.1.0/extra/x.ko", 0o600, module.as_bytes())
            .file("modules/opt/lib/modules/6.1.0/modules.dep", 0o644, b"extra/x.ko:\n")
            .file("evidence/config", 0o644, b"CONFIG_MODULES=y\n")
    }

    pub(crate) fn entry(mut self, kind: EntryType, name: &[u8], target: &[u8], mode: u32, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_mtime(1_234_567_890);
        header.set_size(content.len() as u64);
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
        header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(crate) fn dir(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name.as_bytes(), b"", 0o700, b"")
    }

    pub(crate) fn file(self, name: &str, mode: u32, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), b"", mode, content)
    }

    pub(crate) fn link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name.as_bytes(), target.as_bytes(), 0o777, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name.as_bytes(), target.as_bytes(), 0o755, b"")
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    pub(crate) fn write(self, dir: &Path) -> PathBuf {
        let path = dir.join("test.tar");
        std::fs::write(&path, self.bytes()).unwrap();
        path
    }
}

/// The image of [`TestTar::driver`], with its files in `dir`.
pub(crate) fn image(dir: &Path, arch: Arch, module: &str) -> Image {
    let mut spec = ImageSpec::new(arch);
    spec.annotations.insert(super::INPUT_DIGEST.into(), format!("sha256:input-of-{module}"));
    spec.annotations.insert("org.opencontainers.image.title".into(), "x".into());
    let work = dir.join(format!("{arch}-{module}"));
    std::fs::create_dir_all(&work).unwrap();
    let artifacts = Artifacts::open(&TestTar::driver(module).write(&work)).unwrap();
    assemble(&artifacts, None, &spec, &LayerCache::open(&dir.join("layers")).unwrap(), &work).unwrap()
}
