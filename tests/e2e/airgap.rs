//! An empty network namespace, with a builder and a registry of its own on loopback: what is built there from a bundle is what is built elsewhere.

use std::fs;
use std::process::{Command, Stdio};

use kmodforge::record::{Outcome, Record};

use crate::families;
use crate::forge::{Forge, newest, newest_trixie};
use crate::stack::setting;

/// Runs the program in a network namespace without interfaces but loopback; `arguments` are words of a shell that knows the stack's variables.
fn in_the_gap(forge: &Forge, arguments: &str) {
    let stack = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/stack.sh");
    let build = format!("export KMODFORGE_BUILDER=$KMODFORGE_TEST_BUILDKIT; exec {} {arguments}", env!("CARGO_BIN_EXE_kmodforge"));
    let script =
        format!("ip link set lo up; if ip route get 192.0.2.1 2>/dev/null; then exit 9; fi; exec {stack} run --buildkitd --registry -- sh -euc '{build}'");
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-euc", &script]).current_dir(forge.folder.path()).env("KMODFORGE_CACHE", forge.path("cache-of-the-gap")).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
}

fn record(forge: &Forge, name: &str) -> Record {
    serde_json::from_slice(&fs::read(forge.path(name)).unwrap()).unwrap()
}

/// Builds everything with a network, then everything without one, and compares.
fn same_without_a_network(forge: &Forge) {
    forge.run(&["build", "--output", "oci:online"]).expect(0);
    forge.run(&["fetch", "--output", "bundle"]).expect(0).says("bundle@sha256:");
    in_the_gap(forge, "build --offline bundle --repo $KMODFORGE_TEST_REGISTRY/gap --push --output oci:offline --record offline.json");
    let (online, offline) = (forge.record(), record(forge, "offline.json"));
    assert_eq!(online.targets.len(), offline.targets.len());
    for (with, without) in online.targets.iter().zip(&offline.targets) {
        assert_eq!((with.outcome, without.outcome), (Outcome::Built, Outcome::Built));
        assert!(with.digest.is_some() && without.pushed_bytes > 0);
        assert_eq!((&with.target, &with.digest, &with.input_digest), (&without.target, &without.digest, &without.input_digest));
    }
}

/// Two releases, one with a driver whose build needs packages of its own, built by a `dkms.conf`.
#[test]
fn an_image_is_the_same_without_a_network() {
    let matrix = format!(
        "  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n  - {{drivers: [jool], distros: [debian], kernels: [\"{}\"]}}\n",
        newest(),
        newest_trixie()
    );
    let forge = Forge::new("online", &matrix).with_builder(setting("KMODFORGE_TEST_BUILDKIT"));
    same_without_a_network(&forge);
    let rendered = forge.run(&["render", "--driver", "jool", "--offline", "bundle", "--output", "rendered"]).expect(0);
    let dockerfile = fs::read_to_string(forge.path(&format!("{}/Dockerfile", rendered.stdout.trim()))).unwrap();
    assert!(dockerfile.contains("\nFROM scratch AS base\nADD toolchain.tar.gz /\n"), "{dockerfile}");
}

#[test]
fn an_image_of_another_family_is_the_same_without_a_network() {
    let forge = families::forge_of("almalinux");
    same_without_a_network(&forge);
}

/// What Debian 12's Docker understands is enough.
#[test]
fn an_old_engine_builds_from_a_bundle() {
    let forge = Forge::new("online", &format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n", newest()));
    forge.run(&["fetch", "--output", "bundle"]).expect(0);
    forge.run(&["build", "--offline", "bundle", "--output", "oci:offline"]).expect(0);
    assert_eq!(forge.target("v4l2loopback", newest()).outcome, Outcome::Built);
}
