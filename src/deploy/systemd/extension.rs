//! System extensions (`systemd-sysext(8)`): an image of a driver for one kernel, laid over the read-only `/usr` of a host.
//!
//! The modules do not go into the kernel's own `/usr/lib/modules/<release>`: its indexes are single files, which an extension could only
//! replace as a whole. They keep the index of their image beside them, and the runner asks that one (`modprobe -d`). Not into `/opt`
//! either, although `modprobe -d /opt` would do: where an extension has `/opt`, the host's turns read-only.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Seek, Write};

use backhand::compression::Compressor;
use backhand::{FilesystemCompressor, FilesystemWriter, NodeHeader};

use super::{HostFile, Place, SystemdError, description, files, instance, unit_files};
use crate::arch::Arch;
use crate::deploy::fleet::{Fleet, FleetImage};
use crate::image::contents::Contents;
use crate::image::scan::Kind;

/// What is at a path of an extension. Folders above it go without saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A file.
    File {
        /// Whether it is a program.
        executable: bool,
        /// What is in it.
        bytes: Vec<u8>,
    },
    /// A symbolic link, with its target.
    Symlink(String),
}

/// A system extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name, which its `extension-release` file repeats: `kmodforge-v4l2loopback-6.1.0-56-amd64`.
    pub name: String,
    /// What is in it, by path without a slash before it.
    pub nodes: BTreeMap<String, Node>,
}

/// Why an extension cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ExtensionError {
    /// The image has no modules for its kernel.
    #[error("`{image}` has no `{path}`")]
    NoModules {
        /// The image.
        image: String,
        /// What is missing.
        path: String,
    },
    /// The image cannot be read.
    #[error("`/{path}` of the image cannot be read: {error}")]
    Image {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The units or the description cannot be written.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// The file system cannot be written.
    #[error("the file system cannot be written: {0}")]
    Squashfs(String),
}

impl Extension {
    /// The extension for an image on an architecture.
    ///
    /// # Errors
    /// When the image does not hold what it should.
    pub fn new(image: &FleetImage, arch: Arch, contents: &Contents) -> Result<Self, ExtensionError> {
        let suffix = if image.arches.len() > 1 { format!("-{arch}") } else { String::new() };
        let name = format!("kmodforge-{}-{}{suffix}", image.driver, image.kernel);
        let mut extension = Self { nodes: BTreeMap::new(), name };
        for file in files(&Fleet::default(), Place::Extension)?.into_iter().chain(unit_files(Place::Extension)?) {
            extension.add(file);
        }
        extension.add(description(&FleetImage { arches: vec![arch], ..image.clone() }, Place::Extension)?);
        extension.add(extension.release(image, arch));
        // What a manager reloads while it boots is not part of the boot any more; what is upheld is started all the same.
        extension.add(HostFile {
            path: format!("usr/lib/systemd/system/multi-user.target.d/10-kmodforge-{}.conf", image.driver),
            executable: false,
            text: format!("[Unit]\nUpholds={}\n", instance(&image.driver)),
        });
        extension.add_image(image, contents)?;
        Ok(extension)
    }

    fn add(&mut self, file: HostFile) {
        self.nodes.insert(file.path, Node::File { executable: file.executable, bytes: file.text.into_bytes() });
    }

    /// `os-release(5)`, "extension-release": systemd merges an extension only where these are the host's own.
    fn release(&self, image: &FleetImage, arch: Arch) -> HostFile {
        let system = &image.rollout.system;
        let version = system.version.as_ref().map(|version| format!("VERSION_ID={version}\n")).unwrap_or_default();
        let machine = match arch {
            Arch::Amd64 => "x86-64",
            Arch::Arm64 => "arm64",
        };
        HostFile {
            path: format!("usr/lib/extension-release.d/extension-release.{}", self.name),
            executable: false,
            text: format!("ID={}\n{version}ARCHITECTURE={machine}\nEXTENSION_RELOAD_MANAGER=1\n", system.id),
        }
    }

    /// Modules and firmware of the image, where the runner looks for images.
    fn add_image(&mut self, image: &FleetImage, contents: &Contents) -> Result<(), ExtensionError> {
        let Some(digest) = &image.image.digest else {
            return Err(ExtensionError::NoModules { image: image.image.to_string(), path: "digest".into() });
        };
        let folder = format!("usr/lib/kmodforge/images/{}", digest.hex());
        let mut has_modules = false;
        for (path, kind) in contents.entries() {
            let below = path.strip_prefix("opt/").filter(|below| below.starts_with("lib/modules/")).or_else(|| path.starts_with("firmware/").then_some(path));
            let node = match (below, kind) {
                (None, _) | (_, Kind::Directory) => continue,
                (_, Kind::Symlink(target)) => Node::Symlink(target.clone()),
                (_, Kind::File { executable, .. }) => {
                    let bytes = contents.read(path).map_err(|error| ExtensionError::Image { path: path.to_owned(), error })?;
                    Node::File { executable: *executable, bytes: bytes.unwrap_or_default() }
                }
            };
            let release = image.kernel.as_str();
            let below = below.unwrap_or_default();
            has_modules |= below.strip_prefix("lib/modules/").is_some_and(|rest| rest == release || rest.starts_with(&format!("{release}/")));
            self.nodes.insert(format!("{folder}/{below}"), node);
        }
        if has_modules { Ok(()) } else { Err(ExtensionError::NoModules { image: image.image.to_string(), path: format!("/opt/lib/modules/{}", image.kernel) }) }
    }

    /// Writes the extension as a squashfs, which holds no time and no user but root: the same content gives the same bytes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_squashfs<W: Write + Seek>(&self, out: W) -> Result<(), ExtensionError> {
        let failed = |error: backhand::BackhandError| ExtensionError::Squashfs(error.to_string());
        let mut image = FilesystemWriter::default();
        image.set_time(0);
        image.set_root_mode(0o755);
        // Every kernel that reads squashfs reads this.
        image.set_compressor(FilesystemCompressor::new(Compressor::Gzip, None).map_err(failed)?);
        for (path, node) in &self.nodes {
            if let Some((folder, _)) = path.rsplit_once('/') {
                image.push_dir_all(folder, NodeHeader::new(0o755, 0, 0, 0)).map_err(failed)?;
            }
            match node {
                Node::File { executable, bytes } => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    image.push_file(Cursor::new(bytes.clone()), path, NodeHeader::new(mode, 0, 0, 0)).map_err(failed)?;
                }
                Node::Symlink(target) => image.push_symlink(target, path, NodeHeader::new(0o777, 0, 0, 0)).map_err(failed)?,
            }
        }
        image.write(out).map(drop).map_err(failed)
    }
}
