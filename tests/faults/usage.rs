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
    for (old, new) in [
        ("licence:", "license:"),
        ("modules: [{name: kmf_core}]", "modules: {name: kmf_core}"),
        ("sha256: ", "sha256: 12"),
        ("\n    sources:", "\n    sourcse:"),
    ] {
        assert!(driver.contains(old));
        told += &profile(&world, "drivers/kmf.yaml", &driver.replacen(old, new, 1)).await;
    }
    world.profile("drivers/kmf.yaml", &driver);
    for (old, new) in [("'linux-kbuild-.+'", "'linux-kbuild-(.+'"), ("family: apt", "family: rpm"), ("arches: [amd64, arm64]", "arches: amd64")] {
        assert!(distro.contains(old));
        told += &profile(&world, "distros/debian.yaml", &distro.replacen(old, new, 1)).await;
    }
    assert_data_eq!(
        told,
        str![[r"
error: unknown key `license`
  --> DIR/profiles/drivers/kmf.yaml:5:1
   |
 5 | license: GPL-2.0-only
   | ^^^^^^^ expected one of `id`, `name`, `summary`, `homepage`, `licence`, `redistribution`, `licence_files`, `versions`, `build`, `modules`, `ignored_modules`, `firmware`, `requires`, `in_tree`, `remove_first`, `load_first`, `load`, `deploy`, `proven`
  help      did you mean `licence`?
exit 2
error: `modules` must be a list
   --> DIR/profiles/drivers/kmf.yaml:12:10
    |
 12 | modules: {name: kmf_core}
    |          ^^^^^^^^^^^^^^^^ found a mapping
exit 2
error: `12e62c77f50f2a00b00b77e1aee74756293d246bff6071739857d3a07db90b6663` is not a SHA-256
   --> DIR/profiles/drivers/kmf.yaml:10:76
    |
 10 | …- archive: {url: 'http://SITE/kmf-{version}.tar', sha256: 12e62c77f50f2a00b00b77e1aee74756293d246bff6071739857d3a07db90b6663}
    |                                                                       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ expected 64 lower-case hexadecimal digits
exit 2
error: unknown key `sourcse`
  --> DIR/profiles/drivers/kmf.yaml:9:5
   |
 9 |     sourcse:
   |     ^^^^^^^ expected one of `version`, `sources`, `firmware`, `requires`, `build`, `modules`
  help      did you mean `sources`?
exit 2
error: `linux-kbuild-(.+` is not a regular expression
   --> DIR/profiles/distros/debian.yaml:11:25
    |
 11 |   headers_dependencies: 'linux-kbuild-(.+'
    |                         ^^^^^^^^^^^^^^^^^^ unclosed group
exit 2
error: unknown value `rpm`
  --> DIR/profiles/distros/debian.yaml:5:9
   |
 5 | family: rpm
   |         ^^^ expected one of `apt`, `dnf`, `zypper`, `pacman`
exit 2
error: `arches` must be a list
  --> DIR/profiles/distros/debian.yaml:6:9
   |
 6 | arches: amd64
   |         ^^^^^ found text
  help      a list of one is written `[value]`
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_profiles_with_one_id() {
    let world = World::new().await;
    let driver = std::fs::read_to_string(world.path("profiles/drivers/kmf.yaml")).unwrap();
    world.profile("drivers/again.yaml", &driver);
    assert_data_eq!(
        world.run(&["profile", "list"]).await.ended(2).errors(),
        str![[r"
error: DIR/profiles/drivers/again.yaml holds the profile `kmf`
  help      DIR/profiles/drivers/kmf.yaml holds it, too: give one of them another `id`
exit 2

"]]
    );
    std::fs::rename(world.path("profiles/drivers/again.yaml"), world.path("profiles/drivers/kmf.yml")).unwrap();
    assert_data_eq!(
        world.run(&["profile", "check"]).await.ended(2).errors(),
        str![[r"
error: DIR/profiles/drivers/kmf.yml holds the profile `kmf`
  help      DIR/profiles/drivers/kmf.yaml holds it, too: give one of them another `id`
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_of_profiles_that_are_none() {
    let world = World::new().await;
    let mut told = String::new();
    for folder in ["DIR/nothing", "DIR/work", "DIR/profiles/drivers/kmf.yaml"] {
        let child = world.command(&["profile", "list", "--profiles", folder]).spawn().unwrap();
        told += &world.finish(child).await.errors();
    }
    assert_data_eq!(
        told,
        str![[r"
error: DIR/nothing has neither `drivers` nor `distros`
  help      profiles are files `drivers/<id>.yaml` and `distros/<id>.yaml` in it
exit 2
error: DIR/work has neither `drivers` nor `distros`
  help      profiles are files `drivers/<id>.yaml` and `distros/<id>.yaml` in it
exit 2
error: DIR/profiles/drivers/kmf.yaml has neither `drivers` nor `distros`
  help      profiles are files `drivers/<id>.yaml` and `distros/<id>.yaml` in it
exit 2

"]]
    );
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
    assert_data_eq!(
        told,
        str![[r"
error: there is no repository to push to
  help      name one: --repo REGISTRY/PATH, or `repository:` in the project file
exit 2
error: the images would go nowhere
  help      add --push, --output oci:DIR, --output oci-archive:FILE or --output docker
exit 2
error: the images would go nowhere
  help      add --push, --output oci:DIR, --output oci-archive:FILE or --output docker
exit 2
error: no kernel is selected
  help      name them: --driver NAME --kernel RELEASE (kmodforge profile list; kmodforge kernels list)
  help      or write a `kmodforge.yaml` with a `matrix` (docs/project-file.md)
exit 2
error: no driver is selected
  help      name them: --driver NAME --kernel RELEASE (kmodforge profile list; kmodforge kernels list)
  help      or write a `kmodforge.yaml` with a `matrix` (docs/project-file.md)
exit 2

"]]
    );
}

/// QEMU is looked for before anything is built.
#[tokio::test(flavor = "multi_thread")]
async fn boots_that_cannot_be() {
    let world = World::new().await;
    let build = ["build", "--driver", "kmf", "--kernel", "6.1.0-56-amd64", "--push", "--repo", "REPO"];
    let mut told = String::new();
    for (options, code) in [(&["--boot-timeout", "60"][..], 2), (&["--boot-enforce-signatures"], 2), (&["--boot-together"], 2), (&["--boot"], 1)] {
        told += &world.run(&[&build[..], options].concat()).await.ended(code).errors();
    }
    assert_data_eq!(
        told,
        str![[r"
error: `--boot-timeout` does nothing without a boot
  help      add --boot, or `boot: true` in the project file
exit 2
error: `--boot-enforce-signatures` does nothing without a boot
  help      add --boot, or `boot: true` in the project file
exit 2
error: `--boot-together` does nothing without a boot
  help      add --boot, or `boot: true` in the project file
exit 2
error: there is no `qemu-system-x86_64`
  help      install it (Debian: apt install qemu-system-x86), or leave out --boot
exit 1

"]]
    );
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
    assert_data_eq!(
        told,
        str![[r"
error: invalid value 'tar:x' for '--output <KIND>': expected `oci:DIR`, `oci-archive:FILE` or `docker`
exit 2
error: invalid value 'id=apt-auth' for '--secret <SECRET>': expected `id=ID,src=FILE` or `id=ID,env=VARIABLE`
exit 2
error: no build step uses a secret `token`
  expected  `apt-auth`: logins for package repositories, as apt_auth.conf(5) describes them
exit 2
error: the secret's file `/nowhere` cannot be read: No such file or directory (os error 2)
exit 2
error: the secret's variable `NOWHERE` is not set
exit 2
error: invalid value '0' for '--jobs <N>': 0 is not in 1..=65535
exit 2
error: invalid value 'ref=x' for '--cache-from <CACHE>': expected `type=KIND,NAME=VALUE…` or an image reference
exit 2
error: cannot use the certificate authorities for registries: `/nowhere`: No such file or directory (os error 2)
exit 2
error: invalid value 'loud' for '--progress <KIND>'
  [possible values: auto, tty, plain, json]
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_with_values_that_they_do_not_take() {
    let world = World::new().await;
    let mut told = String::new();
    for (name, value) in [("SOURCE_DATE_EPOCH", "yesterday"), ("SOURCE_DATE_EPOCH", "-1"), ("SOURCE_DATE_EPOCH", "1e9"), ("KMODFORGE_LOG", "x=y=z")] {
        let child = world.command(&world.with_profiles(&world.build_arguments("latest", &[]))).env(name, value).spawn().unwrap();
        told += &world.finish(child).await.ended(2).errors();
    }
    assert_data_eq!(
        told,
        str![[r#"
error: `SOURCE_DATE_EPOCH` is `yesterday`
  expected  seconds since 1970, as `date +%s` prints them
exit 2
error: `SOURCE_DATE_EPOCH` is `-1`
  expected  seconds since 1970, as `date +%s` prints them
exit 2
error: `SOURCE_DATE_EPOCH` is `1e9`
  expected  seconds since 1970, as `date +%s` prints them
exit 2
error: `KMODFORGE_LOG` is not understood: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5
  found     x=y=z
  help      `debug`, or `kmodforge=debug,hyper=warn`
exit 2

"#]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_file_that_is_damaged() {
    let world = World::new().await;
    std::fs::create_dir(world.path("home/.docker")).unwrap();
    std::fs::write(world.path("home/.docker/config.json"), "{\"auths\": ").unwrap();
    assert_data_eq!(
        world.build("latest", &[]).await.errors(),
        str![[r"
error: the registry credentials cannot be read
  file      DIR/home/.docker/config.json
  found     not the JSON that Docker writes: line 1, column 10
  help      `docker login REGISTRY` writes this file; `DOCKER_CONFIG` names another folder
exit 1

"]]
    );
}
