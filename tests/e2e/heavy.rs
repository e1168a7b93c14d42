//! Large drivers: zfs, which configures itself, and nvidia-open, with firmware.
//!
//! Each compiles for minutes, so `make test` leaves them out. `make test-drivers` has two kernels of bookworm, one of trixie and, for zfs, one of sid
//! (`KMODFORGE_TEST_DRIVERS=all`); without that variable one kernel has to do.

use std::fs;
use std::sync::OnceLock;

use kmodforge::env;
use kmodforge::record::{Outcome, TargetRecord};

use crate::catalogue::table::HEAVY;
use crate::forge::{Forge, Run, image, newest, newest_sid, newest_trixie, oldest};
use crate::node::Node;
use crate::stack::skopeo_inspect;

const REPOSITORY: &str = "heavy";
const NVIDIA: &str = "535.261.03";
/// For kernels that are too new for [`NVIDIA`].
const NVIDIA_NEWER: &str = "550.163.01";

fn all() -> bool {
    env::var("KMODFORGE_TEST_DRIVERS").is_some_and(|value| value == "all")
}

fn built() -> &'static (Forge, Run) {
    static BUILT: OnceLock<(Forge, Run)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let [zfs, nvidia_open] = HEAVY;
        let (old, new) = (oldest(), newest());
        let row = |driver: &str, kernels: &[&str]| format!("  - {{drivers: [{driver}], distros: [debian], kernels: {kernels:?}}}\n");
        let mut rows = row(zfs, &[old]) + &row(&format!("{nvidia_open}@{NVIDIA}"), &[old]);
        if all() {
            rows += &row(zfs, &[new, newest_trixie(), newest_sid()]);
            rows += &row(&format!("{nvidia_open}@{NVIDIA_NEWER}"), &[new, newest_trixie()]);
        }
        let forge = Forge::new(REPOSITORY, &rows);
        let accept = ["--accept-licence", "CDDL-1.0 AND GPL-2.0-or-later"];
        let run = forge.run(&[&["build", "--push", "--boot", "--boot-together"][..], &accept].concat()).expect(0);
        (forge, run)
    })
}

/// The targets of a driver.
fn targets(driver: &str) -> Vec<TargetRecord> {
    built().0.record().targets.into_iter().filter(|target| target.target.driver == driver).collect()
}

/// Nothing that the boot found is wrong.
#[track_caller]
fn is_proven(target: &TargetRecord) {
    assert_eq!(target.outcome, Outcome::Built, "{}: {} {:?}", target.target, target.why, target.findings);
    assert!(target.findings.iter().all(|finding| !finding.check.starts_with("boot")), "{:?}", target.findings);
}

#[test]
fn zfs_is_configured_compiled_and_loads_in_order() {
    let zfs = targets("zfs");
    assert_eq!(zfs.len(), if all() { 4 } else { 1 });
    for target in &zfs {
        is_proven(target);
        assert_eq!(target.modules, ["spl", "zfs"]);
        let boot = target.boot.as_ref().unwrap();
        assert_eq!(boot.loaded, ["spl", "zfs"], "{}", target.target);
        // Proprietary by the kernel's rules (1), out of the tree (4096), unsigned (8192).
        assert_eq!(boot.taint, Some(12289), "{}", target.target);
    }
    let node = Node::new(&image(REPOSITORY, "zfs", &built().0.target("zfs", oldest()).target.version, oldest()), oldest());
    node.resolves("spl");
    node.resolves("zfs");
}

/// It finds no GPU, and says so: it was linked, relocated and initialised.
#[test]
fn nvidia_open_gives_its_declared_answer_without_a_gpu() {
    let nvidia = targets("nvidia-open");
    assert_eq!(nvidia.len(), if all() { 3 } else { 1 });
    for target in &nvidia {
        is_proven(target);
        let console = fs::read_to_string(built().0.path(target.boot.as_ref().unwrap().log.as_ref().unwrap())).unwrap();
        for words in ["NVRM: No NVIDIA GPU found.", "could not insert 'nvidia': No such device"] {
            assert!(console.contains(words), "{}: `{words}` is not in\n{console}", target.target);
        }
    }
}

#[test]
fn nvidia_open_brings_its_firmware_in_a_layer_of_its_own() {
    let target = built().0.target("nvidia-open", oldest());
    let image = image(REPOSITORY, "nvidia-open", NVIDIA, oldest());
    assert_eq!(skopeo_inspect(&image, &[])["Layers"].as_array().unwrap().len(), 3);
    let node = Node::new(&image, oldest());
    for module in &target.modules {
        node.resolves(module);
    }
    for file in ["gsp_tu10x.bin", "gsp_ga10x.bin", "LICENSE"] {
        let path = node.path(&format!("firmware/nvidia/{NVIDIA}/{file}"));
        assert!(fs::metadata(&path).is_ok_and(|facts| facts.len() > 1000), "{}", path.display());
    }
}

#[test]
fn the_clients_memory_does_not_grow_with_what_is_built() {
    let target = built().0.target("nvidia-open", oldest());
    assert!(target.outcome == Outcome::Built && target.image_bytes > 20_000_000, "{}: {} bytes", target.why, target.image_bytes);
    let peak = built().1.peak_kib;
    assert!(peak <= 150_000, "{peak} KiB");
}
