//! A real kernel under UEFI Secure Boot: who may load a module is decided by the firmware's keys, not by ours.
//!
//! OVMF comes with variables in which a throw-away key is enrolled as platform key, exchange key and in `db`. The kernel is signed with it, and so
//! is one of three modules; the kernel reads `db` into its platform keyring, as on a node.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::files::{layers, unpack};
use crate::forge::{Forge, newest, published};
use crate::stack::{kept, mirrored, run, scratch};

const CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
const VARIABLES: &str = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd";
const KEY: &str = "/usr/share/ovmf/PkKek-1-snakeoil.key";
const CERTIFICATE: &str = "/usr/share/ovmf/PkKek-1-snakeoil.pem";
const PASSPHRASE: &str = "snakeoil";

/// What the machine does: tries each module, and says how that ended.
const INIT: &str = "#!/usr/bin/sh
box=/usr/bin/busybox
$box mkdir -p /proc /sys /dev
$box mount -t proc proc /proc
$box mount -t sysfs sys /sys
$box mount -t securityfs security /sys/kernel/security
echo \"lockdown: $($box cat /sys/kernel/security/lockdown)\"
for module in unsigned stranger ours; do
    /usr/sbin/insmod /$module.ko && echo \"loaded: $module\" || echo \"refused: $module\"
done
$box poweroff -f
";

/// The kernel of a release without Debian's signature, signed with the key that the firmware trusts.
fn signed_kernel(release: &str, folder: &Path) -> PathBuf {
    let headers = &published("amd64").iter().find(|kernel| kernel.release == release).unwrap().headers;
    let url = mirrored(&headers.replace("linux-headers-", "linux-image-").replacen("-amd64_", "-amd64-unsigned_", 1));
    let package = kept("kernels").join(format!("{release}.deb"));
    if !package.exists() {
        let partial = package.with_extension(format!("{}.part", std::process::id()));
        run(Command::new("curl").args(["-sSf", &url, "-o"]).arg(&partial));
        fs::rename(partial, &package).unwrap();
    }
    run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder.join("package")));
    let (key, signed) = (folder.join("db.key"), folder.join("vmlinuz"));
    run(Command::new("openssl").args(["rsa", "-in", KEY, "-passin", &format!("pass:{PASSPHRASE}"), "-out"]).arg(&key));
    run(Command::new("sbsign")
        .arg("--key")
        .arg(&key)
        .args(["--cert", CERTIFICATE, "--output"])
        .arg(&signed)
        .arg(folder.join(format!("package/boot/vmlinuz-{release}"))));
    signed
}

/// An image whose modules need none of the kernel's, in a layout.
fn unsigned_layout() -> &'static (Forge, PathBuf) {
    static BUILT: OnceLock<(Forge, PathBuf)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let forge = Forge::new("secure-boot", &format!("  - {{drivers: [r8125], distros: [debian], kernels: [\"{}\"]}}\n", newest()));
        forge.run(&["build", "--output", "oci:unsigned"]).expect(0);
        let layout = forge.path("unsigned");
        (forge, layout)
    })
}

fn module(root: &Path) -> Vec<u8> {
    let found = run(Command::new("find").arg(root.join("opt")).args(["-name", "r8125.ko"]));
    fs::read(found.trim()).unwrap()
}

/// Signs a copy of the layout; the module that comes out.
fn signed_module(forge: &Forge, layout: &Path, name: &str, key: &str, certificate: &str) -> Vec<u8> {
    run(Command::new("cp").arg("-r").arg(layout).arg(forge.path(name)));
    forge.run(&["sign", &format!("oci:{name}"), "--sign-key", key, "--sign-cert", certificate]).expect(0);
    let root = scratch();
    unpack(&layers(&forge.path(name)), root.path());
    module(root.path())
}

/// A folder as an initramfs (`Documentation/driver-api/early-userspace/buffer-format.rst`).
pub(crate) fn initramfs(root: &Path, archive: &Path) {
    let mut find = Command::new("sh");
    find.args(["-c", "find . -print0 | cpio --quiet -0 -o -H newc"]).current_dir(root).stdin(Stdio::null());
    fs::write(archive, find.output().unwrap().stdout).unwrap();
}

/// Starts the kernel under Secure Boot, and returns what the machine says until it is off.
fn boot(kernel: &Path, initramfs: &Path, folder: &Path) -> String {
    let variables = folder.join("variables.fd");
    fs::copy(VARIABLES, &variables).unwrap();
    let flash = |unit: u8, file: &Path, options: &str| format!("if=pflash,format=raw,unit={unit},file={}{options}", file.display());
    let mut machine = Command::new("timeout");
    machine.args(["300", "qemu-system-x86_64", "-machine", "q35,smm=on", "-accel", "tcg", "-cpu", "max", "-m", "1024", "-nodefaults", "-no-reboot"]);
    machine.args(["-display", "none", "-serial", "stdio", "-global", "driver=cfi.pflash01,property=secure,value=on"]);
    machine.args(["-drive", &flash(0, Path::new(CODE), ",readonly=on"), "-drive", &flash(1, &variables, "")]);
    machine.arg("-kernel").arg(kernel).arg("-initrd").arg(initramfs).args(["-append", "console=ttyS0 panic=-1"]);
    let output = machine.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn under_secure_boot_only_modules_signed_by_the_enrolled_key_load() {
    let (forge, layout) = unsigned_layout();
    let folder = scratch();
    let path = |name: &str| folder.path().join(name).display().to_string();
    run(Command::new("openssl").args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=stranger"]).args([
        "-keyout",
        &path("stranger.key"),
        "-out",
        &path("stranger.crt"),
    ]));

    let root = scratch();
    unpack(&layers(layout), root.path());
    let put = |name: &str, bytes: &[u8]| fs::File::create(root.path().join(name)).unwrap().write_all(bytes).unwrap();
    put("unsigned.ko", &module(root.path()));
    put("stranger.ko", &signed_module(forge, layout, "stranger", &path("stranger.key"), &path("stranger.crt")));
    let enrolled =
        Forge::new("secure-boot", "  - {drivers: [r8125], distros: [debian], kernels: [latest]}\n").with_variable("KMODFORGE_SIGN_PASSPHRASE", PASSPHRASE);
    put("ours.ko", &signed_module(&enrolled, layout, "ours", KEY, CERTIFICATE));
    put("init", INIT.as_bytes());
    fs::set_permissions(root.path().join("init"), fs::Permissions::from_mode(0o755)).unwrap();

    let archive = folder.path().join("initramfs");
    initramfs(root.path(), &archive);
    let said = boot(&signed_kernel(newest(), folder.path()), &archive, folder.path());
    for expected in [
        "Secure boot enabled",
        "lockdown: none [integrity] confidentiality",
        "Loading of unsigned module is rejected",
        "refused: unsigned",
        "Loading of module with unavailable key is rejected",
        "refused: stranger",
        "loaded: ours",
    ] {
        assert!(said.contains(expected), "`{expected}` is not in\n{said}");
    }
}
