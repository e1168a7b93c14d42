//! This machine: full disks, folders that cannot be written, and readers that go away.

use std::process::Stdio;

use kmodforge::record::Outcome;
use snapbox::{assert_data_eq, str};

use crate::bench::Act;
use crate::results::Kernel;
use crate::world::World;

const ALL: &str = "6.1.0-5*-amd64";

fn large() -> Vec<u8> {
    let noise: Vec<u8> = (0..300_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    Kernel::new("6.1.0-56-amd64").artifacts().file("tools/usr/bin/large", &noise).bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_room_for_what_the_builder_sends() {
    let world = World::new().await;
    world.bench.set("6.1.0-56", "artifacts", Act::Send(large()));
    let mount = format!("mount -t tmpfs -o size=256k none {}", world.path("tmp").display());
    let ran = world.run_mounted(&mount, &world.build_arguments(ALL, &["--jobs", "1"])).await.ended(1);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: `DIR/tmp/kmodforge-RUN/0-artifacts.tar` cannot be used: No space left on device (os error 28)
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  log       .kmodforge/logs/kmf-1.0-6.1.0-56-amd64-amd64.log (4 lines)
  help      make room, or set KMODFORGE_CACHE and TMPDIR to folders with more
exit 1

"]]
    );
    assert_eq!(world.tags(), ["1.0-6.1.0-54-amd64", "1.0-6.1.0-55-amd64"], "what has room is done");
    assert_eq!(world.record().targets[0].outcome, Outcome::Failed);
    world.build(ALL, &[]).await.ended(0);
    assert_eq!(world.tags().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_room_for_the_image() {
    let world = World::new().await;
    world.bench.set("6.1.0-56", "artifacts", Act::Send(large()));
    let mount = format!("mount -t tmpfs -o size=600k none {}", world.path("cache").display());
    let ran = world.run_mounted(&mount, &world.build_arguments("latest", &[])).await.ended(1);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: the disk is full
  file      DIR/cache/layers/.layer-PART
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      free some space and run again: what is published stays published
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_room_in_the_cache() {
    let world = World::new().await;
    let mount = format!("mount -t tmpfs -o size=4k none {}", world.path("cache").display());
    let ran = world.run_mounted(&mount, &world.build_arguments("latest", &[])).await.ended(1);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: cannot write `DIR/cache/files/PART`: no space left on the disk
  for       the repository `bookworm` of http://SITE/debian
  help      make room, or put the cache elsewhere: KMODFORGE_CACHE=DIR
exit 1

"]]
    );
    let mount = format!("mount -t tmpfs -o ro none {}", world.path("cache").display());
    let ran = world.run_mounted(&mount, &world.build_arguments("latest", &[])).await.ended(1);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: cannot write `DIR/cache/http`: read-only file system
  for       the repository `bookworm` of http://SITE/debian
  help      the cache can be put elsewhere: KMODFORGE_CACHE=DIR
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_folder_for_temporary_files() {
    let world = World::new().await;
    std::fs::remove_dir(world.path("tmp")).unwrap();
    assert_data_eq!(
        world.build("latest", &[]).await.ended(1).errors(),
        str![[r"
error: no temporary folder can be made in `DIR/tmp`: No such file or directory (os error 2)
  help      set TMPDIR to a folder that can be written and has room
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_folder_that_cannot_be_written() {
    let world = World::new().await;
    let mount = format!("mount -t tmpfs -o ro none {0}; cd {0}", world.path("work").display());
    let ran = world.run_mounted(&mount, &world.build_arguments("latest", &[])).await.ended(1);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: the record `kmodforge-record.json` cannot be written: Read-only file system (os error 30)
  help      choose another place: --record FILE; what was pushed stays pushed
exit 1

"]]
    );
    assert!(ran.err.contains("run the build log .kmodforge/logs/kmf-1.0-6.1.0-56-amd64-amd64.log could not be written\n"), "{}", ran.err);
    assert_eq!(world.tags(), ["1.0-6.1.0-56-amd64"], "the image is pushed all the same");
    assert_eq!(ran.out, "REGISTRY/drivers/kmf:1.0-6.1.0-56-amd64@sha256:DIGEST\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_cannot_be_written() {
    let world = World::new().await;
    let mut told = String::new();
    world.write("file", "");
    for output in ["oci:file", "oci:/proc/layout", "oci-archive:/nowhere/images.tar", "oci-archive:.", "docker"] {
        let ran = world.run(&["build", "--driver", "kmf", "--kernel", "latest", "--output", output]).await;
        if ran.code != Some(2) {
            assert!(ran.err.contains("\n1 target done\nrecord    "), "the end is told all the same: {}", ran.err);
        }
        told += &ran.errors();
        assert!(world.files("tmp").is_empty());
    }
    assert_data_eq!(
        told,
        str![[r"
error: cannot use `file`: File exists (os error 17)
  output    oci:file
  help      choose another place, and run again
exit 1
error: cannot use `/proc/layout`: No such file or directory (os error 2)
  output    oci:/proc/layout
  help      choose another place, and run again
exit 1
error: cannot use `/nowhere`: No such file or directory (os error 2)
  output    oci-archive:/nowhere/images.tar
  help      choose another place, and run again
exit 1
error: cannot use `.`: Device or resource busy (os error 16)
  output    oci-archive:.
  help      choose another place, and run again
exit 1
error: `--output docker` needs a Docker Engine on a socket of this machine
  builder   buildkitd 0.32.2 at unix://BUILDER
  help      use --output oci-archive:FILE, or --builder docker
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_on() {
    let world = World::new().await;
    for arguments in [
        &["plan", "--driver", "kmf", "--kernel", ALL, "--repo", "REPO", "--format", "json"][..],
        &["profile", "list"],
        &["kernels", "list", "--distro", "debian"],
        &world.build_arguments(ALL, &[]),
        &["man"],
        &["--help"],
    ] {
        let mut child = world.command(&world.with_profiles(arguments)).spawn().unwrap();
        drop(child.stdout.take());
        let ran = world.finish(child).await.ended(0);
        assert!(!ran.err.contains("error"), "{}", ran.err);
    }
    let mut command = world.command(&world.with_profiles(&world.build_arguments(ALL, &["--force"])));
    let mut child = command.spawn().unwrap();
    drop(child.stderr.take());
    world.finish(child).await.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_output_is_full() {
    let world = World::new().await;
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let child = world.command(&world.with_profiles(&["profile", "list"])).stdout(Stdio::from(full)).spawn().unwrap();
    assert_data_eq!(
        world.finish(child).await.ended(1).errors(),
        str![[r"
error: standard output could not be written: No space left on device (os error 28)
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_nothing_moves() {
    let world = World::new().await;
    let ran = world.build("latest", &["--progress", "auto", "-v"]).await.ended(0);
    assert!(!ran.err.contains(['\r', '\x1b']), "{:?}", ran.err);
    let mut command = world.command(&world.with_profiles(&world.build_arguments("latest", &["--force", "--progress", "tty"])));
    let ran = world.finish(command.spawn().unwrap()).await.ended(0);
    assert!(!ran.err.contains("\x1b[3"), "no colour: {:?}", ran.err);
}
