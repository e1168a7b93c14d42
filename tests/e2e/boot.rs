//! Kernels of Debian are started with images of real drivers.

use std::fs;

use kmodforge::record::Outcome;

use crate::forge::{Forge, newest, newest_arm64, newest_trixie};
use crate::light::pushed;

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
