//! Sources and package indexes that are missing, late, cut short, or not what they should be.

use snapbox::{assert_data_eq, str};

use crate::site::Page;
use crate::world::World;

async fn told(world: &World) -> String {
    let child = world.command(&world.with_profiles(&world.build_arguments("latest", &[]))).env("KMODFORGE_TIMEOUT", "1").spawn().unwrap();
    let told = world.finish(child).await.ended(1).errors();
    assert!(world.tags().is_empty() && world.bench.solved("artifacts").is_empty() && world.files("tmp").is_empty());
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn another_source_than_the_profile_expects() {
    let world = World::new().await;
    let mut archive = world.source("obj-m := kmf_core.o\n");
    archive.extend([0; 512]);
    world.site.put("/kmf-1.0.tar", Page::Bytes(archive));
    assert_data_eq!(
        told(&world).await,
        str![[r"
error: `http://SITE/kmf-1.0.tar` is not the expected file
  found     sha256:DIGEST
  expected  sha256:DIGEST
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      the file was changed at its place or on the way; nothing of it was used
exit 1

"]]
    );
    assert!(world.files("cache/files").is_empty(), "nothing of it is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_gone() {
    let world = World::new().await;
    world.site.put("/kmf-1.0.tar", Page::Status(404));
    assert_data_eq!(
        told(&world).await,
        str![[r"
error: `http://SITE/kmf-1.0.tar` does not exist: 404 Not Found
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      check the address; a mirror may not have the file (any more)
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_places_are_told_with_what_is_wrong_with_them() {
    let world = World::new().await;
    let archive = world.source("obj-m := kmf_core.o\n");
    world.site.put("/kmf-1.0.tar", Page::Status(404));
    world.site.put("/silent.tar", Page::Silence);
    world.site.put("/cut.tar", Page::Truncated(archive.clone()));
    world.site.put("/other.tar", Page::Bytes(b"<html>".to_vec()));
    let driver = std::fs::read_to_string(world.path("profiles/drivers/kmf.yaml")).unwrap();
    let line = driver.lines().find(|line| line.contains("archive:")).unwrap();
    let more: Vec<_> = ["silent.tar", "cut.tar", "other.tar"].iter().map(|name| line.replace("kmf-{version}.tar", name)).collect();
    world.profile("drivers/kmf.yaml", &driver.replace(line, &format!("{line}\n{}", more.join("\n"))));
    assert_data_eq!(
        told(&world).await,
        str![[r"
error: none of the 4 places of the source could be used
  tried     http://SITE/kmf-1.0.tar
              `http://SITE/kmf-1.0.tar` does not exist: 404 Not Found
  tried     http://SITE/silent.tar
              `http://SITE/silent.tar` timed out: nothing came for 1 s
              attempts  2
  tried     http://SITE/cut.tar
              `http://SITE/cut.tar` broke off before its end
              found     1024 bytes
              expected  2048 bytes
              attempts  4
  tried     http://SITE/other.tar
              `http://SITE/other.tar` is not the expected file
              found     sha256:DIGEST
              expected  sha256:DIGEST
  target    kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
  help      without a way to these places, name a mirror of one: `mirrors` → `sources` in the project file
exit 1

"]]
    );
    world.site.put("/cut.tar", Page::Bytes(archive));
    let child = world.command(&world.with_profiles(&world.build_arguments("latest", &[]))).env("KMODFORGE_TIMEOUT", "1").spawn().unwrap();
    world.finish(child).await.ended(0);
    assert!(world.record().targets[0].source.as_ref().unwrap().contains("/cut.tar sha256:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patience_that_is_no_number() {
    let world = World::new().await;
    for value in ["soon", "0"] {
        let child = world.command(&world.with_profiles(&["plan", "--driver", "kmf", "--kernel", "latest"])).env("KMODFORGE_TIMEOUT", value).spawn().unwrap();
        let ran = world.finish(child).await.ended(2);
        assert_eq!(ran.errors(), format!("error: `KMODFORGE_TIMEOUT` is `{value}`\n  expected  seconds to wait for a server, from 1 to 3600\nexit 2\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn package_repositories_that_fail() {
    let world = World::new().await;
    let packages = "/debian/dists/bookworm/main/binary-amd64/Packages";
    let mut all = String::new();
    for (path, page) in [
        (packages, Page::Status(404)),
        (packages, Page::Truncated(vec![b'x'; 1000])),
        (packages, Page::Bytes(b"Package: other\n".to_vec())),
        ("/debian/dists/bookworm/InRelease", Page::Bytes(b"<html>Please log in</html>\n".to_vec())),
        ("/debian/dists/bookworm/InRelease", Page::Status(503)),
        ("/debian/dists/bookworm/InRelease", Page::Silence),
        ("/debian/dists/bookworm/InRelease", Page::Status(404)),
    ] {
        world.site.put(path, page);
        all += &told(&world).await;
        world.site.publish(crate::world::KERNELS, "6.1.192-2");
        let _ = std::fs::remove_dir_all(world.path("cache"));
    }
    assert_data_eq!(
        all,
        str![[r"
error: `http://SITE/debian/dists/bookworm/main/binary-amd64/Packages` does not exist: 404 Not Found
  for       the repository `bookworm` of http://SITE/debian
  help      check the address; a mirror may not have the file (any more)
exit 1
error: `http://SITE/debian/dists/bookworm/main/binary-amd64/Packages` broke off before its end
  for       the repository `bookworm` of http://SITE/debian
  found     500 bytes
  expected  1000 bytes
  attempts  4
  help      try again; if it stays so, the server or a proxy cuts the file
exit 1
error: the repository `bookworm` of http://SITE/debian does not fit together
  file      http://SITE/debian/dists/bookworm/main/binary-amd64/Packages
  found     sha256:DIGEST
  expected  sha256:DIGEST (its Release file)
  help      the mirror is being updated: try again in some minutes
exit 1
error: `InRelease` of the repository `bookworm` of http://SITE/debian cannot be read: a line in it is no field
  help      something between here and the repository answers in its place, or the mirror is damaged
exit 1
error: `http://SITE/debian/dists/bookworm/InRelease` cannot be fetched: 503 Service Unavailable
  for       the repository `bookworm` of http://SITE/debian
  attempts  4
  help      the server has a problem; try again later, or use a mirror
exit 1
error: `http://SITE/debian/dists/bookworm/InRelease` timed out: nothing came for 1 s
  for       the repository `bookworm` of http://SITE/debian
  attempts  2
  help      check the network and the proxy variables, or use a mirror
exit 1
error: the repository `bookworm` of http://SITE/debian does not exist
  asked for  `InRelease`, then `Release`
  help       releases that are no longer supported move to an archive: name it in `mirrors`, or in a profile of your own
exit 1

"]]
    );
}
