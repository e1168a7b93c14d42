//! A node's view of an image: its files in a root of their own, beside the kernel's own modules.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

use crate::files::{layers, unpack};
use crate::forge::published;
use crate::stack::{kept, mirrored, run, scratch, skopeo_copy};

/// A kernel, from its package.
pub(crate) fn kernel_image(release: &str) -> PathBuf {
    kernel_modules(release);
    image_path(release)
}

fn image_path(release: &str) -> PathBuf {
    kept("kernels").join(format!("vmlinuz-{release}"))
}

/// Modules of a kernel and their index, from the kernel's package; nothing is installed.
fn kernel_modules(release: &str) -> PathBuf {
    static LOCKS: OnceLock<Mutex<BTreeMap<String, &'static Mutex<()>>>> = OnceLock::new();
    let lock = *LOCKS.get_or_init(Mutex::default).lock().unwrap().entry(release.to_owned()).or_insert_with(|| Box::leak(Box::default()));
    let _one_at_a_time = lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner);

    let done = kept("kernels").join(release);
    if done.exists() && image_path(release).exists() {
        return done;
    }
    let work = scratch();
    let (package, root) = (work.path().join("package.deb"), work.path().join("root"));
    let headers = published("amd64").iter().find(|kernel| kernel.release == release).unwrap().headers.clone();
    let url = mirrored(&headers.replace(&format!("linux-headers-{release}_"), &format!("linux-image-{release}-unsigned_")));
    run(Command::new("curl").args(["--fail", "--silent", "--show-error", "--location", "--retry", "3", "--output"]).arg(&package).arg(url));
    run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root));
    let lib = if root.join("usr/lib/modules").exists() { root.join("usr/lib/modules") } else { root.join("lib/modules") };
    fs::create_dir_all(work.path().join("base/lib")).unwrap();
    fs::rename(lib, work.path().join("base/lib/modules")).unwrap();
    run(Command::new("/sbin/depmod").arg("--basedir").arg(work.path().join("base")).arg(release));
    fs::rename(root.join(format!("boot/vmlinuz-{release}")), image_path(release)).unwrap();
    let _ = fs::remove_dir_all(&done);
    fs::rename(work.path().join("base/lib/modules").join(release), &done).unwrap();
    done
}

/// A root with the files of an image and the modules of a kernel.
pub(crate) struct Node {
    root: TempDir,
    release: String,
}

impl Node {
    /// From an image in the registry, fetched by an independent client.
    pub(crate) fn new(image: &str, release: &str) -> Self {
        let (layout, root) = (scratch(), scratch());
        skopeo_copy(image, layout.path());
        unpack(&layers(layout.path()), root.path());
        let modules = root.path().join("usr/lib/modules");
        fs::create_dir_all(&modules).unwrap();
        run(Command::new("cp").args(["--archive", "--link"]).arg(kernel_modules(release)).arg(modules.join(release)));
        Self { root, release: release.to_owned() }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }

    /// The lists of the kernel's own modules, and the files that these need: paths below its directory.
    pub(crate) fn kernel_files(&self, modules: &[&str]) -> Vec<String> {
        let below = format!("/lib/modules/{}/", self.release);
        let shown: String = modules.iter().map(|module| self.modprobe(&[], module)).collect();
        let mut files: Vec<_> = shown.lines().filter_map(|line| Some(line.split_once(&below)?.1.trim().to_owned())).collect();
        let lists = fs::read_dir(self.path("usr/lib/modules").join(&self.release)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        files.extend(lists.filter(|name| name.starts_with("modules.")));
        files.sort();
        files.dedup();
        files
    }

    fn modprobe(&self, base: &[&str], module: &str) -> String {
        let mut command = Command::new("chroot");
        command.arg(self.root.path()).arg("/usr/sbin/modprobe").args(base).args(["-S", &self.release, "--show-depends", module]);
        run(&mut command)
    }

    /// The image's own modprobe finds a module in the image; what that needs is in the image or comes with the kernel.
    #[track_caller]
    pub(crate) fn resolves(&self, module: &str) {
        let file = format!("{}.ko", module.replace('-', "_"));
        let shown = self.modprobe(&["-d", "/opt"], module);
        let insmod: Vec<_> = shown.lines().filter_map(|line| line.strip_prefix("insmod ")).map(str::trim).collect();
        let last = insmod.last().unwrap_or_else(|| panic!("{module}: {shown}"));
        assert!(last.starts_with(&format!("/opt/lib/modules/{}/", self.release)) && last.replace('-', "_").ends_with(&file), "{shown}");
        for path in insmod {
            assert!(self.path(path).is_file(), "{path}");
            for dependency in depends(&self.path(path)) {
                if !shown.contains(&format!("/{dependency}.ko")) && !shown.contains(&format!("/{}.ko", dependency.replace('_', "-"))) {
                    let found = self.modprobe(&[], &dependency);
                    assert!(found.contains("insmod /lib/modules/") || found.starts_with("builtin "), "{module} needs {dependency}: {found}");
                }
            }
        }
    }
}

fn depends(module: &Path) -> Vec<String> {
    let text = run(Command::new("/sbin/modinfo").args(["--field", "depends"]).arg(module));
    text.trim().split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
