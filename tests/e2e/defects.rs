//! A good image, spoiled in eight ways: the static checks find each without a boot, and the kernel finds each that it can notice.
//!
//! The driver is our own: two modules, of which one needs the other and asks for firmware when it is loaded. The image is signed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::files::{layers, unpack};
use crate::forge::{Forge, Run, image, newest, newest_trixie};
use crate::stack::{run, scratch, skopeo_copy};

const REPOSITORY: &str = "defects";
const DRIVER: &str = "kmf";

const PROFILE: &str = "id: kmf
name: KMF
summary: Two modules and a firmware file
homepage: https://kmf.example/
licence: GPL-2.0-only
versions:
  - version: '1'
    sources: [{path: {directory: src}}]
    firmware:
      - sources: [{path: {directory: src}}]
        files: {hello.bin: kmf/hello.bin}
        licence: GPL-2.0-only
build: {steps: [{kbuild: {}}]}
modules: [{name: kmf_core, load: false}, {name: kmf_user}]
";

const CORE: &str = r#"#include <linux/firmware.h>
#include <linux/module.h>
#include <linux/platform_device.h>

static struct platform_device *device;

int kmf_answer(void);
int kmf_answer(void) { return 42; }
EXPORT_SYMBOL_GPL(kmf_answer);

static int __init core_init(void)
{
	const struct firmware *firmware;
	int error;

	device = platform_device_register_simple("kmf_core", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	error = request_firmware(&firmware, "kmf/hello.bin", &device->dev);
	if (error)
		platform_device_unregister(device);
	else
		release_firmware(firmware);
	return error;
}
static void __exit core_exit(void) { platform_device_unregister(device); }
module_init(core_init);
module_exit(core_exit);
MODULE_FIRMWARE("kmf/hello.bin");
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Asks for firmware when it is loaded");
"#;

const USER: &str = r#"#include <linux/module.h>

int kmf_answer(void);

static int __init user_init(void)
{
	pr_info("kmf_user: the answer is %d\n", kmf_answer());
	return 0;
}
static void __exit user_exit(void) { }
module_init(user_init);
module_exit(user_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Needs kmf_core");
"#;

/// The run that builds, signs and pushes the good image, and its like for another kernel, made once.
fn built() -> &'static Forge {
    static BUILT: OnceLock<Forge> = OnceLock::new();
    BUILT.get_or_init(|| {
        let forge = Forge::new(REPOSITORY, &format!("  - {{drivers: [{DRIVER}], distros: [debian], kernels: [\"{}\", \"{}\"]}}\n", newest(), newest_trixie()));
        let source = forge.path("profiles/drivers/src");
        fs::create_dir_all(&source).unwrap();
        fs::write(forge.path("profiles/drivers/kmf.yaml"), PROFILE).unwrap();
        for (name, text) in [("Kbuild", "obj-m := kmf_core.o kmf_user.o\n"), ("kmf_core.c", CORE), ("kmf_user.c", USER), ("hello.bin", "hello\n")] {
            fs::write(source.join(name), text).unwrap();
        }
        let mut key = Command::new("openssl");
        key.args(["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=throw-away", "-newkey", "rsa:2048"]);
        run(key.arg("-keyout").arg(forge.path("mok.key")).arg("-out").arg(forge.path("mok.crt")));
        forge.run(&["build", "--push", "--profiles", "profiles", "--sign-key", "mok.key", "--sign-cert", "mok.crt"]).expect(0);
        forge
    })
}

/// The files of the image for a kernel.
fn unpacked(kernel: &str, root: &Path) {
    let layout = scratch();
    skopeo_copy(&image(REPOSITORY, DRIVER, &built().target(DRIVER, kernel).target.version, kernel), layout.path());
    unpack(&layers(layout.path()), root);
}

/// The files of the good image, to be spoiled.
struct Spoiled {
    context: TempDir,
}

impl Spoiled {
    fn new() -> Self {
        let context = scratch();
        let root = context.path().join("root");
        fs::create_dir(&root).unwrap();
        unpacked(newest(), &root);
        Self { context }
    }

    fn root(&self) -> PathBuf {
        self.context.path().join("root")
    }

    fn module(&self, name: &str) -> PathBuf {
        self.root().join(format!("opt/lib/modules/{}/extra/{name}.ko", newest()))
    }

    /// Changes the bytes of a module.
    fn patch(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.module(name)).unwrap();
        change(&mut bytes);
        fs::write(self.module(name), bytes).unwrap();
    }

    fn depmod(&self) {
        run(Command::new("/sbin/depmod").arg("--basedir").arg(self.root().join("opt")).arg(newest()));
    }

    fn verify(&self, format: &str, options: &[&str]) -> Run {
        let image = format!("oci:{}", layout(self.context.path()).display());
        let common = ["verify", &image, "--kernel", newest(), "--driver", DRIVER, "--profiles", "profiles", "--cert", "mok.crt", "--format", format];
        built().run(&[&common, options].concat())
    }

    /// The check that must find the defect without a boot.
    #[track_caller]
    fn static_checks_find(&self, check: &str) {
        let run = self.verify("json", &[]).expect(3);
        let errors = errors(&run);
        assert!(errors.iter().any(|(found, _)| found == check), "{check} is not among {errors:?}");
    }

    /// The check of the boot that must find it, and words of the kernel or its tools.
    #[track_caller]
    fn the_boot_finds(&self, check: &str, words: &str, options: &[&str]) {
        let run = self.verify("json", &[&["--boot"], options].concat()).expect(3);
        let errors = errors(&run);
        assert!(errors.iter().any(|(found, text)| found == check && text.contains(words)), "{check} with `{words}` is not among {errors:?}");
    }
}

