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
    assert_data_eq!(told, str![]);
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
    assert_data_eq!(told, str![]);
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
    told += &world.run(&["profile", "check", "--boot"]).await.ended(2).errors();
    assert_data_eq!(told, str![]);
}
