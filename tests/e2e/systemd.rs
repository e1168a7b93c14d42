//! `deploy systemd` on a host: Debian 13 with its own kernel and systemd, in a virtual machine, and images from the registry.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use tempfile::TempDir;

use crate::forge::{Forge, newest, newest_trixie};
use crate::node::{kernel_image, kernel_modules};
use crate::secure_boot::initramfs;
use crate::stack::{registry, run, scratch};

/// Modules of the kernel that the machine, its file systems and the driver need.
const MODULES: [&str; 8] = ["virtio_pci", "virtio_net", "virtio_blk", "ext4", "loop", "squashfs", "overlay", "videodev"];

/// What comes up with the machine: its serial line has the test's words, its disk has the images.
const DISK: &str = "[Unit]\nDefaultDependencies=no\nAfter=systemd-modules-load.service\nBefore=local-fs.target\n\
    [Service]\nType=oneshot\nExecStart=/bin/mkdir -p /var/lib/kmodforge\nExecStart=/bin/mount -t ext4 /dev/vda /var/lib/kmodforge\n";
const TEST: &str = "[Unit]\nAfter=basic.target\n[Service]\nExecStart=/kmf-test\n";

const WORDS: &str = r#"#!/bin/bash
exec >/dev/ttyS0 2>&1
say() { echo "kmf: $*"; }
is() { say "$1: $("${@:2}" 2>&1 | tr '\n' ' ')"; }
until_is() { local n=0; until [ "$("${@:2}" 2>/dev/null)" = "$1" ] || [ $((n++)) -gt 90 ]; do sleep 1; done; }
loaded() { grep -c '^v4l2loopback ' /proc/modules; }
state() { systemctl show --property ActiveState --value "$1"; }
images() { ls /var/lib/kmodforge/images | wc -l; }
network() {
    ip link set eth0 up
    ip addr replace 10.0.2.15/24 dev eth0
    ip route replace default via 10.0.2.2
}
trap 'say done; sync; systemctl poweroff --force --force' EXIT
"#;

/// The first boot: nothing is here yet, and the network comes late.
const FIRST: &str = r#"
is "before the network" loaded
network
until_is active state kmodforge@v4l2loopback
is "with the network" state kmodforge@v4l2loopback
is "loaded" loaded
is "devices" cat /sys/class/video4linux/video0/name /sys/class/video4linux/video1/name
is "list" /opt/kmodforge/bin/kmodforge-node list
systemctl stop kmodforge@v4l2loopback
is "stopped" loaded
systemctl start kmodforge@zfs 2>&1
is "no image" systemctl show --property ExecMainStatus,NRestarts --value kmodforge@zfs
is "images before" images
mkdir "/lib/modules/$(cat /kmf-next)"
until_is 2 images
is "images after" images
"#;

