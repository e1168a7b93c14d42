//! What in an image the checks are about.

use std::collections::BTreeSet;

use crate::check::unreadable;
use crate::error::{Exit, Failure};
use crate::finding::Finding;
use crate::image::contents::Contents;
use crate::image::scan::Kind;
use crate::kernel::KernelRelease;
use crate::kmod::{KmodError, Module, is_module_file};
use crate::parallel;

/// Paths in an image that matter.
pub(super) struct Files {
    /// Modules below `lib/modules/<release>`; where there are none, those that lie anywhere.
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
        // What a build leaves elsewhere in an image is loaded by nobody.
        if files.modules.iter().any(|path| place(path).is_some()) {
            files.modules.retain(|path| place(path).is_some());
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
        self.modules.iter().filter_map(|path| Some(place(path)?.0)).collect()
    }

    /// The first module's path.
    pub(super) fn first(&self) -> &str {
        self.modules.first().map(String::as_str).unwrap_or_default()
    }

    /// The modules for a kernel, and what is said about those that are none. An image for one kernel is taken to be meant for the one that is asked
    /// about.
    pub(super) fn modules_for(&self, contents: &Contents, kernel: &KernelRelease) -> Result<Modules, Failure> {
        let several = self.releases().len() > 1;
        let is_meant = |path: &&String| !several || place(path).is_some_and(|(release, _)| release == kernel.directory());
        let paths: Vec<&String> = self.modules.iter().filter(is_meant).collect();
        let parse = |_, path: &&String| -> Result<(String, Result<Module, KmodError>), Failure> {
            Ok((format!("/{path}"), Module::parse(path, &read(contents, path)?)))
        };
        let (mut modules, mut findings) = (Vec::new(), Vec::new());
        for parsed in parallel::map(&paths, parse) {
            match parsed? {
                (path, Ok(module)) => modules.push((path, module)),
                (path, Err(error)) => findings.push(unreadable(&error).file(path)),
            }
        }
        Ok(Modules { modules, unreadable: findings })
    }

    pub(super) fn modules_dep(&self, contents: &Contents, kernel: &KernelRelease) -> Option<String> {
        let end = format!("lib/modules/{}/modules.dep", kernel.directory());
        let path = self.indexes.iter().find(|path| path.ends_with(&end))?;
        contents.read(path).ok().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// The modules of an image for a kernel.
pub(super) struct Modules {
    /// By their paths in the image.
    pub(super) modules: Vec<(String, Module)>,
    /// What is said about files that are named like modules and are none.
    pub(super) unreadable: Vec<Finding>,
}

/// The release that a module lies below, and its path there; depmod passes over `build` and `source`, which lead to headers.
fn place(path: &str) -> Option<(&str, &str)> {
    let (before, below) = path.split_once("lib/modules/")?;
    let (release, inner) = below.split_once('/')?;
    let is_place = (before.is_empty() || before.ends_with('/')) && !inner.starts_with("build/") && !inner.starts_with("source/");
    is_place.then_some((release, inner))
}

/// The bytes of a file that the image has.
pub(super) fn read(contents: &Contents, path: &str) -> Result<Vec<u8>, Failure> {
    let bytes = contents.read(path).map_err(|error| Failure::new(Exit::Failed, format!("`/{path}` cannot be read: {error}")))?;
    Ok(bytes.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_for_the_kernel_whose_directory_they_are_in() {
        for (path, expected) in [
            ("opt/lib/modules/6.1.0-56-amd64/extra/a.ko", Some(("6.1.0-56-amd64", "extra/a.ko"))),
            ("usr/lib/modules/6.1.0-56-amd64/updates/dkms/a.ko.xz", Some(("6.1.0-56-amd64", "updates/dkms/a.ko.xz"))),
            ("lib/modules/6.1.0-56-amd64/build/a.ko", None),
            ("lib/modules/a.ko", None),
            ("usr/src/glib/modules/x/a.ko", None),
            ("usr/src/nvidia/a.ko", None),
        ] {
            assert_eq!(place(path), expected, "{path}");
        }
    }
}
