//! `verify` as a gate: policies, and what is said about images that do not pass.

use serde_json::Value;
use snapbox::{assert_data_eq, str};

use crate::bench::Act;
use crate::results::Kernel;
use crate::world::World;

const IMAGE: &str = "REPO/kmf:1.0-6.1.0-56-amd64";
const PUBLIC: &str = include_str!("../fixtures/cosign/cosign.pub");
/// The private half of it.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWS17NKZK4/qf/Tgq\n\
    cOf5/1d3glEL4CRj08T3yVWHMD+hRANCAAT4OlbrcLThK3L4fiIZAGUZTNAi7QjI\nWyR0qvuv1o3qhE8ELP0VaFxJ2868g9Wxw990MlHGWi1/YF1at+zaEk+e\n-----END PRIVATE KEY-----\n";
/// A key of somebody else.
const OTHER: &str = include_str!("../fixtures/sign/p256.key");

/// A world with an image in its registry.
async fn world(options: &[&str]) -> World {
    let world = World::new().await;
    for (name, text) in [("key.pem", KEY), ("other.pem", OTHER), ("cosign.pub", PUBLIC)] {
        world.write(name, text);
    }
    world.build("6.1.0-56-amd64", options).await.ended(0);
    world
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_that_was_seen_needs_no_builder() {
    let mut world = world(&[]).await;
    let passed = "REGISTRY/drivers/kmf:1.0-6.1.0-56-amd64 (amd64): 18 checks passed against linux-headers-6.1.0-56-amd64 6.1.192-2 \
        (/opt/lib/modules/6.1.0-56-amd64/extra/kmf_core.ko)\n";
    assert_eq!(world.run(&["verify", IMAGE]).await.ended(0).out, passed);
    assert_eq!(world.bench.solved("evidence"), ["6.1.0-56-amd64"]);
    world.builder = None;
    assert_eq!(world.run(&["verify", IMAGE]).await.ended(0).out, passed);
    let other = world.run(&["verify", IMAGE, "--kernel", "6.1.0-55-amd64"]).await.ended(1);
    assert!(other.err.starts_with("error: no builder"), "{}", other.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_satisfies_the_policy_passes() {
    let world = world(&["--cosign-key", "key.pem"]).await;
    world.write(
        "policy.yaml",
        "checks:\n  compiler: {severity: error, reason: ours}\nlicences: [GPL-2.0-only]\nproprietary: false\ncosign_key: cosign.pub\n\
         documents: [sbom, provenance, checks]\n",
    );
    world.run(&["verify", IMAGE, "--policy", "policy.yaml"]).await.ended(0);
    let tag = IMAGE.rsplit_once(':').unwrap().0;
    let by_digest = format!("{tag}@{}", world.record().targets[0].digest.clone().unwrap());
    world.run(&["verify", &by_digest, "--policy", "policy.yaml"]).await.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_violation_of_a_policy_is_told() {
    let world = world(&["--cosign-key", "other.pem", "--provenance=false"]).await;
    world.write("policy.yaml", "boot: true\nsigners: [{name: 'CN=driver signing'}]\nlicences: [MIT]\ncosign_key: cosign.pub\ndocuments: [sbom, provenance]\n");
    let ran = world.run(&["verify", IMAGE, "--policy", "policy.yaml", "--no-boot"]).await.ended(3);
    assert_eq!(ran.out, "");
    assert_data_eq!(
        ran.err,
        str![[r"
error[module-signature]: `kmf_core.ko` is not signed
  file      /opt/lib/modules/6.1.0-56-amd64/extra/kmf_core.ko
  found     not signed
  expected  a signature by CN=driver signing
  help      sign it: kmodforge sign IMAGE --sign-key KEY --sign-cert FILE
error[policy-licence]: the image has a licence that the policy does not list: `GPL-2.0-only`
  found     `GPL-2.0-only`
  expected  `MIT`
error[policy-boot]: the kernel was not booted with the image, which the policy demands
  help      leave out --no-boot
error[policy-signature]: the image is not signed with the policy's cosign key
  found     signature: 2 with another key
  expected  one with this key, of this digest
  help      sign it: kmodforge build --cosign-key KEY, or cosign sign --key KEY IMAGE@DIGEST
error[policy-documents]: no `sbom` is attached to the image
  found     sbom: 2 with another key
  expected  one that is signed with this key, about this digest
error[policy-documents]: no `provenance` is attached to the image
  found     no provenance
  expected  one that is signed with this key, about this digest
error: `REGISTRY/drivers/kmf:1.0-6.1.0-56-amd64` (amd64) does not pass 5 checks for 6.1.0-56-amd64
  failed    module-signature, policy-licence, policy-boot, policy-signature, policy-documents
  against   linux-headers-6.1.0-56-amd64 6.1.192-2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_need_no_signature_where_no_key_is_named() {
    let world = world(&["--sbom"]).await;
    world.write("policy.yaml", "documents: [sbom, checks]\n");
    world.run(&["verify", IMAGE, "--policy", "policy.yaml"]).await.ended(0);
    world.write("policy.yaml", "documents: [provenance]\n");
    assert_data_eq!(
        world.run(&["verify", IMAGE, "--policy", "policy.yaml"]).await.ended(3).errors(),
        str![[r"
error[policy-documents]: no `provenance` is attached to the image
  found     no provenance
  expected  one about this digest
error: `REGISTRY/drivers/kmf:1.0-6.1.0-56-amd64` (amd64) does not pass 1 check for 6.1.0-56-amd64
  failed    policy-documents
  against   linux-headers-6.1.0-56-amd64 6.1.192-2
exit 3

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_of_another_image_counts_for_nothing() {
    let world = world(&["--cosign-key", "key.pem"]).await;
    world.write("policy.yaml", "cosign_key: cosign.pub\n");
    let signed = world.record().targets[0].clone();
    // Somebody who may push, but not sign, puts another image in its place, and the old signatures beside it.
    world.bench.set("6.1.0-56", "artifacts", Act::Send(Kernel::new("6.1.0-56-amd64").artifacts().file("tools/usr/bin/extra", b"x").bytes()));
    world.build("6.1.0-56-amd64", &["--force"]).await.ended(0);
    let new = world.record().targets[0].clone();
    {
        let mut state = world.registry.state();
        let tag = |digest: &Option<String>, ending: &str| {
            ("drivers/kmf".to_owned(), format!("sha256-{}.{ending}", digest.as_deref().unwrap().trim_start_matches("sha256:")))
        };
        for (from, to) in [(&signed.digest, &new.digest), (&signed.index_digest, &new.index_digest)] {
            let manifest = state.manifests[&tag(from, "sig")].clone();
            state.manifests.insert(tag(to, "sig"), manifest);
        }
    }
    assert_data_eq!(
        world.run(&["verify", IMAGE, "--policy", "policy.yaml"]).await.ended(3).errors(),
        str![[r"
error[policy-signature]: the image is not signed with the policy's cosign key
  found     signature: 2 of another digest
  expected  one with this key, of this digest
  help      sign it: kmodforge build --cosign-key KEY, or cosign sign --key KEY IMAGE@DIGEST
error: `REGISTRY/drivers/kmf:1.0-6.1.0-56-amd64` (amd64) does not pass 1 check for 6.1.0-56-amd64
  failed    policy-signature
  against   linux-headers-6.1.0-56-amd64 6.1.192-2
exit 3

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_boot_that_the_policy_demands_is_made() {
    let world = world(&[]).await;
    world.write("policy.yaml", "boot: true\n");
    // There is no QEMU on the path.
    assert_data_eq!(
        world.run(&["verify", IMAGE, "--policy", "policy.yaml"]).await.ended(1).errors(),
        str![[r"
error: there is no `qemu-system-x86_64`
  help      install it (Debian: apt install qemu-system-x86), or leave out --boot
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_that_cannot_be_used() {
    let world = world(&[]).await;
    world.write("typo.yaml", "licenses: [MIT]\n");
    let mut told = String::new();
    for policy in ["nowhere.yaml", "typo.yaml"] {
        told += &world.run(&["verify", IMAGE, "--policy", policy]).await.ended(2).errors();
    }
    assert_data_eq!(
        told,
        str![[r"
error: the policy `nowhere.yaml` cannot be read: No such file or directory (os error 2)
exit 2
error: unknown key `licenses`
  --> typo.yaml:1:1
   |
 1 | licenses: [MIT]
   | ^^^^^^^^ expected one of `checks`, `boot`, `signers`, `licences`, `proprietary`, `cosign_key`, `documents`
  help      did you mean `licences`?
exit 2

"]]
    );
    world.write("right.yaml", "licences: [MIT]\n");
    assert_eq!(world.run(&["profile", "check", "right.yaml"]).await.ended(0).out, "right.yaml: policy\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_a_policy_decide_what_counts() {
    let world = World::new().await;
    let kernel = Kernel::new("6.1.0-56-amd64");
    let bare = crate::results::Tar::new().file("lib/modules/6.1.0-56-amd64/kmf_core.ko", &kernel.file("kmf_core.ko")).bytes();
    crate::layouts::Image::new(vec![bare]).write(&world.path("work/bare"));
    let verify = async |options: &[&str]| world.run(&[&["verify", "oci:bare"], options].concat()).await;
    assert_data_eq!(
        verify(&[]).await.ended(3).err,
        str![[r"
error[depmod]: the image has no `modules.dep` for 6.1.0-56-amd64; modprobe finds no module
  found     none
  expected  /opt/lib/modules/6.1.0-56-amd64/modules.dep
  help      run `depmod -b /opt` for this release when the image is made
warning[firmware]: firmware that `kmf_core.ko` may ask for is not in the image
  file      /lib/modules/6.1.0-56-amd64/kmf_core.ko
  found     nothing at `kmf/core.bin`
  expected  a file below /firmware for each
  help      add it to the profile's `firmware`, or its name to `optional`
error: `oci:bare` (amd64) does not pass 1 check for 6.1.0-56-amd64
  failed    depmod
  against   linux-headers-6.1.0-56-amd64 6.1.192-2

"]]
    );

    world.write("policy.yaml", "checks:\n  depmod: {severity: ignore, reason: nodes run depmod}\n  firmware: {severity: error, reason: nodes have none}\n");
    assert_data_eq!(
        verify(&["--policy", "policy.yaml"]).await.ended(3).err,
        str![[r"
error[firmware]: firmware that `kmf_core.ko` may ask for is not in the image
  file      /lib/modules/6.1.0-56-amd64/kmf_core.ko
  found     nothing at `kmf/core.bin`
  expected  a file below /firmware for each
  help      add it to the profile's `firmware`, or its name to `optional`
            the policy has made this an error of a warning: nodes have none
ignored[depmod]: the image has no `modules.dep` for 6.1.0-56-amd64; modprobe finds no module; policy: nodes run depmod
error: `oci:bare` (amd64) does not pass 1 check for 6.1.0-56-amd64
  failed    firmware
  against   linux-headers-6.1.0-56-amd64 6.1.192-2

"]]
    );
    world.write("policy.yaml", "checks:\n  depmod: {severity: warning, reason: nodes run depmod}\n");
    assert_data_eq!(
        verify(&["--policy", "policy.yaml"]).await.ended(0).err,
        str![[r"
warning[depmod]: the image has no `modules.dep` for 6.1.0-56-amd64; modprobe finds no module
  found     none
  expected  /opt/lib/modules/6.1.0-56-amd64/modules.dep
  help      run `depmod -b /opt` for this release when the image is made
            the policy has made this a warning of an error: nodes run depmod
warning[firmware]: firmware that `kmf_core.ko` may ask for is not in the image
  file      /lib/modules/6.1.0-56-amd64/kmf_core.ko
  found     nothing at `kmf/core.bin`
  expected  a file below /firmware for each
  help      add it to the profile's `firmware`, or its name to `optional`

"]]
    );

    world.write("policy.yaml", "checks:\n  depmod: {severity: ignore, reason: nodes run depmod}\n  firmware: {severity: note, reason: unused}\n");
    let json: Value = serde_json::from_str(&verify(&["--policy", "policy.yaml", "--format", "json"]).await.ended(0).out).unwrap();
    let report = &json[0];
    assert_eq!((&report["policy"], report["checks"].as_u64(), report["kernel"].as_str()), (&"policy.yaml".into(), Some(18), Some("6.1.0-56-amd64")));
    assert_eq!(report["ignored"][0]["check"], "depmod");
    assert_eq!(report["ignored"][0]["policy"], serde_json::json!({"from": "error", "reason": "nodes run depmod"}));

    let sarif: Value = serde_json::from_str(&verify(&["--policy", "policy.yaml", "--format", "sarif"]).await.ended(0).out).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let depmod = results.iter().find(|result| result["ruleId"] == "depmod").unwrap();
    assert_eq!(depmod["suppressions"][0]["justification"], "nodes run depmod");
    let rules = sarif["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/checks.md")).unwrap();
    for rule in rules {
        let (_, section) = rule["helpUri"].as_str().unwrap().split_once("docs/checks.md#").unwrap();
        assert!(page.contains(&format!("\n## {section}\n")), "docs/checks.md has no section {section}");
    }
}
