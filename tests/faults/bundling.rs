//! Bundles: filled where there is a network, used where there is none, and what is said when that goes wrong.

use std::fs;
use std::path::PathBuf;

use kmodforge::bundle::Contents;
use kmodforge::reference::Digest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use snapbox::{assert_data_eq, str};

use crate::bench::Act;
use crate::site::Page;
use crate::world::{Ran, World};

const FETCH: [&str; 7] = ["fetch", "--driver", "kmf", "--kernel", "latest", "--output", "bundle"];

/// A world with a bundle for the newest kernel, in which nothing is remembered and nobody answers any more.
async fn gapped() -> World {
    let world = World::new().await;
    world.run(&FETCH).await.ended(0);
    close(&world);
    world
}

fn close(world: &World) {
    world.site.close();
    forget(world);
}

fn forget(world: &World) {
    let _ = fs::remove_dir_all(world.path("cache"));
    world.bench.clear();
}

async fn offline(world: &World, kernel: &str, arguments: &[&str]) -> Ran {
    world.build(kernel, &[&["--offline", "bundle"], arguments].concat()).await
}

fn contents(world: &World) -> Contents {
    serde_json::from_slice(&fs::read(world.path("work/bundle/bundle.json")).unwrap()).unwrap()
}

/// The file of the bundle that is from an address that ends like this.
fn file(world: &World, end: &str) -> PathBuf {
    let contents = contents(world);
    let (sha256, _) = contents.files.iter().find(|(_, facts)| facts.from.contains(end)).unwrap();
    world.path("work/bundle/files").join(sha256)
}

