//! Large drivers: zfs, which configures itself, and nvidia-open, with firmware, on a kernel that it supports and on one that it does not.

use std::fs;
use std::sync::OnceLock;

use kmodforge::record::Outcome;

use crate::forge::{Forge, Run, image, newest, oldest};
use crate::node::Node;
use crate::stack::skopeo_inspect;

const REPOSITORY: &str = "heavy";
const NVIDIA: &str = "535.261.03";

fn built() -> &'static (Forge, Run) {
    static BUILT: OnceLock<(Forge, Run)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let (old, new) = (oldest(), newest());
        let forge = Forge::new(
            REPOSITORY,
            &format!(
                "  - {{drivers: [zfs], distros: [debian], kernels: [\"{old}\"]}}\n  \
                 - {{drivers: [nvidia-open@{NVIDIA}], distros: [debian], kernels: [\"{old}\", \"{new}\"]}}\n"
            ),
        );
        let run = forge.run(&["build", "--push", "--accept-licence", "CDDL-1.0 AND GPL-2.0-or-later"]).expect(1);
        (forge, run)
    })
}

#[test]
fn zfs_is_configured_compiled_and_loads_in_order() {
    let target = built().0.target("zfs", oldest());
    assert_eq!(target.outcome, Outcome::Built, "{}", target.why);
    assert_eq!(target.modules, ["spl", "zfs"]);
    let node = Node::new(&image(REPOSITORY, "zfs", &target.target.version, oldest()), oldest());
    node.resolves("spl");
    node.resolves("zfs");
}

#[test]
fn nvidia_open_brings_its_firmware_in_a_layer_of_its_own() {
    let target = built().0.target("nvidia-open", oldest());
    assert_eq!(target.outcome, Outcome::Built, "{}", target.why);
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
fn a_driver_too_old_for_a_kernel_fails_in_its_own_words_and_alone() {
    let (forge, run) = built();
    let target = forge.target("nvidia-open", newest());
    assert_eq!(target.outcome, Outcome::Failed);
    assert!(target.digest.is_none() && target.log.is_some());
    run.says(&format!("nvidia-open {NVIDIA} for {} (debian bookworm, amd64) did not compile", newest()));
    run.says("too few arguments to function 'pci_resize_resource'");
    run.says("2 targets done, 1 failed");
    assert!(!run.stdout.contains(newest()), "{}", run.stdout);
}

#[test]
fn the_clients_memory_does_not_grow_with_what_is_built() {
    let target = built().0.target("nvidia-open", oldest());
    assert!(target.outcome == Outcome::Built && target.image_bytes > 20_000_000, "{}: {} bytes", target.why, target.image_bytes);
    let peak = built().1.peak_kib;
    assert!(peak <= 150_000, "{peak} KiB");
}
