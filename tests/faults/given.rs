//! Sources without a profile that cannot be had, cannot be trusted, or do not tell how they are built.

use snapbox::{assert_data_eq, str};

use crate::results::Tar;
use crate::site::Page;
use crate::world::World;

impl World {
    /// What `plan` says about a source; a warning that nothing vouches for an archive is left out.
    async fn given(&self, arguments: &[&str]) -> String {
        let ran = self.run(&[&["plan", "--kernel", "latest", "--no-registry"], arguments].concat()).await;
        ran.errors()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_hold_no_source() {
    let world = World::new().await;
    world.write("file.tar.gz", "");
    world.write("empty/README", "");
    let mut told = String::new();
    for source in ["missing", "file.tar.gz", "empty", "deb:kmf-dkms", "ftp://camera.example/x.tar"] {
        told += &world.given(&["--source", source]).await;
    }
    assert_data_eq!(
        told,
        str![[r"
error: the source `missing` cannot be read: No such file or directory (os error 2)
  help      expected a directory, the `http://` or `https://` address of an archive, or `deb:PACKAGE`
exit 2
error: the source `file.tar.gz` is a file
  help      unpack it, or name its address: https://…
exit 2
error: `DIR/work/empty` does not tell how it is built
  found     README
  expected  a `dkms.conf`, a `Kbuild` or `Makefile` with `obj-m`, a `configure` script, or a `Makefile` for modules
  help      name the directory in it that has one: --source-directory DIR; or write a profile: docs/driver-profiles.md
exit 2
error: there is no package `kmf-dkms`
  looked in  debian bookworm (every component)
  help       look for it with `apt search`; another release's: --distro ID:RELEASE, or deb:PACKAGE/SUITE
exit 1
error: invalid value 'ftp://camera.example/x.tar' for '--source <DIR|URL|deb:PACKAGE>': expected a directory, the `http://` or `https://` address of an archive, or `deb:PACKAGE`
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_are_not_what_they_should_be() {
    let world = World::new().await;
    let site = world.site.url();
    let mut told = String::new();
    let bomb = Tar::new().file("camera/../../etc/cron.d/x", b"").bytes();
    for (name, page) in [("gone.tar", Page::Status(404)), ("page.tar", Page::Bytes(b"<html>".to_vec())), ("outside.tar", Page::Bytes(bomb))] {
        world.site.put(&format!("/{name}"), page);
        told += &world.given(&["--source", &format!("{site}/{name}")]).await;
    }
    let digest = "0".repeat(64);
    told += &world.given(&["--source", &format!("{site}/page.tar"), "--source-sha256", &digest]).await;
    told += &world.given(&["--source", ".", "--source-sha256", &digest]).await;
    assert_data_eq!(
        told,
        str![[r"
error: `http://SITE/gone.tar` does not exist: 404 Not Found
  help      check the address; a mirror may not have the file (any more)
exit 1
error: `http://SITE/page.tar` cannot be used: it is not a tar archive
  help      expected a tar archive: plain, or compressed with gzip, bzip2, xz or zstd
exit 1
error: `http://SITE/outside.tar` cannot be used: `camera/../../etc/cron.d/x` leads out of the archive
  help      such an entry could write outside of the source; nothing was unpacked
exit 1
error: `http://SITE/page.tar` is not the expected file
  found     sha256:DIGEST
  expected  sha256:DIGEST
  help      the file was changed at its place or on the way; nothing of it was used
exit 1
error: `--source-sha256` is for the address of an archive
  found     .
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_the_source_as_it_was_given() {
    let world = World::new().await;
    world.write("camera/dkms.conf", "PACKAGE_NAME=camera\nPACKAGE_VERSION=1.2\n");
    let ran = world.run(&["plan", "--source", "camera", "--kernel", "latest", "--no-registry", "--format", "github"]).await.ended(0);
    assert_eq!(
        ran.out,
        "{\"include\":[{\"name\":\"camera 1.2 6.1.0-56-amd64\",\"options\":\"--source=camera --source-name=camera@1.2 --distro=debian:bookworm --arch=amd64 --kernel=6.1.0-56-amd64\"}]}\n"
    );
    let mut told = world.run(&["plan", "--source", "camera"]).await.ended(2).errors();
    told += &world.run(&["plan", "--source", "camera", "--source-name", "Camera!", "--kernel", "latest"]).await.ended(2).errors();
    told += &world.run(&["plan", "--driver", "kmf", "--source-name", "camera", "--kernel", "latest"]).await.ended(2).errors();
    told += &world.run(&["profile", "check", "--boot"]).await.ended(2).errors();
    assert_data_eq!(
        told,
        str![[r"
error: no kernel is selected
  help      name it: --kernel RELEASE (kmodforge kernels list)
exit 2
error: `Camera!` is not an id; expected lower-case letters, digits, `.`, `_` and `-`, at most 40 of them
  help      name it: --source-name NAME[@VERSION]
exit 2
error: `--source-name` is about a source without a profile
  help      name the source: --source DIR|URL|deb:PACKAGE
exit 2
error: `--boot` boots kernels with what was built
  help      add --build and --kernel RELEASE
exit 2

"]]
    );
}
