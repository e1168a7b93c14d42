//! Mistakes in profiles and on the command line.

use snapbox::{assert_data_eq, str};

use crate::world::World;

/// What is said about a profile, by `profile check` and by any verb that reads it.
async fn profile(world: &World, name: &str, text: &str) -> String {
    world.profile(name, text);
    let ran = world.run(&["profile", "list"]).await.ended(2);
    assert_eq!(ran.out, "");
    let file = world.path("profiles").join(name).display().to_string();
    let checked = world.command(&["profile", "check", &file]).spawn().unwrap();
    let checked = world.finish(checked).await.ended(2);
    assert_eq!(checked.errors(), ran.errors(), "both say the same");
    ran.errors()
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_profiles() {
    let world = World::new().await;
    let driver = std::fs::read_to_string(world.path("profiles/drivers/kmf.yaml")).unwrap();
    let distro = std::fs::read_to_string(world.path("profiles/distros/debian.yaml")).unwrap();
    let mut told = String::new();
    for (old, new) in [("licence:", "license:"), ("modules: [{name: kmf_core}]", "modules: {name: kmf_core}"), ("sha256: ", "sha256: 12"), ("\n    sources:", "\n    sourcse:")] {
        assert!(driver.contains(old));
        told += &profile(&world, "drivers/kmf.yaml", &driver.replacen(old, new, 1)).await;
    }
    world.profile("drivers/kmf.yaml", &driver);
    for (old, new) in [("'linux-kbuild-.+'", "'linux-kbuild-(.+'"), ("family: apt", "family: rpm"), ("arches: [amd64, arm64]", "arches: amd64")] {
        assert!(distro.contains(old));
        told += &profile(&world, "distros/debian.yaml", &distro.replacen(old, new, 1)).await;
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_profiles_with_one_id() {
    let world = World::new().await;
    let driver = std::fs::read_to_string(world.path("profiles/drivers/kmf.yaml")).unwrap();
    world.profile("drivers/again.yaml", &driver);
    assert_data_eq!(world.run(&["profile", "list"]).await.ended(2).errors(), str![[""]]);
    assert_data_eq!(world.run(&["profile", "check"]).await.ended(2).errors(), str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_profiles_that_are_none() {
    let world = World::new().await;
    let mut told = String::new();
    for folder in ["DIR/nothing", "DIR/work", "DIR/profiles/drivers/kmf.yaml"] {
        let child = world.command(&["profile", "list", "--profiles", folder]).spawn().unwrap();
        told += &world.finish(child).await.errors();
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_would_go_nowhere() {
    let world = World::new().await;
    let mut told = String::new();
    for arguments in [
        &["build", "--driver", "kmf", "--kernel", "latest", "--push"][..],
        &["build", "--driver", "kmf", "--kernel", "latest", "--repo", "REPO"],
        &["build"],
        &["build", "--driver", "kmf", "--push", "--repo", "REPO"],
        &["build", "--kernel", "latest", "--push", "--repo", "REPO"],
    ] {
        told += &world.run(arguments).await.ended(2).errors();
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_with_values_that_they_do_not_take() {
    let world = World::new().await;
    let mut told = String::new();
    for arguments in [
        &["--output", "tar:x"][..],
        &["--secret", "id=apt-auth"],
        &["--secret", "id=token,src=/etc/hostname"],
        &["--secret", "id=apt-auth,src=/nowhere"],
        &["--secret", "id=apt-auth,env=NOWHERE"],
        &["--jobs", "0"],
        &["--cache-from", "ref=x"],
        &["--registry-ca", "/nowhere"],
        &["--progress", "loud"],
    ] {
        told += &world.build("latest", arguments).await.ended(2).errors();
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_with_values_that_they_do_not_take() {
    let world = World::new().await;
    let mut told = String::new();
    for (name, value) in [("SOURCE_DATE_EPOCH", "yesterday"), ("SOURCE_DATE_EPOCH", "-1"), ("SOURCE_DATE_EPOCH", "1e9"), ("KMODFORGE_LOG", "x=y=z")] {
        let child = world.command(&world.with_profiles(&world.build_arguments("latest", &[]))).env(name, value).spawn().unwrap();
        told += &world.finish(child).await.ended(2).errors();
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_file_that_is_damaged() {
    let world = World::new().await;
    std::fs::create_dir(world.path("home/.docker")).unwrap();
    std::fs::write(world.path("home/.docker/config.json"), "{\"auths\": ").unwrap();
    assert_data_eq!(world.build("latest", &[]).await.errors(), str![[""]]);
}
