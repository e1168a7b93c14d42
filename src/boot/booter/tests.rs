use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::boot::{Files, Plan, PlannedModule};
use crate::fetch::sha256;
use crate::fetch::testing::{Entry, Server, archive, deb, through_mirror, xz};
use crate::image::scan::Kind;
use crate::package::Package;
use crate::profile::distro::BootRules;
use crate::profile::driver::Load;

/// In place of QEMU: every image's module loads, unless it is `evil`, which takes the machine along, or `shy`, which only loads alone.
const QEMU: &str = r#"#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = -initrd ] && initrd=$2; shift; done
names=$(grep -a -o "^run 'load [a-z]*" "$initrd" | cut -d' ' -f3)
echo $names >>"${0%/*}/boots"
say() { echo "kmodforge: $*"; }
say up
for name in $names; do
    say image
    say begin load "$name"
    [ "$name" != evil ] || { echo 'BUG: kernel NULL pointer dereference'; exit; }
    [ "$name" != shy ] || [ "$names" = shy ] || { say end 1 load shy; continue; }
    say end 0 load "$name"
    say state "$name" live
done
say done
"#;

struct Image;

impl Files for Image {
    fn list(&self) -> BTreeMap<String, Kind> {
        let file = |name: &str| (format!("usr/bin/{name}"), Kind::File { executable: true, size: 3, offset: 0 });
        ["sh", "modprobe", "depmod", "busybox"].map(file).into()
    }

    fn read(&self, _: &str) -> io::Result<Vec<u8>> {
        Ok(b"elf".to_vec())
    }
}

struct Setting {
    folder: tempfile::TempDir,
    booter: Booter,
    package: Package,
    _server: Server,
}

impl Setting {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("qemu");
        std::fs::write(&program, QEMU).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut kernel = vec![0; 64];
        kernel[0x38..0x3c].copy_from_slice(b"ARM\x64");
        let bytes = deb("data.tar.xz", &xz(&archive(&[Entry::File("./boot/vmlinuz-6.1", &kernel)], 0)));
        let package = Package {
            name: "linux-image-6.1".into(),
            version: "1".into(),
            arch: "arm64".into(),
            url: "http://ftp.debian.org/debian/image.deb".into(),
            sha256: sha256(&bytes),
            size: bytes.len() as u64,
        };
        let server = Server::files(vec![("/debian/image.deb".to_owned(), bytes)]).await;
        let fetcher = through_mirror(&folder.path().join("cache"), "http://ftp.debian.org", &server);
        let emulator = Emulator { program, arch: Arch::Arm64, accelerator: Accelerator::Tcg, why: None };
        let booter = Booter::new(Arc::new(fetcher), BootOptions::default()).with_emulator(emulator).await;
        Self { folder, booter, package, _server: server }
    }

    fn subject(&self, module: &str) -> Subject {
        let told = self.folder.path().join(format!("{module}.told"));
        Subject {
            plan: Plan {
                kernel: "6.1".parse().unwrap(),
                base: "/opt".into(),
                remove_first: Vec::new(),
                load_first: Vec::new(),
                modules: vec![PlannedModule { name: module.to_owned(), parameters: BTreeMap::new() }],
                load: Load { unload: false, ..Load::default() },
                firmware: false,
                optional_firmware: None,
            },
            arch: Arch::Arm64,
            packages: vec![self.package.clone()],
            rules: BootRules {
                packages: vec!["linux-image-{kernel}".into()],
                dependencies: None,
                kernel: "boot/vmlinuz-{kernel}".into(),
                modules: "usr/lib/modules/{kernel}".into(),
            },
            files: Arc::new(Image),
            log: self.folder.path().join(format!("{module}.log")),
            tell: Arc::new(move |words| std::fs::write(&told, std::fs::read_to_string(&told).unwrap_or_default() + words + "\n").unwrap()),
        }
    }

    async fn together(&self, modules: &[&str]) -> Vec<Report> {
        let subjects: Vec<_> = modules.iter().map(|module| self.subject(module)).collect();
        let (folder, cancel) = (self.folder.path(), CancellationToken::new());
        let mut reports = Vec::new();
        for (report, subject) in self.booter.check_together(&subjects, folder, &cancel).await.into_iter().zip(&subjects) {
            reports.push(match report {
                Some(report) => report,
                None => self.booter.check(subject, folder, &cancel).await.unwrap(),
            });
        }
        reports
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }
}

#[tokio::test]
async fn images_that_are_good_share_a_boot() {
    let setting = Setting::new().await;
    let reports = setting.together(&["jool", "zfs"]).await;
    assert!(reports.iter().all(|report| report.findings.is_empty() && report.images == 2), "{reports:?}");
    assert_eq!(reports[1].loaded, ["zfs"]);
    assert_eq!(setting.read("boots"), "jool zfs\n");
    assert_eq!(setting.read("zfs.told"), "fetching the kernel\nwaiting for a processor\nstarting the kernel\nloading zfs\n");
    assert!(setting.read("jool.log").contains("begin load jool") && !setting.read("jool.log").contains("zfs"));
}

#[tokio::test]
async fn an_image_that_breaks_the_kernel_is_rejected_alone() {
    let setting = Setting::new().await;
    let [good, evil, other] = &setting.together(&["good", "evil", "other"]).await[..] else { panic!() };
    assert_eq!((good.images, good.findings.len()), (3, 0));
    assert_eq!((other.images, other.findings.len()), (1, 0));
    assert_eq!(evil.images, 1);
    let found: Vec<_> = evil.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(found, ["6.1 broke down while `evil` was being loaded", "the virtual machine stopped while `evil` was being loaded"]);
    let mut boots: Vec<_> = setting.read("boots").lines().map(str::to_owned).collect();
    boots.sort();
    assert_eq!(boots, ["evil", "good evil other", "other"]);
}

#[tokio::test]
async fn what_only_fails_beside_others_is_no_fault() {
    let setting = Setting::new().await;
    let reports = setting.together(&["good", "shy"]).await;
    assert_eq!((reports[1].images, reports[1].findings.len()), (1, 0), "{reports:?}");
}

#[test]
fn devices_are_there_as_often_as_one_image_needs_them() {
    let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
    let lists = [list(&["edu", "e1000e"]), list(&["e1000e", "e1000e"]), list(&[])];
    assert_eq!(union(lists.iter().map(Vec::as_slice)), ["edu", "e1000e", "e1000e"]);
}
