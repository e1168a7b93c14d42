//! An image from anywhere, and what in it the checks are about.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::arch::Arch;
use crate::cli::VerifyArgs;
use crate::commands::session::Session;
use crate::error::{Exit, Failure};
use crate::image::contents::{Contents, StoredImage};
use crate::image::layout::Layout;
use crate::image::scan::Kind;
use crate::kernel::KernelRelease;
use crate::kmod::Module;
use crate::reference::Reference;

/// An image whose layers lie on this machine.
pub(super) struct LocalImage {
    pub(super) stored: StoredImage,
    pub(super) layers: Vec<PathBuf>,
}

impl LocalImage {
    pub(super) fn arch(&self) -> Option<Arch> {
        arch_of(&self.stored)
    }

    /// A label, else the annotation of that name.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        let label = self.stored.config.config.labels.as_ref().and_then(|labels| labels.get(name));
        label.or_else(|| self.stored.manifest.annotations.get(name)).map(String::as_str)
    }
}

fn arch_of(stored: &StoredImage) -> Option<Arch> {
    stored.config.architecture.parse().ok()
}

pub(super) async fn fetch(session: &Session, args: &VerifyArgs, work: &Path) -> Result<Vec<LocalImage>, Failure> {
    let arches = if args.arches.is_empty() { Arch::ALL.to_vec() } else { args.arches.clone() };
    let wanted = |stored: &StoredImage| arch_of(stored).is_some_and(|arch| arches.contains(&arch));
    let folder = work.join("blobs");
    std::fs::create_dir_all(&folder).map_err(|error| Failure::new(Exit::Failed, format!("`{}`: {error}", folder.display())))?;
    let mut images = Vec::new();
    if let Some(path) = args.image.strip_prefix("oci:").or_else(|| args.image.strip_prefix("oci-archive:")) {
        let layout = Layout::open(Path::new(path))?;
        for stored in layout.images(None)?.into_iter().filter(wanted) {
            let mut layers = Vec::new();
            for descriptor in &stored.manifest.layers {
                let file = folder.join(descriptor.digest.hex());
                layout.copy(descriptor, &file)?;
                layers.push(file);
            }
            images.push(LocalImage { stored, layers });
        }
    } else {
        let reference: Reference = args.image.parse().map_err(|error: crate::reference::InvalidReference| Failure::new(Exit::Usage, error.to_string()))?;
        let registry = session.registry(&args.registry)?;
        for arch in &arches {
            let Some(stored) = registry.image(&reference, *arch).await? else { continue };
            let mut layers = Vec::new();
            for descriptor in &stored.manifest.layers {
                let file = folder.join(descriptor.digest.hex());
                registry.download(&reference, descriptor, &file).await?;
                layers.push(file);
            }
            images.push(LocalImage { stored, layers });
        }
    }
    if images.is_empty() {
        return Err(Failure::new(Exit::Failed, format!("`{}` holds no image for the architectures asked for", args.image)));
    }
    Ok(images)
}

/// Paths in an image that matter.
pub(super) struct Files {
    modules: Vec<String>,
    indexes: Vec<String>,
    pub(super) firmware: BTreeSet<String>,
}

impl Files {
    pub(super) fn of(contents: &Contents, image: &str) -> Result<Self, Failure> {
        let mut files = Self { modules: Vec::new(), indexes: Vec::new(), firmware: BTreeSet::new() };
        for (path, kind) in contents.entries() {
            let is_module = [".ko", ".ko.xz", ".ko.gz", ".ko.zst"].iter().any(|end| path.ends_with(end));
            let is_file = matches!(kind, Kind::File { .. });
            if is_file && is_module {
                files.modules.push(path.to_owned());
            } else if is_file && path.ends_with("/modules.dep") {
                files.indexes.push(path.to_owned());
            } else if let Some((_, name)) = path.split_once("firmware/").filter(|(before, _)| ["", "lib/", "usr/lib/"].contains(before)) {
                files.firmware.insert(name.to_owned());
            }
        }
        if files.modules.is_empty() {
            return Err(
                Failure::new(Exit::Failed, format!("`{image}` holds no kernel modules")).fact("expected", "`.ko` files below any `lib/modules/<release>`")
            );
        }
        Ok(files)
    }

    /// Releases that modules lie below.
    pub(super) fn releases(&self) -> BTreeSet<&str> {
        self.modules.iter().filter_map(|path| path.split_once("lib/modules/")?.1.split('/').next()).collect()
    }

    pub(super) fn modules_for(&self, contents: &Contents, kernel: &KernelRelease) -> Result<Vec<(String, Module)>, Failure> {
        let below = format!("lib/modules/{}/", kernel.directory());
        let several = self.releases().len() > 1;
        let mut modules = Vec::new();
        for path in self.modules.iter().filter(|path| !several || path.contains(&below)) {
            let bytes = contents.read(path).map_err(|error| Failure::new(Exit::Failed, format!("`/{path}` cannot be read: {error}")))?.unwrap_or_default();
            modules.push((format!("/{path}"), Module::parse(path.rsplit('/').next().unwrap_or(path), &bytes)?));
        }
        Ok(modules)
    }

    pub(super) fn modules_dep(&self, contents: &Contents, kernel: &KernelRelease) -> Option<String> {
        let end = format!("lib/modules/{}/modules.dep", kernel.directory());
        let path = self.indexes.iter().find(|path| path.ends_with(&end))?;
        contents.read(path).ok().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}
