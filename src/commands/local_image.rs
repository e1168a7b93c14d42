//! An image from anywhere, brought to this machine.

use std::path::{Path, PathBuf};

use super::session::Session;
use crate::arch::Arch;
use crate::cli::RegistryArgs;
use crate::error::{Exit, Failure};
use crate::image::contents::StoredImage;
use crate::image::layout::Layout;
use crate::reference::Reference;

/// An image whose layers lie on this machine.
pub(super) struct LocalImage {
    pub(super) stored: StoredImage,
    pub(super) layers: Vec<PathBuf>,
    /// Its name in the layout it comes from.
    pub(super) name: Option<String>,
    /// Whether it comes from a layout, not from a registry.
    pub(super) is_file: bool,
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

/// An image that is named on the command line.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    /// Registry reference, `oci:DIR` or `oci-archive:FILE`.
    pub(super) image: &'a str,
    /// Architectures to take; all if there are none.
    pub(super) arches: &'a [Arch],
    pub(super) registry: &'a RegistryArgs,
}

/// Brings an image to this machine, for each of its architectures that is wanted.
pub(super) async fn fetch(session: &Session, args: Named<'_>, work: &Path) -> Result<Vec<LocalImage>, Failure> {
    let arches = if args.arches.is_empty() { Arch::ALL.as_slice() } else { args.arches };
    let wanted = |stored: &StoredImage| arch_of(stored).is_some_and(|arch| arches.contains(&arch));
    let folder = work.join("blobs");
    std::fs::create_dir_all(&folder).map_err(|error| Failure::new(Exit::Failed, format!("`{}`: {error}", folder.display())))?;
    let mut images = Vec::new();
    if let Some(path) = args.image.strip_prefix("oci:").or_else(|| args.image.strip_prefix("oci-archive:")) {
        let layout = Layout::open(Path::new(path))?;
        for (name, stored) in layout.named_images()?.into_iter().filter(|(_, stored)| wanted(stored)) {
            let mut layers = Vec::new();
            for descriptor in &stored.manifest.layers {
                layers.push(layout.file(descriptor, &folder)?);
            }
            images.push(LocalImage { stored, layers, name, is_file: true });
        }
    } else {
        let reference: Reference = args.image.parse().map_err(|error: crate::reference::InvalidReference| Failure::new(Exit::Usage, error.to_string()))?;
        let registry = session.registry(args.registry)?;
        for arch in arches {
            let Some(stored) = registry.image(&reference, *arch).await? else { continue };
            let mut layers = Vec::new();
            for descriptor in &stored.manifest.layers {
                let file = folder.join(descriptor.digest.hex());
                registry.download(&reference, descriptor, &file).await?;
                layers.push(file);
            }
            images.push(LocalImage { stored, layers, name: None, is_file: false });
        }
    }
    if images.is_empty() {
        return Err(Failure::new(Exit::Failed, format!("`{}` holds no image for the architectures asked for", args.image)));
    }
    Ok(images)
}
