//! Kernels of Debian are started with images of real drivers, and with images that somebody has spoiled.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kmodforge::record::Outcome;
use serde_json::json;

use crate::files::{layers, unpack};
use crate::forge::{Forge, Run, newest, newest_arm64, newest_trixie};
use crate::light::pushed;
use crate::stack::{run, scratch, skopeo_copy};

/// A forge that only verifies.
fn gate() -> Forge {
    Forge::new("boot", "  - {drivers: [v4l2loopback], distros: [debian], kernels: [latest]}\n")
}

#[test]
fn a_build_that_boots_says_so_and_keeps_the_console() {
    let kernel = newest_arm64();
    let forge = Forge::new("boot-arm64", &format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{kernel}\"], arches: [arm64]}}\n"));
    forge.run(&["build", "--push", "--boot"]).expect(0).says(", booted ");
    let record = forge.target("v4l2loopback", kernel);
    let boot = record.boot.unwrap();
    assert_eq!((record.outcome, boot.loaded.as_slice(), boot.accelerator.as_str()), (Outcome::Built, &["v4l2loopback".to_owned()][..], "tcg"));
    // Out of the tree (4096) and unsigned (8192).
    assert_eq!(boot.taint, Some(12288));
    let console = fs::read_to_string(forge.path(&boot.log.unwrap())).unwrap();
    assert!(console.contains("v4l2-loopback driver version") && console.contains("kmodforge: done"), "{console}");
}

/// The files of a good image, to be spoiled.
struct Spoiled {
    context: tempfile::TempDir,
}

impl Spoiled {
    fn new(driver: &str) -> Self {
        let (context, layout) = (scratch(), scratch());
        skopeo_copy(&pushed(driver, newest()), layout.path());
        let root = context.path().join("root");
        fs::create_dir(&root).unwrap();
        unpack(&layers(layout.path()), &root);
        Self { context }
    }

    fn module(&self, name: &str) -> PathBuf {
        self.context.path().join(format!("root/opt/lib/modules/{}/extra/{name}.ko", newest()))
    }

    /// What the boot finds in it, if anything; the static checks speak, too.
    fn verify(&self, driver: &str, options: &[&str]) -> Run {
        let image = format!("oci:{}", layout(self.context.path()).display());
        let mut arguments = vec!["verify", &image, "--kernel", newest(), "--driver", driver, "--format", "json", "--boot"];
        arguments.extend(options);
        gate().run(&arguments)
    }
}

/// An OCI layout beside `root/`, with its files as the only layer (image-spec, image-layout.md).
fn layout(context: &Path) -> PathBuf {
    let folder = context.join("layout");
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8], kind: &str| {
        let digest = kmodforge::reference::Digest::of(bytes).hex().to_owned();
        fs::write(blobs.join(&digest), bytes).unwrap();
        json!({ "mediaType": format!("application/vnd.oci.image.{kind}"), "digest": format!("sha256:{digest}"), "size": bytes.len() })
    };
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    tar.append_dir_all(".", context.join("root")).unwrap();
    let tar = tar.into_inner().unwrap();
    let layer = blob(&tar, "layer.v1.tar");
    let config = json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] } });
    let config = blob(config.to_string().as_bytes(), "config.v1+json");
    let manifest = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer] });
    let manifest = blob(manifest.to_string().as_bytes(), "manifest.v1+json");
    fs::write(folder.join("index.json"), json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string()).unwrap();
    fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    folder
}

/// Where bytes are in a file.
fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).unwrap()
}

#[test]
fn the_kernel_notices_a_module_of_another_kernel() {
    let spoiled = Spoiled::new("v4l2loopback");
    let (layout, root) = (scratch(), scratch());
    skopeo_copy(&pushed("v4l2loopback", newest_trixie()), layout.path());
    unpack(&layers(layout.path()), root.path());
    fs::copy(root.path().join(format!("opt/lib/modules/{}/extra/v4l2loopback.ko", newest_trixie())), spoiled.module("v4l2loopback")).unwrap();
    let run = spoiled.verify("v4l2loopback", &[]).expect(3);
    run.says("\"boot-load\"");
    // Not the version magic: with symbol versions, the kernel does not compare the release in it.
    run.says("disagrees about version of symbol module_layout");
}

#[test]
fn the_kernel_notices_a_wrong_checksum_of_a_symbol() {
    let spoiled = Spoiled::new("v4l2loopback");
    let path = spoiled.module("v4l2loopback");
    let mut bytes = fs::read(&path).unwrap();
    // struct modversion_info: 8 bytes with the checksum, then the name.
    let at = find(&bytes, b"module_layout\0\0\0\0\0\0\0\0") - 8;
    bytes[at] ^= 0xff;
    fs::write(&path, bytes).unwrap();
    let run = spoiled.verify("v4l2loopback", &[]).expect(3);
    run.says("\"boot-load\"");
    run.says("disagrees about version of symbol module_layout");
}

#[test]
fn the_kernel_notices_a_missing_dependency() {
    let spoiled = Spoiled::new("jool");
    fs::remove_file(spoiled.module("jool_common")).unwrap();
    depmod(&spoiled.context.path().join("root/opt"));
    let run = spoiled.verify("jool", &[]).expect(3);
    run.says("\"boot-load\"");
    run.says("Unknown symbol");
}

#[test]
fn a_kernel_that_demands_signatures_refuses_what_has_none() {
    let run = gate().run(&["verify", &pushed("v4l2loopback", newest()), "--boot", "--boot-enforce-signatures"]).expect(3);
    run.says("error[boot-load]: `v4l2loopback` does not load into");
    run.says("Key was rejected by service");
}

/// A signature that was made for other bytes.
#[test]
fn a_kernel_that_demands_signatures_refuses_a_broken_one() {
    let spoiled = Spoiled::new("v4l2loopback");
    let path = spoiled.module("v4l2loopback");
    let mut bytes = fs::read(&path).unwrap();
    let signature = [0x30, 0x03, 0x02, 0x01, 0x00];
    bytes.extend(signature);
    // struct module_signature: PKCS#7, and the length of what comes before it.
    bytes.extend([0, 0, 2, 0, 0, 0, 0, 0]);
    bytes.extend(u32::try_from(signature.len()).unwrap().to_be_bytes());
    bytes.extend(b"~Module signature appended~\n");
    fs::write(&path, bytes).unwrap();
    spoiled.verify("v4l2loopback", &["--boot-enforce-signatures"]).expect(3).says("\"boot-load\"");
}

fn depmod(base: &Path) {
    run(Command::new("/sbin/depmod").arg("--basedir").arg(base).arg(newest()));
}

/// A time limit that no boot keeps: QEMU is gone afterwards.
#[test]
fn a_boot_that_takes_too_long_is_ended() {
    let run = gate().run(&["verify", &pushed("v4l2loopback", newest()), "--boot", "--boot-timeout", "1"]).expect(3);
    run.says("error[boot-kernel]");
    run.says("did not start: the time of 1 s was over");
}
