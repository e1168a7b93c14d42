//! The first root of the virtual machine: the image's files, the kernel's own modules that are needed, and the script.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::cpio::CpioWriter;
use super::files::Files;
use super::script::{self, FOLDER, NODE, OwnModules, Programs};
use super::store::Kernel;
use super::{BootError, Plan};
use crate::image::scan::Kind;
use crate::image::scan::links::follow;
use crate::kmod::{Module, is_module_file, kernel_name};

/// Places of programs, in the order in which a shell would look for them.
const FOLDERS: [&str; 4] = ["usr/sbin", "sbin", "usr/bin", "bin"];

/// The image as it is going to be in the virtual machine.
pub(super) struct Root<'a> {
    files: &'a dyn Files,
    list: BTreeMap<String, Kind>,
}

impl<'a> Root<'a> {
    pub(super) fn new(files: &'a dyn Files) -> Self {
        Self { list: files.list(), files }
    }

    fn program(&self, name: &str) -> Option<String> {
        let found = FOLDERS.iter().map(|folder| format!("{folder}/{name}")).find(|path| self.is_file(path))?;
        Some(format!("/{found}"))
    }

    fn is_file(&self, path: &str) -> bool {
        let place = follow(|path| self.list.get(path), path, 0);
        place.is_ok_and(|place| matches!(self.list.get(&place), Some(Kind::File { .. })))
    }

    /// The programs that the script needs.
    pub(super) fn programs(&self) -> Result<Programs, BootError> {
        let needed = |name: &'static str| self.program(name).ok_or(BootError::NoProgram(name));
        let mount = self.program("mount").or_else(|| self.program("busybox").map(|busybox| format!("{busybox} mount")));
        Ok(Programs {
            shell: needed("sh")?,
            mount: mount.ok_or(BootError::NoProgram("mount"))?,
            modprobe: needed("modprobe")?,
            depmod: self.program("depmod"),
            cat: self.program("cat"),
        })
    }

    /// The kernel's own modules that go with the image's: what these need, and what the plan names.
    pub(super) fn own_modules(&self, plan: &Plan, kernel: &Kernel) -> Result<OwnModules, BootError> {
        let directory = format!("{}/lib/modules/", plan.base.trim_matches('/'));
        let directory = directory.trim_start_matches('/');
        let is_module = |path: &str| path.starts_with(directory) && is_module_file(path);
        let (mut names, mut needs) = (BTreeSet::new(), BTreeSet::new());
        for (path, _) in self.list.iter().filter(|(path, kind)| matches!(kind, Kind::File { .. }) && is_module(path)) {
            let bytes = self.files.read(path).map_err(|error| BootError::File { path: path.clone(), error })?;
            // What cannot be parsed is left to the kernel to refuse.
            if let Ok(module) = Module::parse(path, &bytes) {
                names.insert(module.name());
                needs.extend(module.info.depends().map(kernel_name));
                needs.extend(module.info.softdeps().flat_map(super::store::soft).map(kernel_name));
            }
        }
        let there = |modules: &[String]| modules.iter().filter(|name| kernel.has(name)).cloned().collect();
        Ok(OwnModules {
            remove: there(&plan.remove_first),
            first: there(&plan.load_first),
            needed: needs.difference(&names).filter(|name| kernel.has(name)).cloned().collect(),
        })
    }

    /// Writes the archive; gives its size in bytes.
    pub(super) fn write(&self, plan: &Plan, own: &OwnModules, programs: &Programs, kernel: &Kernel, path: &Path) -> Result<u64, BootError> {
        let here = |error: io::Error| BootError::Cache { path: path.to_owned(), error };
        let mut archive = Archive { cpio: CpioWriter::new(BufWriter::new(File::create(path).map_err(here)?)), directories: BTreeSet::new() };
        for (name, kind) in &self.list {
            match kind {
                Kind::Directory => archive.directory(name).map_err(here)?,
                Kind::Symlink(target) => archive.symlink(name, target).map_err(here)?,
                Kind::File { executable, .. } => {
                    let bytes = self.files.read(name).map_err(|error| BootError::File { path: name.clone(), error })?;
                    archive.file(name, *executable, &bytes).map_err(here)?;
                }
            }
        }
        archive.script(plan, own, programs).map_err(here)?;
        archive.modules(plan, own, kernel).map_err(here)?;
        archive.cpio.finish().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error)?.metadata()).map(|facts| facts.len()).map_err(here)
    }
}

