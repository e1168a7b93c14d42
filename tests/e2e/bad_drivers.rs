//! Drivers of our own in their kernel: with devices, and bad ones beside good ones in the same boot.

use kmodforge::finding::Finding;
use kmodforge::record::{Outcome, TargetRecord};

use crate::forge::{Forge, newest};
use crate::own_driver::{add, module, pci};

/// Nobody else publishes into its repository.
fn forge(repository: &str, drivers: &str) -> Forge {
    Forge::new(&format!("own/{repository}"), &format!("  - {{drivers: [{drivers}], distros: [debian], kernels: [\"{}\"]}}\n", newest()))
}

/// `boot-unload: the time of…` of everything that was found by the boot.
fn found(target: &TargetRecord) -> Vec<String> {
    let words = |finding: &Finding| format!("{} {}: {}", finding.severity, finding.check, finding.message);
    target.findings.iter().filter(|finding| finding.check.starts_with("boot")).map(words).collect()
}

/// One boot with good drivers and bad ones. What the bad ones do is found and is theirs alone; the good ones are published, also those whose
/// turn had not come when the boot came to its end.
#[test]
fn drivers_that_share_a_boot_do_not_answer_for_each_other() {
    let forge = forge("together", "v4l2loopback, kmf_oopses, kmf_hangs, kmf_warns, r8125");
    add(&forge, "kmf_oopses", &module("int *volatile nowhere = NULL; *nowhere = 1;", ""), "");
    add(&forge, "kmf_hangs", &module("", "DECLARE_COMPLETION_ONSTACK(never); wait_for_completion(&never);"), "");
    add(&forge, "kmf_warns", &module("WARN_ON(1);", ""), "");
    let run = forge.run(&["build", "--push", "--boot", "--boot-together", "--boot-timeout", "60", "--profiles", "profiles"]).expect(3);
    let target = |driver| forge.target(driver, newest());

    assert_eq!((target("v4l2loopback").outcome, found(&target("v4l2loopback"))), (Outcome::Built, Vec::new()));
    assert_eq!(target("v4l2loopback").boot.unwrap().together_with.len(), 4);

    let oopses = target("kmf_oopses");
    assert_eq!(oopses.outcome, Outcome::Rejected);
    assert!(found(&oopses).contains(&format!("error boot-kernel-log: {} broke down while `kmf_oopses` was being loaded", newest())), "{:?}", oopses.findings);
    run.says("BUG: kernel NULL pointer dereference, address: 0000000000000000");

    let hangs = target("kmf_hangs");
    assert_eq!(hangs.outcome, Outcome::Rejected);
    assert_eq!(found(&hangs), ["error boot-unload: the time of 60 s was over while `kmf_hangs` was being unloaded"]);

    let warns = target("kmf_warns");
    assert_eq!(warns.outcome, Outcome::Built);
    assert_eq!(found(&warns), [format!("warning boot-kernel-log: {} complained while `kmf_warns` was being loaded", newest())]);
    // Out of the tree (4096), unsigned (8192), and what it warned about (512): nothing of what the others did.
    assert_eq!(warns.boot.unwrap().taint, Some(12800));

    let last = target("r8125");
    assert_eq!((last.outcome, found(&last)), (Outcome::Built, Vec::new()));
    assert_eq!(last.boot.unwrap().together_with, [""; 0], "it was booted alone");
}

#[test]
fn a_driver_that_is_too_old_for_a_kernel_fails_in_its_own_words_and_alone() {
    let forge = forge("old", "v4l2loopback, kmf_old");
    add(&forge, "kmf_old", &module("strlcpy_is_gone(THIS_MODULE->name);", ""), "");
    let run = forge.run(&["build", "--push", "--profiles", "profiles"]).expect(1);
    let target = forge.target("kmf_old", newest());
    assert_eq!((target.outcome, target.digest), (Outcome::Failed, None));
    run.says(&format!("kmf_old 1 for {} (debian bookworm, amd64) did not compile", newest()));
    run.says("implicit declaration of function 'strlcpy_is_gone'");
    run.says("1 target done, 1 failed");
    let log = std::fs::read_to_string(forge.path(&target.log.unwrap())).unwrap();
    assert!(log.contains("strlcpy_is_gone"), "{log}");
    assert!(!run.stdout.contains("kmf_old"), "{}", run.stdout);
}

/// A PCI driver for QEMU's `edu` device, whose profile asks for the device: it must be bound.
#[test]
fn a_driver_binds_the_device_that_its_profile_asks_for() {
    let edu = |device: &str| {
        let forge = forge("edu", "kmf_edu");
        add(&forge, "kmf_edu", &pci("kmf_edu", device), "load: {without_hardware: ENODEV, devices: [edu]}");
        forge
    };
    let right = edu("0x1234, 0x11e8");
    right.run(&["build", "--push", "--boot", "--profiles", "profiles"]).expect(0);
    assert_eq!(right.target("kmf_edu", newest()).boot.unwrap().bound.len(), 1);
    edu("0x1234, 0x11e9").run(&["build", "--push", "--boot", "--profiles", "profiles"]).expect(3).says("error[boot-device]");
}

/// A network card that the kernel has a driver for, too: that one goes first, and ours gets the card; in the order of a node, with its parameters.
#[test]
fn a_driver_takes_over_a_device_from_the_kernel_s_own() {
    let forge = forge("nic", "kmf_nic");
    add(&forge, "kmf_nic", &pci("kmf_nic", "0x8086, 0x10d3"), "remove_first: [e1000e]\nload: {devices: [e1000e], parameters: {kmf_nic: {greeting: good day}}}");
    forge.run(&["build", "--push", "--boot", "--profiles", "profiles"]).expect(0);
    let boot = forge.target("kmf_nic", newest()).boot.unwrap();
    assert_eq!((boot.loaded.as_slice(), boot.bound.len()), (&["kmf_nic".to_owned()][..], 1));
    let console = std::fs::read_to_string(forge.path(&boot.log.unwrap())).unwrap();
    let steps = ["Intel(R) PRO/1000 Network Driver", "end 0 remove e1000e", "end 0 need crc_itu_t", "kmf_nic says good day", "end 0 load kmf_nic"];
    let places: Vec<_> = steps.iter().map(|step| console.find(step).unwrap_or_else(|| panic!("`{step}` is not in\n{console}"))).collect();
    assert!(places.is_sorted(), "{console}");
}

/// Before anything is built.
#[test]
fn a_device_that_qemu_lacks_is_told() {
    let forge = forge("lacks", "kmf_nic");
    add(&forge, "kmf_nic", &pci("kmf_nic", "0x8086, 0x10d3"), "load: {devices: [e1000ee]}");
    let run = forge.run(&["build", "--push", "--boot", "--profiles", "profiles"]).expect(1);
    run.says("error: QEMU has no device `e1000ee`");
    run.says("did you mean `e1000e`?");
    run.does_not_say("compile");
}
