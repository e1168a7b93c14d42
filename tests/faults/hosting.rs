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
    assert_data_eq!(told, str![[r""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_charts_and_hosts_do_not_take() {
    let world = world(|record| record["targets"][0]["rollout"]["system"]["id"] = json!("../debian")).await;
    let mut told = said(&world, "systemd", &["--output", "tree"], 2).await;
    change(&world, |record| record["targets"][1]["rollout"]["loads"][0]["parameters"] = json!({ "a": "1\nload evil" }));
    told += &said(&world, "systemd", &["--output", "tree"], 2).await;
    told += &said(&world, "helm", &["--output", "charts", "--name", "Drivers"], 2).await;
    told += &said(&world, "helm", &["--output", "charts", "--chart-version", "1"], 2).await;
    assert!(!world.path("tree").exists() && !world.path("charts").exists());
    assert_data_eq!(told, str![[r""]]);
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
    assert_data_eq!(told, str![[r""]]);
}

/// A second run puts another chart, another extension in the place of the first; files that it does not write stay.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_again_holds_nothing_old() {
    let world = world(|_| ()).await;
    let objects = || fs::read_dir(world.path("charts/kmodforge-drivers/objects")).unwrap().count();
    world.run(&["deploy", "helm", "record.json", "--output", "charts"]).await.ended(0);
    assert_eq!(objects(), 2);
    change(&world, |record| drop(record["targets"].as_array_mut().unwrap().pop()));
    world.run(&["deploy", "helm", "record.json", "--output", "charts"]).await.ended(0);
    assert_eq!(objects(), 1);

    let ran = world.run(&["deploy", "systemd", "record.json", "--sysext=directory", "--output", "extensions"]).await.ended(0);
    let folder = world.path(ran.out.trim());
    fs::write(folder.join("usr/old"), "").unwrap();
    world.run(&["deploy", "systemd", "record.json", "--sysext=directory", "--output", "extensions"]).await.ended(0);
    assert!(!folder.join("usr/old").exists() && folder.join("usr/lib/kmodforge/bin/kmodforge-node").is_file());
    let names: Vec<_> = fs::read_dir(world.path("extensions")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [folder.file_name().unwrap()]);
    world.run(&["deploy", "systemd", "record.json", "--sysext", "--output", "extensions"]).await.ended(0);
    assert_eq!(fs::read(world.path(&format!("{}.raw", ran.out.trim()))).unwrap()[..4], *b"hsqs");
}