/// The archive, with the directories that are in it already.
struct Archive<W: Write> {
    cpio: CpioWriter<W>,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// A directory and those above it: the kernel makes none by itself.
    fn directory(&mut self, path: &str) -> io::Result<()> {
        if path.is_empty() || !self.directories.insert(path.to_owned()) {
            return Ok(());
        }
        self.above(path)?;
        self.cpio.directory(path)
    }

    fn above(&mut self, path: &str) -> io::Result<()> {
        path.rsplit_once('/').map_or(Ok(()), |(above, _)| self.directory(above))
    }

    fn file(&mut self, path: &str, executable: bool, content: &[u8]) -> io::Result<()> {
        self.above(path)?;
        self.cpio.file(path, executable, content)
    }

    fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.above(path)?;
        self.cpio.symlink(path, target)
    }

    fn script(&mut self, plan: &Plan, own: &OwnModules, programs: &Programs) -> io::Result<()> {
        for path in ["proc", "sys", "dev", "tmp"] {
            self.directory(path)?;
        }
        // Linux's allocated devices: Documentation/admin-guide/devices.txt.
        for (path, major, minor) in [("dev/console", 5, 1), ("dev/kmsg", 1, 11), ("dev/null", 1, 3)] {
            self.cpio.character(path, major, minor)?;
        }
        self.file(&format!("{FOLDER}/init"), true, script::script(plan, own, programs).as_bytes())?;
        self.file(&format!("{FOLDER}/modprobe"), true, script::helper(programs).as_bytes())
    }

    fn modules(&mut self, plan: &Plan, own: &OwnModules, kernel: &Kernel) -> io::Result<()> {
        if own.is_empty() {
            return Ok(());
        }
        let names = own.remove.iter().chain(&own.first).chain(&own.needed).map(String::as_str);
        let folder = format!("{}/lib/modules/{}", NODE.trim_start_matches('/'), plan.kernel);
        for path in kernel.with_dependencies(names).into_iter().chain(kernel.lists()) {
            self.file(&format!("{folder}/{path}"), false, &kernel.read(path)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Image(&'static [(&'static str, &'static str)]);

    impl Files for Image {
        fn list(&self) -> BTreeMap<String, Kind> {
            let kind = |link: &str| match link {
                "" => Kind::File { executable: true, size: 0, offset: 0 },
                link => Kind::Symlink(link.to_owned()),
            };
            self.0.iter().map(|(path, link)| ((*path).to_owned(), kind(link))).collect()
        }

        fn read(&self, _: &str) -> io::Result<Vec<u8>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn programs_are_found_where_the_image_has_them() {
        let image =
            Image(&[("usr/bin/busybox", ""), ("bin", "usr/bin"), ("usr/bin/sh", "busybox"), ("sbin/modprobe", "../usr/bin/kmod"), ("usr/bin/kmod", "")]);
        let programs = Root::new(&image).programs().unwrap();
        assert_eq!((programs.shell.as_str(), programs.mount.as_str()), ("/usr/bin/sh", "/usr/bin/busybox mount"));
        assert_eq!((programs.modprobe.as_str(), programs.depmod), ("/sbin/modprobe", None));
    }

    #[test]
    fn an_image_without_a_needed_program_is_told() {
        let image = Image(&[("bin/sh", "gone"), ("bin/mount", "")]);
        assert_eq!(Root::new(&image).programs().unwrap_err().to_string(), "the image has no `sh`");
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_once() {
        let mut archive = Archive { cpio: CpioWriter::new(Vec::new()), directories: BTreeSet::new() };
        archive.file("a/b/c", false, b"").unwrap();
        archive.directory("a").unwrap();
        archive.symlink("a/b/d", "c").unwrap();
        let text = String::from_utf8_lossy(&archive.cpio.finish().unwrap()).into_owned();
        let names: Vec<_> = text.split("070701").filter_map(|entry| entry.get(104..)?.split('\0').next()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]);
    }
}
