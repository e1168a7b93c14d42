//! Kernels, drivers and names that cannot be.

use snapbox::{assert_data_eq, str};

use crate::world::World;

impl World {
    /// What `plan` says about a selection that is wrong.
    async fn refused(&self, arguments: &[&str]) -> String {
        let ran = self.run(&[&["plan", "--driver", "kmf", "--repo", "REPO"], arguments].concat()).await;
        assert_eq!(ran.out, "");
        ran.errors()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_that_would_hurt_a_shell_or_leave_a_folder() {
    let world = World::new().await;
    let mut told = String::new();
    for kernel in ["6.1.0-$(id)", "6.1.0-56-amd64;reboot", "../../etc/passwd", "6.1..0", "6.1.0 -56", "6.1.0-`id`*", "/(/", "latest:0", "", "vmlinuz"] {
        told += &world.refused(&["--kernel", kernel]).await;
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_nobody_publishes() {
    let world = World::new().await;
    let mut told = String::new();
    for kernel in ["6.1.0-99-amd64", "5.10.*-amd64", "/cloud/", "6.1.0-99-arm64"] {
        told += &world.refused(&["--kernel", kernel]).await;
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_nobody_or_too_many_recognise() {
    let world = World::new().await;
    let mut told = world.refused(&["--kernel", "5.14.0-427.el9.x86_64"]).await;
    let other = include_str!("debian.yaml").replace("id: debian", "id: otherix").replace("name: Debian", "name: Otherix");
    world.profile("distros/otherix.yaml", &other);
    told += &world.refused(&["--kernel", "6.1.0-56-amd64"]).await;
    assert_data_eq!(told, str![[""]]);
    world.run(&["plan", "--driver", "kmf", "--kernel", "6.1.0-56-amd64", "--distro", "otherix", "--repo", "REPO"]).await.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_distros_and_versions_that_do_not_exist() {
    let world = World::new().await;
    let mut told = String::new();
    for arguments in [
        &["--driver", "v4l2lopback"][..],
        &["--driver", "kmf@9"],
        &["--driver", "../kmf"],
        &["--distro", "debain"],
        &["--distro", "debian:bookwurm"],
        &["--distro", "debian:"],
        &["--arch", "sparc"],
        &["--fallback", "snapshot"],
        &["--repo", "REGISTRY EXAMPLE/x"],
    ] {
        told += &world.refused(&[&["--kernel", "latest"], arguments].concat()).await;
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_cannot_be() {
    let world = World::new().await;
    let mut told = String::new();
    for template in ["{{ kernel.tga }}", "{{ kernel.tag", "{{ kernel.release }}/x", "{{ driver.version }}", "", "{% include 'x' %}"] {
        told += &world.refused(&["--kernel", "6.1.0-5*-amd64", "--tag-template", template]).await;
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compiler_of_a_kernel_is_missing() {
    let world = World::new().await;
    world.site.publish(&["6.1.0-56-amd64", "6.12.117+deb13-amd64"], "1");
    let ran = world.run(&["plan", "--driver", "kmf", "--kernel", "*-amd64", "--repo", "REPO"]).await.ended(1);
    assert_data_eq!(ran.out + &ran.err, str![[""]]);
    let ran = world.build("*-amd64", &[]).await.ended(1);
    assert_data_eq!(ran.errors(), str![[""]]);
    assert_eq!(world.tags(), ["1.0-6.1.0-56-amd64"], "the other one is built");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_kernels_that_cannot_be_read() {
    let world = World::new().await;
    world.write("bad.txt", "6.1.0-56-amd64\n6.1.0-$(id)\n");
    world.write("empty.txt", "# none\n");
    let mut told = String::new();
    for file in ["missing.txt", "bad.txt", "empty.txt", ".", "-"] {
        told += &world.refused(&["--kernels-from", file]).await;
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn projects_that_cannot_be() {
    let world = World::new().await;
    let mut told = String::new();
    for project in [
        "repository: REGISTRY/drivers\nmatrix:\n  - drivers: [kmf]\n    kernles: [\"6.1.*\"]\n",
        "repository: REGISTRY/drivers\nmatrix:\n  - drivers: [kmf]\n    kernels: [6.1.0-56-amd64]\n    arches: [riscv64]\n",
        "repository: REGISTRY/drivers\nmatrix:\n  - drivers: [kmf@9]\n    kernels: [latest]\n",
        "repository: REGISTRY/drivers\nmatrix:\n  - drivers: [kmf]\n    distros: [debian]\n    kernels: [latest]\n    exclude: [{driver: kmf}]\n",
        "repository: REGISTRY/drivers\nmatrix:\n  - drivers: [kmf]\n    distros: [debian, gentoo]\n    kernels: [latest]\n",
        "repository: REGISTRY/drivers\nmatrix:\n  - drivers: [kmf]\n    kernels: [\"6.1.0-56-amd64; reboot\"]\n",
        "repository: REGISTRY/drivers\ntag: \"{{ kernel.tga }}\"\nmatrix:\n  - drivers: [kmf]\n    kernels: [6.1.0-56-amd64]\n",
        "repository: REGISTRY/drivers\nmatrix: {}\n",
        "repository: [\n",
    ] {
        world.write("kmodforge.yaml", project);
        let ran = world.run(&["build", "--push"]).await;
        told += &ran.errors();
    }
    assert_data_eq!(told, str![[""]]);
    assert_data_eq!(world.run(&["plan", "-f", "missing.yaml"]).await.errors(), str![[""]]);
}