fn change(world: &World, how: impl FnOnce(&mut Value)) {
    let path = world.path("work/bundle/bundle.json");
    let mut value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    how(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_the_same_with_and_without_a_network() {
    let world = World::new().await;
    world.build("latest", &[]).await.ended(0);
    let online = world.record().targets.remove(0);
    let ran = world.run(&FETCH).await.ended(0);
    assert_data_eq!(ran.out.as_str(), "bundle@sha256:DIGEST\n");
    assert_data_eq!(
        ran.calm(),
        str![[r"
builder: buildkitd 0.32.2 at unix://BUILDER
TIME run started, 1 target
TIME kmf@1.0/6.1.0-56-amd64 started
TIME kmf@1.0/6.1.0-56-amd64 fetch started
TIME kmf@1.0/6.1.0-56-amd64 toolchain started
TIME kmf@1.0/6.1.0-56-amd64 toolchain [build 3/4] RUN make modules started
TIME kmf@1.0/6.1.0-56-amd64 toolchain [build 3/4] RUN make modules done SOMEs
TIME kmf@1.0/6.1.0-56-amd64 toolchain compressing what was installed
TIME kmf@1.0/6.1.0-56-amd64 done fetched SOMEs
SOME B in 7 files, for 1 target

"]]
    );
    assert_eq!(contents(&world).targets.into_iter().collect::<Vec<_>>(), ["kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)"]);
    close(&world);
    offline(&world, "latest", &["--force"]).await.ended(0);
    let offline = world.record().targets.remove(0);
    assert_eq!((offline.digest, offline.input_digest), (online.digest, online.input_digest));
    assert!(world.bench.solved("warm").is_empty(), "nothing is installed");
    let planned = world.run(&["plan", "--driver", "kmf", "--kernel", "latest", "--repo", "REPO", "--offline", "bundle"]).await.ended(0);
    assert!(planned.out.contains("published"), "{}", planned.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rendered_needs_no_network_either() {
    let world = gapped().await;
    let ran = world.run(&["render", "--driver", "kmf", "--kernel", "latest", "--output", "out", "--offline", "bundle"]).await.ended(0);
    let folder = world.path("work").join(ran.out.trim());
    let dockerfile = fs::read_to_string(folder.join("Dockerfile")).unwrap();
    assert!(dockerfile.contains("\nFROM scratch AS base\nADD toolchain.tar.gz /\n") && !dockerfile.contains("apt-get"), "{dockerfile}");
    for package in ["headers/linux-headers-6.1.0-56-amd64 6.1.192-2 amd64", "headers/linux-kbuild-6.1 6.1.192-2 amd64", "tools/kmod 30+20221128-1 amd64"] {
        let (stage, text) = package.split_once('/').unwrap();
        assert_eq!(fs::read_to_string(folder.join("packages").join(stage).join(Digest::of(text.as_bytes()).hex())).unwrap(), text);
    }
    assert!(folder.join("toolchain.tar.gz").is_file() && folder.join("source.tar").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_bundle_was_not_made_for() {
    let world = gapped().await;
    let mut told = offline(&world, "6.1.0-54-amd64", &[]).await.ended(1).errors();
    let source = world.source("obj-m := kmf_core.o # another\n");
    told += &offline(&world, "latest", &[]).await.ended(1).errors().replace(Digest::of(&source).hex(), "HEX");
    world.source("obj-m := kmf_core.o\n");
    let distro = fs::read_to_string(world.path("profiles/distros/debian.yaml")).unwrap();
    world.profile("distros/debian.yaml", &distro.replace("packages: [make, kmod]", "packages: [make, kmod, bc]"));
    told += &offline(&world, "latest", &[]).await.ended(1).errors();
    let fallback =
        "    fallbacks:\n      - {id: snapshot, repositories: [{url: 'SITE/old/{timestamp}', suite: bookworm, components: [main]}]}\n    default_compiler";
    world.profile("distros/debian.yaml", &distro.replace("    default_compiler", fallback));
    told += &offline(&world, "latest", &["--fallback", "snapshot=20260301T000000Z"]).await.ended(1).errors();
    assert!(world.bench.solved("artifacts").is_empty() && world.tags().is_empty());
    assert_data_eq!(
        told,
        str![[r"
error: `http://SITE/debian/pool/linux-headers-6.1.0-54-amd64_6.1.192-2_amd64.deb` is not in the bundle `bundle`
  made for  kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  target    kmf 1.0 for 6.1.0-54-amd64 (debian bookworm, amd64)
  help      fetch again where there is a network, with this among what is selected: kmodforge fetch … --output bundle
exit 1
error: `http://SITE/kmf-1.0.tar` is not in the bundle `bundle`
  made for  kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      fetch again where there is a network, with this among what is selected: kmodforge fetch … --output bundle
exit 1
error: `toolchain of debian bookworm for amd64: gcc-12` is not in the bundle `bundle`
  made for  kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      fetch again where there is a network, with this among what is selected: kmodforge fetch … --output bundle
exit 1
error: `http://SITE/old/20260301T000000Z/dists/bookworm/InRelease` is not in the bundle `bundle`
  for       the repository `bookworm` of http://SITE/old/20260301T000000Z
  made for  kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      fetch again where there is a network, with this among what is selected: kmodforge fetch … --output bundle
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_gone_or_changed() {
    let world = gapped().await;
    let mut told = String::new();
    for (end, bytes) in [("/InRelease", Some("forged")), ("/kmf-1.0.tar", None), ("/linux-headers-6.1.0-56", Some("")), ("toolchain of", Some("forged"))] {
        let path = file(&world, end);
        let good = fs::read(&path).unwrap();
        match bytes {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        told += &offline(&world, "latest", &[]).await.ended(1).errors();
        fs::write(&path, good).unwrap();
        forget(&world);
    }
    let named = regex::Regex::new("files/[0-9a-f]{64}").unwrap().replace_all(&told, "files/HEX").into_owned();
    assert!(world.bench.solved("artifacts").is_empty() && world.tags().is_empty());
    assert_data_eq!(
        named,
        str![[r"
error: `bundle/files/HEX` is not what the bundle lists
  for       the repository `bookworm` of http://SITE/debian
  from      http://SITE/debian/dists/bookworm/InRelease
  found     sha256:DIGEST
  expected  sha256:DIGEST
  help      copy the bundle again, or fetch again: what is good in it is kept
exit 1
error: `bundle/files/HEX` is not what the bundle lists
  from      http://SITE/kmf-1.0.tar
  found     nothing
  expected  sha256:DIGEST
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      copy the bundle again, or fetch again: what is good in it is kept
exit 1
error: `bundle/files/HEX` is not what the bundle lists
  from      http://SITE/debian/pool/linux-headers-6.1.0-56-amd64_6.1.192-2_amd64.deb
  found     sha256:DIGEST
  expected  sha256:DIGEST
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      copy the bundle again, or fetch again: what is good in it is kept
exit 1
error: `bundle/files/HEX` is not what the bundle lists
  from      toolchain of debian bookworm for amd64: gcc-12
  found     sha256:DIGEST
  expected  sha256:DIGEST
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      copy the bundle again, or fetch again: what is good in it is kept
exit 1

"]]
    );
    offline(&world, "latest", &[]).await.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_an_image_has_are_in_no_bundle() {
    let world = World::new().await;
    let arguments = ["fetch", "--driver", "kmf", "--kernel", "6.1.0-57-amd64", "--headers-image", "registry.example/devel:1", "--output", "bundle"];
    assert_data_eq!(
        world.run(&arguments).await.errors(),
        str![[r"
error: a bundle cannot hold the headers of 6.1.0-57-amd64
  because   they are part of the image registry.example/devel:1
  help      copy the image to a registry within reach, name that in `mirrors` → `images`, and build without a bundle
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_bundle() {
    let world = gapped().await;
    let mut told = world.build("latest", &["--offline", "nowhere"]).await.ended(2).errors();
    change(&world, |contents| contents["schema"] = 2.into());
    told += &offline(&world, "latest", &[]).await.ended(2).errors();
    told += &world.run(&FETCH).await.ended(2).errors();
    fs::write(world.path("work/bundle/bundle.json"), "{").unwrap();
    told += &offline(&world, "latest", &[]).await.ended(1).errors();
    world.write("full/notes.txt", "");
    told += &world.run(&["fetch", "--driver", "kmf", "--kernel", "latest", "--output", "full"]).await.ended(2).errors();
    told += &world.run(&["fetch", "--driver", "kmf", "--kernel", "latest", "--output", "full/notes.txt"]).await.ended(1).errors();
    told += &world.run(&["fetch", "--driver", "kmf", "--kernel", "latest"]).await.ended(2).errors();
    assert_data_eq!(
        told,
        str![[r"
error: there is no bundle in `nowhere`
  help      make it where there is a network: kmodforge fetch … --output nowhere
exit 2
error: the bundle `bundle` was made by a newer version
  found     schema 2, by kmodforge 0.1.0
  expected  schema 1 or older
  help      build with that version, or fetch with this one
exit 2
error: the bundle `bundle` was made by a newer version
  found     schema 2, by kmodforge 0.1.0
  expected  schema 1 or older
  help      build with that version, or fetch with this one
exit 2
error: `bundle/bundle.json` cannot be read: EOF while parsing an object at line 1 column 1
  help      copy the bundle again, or fetch again: what is good in it is kept
exit 1
error: `full` holds something else than a bundle
  found     notes.txt
  help      name a folder that is empty or not there yet: --output DIR
exit 2
error: the bundle `full/notes.txt` cannot be written: Not a directory (os error 20)
  help      make room, or name another folder: --output DIR; what is in it already is kept
exit 1
error: the following required arguments were not provided:
  --output <DIR>
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_room_or_that_cannot_be_written() {
    let world = World::new().await;
    fs::create_dir(world.path("work/bundle")).unwrap();
    let mut told = String::new();
    for options in ["size=12k", "ro"] {
        let mount = format!("mount -t tmpfs -o {options} none {}", world.path("work/bundle").display());
        told += &world.run_mounted(&mount, &FETCH).await.ended(1).errors();
    }
    assert_data_eq!(
        told,
        str![[r"
error: the bundle `bundle` cannot be written: no space left on the disk
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      make room, or name another folder: --output DIR; what is in it already is kept
exit 1
error: the bundle `bundle` cannot be written: Read-only file system (os error 30)
  help      make room, or name another folder: --output DIR; what is in it already is kept
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_fetch_brings_what_is_new() {
    let world = World::new().await;
    world.run(&FETCH).await.ended(0);
    let old = file(&world, "/linux-headers-6.1.0-56");
    world.bench.clear();
    world.run(&FETCH).await.ended(0);
    assert!(world.bench.solved("toolchain").is_empty(), "the toolchain is there");
    world.site.publish(crate::world::KERNELS, "6.1.999-1");
    forget(&world);
    world.run(&FETCH).await.ended(0);
    assert!(!old.exists() && file(&world, "/linux-headers-6.1.0-56").exists());
    world.run(&[&FETCH[..], &["--no-cache"]].concat()).await.ended(0);
    assert_eq!(world.bench.solved("toolchain").len(), 1);
    assert_eq!(fs::read_dir(world.path("work/bundle/files")).unwrap().count(), contents(&world).files.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_that_cannot_be_fetched_leave_the_others() {
    let world = World::new().await;
    world.site.put("/debian/pool/linux-headers-6.1.0-55-amd64_6.1.192-2_amd64.deb", Page::Status(404));
    let ran = world.run(&["fetch", "--driver", "kmf", "--kernel", "6.1.0-5[56]-amd64", "--output", "bundle"]).await.ended(1);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: `http://SITE/debian/pool/linux-headers-6.1.0-55-amd64_6.1.192-2_amd64.deb` does not exist: 404 Not Found
  target    kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64)
  help      check the address; a mirror may not have the file (any more)
exit 1

"]]
    );
    assert!(ran.err.contains("\n1 target not fetched; run again: what is there stays\n"), "{}", ran.err);
    close(&world);
    offline(&world, "6.1.0-56-amd64", &[]).await.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_broken_off_leaves_nothing_half() {
    let mut world = World::new().await;
    world.bench.set("6.1.0-56", "toolchain", Act::Hang("[toolchain 1/1] RUN apt-get"));
    let child = world.command(&world.with_profiles(&FETCH)).spawn().unwrap();
    world.bench.begun(1).await;
    kill_process(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap(), Signal::INT).unwrap();
    world.builder.as_mut().unwrap().idle().await;
    let ran = world.finish(child).await.ended(130);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: interrupted before `bundle` was complete
  help      run again: what was fetched stays
exit 130

"]]
    );
    assert!(!world.path("work/bundle/bundle.json").exists());
    assert!(world.files("work/bundle").iter().all(|name| !name.contains("part")), "{:?}", world.files("work/bundle"));
    world.bench.clear();
    world.run(&FETCH).await.ended(0);
}

/// What was valid when it was fetched stays valid in its bundle: that moment counts, not the clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_judged_by_the_time_when_it_was_filled() {
    let world = World::new().await;
    let path = "/debian/dists/bookworm/InRelease";
    let signed = String::from_utf8(world.site.get(path)).unwrap();
    let text = kmodforge::openpgp::Clearsigned::parse(&signed).unwrap().text;
    let date = std::process::Command::new("date").args(["--utc", "--date=1 hour", "+%a, %d %b %Y %T UTC"]).env("LC_ALL", "C").output().unwrap();
    let until = format!("Suite: bookworm\nValid-Until: {}", String::from_utf8(date.stdout).unwrap());
    world.site.put(path, Page::Bytes(crate::signing::clearsign(&text.replace("Suite: bookworm\n", &until)).into_bytes()));
    world.run(&FETCH).await.ended(0);
    close(&world);
    offline(&world, "latest", &[]).await.ended(0);
    let fetched = contents(&world).fetched;
    change(&world, |contents| contents["fetched"] = (fetched + 7200).into());
    let said = offline(&world, "latest", &[]).await.ended(1).errors();
    assert!(said.starts_with("error: the repository `bookworm` of http://SITE/debian has expired"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_can_follow() {
    let world = World::new().await;
    let ran = world.run(&[&FETCH[..], &["--progress", "json"]].concat()).await.ended(0);
    let lines: Vec<Value> = ran.err.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let finished = lines.iter().find(|line| line["event"] == "target-finished").unwrap();
    assert_eq!((&finished["record"]["outcome"], &finished["record"]["why"]), (&"fetched".into(), &"fetched".into()));
    let phases: Vec<_> = lines.iter().filter(|line| line["event"] == "phase").map(|line| line["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["fetch", "toolchain"]);
}
