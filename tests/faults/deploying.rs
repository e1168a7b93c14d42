//! Records that cannot be deployed, and manifests that cannot be.

use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::bench::Act;
use crate::world::World;

/// A world with two published images.
async fn world() -> World {
    let world = World::new().await;
    world.build("6.1.0-5[56]-amd64", &[]).await.ended(0);
    world
}

/// Writes the record of the last build as `record.json`, changed.
fn change(world: &World, how: impl Fn(&mut Value)) {
    let mut record = serde_json::to_value(world.record()).unwrap();
    how(&mut record);
    world.write("record.json", &record.to_string());
}

/// What is said about the record when it is deployed.
async fn said(world: &World, options: &[&str], code: i32) -> String {
    let ran = world.run(&[&["deploy", "daemonset", "record.json"], options].concat()).await.ended(code);
    assert_eq!(ran.out, "", "standard output is for manifests");
    ran.errors()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_this_program_does_not_know() {
    let world = world().await;
    change(&world, |record| (record["schema"], record["tool"]) = (json!(2), json!("kmodforge 9.0.0")));
    let mut told = said(&world, &[], 2).await;
    world.write("record.json", "{\"schema\": 1");
    told += &said(&world, &[], 2).await;
    change(&world, |record| drop(record["targets"][0].as_object_mut().unwrap().remove("rollout")));
    told += &said(&world, &[], 2).await;
    change(&world, |record| record["targets"][0]["target"]["driver"] = json!("../kmf"));
    told += &said(&world, &[], 2).await;
    assert_data_eq!(
        told,
        str![[r"
error: `record.json` is no record of kmodforge: its schema is 2, and this program knows 1
  help      expected what `kmodforge build` writes: kmodforge-record.json
  help      kmodforge 9.0.0 wrote it: use that, or a newer one
exit 2
error: `record.json` is no record of kmodforge: EOF while parsing an object at line 1 column 12
  help      expected what `kmodforge build` writes: kmodforge-record.json
exit 2
error: the record of kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64) does not say what nodes must know
  help      an older kmodforge wrote it: run `kmodforge build --push` again, which records what is published
exit 2
error: the record of ../kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64): `../kmf` is not an id; expected lower-case letters, digits, `.`, `_` and `-`, at most 40 of them
  help      expected what `kmodforge build` writes: kmodforge-record.json
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_without_a_published_image() {
    let world = World::new().await;
    world.bench.set("6.1.0-55", "artifacts", Act::Send(b"no tar".to_vec()));
    world.build("6.1.0-5[56]-amd64", &[]).await.ended(1);
    world.write("record.json", &serde_json::to_string(&world.record()).unwrap());
    assert_data_eq!(
        said(&world, &[], 1).await,
        str![[r"
error: a target has no published image
  missing   kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64): the builder's tar is refused: it is truncated: it ends at byte 6
  help      build and push them: kmodforge build --push
  help      deploy the others alone: --allow-missing
exit 1

"]]
    );
    let ran = world.run(&["deploy", "daemonset", "record.json", "--allow-missing"]).await.ended(0);
    assert_eq!(ran.out.matches("kind: DaemonSet\n").count(), 1);
    assert!(ran.err.contains("left out: kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64): "), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_drivers_with_one_module_or_two_images_for_one_node() {
    let world = world().await;
    change(&world, |record| {
        let mut other = record["targets"][0].clone();
        other["target"]["driver"] = json!("rival");
        record["targets"].as_array_mut().unwrap().push(other);
    });
    let mut told = said(&world, &[], 2).await;
    change(&world, |record| {
        let mut other = record["targets"][0].clone();
        other["target"]["distro_release"] = json!("trixie");
        record["targets"].as_array_mut().unwrap().push(other);
    });
    told += &said(&world, &[], 2).await;
    assert_data_eq!(
        told,
        str![[r"
error: `kmf_core` for 6.1.0-56-amd64 comes from two drivers: kmf 1.0 and rival 1.0
  help      deploy one of the two: --driver NAME, or a record of its own
exit 2
error: two images of kmf are for the same nodes with 6.1.0-56-amd64
  found     1.0 (debian bookworm)
            1.0 (debian trixie)
  help      deploy one of the two: a record of its own, or --driver NAME@VERSION and --distro ID:RELEASE
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn kernels_whose_labels_collide_are_told_apart_on_the_node() {
    let world = world().await;
    change(&world, |record| {
        record["targets"][0]["target"]["kernel"] = json!("5.10.109");
        record["targets"][1]["target"]["kernel"] = json!("5.10.109+");
    });
    let ran = world.run(&["deploy", "daemonset", "record.json"]).await.ended(0);
    assert_eq!(ran.out.matches("kind: DaemonSet\n").count(), 2);
    assert_eq!(ran.out.matches("feature.node.kubernetes.io/kernel-version.full: \"5.10.109\"\n").count(), 2);
    assert_eq!(ran.out.matches("\"$(uname -r)\" != 5.10.109 ]").count(), 1);
    assert_eq!(ran.out.matches("\"$(uname -r)\" != 5.10.109+ ]").count(), 1);
    assert!(ran.err.contains("nodes with 5.10.109 and with 5.10.109+ look alike: pods ask `uname -r`, and idle on the others"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_kubernetes_does_not_take() {
    let world = world().await;
    change(&world, |_| ());
    let long = "n".repeat(60);
    let mut told = String::new();
    for options in [
        &["--namespace", "Drivers"][..],
        &["--namespace", &long, "--namespace-per", "driver"],
        &["--kernel-label", "a label"],
        &["--update", "rolling:0"],
        &["--toleration", "gpu:Never"],
        &["--catch-all"],
        &["--driver", "kmf"],
    ] {
        told += &said(&world, options, 2).await;
    }
    let odd = format!("6.1.0+{}", "x".repeat(58));
    change(&world, |record| record["targets"][0]["target"]["kernel"] = json!(odd));
    told += &said(&world, &[], 2).await;
    assert_data_eq!(
        told,
        str![[r"
error: invalid value 'Drivers' for '--namespace <NAME>': expected at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends
exit 2
error: `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn-kmf` cannot be the namespace of kmf
  help      expected at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends; choose a shorter --namespace
exit 2
error: invalid value 'a label' for '--kernel-label <KEY>': expected `NAME` or `DOMAIN/NAME` of letters, digits, `-`, `_` and `.`, the name of at most 63 characters
exit 2
error: invalid value 'rolling:0' for '--update <STRATEGY>': expected `rolling`, `rolling:N`, `rolling:N%` or `on-delete`
exit 2
error: invalid value 'gpu:Never' for '--toleration <KEY[=VALUE][:EFFECT]>': expected `KEY[=VALUE][:EFFECT]` with NoSchedule, PreferNoSchedule or NoExecute, or `*` for all
exit 2
error: the following required arguments were not provided:
  --labeller-image <IMAGE>
exit 2
error: records and a selection of targets exclude each other
  help      name records, whose images are deployed, or drivers and kernels, whose images are looked for in the registry
exit 2
error: no label tells nodes with 6.1.0+xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx: its 64 characters are more than the 63 that a label holds
  help      give nodes a label of your own, cut at 63 characters, and name it: --kernel-label KEY
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_somebody_else_s() {
    let world = world().await;
    change(&world, |_| ());
    world.write("tree/kustomization.yaml", "resources: []\n");
    assert_data_eq!(
        said(&world, &["--kustomize", "tree"], 2).await,
        str![[r"
error: `tree` is not empty, and not written by kmodforge
  expected  an empty folder, or a `kustomization.yaml` that begins with `# Written by kmodforge; what it lists is replaced when it is written again.`
  help      name another folder: --kustomize DIR; an overlay of yours can list it as a resource
exit 2

"]]
    );
    assert_eq!(world.files("work/tree"), ["kustomization.yaml"]);
}

/// Whichever was pushed last, the record of each has the index that the tag points to at the end.
#[tokio::test(flavor = "multi_thread")]
async fn architectures_of_a_tag_have_its_last_index() {
    let world = World::new().await;
    let tag = "{{ driver.version }}-{{ distro.release }}";
    let both = ["--kernel", "6.1.0-56-arm64", "--tag-template", tag];
    let tagged = || {
        let index = world.registry.state().manifests[&("drivers/kmf".to_owned(), "1.0-bookworm".to_owned())].1.clone();
        Some(kmodforge::reference::Digest::of(&index).to_string())
    };
    let recorded = || world.record().targets.into_iter().map(|target| target.index_digest).collect::<Vec<_>>();
    // One is published, and gets a neighbour.
    world.build("6.1.0-56-amd64", &both[2..]).await.ended(0);
    assert_eq!(recorded(), [tagged()]);
    world.build("6.1.0-56-amd64", &both).await.ended(0);
    assert_eq!(recorded(), [tagged(), tagged()]);
    // Both are built, in whatever order.
    world.build("6.1.0-56-amd64", &[&both[..], &["--force"]].concat()).await.ended(0);
    assert_eq!(recorded(), [tagged(), tagged()]);
}
