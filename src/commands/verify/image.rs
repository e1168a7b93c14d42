//! What in an image the checks are about.

use std::collections::BTreeSet;

use crate::error::{Exit, Failure};
use crate::image::contents::Contents;
use crate::image::scan::Kind;
use crate::kernel::KernelRelease;
use crate::kmod::{Module, is_module_file};

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
            let is_file = matches!(kind, Kind::File { .. });
            if is_file && is_module_file(path) {
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
            modules.push((format!("/{path}"), Module::parse(path, &read(contents, path)?)?));
        }
        Ok(modules)
    }

    pub(super) fn modules_dep(&self, contents: &Contents, kernel: &KernelRelease) -> Option<String> {
        let end = format!("lib/modules/{}/modules.dep", kernel.directory());
        let path = self.indexes.iter().find(|path| path.ends_with(&end))?;
        contents.read(path).ok().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The bytes of a file that the image has.
pub(super) fn read(contents: &Contents, path: &str) -> Result<Vec<u8>, Failure> {
    let bytes = contents.read(path).map_err(|error| Failure::new(Exit::Failed, format!("`/{path}` cannot be read: {error}")))?;
    Ok(bytes.unwrap_or_default())
}