/// The second boot: no network at all.
const SECOND: &str = r#"
until_is active state kmodforge@v4l2loopback
is "from disk" state kmodforge@v4l2loopback
is "loaded" loaded
systemctl stop kmodforge@v4l2loopback
umount /var/lib/kmodforge
rm -rf /etc/kmodforge /opt/kmodforge /etc/systemd/system/kmodforge* /etc/systemd/system/multi-user.target.wants/kmodforge*
systemctl daemon-reload
is "gone" loaded
for extension in /kmf-extensions/*; do
    rm -rf /var/lib/extensions
    mkdir /var/lib/extensions
    cp -R "$extension" /var/lib/extensions/
    systemd-sysext merge
    until_is 1 loaded
    is "merged ${extension##*.}" loaded
    is "unit" state kmodforge@v4l2loopback
    is "kernel's own index" modprobe --dry-run --quiet loop
    systemctl stop kmodforge@v4l2loopback
    systemd-sysext unmerge
done
"#;

fn trixie() -> &'static str {
    newest_trixie()
}

/// Writes what `deploy systemd` makes of the image of a kernel.
fn deploy(kernel: &str, options: &[&str]) -> Forge {
    static BUILT: Once = Once::new();
    let forge = |rows: &str| Forge::new("systemd", rows);
    BUILT.call_once(|| {
        let (a, b) = (newest(), trixie());
        let rows = format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{a}\", \"{b}\"]}}\n");
        forge(&rows).run(&["build", "--push"]).expect(0);
    });
    let forge = forge(&format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{kernel}\"]}}\n"));
    forge.run(&[&["deploy", "systemd"], options].concat()).expect(0);
    forge
}

/// The root of a host.
struct Root {
    folder: TempDir,
}

impl Root {
    fn new() -> Self {
        let folder = scratch();
        let debian = run(&mut Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/host-root.sh")));
        run(Command::new("cp").args(["--archive", "--link"]).arg(format!("{}/.", debian.trim())).arg(folder.path()));
        let root = Self { folder };
        root.add_kernel();
        root.write("etc/modules-load.d/kmf.conf", &MODULES.join("\n"));
        root.write("etc/containers/policy.json", r#"{"default": [{"type": "insecureAcceptAnything"}]}"#);
        root.write("etc/containers/registries.conf", &format!("[[registry]]\nlocation = \"{}\"\ninsecure = true\n", guest_registry()));
        root.write("etc/fstab", "");
        // On a busy machine, an emulated one is slow.
        for service in ["systemd-modules-load", "systemd-journald"] {
            root.write(&format!("etc/systemd/system/{service}.service.d/slow.conf"), "[Service]\nTimeoutSec=600\n");
        }
        root.write("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
        root.unit("kmf-disk.service", DISK, "local-fs.target");
        root.unit("kmf-test.service", TEST, "multi-user.target");
        symlink("usr/lib/systemd/systemd", root.path("init")).unwrap();
        root
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Never in place: the file may be a link to the cache's.
    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_file(&path);
        fs::write(path, text).unwrap();
    }

    fn unit(&self, name: &str, text: &str, target: &str) {
        self.write(&format!("etc/systemd/system/{name}"), text);
        self.enable(name, target);
    }

    fn enable(&self, name: &str, target: &str) {
        let wants = self.path(&format!("etc/systemd/system/{target}.wants"));
        fs::create_dir_all(&wants).unwrap();
        symlink(format!("../{}", name.replace("@v4l2loopback", "@")), wants.join(name)).unwrap();
    }

    /// The kernel's modules, as few as possible: they are unpacked into memory by an emulated processor.
    fn add_kernel(&self) {
        let base = scratch();
        fs::create_dir_all(base.path().join("lib/modules")).unwrap();
        symlink(kernel_modules(trixie()), base.path().join("lib/modules").join(trixie())).unwrap();
        let to = self.path("usr/lib/modules").join(trixie());
        for module in MODULES {
            let mut modprobe = Command::new("/sbin/modprobe");
            modprobe.arg("-d").arg(base.path()).args(["-S", trixie(), "--show-depends", module]);
            for file in run(&mut modprobe).lines().filter_map(|line| line.strip_prefix("insmod ")) {
                let (_, below) = file.trim().split_once(&format!("{}/", trixie())).unwrap();
                fs::create_dir_all(to.join(below).parent().unwrap()).unwrap();
                fs::copy(file.trim(), to.join(below)).unwrap();
            }
        }
        for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
            fs::copy(kernel_modules(trixie()).join(list), to.join(list)).unwrap();
        }
        run(Command::new("/sbin/depmod").arg("-b").arg(self.folder.path()).arg(trixie()));
    }

    /// Boots it, and returns what the test said.
    fn boot(&self, kernel: &Path, disk: &Path, script: &str, options: &[&str]) -> Vec<String> {
        self.write("kmf-test", &format!("{WORDS}{script}"));
        fs::set_permissions(self.path("kmf-test"), fs::Permissions::from_mode(0o755)).unwrap();
        let archive = tempfile::NamedTempFile::new_in(disk.parent().unwrap()).unwrap();
        initramfs(self.folder.path(), archive.path());
        let mut machine = Command::new("timeout");
        machine.args(["600", "qemu-system-x86_64", "-machine", "q35", "-accel", "tcg", "-cpu", "max", "-m", "1536", "-nodefaults", "-no-reboot"]);
        machine.args(["-display", "none", "-serial", "stdio", "-drive", &format!("if=none,id=disk,format=raw,file={}", disk.display())]);
        machine.args(["-device", "virtio-blk-pci,drive=disk"]).args(options);
        machine.arg("-kernel").arg(kernel).arg("-initrd").arg(archive.path());
        machine.args(["-append", "console=ttyS0 panic=-1 quiet mitigations=off net.ifnames=0 systemd.show_status=no systemd.getty_auto=no systemd.default_timeout_start_sec=300 systemd.mask=systemd-timesyncd.service"]);
        let output = machine.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        std::io::stderr().write_all(said.as_bytes()).unwrap();
        said.lines().filter_map(|line| Some(line.split_once("kmf: ")?.1.trim().to_owned())).collect()
    }
}

/// The registry as the machine sees it: 10.0.2.2 is what it runs on.
fn guest_registry() -> String {
    registry().replace("127.0.0.1", "10.0.2.2")
}

/// Puts a tree onto a host, whose registry has another address.
fn install(forge: &Forge, from: &str, root: &Root) {
    run(Command::new("cp").arg("--recursive").arg(forge.path(from).join(".")).arg(root.folder.path()));
    run(Command::new("find").arg(root.path("etc/kmodforge")).args([
        "-type",
        "f",
        "-exec",
        "sed",
        "-i",
        &format!("s|{}|{}|", registry(), guest_registry()),
        "{}",
        "+",
    ]));
}

#[test]
fn a_host_loads_from_the_registry_from_its_disk_and_from_an_extension() {
    let folder = scratch();
    let root = Root::new();
    install(&deploy(trixie(), &["--output", "tree"]), "tree", &root);
    root.enable("kmodforge@v4l2loopback.service", "multi-user.target");
    root.enable("kmodforge-fetch.path", "multi-user.target");
    let descriptions = "etc/kmodforge/drivers/v4l2loopback";
    let description = root.path(&format!("{descriptions}/debian-13/{}", trixie()));
    let text = fs::read_to_string(&description).unwrap();
    fs::write(&description, format!("{text}parameter devices=2\nparameter card_label=the first,the second\n")).unwrap();
    // A kernel that this Debian does not have, but an image is there for.
    install(&deploy(newest(), &["--output", "tree"]), "tree", &root);
    fs::rename(root.path(&format!("{descriptions}/debian-12/{}", newest())), root.path(&format!("{descriptions}/debian-13/{}", newest()))).unwrap();
    root.write("kmf-next", newest());
    let extensions = root.path("kmf-extensions").display().to_string();
    deploy(trixie(), &["--sysext", "--output", &extensions]);
    deploy(trixie(), &["--sysext=directory", "--output", &extensions]);

    let disk = folder.path().join("disk");
    fs::File::create(&disk).unwrap().set_len(64 << 20).unwrap();
    run(Command::new("/sbin/mke2fs").args(["-q", "-t", "ext4"]).arg(&disk));
    let kernel = kernel_image(trixie());
    let first = root.boot(&kernel, &disk, FIRST, &["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]);
    let list = first.iter().find(|line| line.starts_with("list: ")).cloned().unwrap_or_default();
    assert!(list.starts_with("list: v4l2loopback\tloaded\t"), "{first:?}");
    assert_eq!(
        first.iter().filter(|line| !line.starts_with("list: ")).collect::<Vec<_>>(),
        [
            "before the network: 0",
            "with the network: active",
            "loaded: 1",
            "devices: the first the second",
            "stopped: 0",
            "no image: 0 78",
            "images before: 1",
            "images after: 2",
            "done",
        ]
    );
    let second = root.boot(&kernel, &disk, SECOND, &[]);
    let extension = |kind: &str| [format!("merged {kind}: 1"), "unit: active".into(), "kernel's own index:".into()];
    let mut expected = vec!["from disk: active".to_owned(), "loaded: 1".into(), "gone: 0".into()];
    // In the order of their names: the folder's ends where the file's goes on.
    let directory = format!("kmodforge-v4l2loopback-{}", trixie()).rsplit('.').next().unwrap().to_owned();
    expected.extend(extension(&directory));
    expected.extend(extension("raw"));
    expected.push("done".into());
    assert_eq!(second, expected);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let root = scratch();
    let forge = deploy(newest(), &["--output", "tree"]);
    run(Command::new("cp").arg("--recursive").arg(forge.path("tree").join(".")).arg(root.path()));
    let units = root.path().join("etc/systemd/system");
    fs::rename(units.join("kmodforge@.service"), units.join("kmodforge@v4l2loopback.service")).unwrap();
    // What the units call must be there.
    fs::create_dir(root.path().join("bin")).unwrap();
    fs::copy("/bin/sleep", root.path().join("bin/sleep")).unwrap();
    for unit in ["kmodforge@v4l2loopback.service", "kmodforge-fetch.service", "kmodforge-fetch.path", "kmodforge-fetch.timer"] {
        let output = Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no", "--root"])
            .arg(root.path())
            .arg(units.join(unit))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.is_empty(), "{unit}: {said}");
    }
}

/// Butane's own program agrees with what we write for Ignition ourselves.
#[test]
fn butane_makes_of_ours_what_we_make() {
    let forge = deploy(newest(), &["--format", "butane", "--output", "host.bu"]);
    let made = run(Command::new("butane").arg("--strict").arg(forge.path("host.bu")));
    let own = deploy(newest(), &["--format", "ignition", "--output", "host.ign"]);
    let own = fs::read_to_string(own.path("host.ign")).unwrap();
    assert_eq!(normal(&made), normal(&own));
}

/// A configuration with what its data URLs hold.
fn normal(text: &str) -> serde_json::Value {
    use base64::Engine as _;
    use std::io::Read as _;
    let mut config: serde_json::Value = serde_json::from_str(text).unwrap();
    for file in config["storage"]["files"].as_array_mut().unwrap() {
        let contents = &file["contents"];
        let (head, data) = contents["source"].as_str().unwrap().split_once(',').unwrap();
        let bytes = if head.ends_with(";base64") { base64::engine::general_purpose::STANDARD.decode(data).unwrap() } else { unescape(data) };
        let mut plain = String::new();
        if contents["compression"] == "gzip" {
            flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut plain).unwrap();
        } else {
            plain = String::from_utf8(bytes).unwrap();
        }
        file["contents"] = plain.into();
    }
    config
}

/// `%0A` and the like (RFC 3986).
fn unescape(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap().as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(&part.as_bytes()[2..]);
    }
    bytes
}
