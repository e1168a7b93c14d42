//! The first root of the virtual machine: the images' files, the kernel's own modules that are needed, and the script.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use super::cpio::{CpioWriter, Inode};
use super::files::Files;
use super::script::{self, FOLDER, Guest, NODE, OwnModules, Programs};
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
        let or_applet = |name: &str| self.program(name).or_else(|| self.program("busybox").map(|busybox| format!("{busybox} {name}")));
        Ok(Programs {
            shell: needed("sh")?,
            mount: or_applet("mount").ok_or(BootError::NoProgram("mount"))?,
            modprobe: needed("modprobe")?,
            depmod: self.program("depmod"),
            cat: self.program("cat"),
            chroot: or_applet("chroot"),
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
}

/// An image that takes part in a boot.
pub(super) struct Participant<'a> {
    pub(super) plan: &'a Plan,
    root: Root<'a>,
    own: OwnModules,
    programs: Programs,
}

impl<'a> Participant<'a> {
    /// # Errors
    /// When the image lacks a program, or cannot be read.
    pub(super) fn new(plan: &'a Plan, files: &'a dyn Files, kernel: &Kernel) -> Result<Self, BootError> {
        let root = Root::new(files);
        let (programs, own) = (root.programs()?, root.own_modules(plan, kernel)?);
        if programs.depmod.is_none() && !own.is_empty() {
            return Err(BootError::NoProgram("depmod"));
        }
        Ok(Self { plan, root, own, programs })
    }

    fn guest(&self) -> Guest<'_> {
        Guest { plan: self.plan, own: &self.own, programs: &self.programs }
    }
}

/// Writes the archive with images for the same kernel; gives its size in bytes. The root of the first is that of the machine.
///
/// # Errors
/// When an image cannot be read, or the archive not be written.
pub(super) fn write(participants: &[Participant<'_>], kernel: &Kernel, path: &Path) -> Result<u64, BootError> {
    let [machine, others @ ..] = participants else { return Ok(0) };
    if !others.is_empty() && (machine.programs.chroot.is_none() || machine.programs.depmod.is_none()) {
        return Err(BootError::NoProgram("chroot"));
    }
    let here = |error: io::Error| BootError::Cache { path: path.to_owned(), error };
    let mut archive = Archive::new(BufWriter::new(File::create(path).map_err(here)?), !others.is_empty());
    for (position, participant) in participants.iter().enumerate() {
        archive.image(participant, &machine.root, script::root(position).trim_start_matches('/'), here)?;
    }
    archive.script(participants).map_err(here)?;
    archive.modules(participants, kernel).map_err(here)?;
    archive.cpio.finish().and_then(|out| out.into_inner().map_err(io::IntoInnerError::into_error)?.metadata()).map(|facts| facts.len()).map_err(here)
}

/// The archive, with the directories that are in it already.
struct Archive<W: Write> {
    cpio: CpioWriter<W>,
    directories: BTreeSet<String>,
    /// Files of the first image, which others may have, too; if there are others.
    shared: Option<BTreeMap<String, Inode>>,
}

impl<W: Write> Archive<W> {
    fn new(out: W, shares: bool) -> Self {
        Self { cpio: CpioWriter::new(out), directories: BTreeSet::new(), shared: shares.then(BTreeMap::new) }
    }

    /// An image's files below `prefix`; what is the same in the machine's root is there once.
    fn image(&mut self, participant: &Participant<'_>, machine: &Root<'_>, prefix: &str, here: impl Fn(io::Error) -> BootError) -> Result<(), BootError> {
        let root = &participant.root;
        let read = |root: &Root<'_>, name: &str| root.files.read(name).map_err(|error| BootError::File { path: name.to_owned(), error });
        for (name, kind) in &root.list {
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            match kind {
                Kind::Directory => self.directory(&path).map_err(&here)?,
                Kind::Symlink(target) => self.symlink(&path, target).map_err(&here)?,
                Kind::File { executable, size, .. } => {
                    let bytes = read(root, name)?;
                    let same = |other: &Kind| matches!(other, Kind::File { executable: other, size: length, .. } if (other, length) == (executable, size));
                    let twin = self.shared.as_ref().and_then(|shared| shared.get(name)).copied();
                    match twin.filter(|_| machine.list.get(name).is_some_and(same)) {
                        Some(inode) if read(machine, name)? == bytes => self.link(&path, inode).map_err(&here)?,
                        _ if prefix.is_empty() => self.first_file(&path, *executable, &bytes).map_err(&here)?,
                        _ => self.file(&path, *executable, &bytes).map_err(&here)?,
                    }
                }
            }
        }
        let places = ["proc", "sys", "dev", "tmp"].map(|place| if prefix.is_empty() { place.to_owned() } else { format!("{prefix}/{place}") });
        places.iter().try_for_each(|place| self.directory(place)).map_err(&here)?;
        // Linux's allocated devices: Documentation/admin-guide/devices.txt.
        self.cpio.character(&format!("{}/null", places[2]), 1, 3).map_err(&here)
    }

    /// A file of the machine's own root.
    fn first_file(&mut self, path: &str, executable: bool, content: &[u8]) -> io::Result<()> {
        self.above(path)?;
        match &mut self.shared {
            Some(shared) => shared.insert(path.to_owned(), self.cpio.shared_file(path, executable, content)?),
            None => return self.cpio.file(path, executable, content),
        };
        Ok(())
    }

    fn link(&mut self, path: &str, inode: Inode) -> io::Result<()> {
        self.above(path)?;
        self.cpio.link(path, inode)
    }

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

    fn script(&mut self, participants: &[Participant<'_>]) -> io::Result<()> {
        for (path, major, minor) in [("dev/console", 5, 1), ("dev/kmsg", 1, 11)] {
            self.cpio.character(path, major, minor)?;
        }
        let guests: Vec<_> = participants.iter().map(Participant::guest).collect();
        self.file(&format!("{FOLDER}/init"), true, script::script(&guests).as_bytes())?;
        let machine = participants.first().map(|machine| script::helper(&machine.programs)).unwrap_or_default();
        self.file(&format!("{FOLDER}/modprobe"), true, machine.as_bytes())
    }

    fn modules(&mut self, participants: &[Participant<'_>], kernel: &Kernel) -> io::Result<()> {
        let own = || participants.iter().map(|participant| &participant.own);
        let Some(release) = participants.first().map(|machine| &machine.plan.kernel).filter(|_| own().any(|own| !own.is_empty())) else { return Ok(()) };
        let names = own().flat_map(|own| own.remove.iter().chain(&own.first).chain(&own.needed)).map(String::as_str);
        let folder = format!("{}/lib/modules/{release}", NODE.trim_start_matches('/'));
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
        let mut archive = Archive::new(Vec::new(), false);
        archive.file("a/b/c", false, b"").unwrap();
        archive.directory("a").unwrap();
        archive.symlink("a/b/d", "c").unwrap();
        let text = String::from_utf8_lossy(&archive.cpio.finish().unwrap()).into_owned();
        let names: Vec<_> = text.split("070701").filter_map(|entry| entry.get(104..)?.split('\0').next()).collect();
        assert_eq!(names, ["a", "a/b", "a/b/c", "a/b/d", "TRAILER!!!"]);
    }
}
