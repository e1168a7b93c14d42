//! Kernels of Debian are started with images of real drivers.

use std::fs;

use kmodforge::record::Outcome;

use crate::forge::{Forge, newest, newest_arm64, newest_trixie, oldest};
use crate::light::pushed;

/// A forge that only verifies.
fn gate() -> Forge {
    Forge::new("boot", "  - {drivers: [v4l2loopback], distros: [debian], kernels: [latest]}\n")
}

/// Drivers that compile in seconds, on two kernels of bookworm and one of trixie: what `light` has pushed loads, unloads and loads again.
#[test]
fn light_drivers_load_into_their_kernels() {
    let forge = gate();
    for kernel in [newest(), oldest(), newest_trixie()] {
        for driver in ["v4l2loopback", "jool", "r8125"] {
            forge.run(&["verify", &pushed(driver, kernel), "--boot"]).expect(0).says(", booted ");
        }
    }
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

/// A PCI driver of our own for QEMU's `edu` device, whose profile asks for the device: it must be bound.
#[test]
fn a_driver_binds_the_device_that_its_profile_asks_for() {
    let forge = fixture("kmf_edu", "load: {without_hardware: ENODEV, devices: [edu]}", "0x11e8");
    forge.run(&["build", "--push", "--boot", "--profiles", "profiles"]).expect(0);
    assert_eq!(forge.target("kmf_edu", newest()).boot.unwrap().bound.len(), 1);
    let wrong = fixture("kmf_edu", "load: {devices: [edu]}", "0x11e9");
    wrong.run(&["build", "--push", "--boot", "--profiles", "profiles"]).expect(3).says("error[boot-device]");
}

/// The driver from a directory, with the PCI device id that it is for.
fn fixture(name: &str, load: &str, device: &str) -> Forge {
    let forge = Forge::new("boot-device", &format!("  - {{drivers: [{name}], distros: [debian], kernels: [\"{}\"]}}\n", newest()));
    let source = forge.path("profiles/drivers/src");
    fs::create_dir_all(&source).unwrap();
    let text = format!(
        "id: {name}\nname: {name}\nsummary: A driver for QEMU's educational device\nhomepage: https://www.qemu.org/\nlicence: GPL-2.0-only\n\
         versions:\n  - version: '1'\n    sources: [{{path: {{directory: src}}}}]\nbuild: {{steps: [{{kbuild: {{}}}}]}}\nmodules: [{{name: {name}}}]\n{load}\n"
    );
    fs::write(forge.path(&format!("profiles/drivers/{name}.yaml")), text).unwrap();
    fs::write(source.join("Kbuild"), format!("obj-m := {name}.o\n")).unwrap();
    fs::write(source.join(format!("{name}.c")), EDU.replace("WANTED", device)).unwrap();
    forge
}

const EDU: &str = r#"#include <linux/module.h>
#include <linux/pci.h>

static int edu_probe(struct pci_dev *dev, const struct pci_device_id *id) { return pci_enable_device(dev); }
static void edu_remove(struct pci_dev *dev) { pci_disable_device(dev); }
static const struct pci_device_id edu_ids[] = { { PCI_DEVICE(0x1234, WANTED) }, { } };
MODULE_DEVICE_TABLE(pci, edu_ids);
static struct pci_driver edu_driver = { .name = "kmf_edu", .id_table = edu_ids, .probe = edu_probe, .remove = edu_remove };
module_pci_driver(edu_driver);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Binds QEMU's educational device");
"#;

#[test]
fn a_kernel_that_demands_signatures_refuses_what_has_none() {
    let run = gate().run(&["verify", &pushed("v4l2loopback", newest()), "--boot", "--boot-enforce-signatures"]).expect(3);
    run.says("error[boot-load]: `v4l2loopback` does not load into");
    run.says("Key was rejected by service");
}

/// A time limit that no boot keeps: QEMU is gone afterwards.
#[test]
fn a_boot_that_takes_too_long_is_ended() {
    let run = gate().run(&["verify", &pushed("v4l2loopback", newest()), "--boot", "--boot-timeout", "1"]).expect(3);
    run.says("error[boot-kernel]");
    run.says("did not start: the time of 1 s was over");
}
