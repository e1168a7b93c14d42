//! What a builder sends: tars of stages, made from modules that were really compiled for Debian's kernels.

use std::path::PathBuf;

use tar::{Builder, EntryType, Header};

/// A tar in the making; names are written as they are, however bad.
pub(crate) struct Tar(Builder<Vec<u8>>);

impl Tar {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(crate) fn entry(mut self, kind: EntryType, name: &str, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind.is_file() { 0o644 } else { 0o755 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..name.len()].copy_from_slice(name.as_bytes());
        gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, name, "", content)
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A kernel of the fixtures, or one that differs from it in nothing but its name.
pub(crate) struct Kernel {
    release: String,
    like: &'static str,
}

impl Kernel {
    pub(crate) fn new(release: &str) -> Self {
        let like = match release {
            "6.12.117+deb13-amd64" => "6.12.117+deb13-amd64",
            release if release.ends_with("arm64") => "6.1.0-56-arm64",
            _ => "6.1.0-56-amd64",
        };
        assert_eq!(release.len(), like.len(), "the release is written over that of the fixture");
        Self { release: release.to_owned(), like }
    }

    /// A file of the kernel's folder, with the kernel's name in it.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/kmod").join(self.like).join(name);
        let mut bytes = std::fs::read(path).unwrap();
        let (old, new) = (self.like.as_bytes(), self.release.as_bytes());
        for at in 0..bytes.len().saturating_sub(old.len()) {
            if bytes[at..].starts_with(old) {
                bytes[at..at + new.len()].copy_from_slice(new);
            }
        }
        bytes
    }

    fn compiler(&self) -> String {
        let config = String::from_utf8(self.file("config")).unwrap();
        config.lines().find_map(|line| line.strip_prefix("CONFIG_CC_VERSION_TEXT=\"")).unwrap().trim_end_matches('"').to_owned()
    }

    /// The stage `facts`.
    pub(crate) fn facts(&self) -> Tar {
        Tar::new().file("evidence/config", &self.file("config")).file("evidence/Module.symvers", &self.file("Module.symvers"))
    }

    /// The stage `evidence`.
    pub(crate) fn evidence_alone(&self) -> Tar {
        self.facts().file("evidence/reference.ko", &self.file("kmf_empty.ko")).file("evidence/compiler", self.compiler().as_bytes())
    }

    /// The stage `artifacts`, without its modules.
    pub(crate) fn evidence(&self) -> Tar {
        self.evidence_alone()
            .file("evidence/packages", b"gcc-12\t12.2.0-14+deb12u1\n")
            .file("evidence/built-modules", b"kmf_core.ko\n")
            .file("tools/usr/bin/kmod", b"kmod")
            .entry(EntryType::Symlink, "tools/usr/bin/modprobe", "kmod", b"")
    }

    /// The stage `artifacts`, with these bytes for the module.
    pub(crate) fn artifacts_with(&self, module: &[u8]) -> Tar {
        let directory = format!("modules/opt/lib/modules/{}", self.release);
        self.evidence().file(&format!("{directory}/extra/kmf_core.ko"), module).file(&format!("{directory}/modules.dep"), b"extra/kmf_core.ko:\n")
    }

    /// The stage `artifacts`.
    pub(crate) fn artifacts(&self) -> Tar {
        self.artifacts_with(&self.file("kmf_core.ko"))
    }
}
