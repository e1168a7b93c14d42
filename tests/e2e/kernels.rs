//! Kernels that are special: without symbol versions and with modules in a package of their own, and without what a driver needs.

use kmodforge::record::Outcome;

use crate::forge::{Forge, newest_cloud, newest_sid};

#[test]
fn a_kernel_without_symbol_versions_raises_no_false_alarm_and_takes_the_modules() {
    let forge = Forge::new("sid", &format!("  - {{drivers: [v4l2loopback@0.15.4, r8125], distros: [debian], kernels: [\"{}\"]}}\n", newest_sid()));
    let run = forge.run(&["build", "--push", "--boot", "--boot-together"]).expect(0);
    for driver in ["v4l2loopback", "r8125"] {
        let target = forge.target(driver, newest_sid());
        assert_eq!(target.outcome, Outcome::Built);
        assert!(target.findings.is_empty(), "{:?}", target.findings);
        assert_eq!(target.boot.unwrap().loaded, [driver]);
    }
    run.does_not_say("symbol-crc");
}

/// What is verified with Debian's own keys everywhere else in these tests is refused with those of somebody else.
#[test]
fn debian_is_believed_with_its_own_keys_alone() {
    let rows = format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n", newest_cloud());
    let forge = Forge::new("keys", &rows).with_own_cache();
    forge.run(&["kernels", "list", "--distro", "debian:bookworm"]).expect(0);
    std::fs::create_dir_all(forge.path("profiles/keyrings")).unwrap();
    let stranger = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openpgp/release.asc");
    std::fs::copy(stranger, forge.path("profiles/keyrings/debian.asc")).unwrap();
    let refused = forge.run(&["kernels", "list", "--distro", "debian:bookworm", "--profiles", "profiles"]).expect(1);
    refused.says("is signed by unknown keys");
    refused.says("expected  a key of the keyring `debian`");
}

#[test]
fn what_a_kernel_lacks_is_told_before_anything_compiles_and_remembered() {
    let forge = Forge::new("cloud", &format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n", newest_cloud())).with_own_cache();
    let plan = forge.run(&["plan"]).expect(0);
    plan.says("1 to build");
    let run = forge.run(&["build", "--push"]).expect(4);
    run.says("kernel has no `CONFIG_VIDEO_DEV`");
    run.says("1 not possible");
    run.does_not_say("RUN make");
    assert_eq!(forge.target("v4l2loopback", newest_cloud()).outcome, Outcome::Unsupported);

    let later = forge.with_builder("unix:///nowhere/at/all.sock".into());
    let plan = later.run(&["plan"]);
    plan.says("kernel has no `CONFIG_VIDEO_DEV`");
    plan.says("1 not possible");
    later.run(&["build", "--push"]).expect(4).says("kernel has no `CONFIG_VIDEO_DEV`");
}