/// Checks that failed, and what they found.
fn errors(run: &Run) -> Vec<(String, String)> {
    let reports: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {}", run.stdout));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let findings = reports[0]["findings"].as_array().unwrap();
    findings.iter().filter(|finding| finding["severity"] == "error").map(|finding| (text(&finding["check"]), text(&finding["found"]))).collect()
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
fn the_good_image_passes_and_its_kernel_finds_the_firmware() {
    let run = Spoiled::new().verify("json", &["--boot"]).expect(0);
    assert!(errors(&run).is_empty(), "{}", run.stdout);
    let reports: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(reports[0]["boot"]["loaded"], json!(["kmf_user"]));
}

#[test]
fn a_module_of_another_kernel() {
    let (spoiled, other) = (Spoiled::new(), scratch());
    unpacked(newest_trixie(), other.path());
    for name in ["kmf_core", "kmf_user"] {
        fs::copy(other.path().join(format!("opt/lib/modules/{}/extra/{name}.ko", newest_trixie())), spoiled.module(name)).unwrap();
    }
    spoiled.static_checks_find("vermagic");
    spoiled.static_checks_find("symbol-crc");
    // Not the version magic: with symbol versions, the kernel does not compare the release in it.
    spoiled.the_boot_finds("boot-load", "disagrees about version of symbol module_layout", &[]);
}

#[test]
fn a_wrong_checksum_of_a_symbol() {
    let spoiled = Spoiled::new();
    spoiled.patch("kmf_core", |bytes| {
        // struct modversion_info: 8 bytes with the checksum, then the name.
        let at = find(bytes, b"module_layout\0\0\0\0\0\0\0\0") - 8;
        bytes[at] ^= 0xff;
    });
    spoiled.static_checks_find("symbol-crc");
    spoiled.the_boot_finds("boot-load", "disagrees about version of symbol module_layout", &[]);
}

#[test]
fn a_missing_dependency() {
    let spoiled = Spoiled::new();
    fs::remove_file(spoiled.module("kmf_core")).unwrap();
    spoiled.depmod();
    spoiled.static_checks_find("symbol-unresolved");
    spoiled.the_boot_finds("boot-load", "Unknown symbol", &[]);
}

#[test]
fn missing_firmware() {
    let spoiled = Spoiled::new();
    fs::remove_file(spoiled.root().join("firmware/kmf/hello.bin")).unwrap();
    spoiled.static_checks_find("firmware");
    spoiled.the_boot_finds("boot-load", "kmf/hello.bin", &[]);
}

#[test]
fn a_broken_signature() {
    let spoiled = Spoiled::new();
    spoiled.patch("kmf_core", |bytes| {
        // struct module_signature, and the text behind it, are the last 40 bytes; before them ends the signature itself.
        let at = bytes.len() - 40 - 8;
        bytes[at] ^= 0xff;
    });
    spoiled.static_checks_find("module-signature");
    spoiled.the_boot_finds("boot-load", "Key was rejected by service", &["--boot-enforce-signatures"]);
}

#[test]
fn a_module_of_another_architecture() {
    let spoiled = Spoiled::new();
    // e_machine (elf.h): EM_AARCH64.
    spoiled.patch("kmf_core", |bytes| bytes[18..20].copy_from_slice(&183_u16.to_le_bytes()));
    spoiled.static_checks_find("elf-format");
    spoiled.the_boot_finds("boot-load", "Exec format error", &[]);
}

#[test]
fn a_module_without_its_modinfo() {
    let spoiled = Spoiled::new();
    run(Command::new("objcopy").args(["--remove-section", ".modinfo"]).arg(spoiled.module("kmf_core")));
    spoiled.static_checks_find("elf-format");
    spoiled.the_boot_finds("boot-load", "kmf_", &[]);
}

#[test]
fn an_index_of_other_modules() {
    let spoiled = Spoiled::new();
    let module = fs::read(spoiled.module("kmf_core")).unwrap();
    fs::remove_file(spoiled.module("kmf_core")).unwrap();
    spoiled.depmod();
    fs::write(spoiled.module("kmf_core"), module).unwrap();
    spoiled.static_checks_find("depmod");
    spoiled.the_boot_finds("boot-load", "Unknown symbol", &[]);
}

/// The same findings as services collect them, accepted by a validator with the schema of OASIS.
#[test]
fn findings_are_valid_sarif() {
    let spoiled = Spoiled::new();
    fs::remove_file(spoiled.module("kmf_core")).unwrap();
    fs::write(built().path("policy.yaml"), "checks:\n  depmod: {severity: ignore, reason: nodes run it}\nproprietary: false\n").unwrap();
    let run = spoiled.verify("sarif", &["--policy", "policy.yaml"]).expect(3);
    let file = spoiled.context.path().join("findings.sarif");
    fs::write(&file, &run.stdout).unwrap();
    let log: Value = serde_json::from_str(&run.stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    assert!(results.iter().any(|result| result["suppressions"][0]["justification"] == "nodes run it"), "{results:?}");
    crate::stack::run(Command::new("sarif-kit").arg("validate").arg(file));
}
