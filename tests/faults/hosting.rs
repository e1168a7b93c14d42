//! Charts and files for hosts: what is refused, and that nothing half-written is left behind.

use std::fs;

use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::world::World;

/// A world with two published images, and their record as `record.json`, changed.
async fn world(how: impl Fn(&mut Value)) -> World {
    let world = World::new().await;
    world.build("6.1.0-5[56]-amd64", &[]).await.ended(0);
    change(&world, how);
    world
}

fn change(world: &World, how: impl Fn(&mut Value)) {
    let mut record = serde_json::to_value(world.record()).unwrap();
    how(&mut record);
    world.write("record.json", &record.to_string());
}

async fn said(world: &World, kind: &str, options: &[&str], code: i32) -> String {
    let ran = world.run(&[&["deploy", kind, "record.json"], options].concat()).await.ended(code);
    assert_eq!(ran.out, "", "standard output is for what was made");
    ran.errors()
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_are_none() {
    let world = world(|_| ()).await;
    world.write("file", "");
    let mut told = said(&world, "systemd", &[], 2).await;
    told += &said(&world, "systemd", &["--sysext"], 2).await;
    told += &said(&world, "systemd", &["--output", "file/tree"], 1).await;
    told += &said(&world, "systemd", &["--format", "butane", "--output", "file/host.bu"], 1).await;
    told += &said(&world, "helm", &[], 2).await;
    told += &said(&world, "helm", &["--output", "file/charts"], 1).await;
    told += &said(&world, "helm", &["--push=oci://"], 2).await;
    assert_data_eq!(
        told,
        str![[r"
error: there is no folder to write to
  help      name one: --output DIR
  help      or print a configuration: --format butane
exit 2
error: there is no folder to write to
  help      name one: --output DIR
  help      or print a configuration: --format butane
exit 2
error: `file/tree/opt/kmodforge/bin/kmodforge-node` cannot be written: Not a directory (os error 20)
  help      choose another place: --output PATH
exit 1
error: `file/host.bu` cannot be written: File exists (os error 17)
  help      choose another place: --output PATH
exit 1
error: there is no place for the chart
  help      name a folder: --output DIR
  help      or push it: --push
exit 2
error: `file/charts/kmodforge-drivers` cannot be written: Not a directory (os error 20)
  help      choose another place: --output PATH
exit 1
error: `` is not an image reference: the name is empty
  help      expected oci://REGISTRY/PATH
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_charts_and_hosts_do_not_take() {
    let world = world(|record| record["targets"][0]["rollout"]["system"]["id"] = json!("../debian")).await;
    let mut told = said(&world, "systemd", &["--output", "tree"], 2).await;
    change(&world, |record| record["targets"][1]["rollout"]["loads"][0]["parameters"] = json!({ "a": "1\nload evil" }));
    told += &said(&world, "systemd", &["--output", "tree"], 2).await;
    told += &said(&world, "helm", &["--output", "charts", "--name", "Drivers"], 2).await;
    told += &said(&world, "helm", &["--output", "charts", "--chart-version", "1"], 2).await;
    assert!(!world.path("work/tree").exists() && !world.path("work/charts").exists());
    assert_data_eq!(
        told,
        str![[r#"
error: the system of kmf is `../debian-12`
  expected  one line of text; names of letters, digits and `._+~-`
  help      records come from the profiles: correct the driver's, and build again
exit 2
error: the parameter of kmf is `a=/"1/nload evil/"`
  expected  one line of text; names of letters, digits and `._+~-`
  help      records come from the profiles: correct the driver's, and build again
exit 2
error: invalid value 'Drivers' for '--name <NAME>': expected at most 63 lower-case letters, digits and `-`, a letter first
exit 2
error: invalid value '1' for '--chart-version <VERSION>': expected a semantic version: `1.2.3`, `1.2.3-rc.1`, `1.2.3+build.5`
exit 2

"#]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_is_another_one() {
    let world = world(|_| ()).await;
    let ran = world.run(&["deploy", "helm", "record.json", "--push"]).await.ended(0);
    assert_eq!(world.run(&["deploy", "helm", "record.json", "--push"]).await.ended(0).out, ran.out);
    change(&world, |record| drop(record["targets"].as_array_mut().unwrap().pop()));
    let mut told = said(&world, "helm", &["--push"], 1).await;
    change(&world, |record| {
        let image = record["targets"][0]["image"].as_str().unwrap().replace("/kmf:", "/elsewhere/kmf:");
        record["targets"][0]["image"] = json!(image);
    });
    told += &said(&world, "helm", &["--push"], 2).await;
    assert_data_eq!(
        told,
        str![[r"
error: `REGISTRY/drivers/kmodforge-drivers:0.1.0` is another chart
  found     sha256:DIGEST
  expected  sha256:DIGEST
  help      give this one a version of its own: --chart-version VERSION
exit 1
error: the images are in several places, and the chart can be beside one of them only
  found     REGISTRY/drivers, REGISTRY/drivers/elsewhere
  help      name the place: --push=oci://REGISTRY/PATH
exit 2

"]]
    );
}

/// A second run puts another chart, another extension in the place of the first; files that it does not write stay.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_again_holds_nothing_old() {
    let world = world(|_| ()).await;
    let objects = || fs::read_dir(world.path("work/charts/kmodforge-drivers/objects")).unwrap().count();
    world.run(&["deploy", "helm", "record.json", "--output", "charts"]).await.ended(0);
    assert_eq!(objects(), 2);
    change(&world, |record| drop(record["targets"].as_array_mut().unwrap().pop()));
    world.run(&["deploy", "helm", "record.json", "--output", "charts"]).await.ended(0);
    assert_eq!(objects(), 1);

    let ran = world.run(&["deploy", "systemd", "record.json", "--sysext=directory", "--output", "extensions"]).await.ended(0);
    let folder = world.path("work").join(ran.out.trim());
    fs::write(folder.join("usr/old"), "").unwrap();
    world.run(&["deploy", "systemd", "record.json", "--sysext=directory", "--output", "extensions"]).await.ended(0);
    assert!(!folder.join("usr/old").exists() && folder.join("usr/lib/kmodforge/bin/kmodforge-node").is_file());
    let names: Vec<_> = fs::read_dir(world.path("work/extensions")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [folder.file_name().unwrap()]);
    world.run(&["deploy", "systemd", "record.json", "--sysext", "--output", "extensions"]).await.ended(0);
    assert_eq!(fs::read(folder.with_file_name(format!("{}.raw", folder.file_name().unwrap().display()))).unwrap()[..4], *b"hsqs");
}
