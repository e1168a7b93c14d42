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
    assert_data_eq!(
        told,
        str![[r"
error: `6.1.0-$(id)` is not a kernel selector: `$` is not allowed in it
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `6.1.0-56-amd64;reboot` is not a kernel selector: `;` is not allowed in it
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `../../etc/passwd` is not a kernel selector: `/` is not allowed in it
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `6.1..0` is not a kernel selector: `..` is not allowed in it
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `6.1.0 -56` is not a kernel selector: ` ` is not allowed in it
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `6.1.0-`id`*` is not a kernel selector: ``` is not allowed in it
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `/(/` is not a kernel selector: unclosed group
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `latest:0` is not a kernel selector: expected a number from 1 to 1000 after `latest:`
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `` is not a kernel selector: it is empty
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2
error: `vmlinuz` is not a kernel selector: it does not start with a version such as `6.1`
  help      expected a release (`uname -r`), a pattern such as `6.1.*-amd64`, `/regex/`, `latest` or `latest:N`
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_nobody_publishes() {
    let world = World::new().await;
    let mut told = String::new();
    for kernel in ["6.1.0-99-amd64", "5.10.*-amd64", "/cloud/", "6.1.0-99-arm64"] {
        told += &world.refused(&["--kernel", kernel]).await;
    }
    assert_data_eq!(
        told,
        str![[r"
error: no kernel of debian matches `6.1.0-99-amd64`
  looked in  bookworm: 3 amd64 kernels
  nearest    6.1.0-56-amd64, 6.1.0-55-amd64, 6.1.0-54-amd64
  help       list them: kmodforge kernels list --distro debian
exit 1
error: no kernel of debian matches `5.10.*-amd64`
  looked in  bookworm: 3 amd64 kernels
  nearest    6.1.0-56-amd64, 6.1.0-55-amd64, 6.1.0-54-amd64
  help       list them: kmodforge kernels list --distro debian
exit 1
error: no kernel of debian matches `/cloud/`
  looked in  bookworm: 3 amd64 kernels
  nearest    6.1.0-56-amd64, 6.1.0-55-amd64, 6.1.0-54-amd64
  help       list them: kmodforge kernels list --distro debian
exit 1
error: no kernel of debian matches `6.1.0-99-arm64`
  looked in  bookworm: 1 arm64 kernel
  nearest    6.1.0-56-arm64
  help       list them: kmodforge kernels list --distro debian
exit 1

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_nobody_or_too_many_recognise() {
    let world = World::new().await;
    let mut told = world.refused(&["--kernel", "6.6.93"]).await;
    let other = include_str!("debian.yaml").replace("id: debian", "id: otherix").replace("name: Debian", "name: Otherix");
    world.profile("distros/otherix.yaml", &other);
    told += &world.refused(&["--kernel", "6.1.0-56-amd64"]).await;
    assert_data_eq!(
        told,
        str![[r"
error: no distro profile recognises `6.6.93`
  looked at  almalinux, amazon-2, amazon-2023, arch, azurelinux, centos-stream, cos, debian, fedora, flatcar, gardenlinux, openshift, opensuse-leap, oracle, rhel, rocky, sles, ubuntu
  help       add a profile for its distribution: --profiles DIR
exit 2
error: `6.1.0-56-amd64` can be a kernel of debian and of otherix
  help      say which one it is: --distro debian
  help      say which one it is: --distro otherix
exit 2

"]]
    );
    world.run(&["plan", "--driver", "kmf", "--kernel", "6.1.0-56-amd64", "--distro", "otherix", "--repo", "REPO"]).await.ended(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_distros_and_versions_that_do_not_exist() {
    let world = World::new().await;
    let mut told = String::new();
    for arguments in [
        &["--driver", "v4l2lopback"][..],
        &["--driver", "v4l2loopback@0.15.33"],
        &["--driver", "kmf@9"],
        &["--driver", "../kmf"],
        &["--distro", "debain"],
        &["--distro", "debian:bookwurm"],
        &["--distro", "debian:"],
        &["--arch", "sparc"],
        &["--fallback", "snapshot"],
    ] {
        told += &world.refused(&[&["--kernel", "latest"], arguments].concat()).await;
    }
    told += &world.run(&["plan", "--driver", "kmf", "--kernel", "latest", "--repo", "Registry Example/x"]).await.errors();
    assert_data_eq!(
        told,
        str![[r"
error: unknown driver `v4l2lopback`
  help      did you mean `v4l2loopback`?
  help      list them: kmodforge profile list; add one: --profiles DIR with drivers/v4l2lopback.yaml
exit 2
error: driver `v4l2loopback` has no version `0.15.33`
  expected  one of `0.15.4`, `0.15.3`, `0.15.0`, `0.13.2`, `0.12.7`
exit 2
error: driver `kmf` has no version `9`
  expected  `1.0`
exit 2
error: --driver ../kmf: `../kmf` is not an id; expected lower-case letters, digits, `.`, `_` and `-`, at most 40 of them
exit 2
error: unknown distro `debain`
  known     almalinux, amazon-2, amazon-2023, arch, azurelinux, centos-stream, cos, debian, fedora, flatcar, gardenlinux, openshift, opensuse-leap, oracle, rhel, rocky, sles, ubuntu
  help      did you mean `debian`?
  help      list them: kmodforge profile list; add one: --profiles DIR with distros/debain.yaml
exit 2
error: distro `debian` has no release `bookwurm`
  expected  `bookworm`
exit 2
error: invalid value 'debian:' for '--distro <ID[:RELEASE]>': expected `ID` or `ID:RELEASE`, `debian:bookworm` say
exit 2
error: invalid value 'sparc' for '--arch <ARCH>': unknown architecture `sparc`; expected `amd64` or `arm64`
exit 2
error: release `bookworm` has no fallback `snapshot`
  expected  none; there are none to choose from
exit 2
error: `Registry Example/x` is not an image reference: repository names are lower case
  help      a repository looks like `registry.example/drivers`; the driver's id is added to it
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_that_cannot_be() {
    let world = World::new().await;
    let mut told = String::new();
    for template in ["{{ kernel.tga }}", "{{ kernel.tag", "{{ kernel.release }}/x", "{{ driver.version }}", "", "{% include 'x' %}"] {
        told += &world.refused(&["--kernel", "6.1.0-5*-amd64", "--tag-template", template]).await;
    }
    assert_data_eq!(
        told,
        str![[r"
error: the tag template cannot be rendered
  found     Field `tga` is not defined. Available fields: flavour, os_version, release, tag, version
             --> tag:1:11
              |
            1 | {{ kernel.tga }}
              |           ^^^
  help      a template may name `driver.id`, `driver.version`, `distro.id`, `distro.release`, `distro.version`, `kernel.release`, `kernel.tag`, `kernel.version`, `kernel.flavour`, `kernel.os_version` and `arch`
exit 2
error: the tag template cannot be rendered
  found     Unexpected end of input
             --> tag:1:14
              |
            1 | {{ kernel.tag
              |              ^
  help      a template may name `driver.id`, `driver.version`, `distro.id`, `distro.release`, `distro.version`, `kernel.release`, `kernel.tag`, `kernel.version`, `kernel.flavour`, `kernel.os_version` and `arch`
exit 2
error: `6.1.0-54-amd64/x` is not a tag: `/` is not allowed in it
  made by   the tag template
  help      `{{ kernel.tag }}` is the kernel release made safe for tags
exit 2
error: `kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)` and `kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64)` would both be tagged `REGISTRY/drivers/kmf:1.0`
  help      use `{{ kernel.tag }}`, `{{ kernel.os_version }}`, `{{ distro.release }}` or `{{ arch }}` in the tag template to tell them apart
exit 2
error: `` is not a tag: it is empty
  made by   the tag template
  help      `{{ kernel.tag }}` is the kernel release made safe for tags
exit 2
error: the tag template cannot be rendered
  found     Unknown template `x`
             --> tag:1:12
              |
            1 | {% include 'x' %}
              |            ^^^
  help      a template may name `driver.id`, `driver.version`, `distro.id`, `distro.release`, `distro.version`, `kernel.release`, `kernel.tag`, `kernel.version`, `kernel.flavour`, `kernel.os_version` and `arch`
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_compiler_of_a_kernel_is_missing() {
    let world = World::new().await;
    world.site.publish(&["6.1.0-56-amd64", "6.12.117+deb13-amd64"], "1");
    let ran = world.run(&["plan", "--driver", "kmf", "--kernel", "*-amd64", "--repo", "REPO"]).await.ended(1);
    assert_data_eq!(
        ran.out + &ran.err,
        str![[r"
DRIVER   DISTRO           KERNEL                ARCH   STATE   WHY
kmf 1.0  debian bookworm  6.1.0-56-amd64        amd64  build   not published
kmf 1.0  debian bookworm  6.12.117+deb13-amd64  amd64  failed  compiler package `gcc-14` is not in bookworm
1 to build · 1 not possible
error: kmf 1.0 for 6.12.117+deb13-amd64 (debian bookworm, amd64) cannot be built: its kernel's compiler is missing
  expected   package `gcc-14`
  looked in  bookworm
  help       add a repository that has it to the distro profile (--profiles DIR), or leave this kernel out

"]]
    );
    let ran = world.build("*-amd64", &[]).await.ended(1);
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: kmf 1.0 for 6.12.117+deb13-amd64 (debian bookworm, amd64) cannot be built: its kernel's compiler is missing
  expected   package `gcc-14`
  looked in  bookworm
  help       add a repository that has it to the distro profile (--profiles DIR), or leave this kernel out
exit 1

"]]
    );
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
    assert_data_eq!(
        told,
        str![[r"
error: the list of kernels `missing.txt` cannot be read: No such file or directory (os error 2)
  help      expected a file with one kernel release per line, as `uname -r` prints it, or `-` for standard input
exit 2
error: `bad.txt`, line 2: `6.1.0-$(id)` is not a kernel release: `$` is not allowed in it
  help      expected one kernel release per line, as `uname -r` prints it, or a JSON array of them
exit 2
error: `empty.txt` lists no kernel release
  help      expected one kernel release per line, as `uname -r` prints it, or a JSON array of them
exit 2
error: the list of kernels `.` cannot be read: Is a directory (os error 21)
  help      expected a file with one kernel release per line, as `uname -r` prints it, or `-` for standard input
exit 2
error: standard input lists no kernel release
  help      expected one kernel release per line, as `uname -r` prints it, or a JSON array of them
exit 2

"]]
    );
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
    assert_data_eq!(
        told,
        str![[r#"
error: unknown key `kernles`
  --> kmodforge.yaml:4:5
   |
 4 |     kernles: ["6.1.*"]
   |     ^^^^^^^ expected one of `drivers`, `distros`, `kernels`, `arches`, `headers_image`, `os_version`, `exclude`
  help      did you mean `kernels`?
exit 2
error: unknown value `riscv64`
  --> kmodforge.yaml:5:14
   |
 5 |     arches: [riscv64]
   |              ^^^^^^^ expected `amd64` or `arm64`
exit 2
error: unknown version `9`
  --> kmodforge.yaml:3:15
   |
 3 |   - drivers: [kmf@9]
   |               ^^^^^ expected `1.0`
exit 2
error: nothing is left of this row: its excludes fit everything
  --> kmodforge.yaml:6:5
   |
 6 |     exclude: [{driver: kmf}]
   |     ^^^^^^^ leave the row out, or exclude less
exit 2
error: unknown distro `gentoo`
  --> kmodforge.yaml:4:23
   |
 4 |     distros: [debian, gentoo]
   |                       ^^^^^^ expected `almalinux`, `amazon-2`, `amazon-2023`, `arch`, `azurelinux`, `centos-stream`, `cos`, `debian`, `fedora`, `flatcar`, `gardenlinux`, `openshift`, `opensuse-leap`, `oracle`, `rhel`, `rocky`, `sles`, `ubuntu`
exit 2
error: `6.1.0-56-amd64; reboot` is not a kernel selector
  --> kmodforge.yaml:4:15
   |
 4 |     kernels: ["6.1.0-56-amd64; reboot"]
   |               ^^^^^^^^^^^^^^^^^^^^^^^^ `;` is not allowed in it
exit 2
error: the tag template cannot be rendered
  found     Field `tga` is not defined. Available fields: flavour, os_version, release, tag, version
             --> tag:1:11
              |
            1 | {{ kernel.tga }}
              |           ^^^
  help      a template may name `driver.id`, `driver.version`, `distro.id`, `distro.release`, `distro.version`, `kernel.release`, `kernel.tag`, `kernel.version`, `kernel.flavour`, `kernel.os_version` and `arch`
exit 2
error: `matrix` must be a list
  --> kmodforge.yaml:2:9
   |
 2 | matrix: {}
   |         ^^ found a mapping
exit 2
error: this is not YAML: unclosed bracket '['
  --> kmodforge.yaml:1:13
   |
 1 | repository: [
   |             ^ the reader stopped here
exit 2

"#]]
    );
    assert_data_eq!(
        world.run(&["plan", "-f", "missing.yaml"]).await.errors(),
        str![[r"
error: the project file `missing.yaml` cannot be read: No such file or directory (os error 2)
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_an_image_has() {
    let world = World::new().await;
    let image = ["--headers-image", "registry.example/devel:1"];
    let mut told = String::new();
    for (kernel, more) in [
        ("latest", &image[..]),
        ("6.1.*", &image),
        ("5.14.0-503.11.1.el9_5.x86_64", &["--distro", "debian", "--headers-image", "registry.example/devel:1"]),
        ("6.1.0-57-amd64", &["--headers-image", "Registry Example"]),
        ("6.12.103-flatcar", &[]),
    ] {
        told += &world.refused(&[&["--kernel", kernel][..], more].concat()).await;
    }
    told += &world.run(&["kernels", "list", "--distro", "openshift"]).await.errors();
    world.write("kmodforge.yaml", "matrix:\n  - {drivers: [kmf], distros: [debian], kernels: [latest], headers_image: \"registry.example/devel:1\"}\n");
    told += &world.run(&["plan"]).await.errors();
    told += &world.run(&[&["plan"][..], &image].concat()).await.errors();
    world.write("kmodforge.yaml", "matrix:\n  - {drivers: [kmf], distros: [debian], kernels: [latest], headers_image: \"a b\"}\n");
    told += &world.run(&["plan"]).await.errors();
    assert_data_eq!(
        told,
        str![[r#"
error: `latest` does not tell which kernel `registry.example/devel:1` has headers of
  help      name the release exactly, as `uname -r` prints it
exit 2
error: `6.1.*` does not tell which kernel `registry.example/devel:1` has headers of
  help      name the release exactly, as `uname -r` prints it
exit 2
error: `5.14.0-503.11.1.el9_5.x86_64` is no kernel of `debian`
  help      see whose it is: kmodforge kernels match 5.14.0-503.11.1.el9_5.x86_64
exit 2
error: invalid value 'Registry Example' for '--headers-image <IMAGE>': `Registry Example` is not an image reference: repository names are lower case
exit 2
error: no repository has the headers of kernels of `flatcar`
  because   they are part of an archive for each version of the operating system
  help      name the release exactly, and the nodes' version: --os-version VERSION (VERSION_ID in a node's /etc/os-release)
  help      name the release exactly, and the image: --headers-image IMAGE (the developer container of the nodes' release, pushed to a registry)
exit 2
error: no repository has the headers of kernels of `openshift`
  because   they are part of an image
  help      name the release exactly, and the image: --headers-image IMAGE (oc adm release info --image-for=driver-toolkit VERSION)
exit 2
error: `latest` does not tell which kernel `registry.example/devel:1` has headers of
  help      name the release exactly, as `uname -r` prints it
exit 2
error: `--headers-image` cannot be about a whole matrix
  help      name driver and kernel too, or write it into the row: `headers_image: IMAGE`
exit 2
error: `a b` is not an image reference
  --> kmodforge.yaml:2:75
   |
 2 |   - {drivers: [kmf], distros: [debian], kernels: [latest], headers_image: "a b"}
   |                                                                           ^^^^^ expected `registry/name[:tag][@sha256:…]` in lower case
exit 2

"#]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_an_archive_has() {
    let world = World::new().await;
    let mut told = String::new();
    for (kernel, more) in [
        ("6.6.93+", &[][..]),
        ("latest", &["--distro", "cos", "--os-version", "18613.339.5"]),
        ("6.1.0-57-amd64", &["--os-version", "18613.339.5"]),
        ("6.6.93+", &["--os-version", "117"]),
        ("6.12.103-flatcar", &["--os-version", "4459.2.1", "--headers-image", "registry.example/devel:1"]),
    ] {
        told += &world.refused(&[&["--kernel", kernel][..], more].concat()).await;
    }
    world.write("kmodforge.yaml", "matrix:\n  - {drivers: [kmf], distros: [debian], kernels: [latest]}\n");
    told += &world.run(&["plan", "--os-version", "18613.339.5"]).await.errors();
    // One release, one tag, two places that have its headers.
    let row = |image: &str| format!("  - {{drivers: [kmf], distros: [debian], kernels: [6.1.0-57-amd64], headers_image: \"{image}\"}}\n");
    world.write("kmodforge.yaml", &format!("matrix:\n{}{}", row("registry.example/devel:1"), row("registry.example/devel:2")));
    told += &world.run(&["plan"]).await.errors();
    assert_data_eq!(
        told,
        str![[r"
error: no repository has the headers of kernels of `cos`
  because   they are part of an archive for each version of the operating system
  help      name the release exactly, and the nodes' version: --os-version VERSION (BUILD_ID in a node's /etc/os-release)
exit 2
error: `latest` does not tell which kernel version `18613.339.5` of the operating system has headers of
  help      name the release exactly, as `uname -r` prints it
exit 2
error: kernels of `debian` are not told apart by a version of the operating system
  because   their headers are in no archive that is called after it
  help      leave `--os-version` (`os_version`) out
exit 2
error: `117` is no version of `cos`
  expected  a version that fits `/d+/./d+/./d+`
  help      it is BUILD_ID in a node's /etc/os-release
exit 2
error: headers are either in an image or in an archive
  found     an image (`--headers-image`, `headers_image`) and a version of the operating system (`--os-version`, `os_version`)
  help      leave one of them out
exit 2
error: `--os-version` cannot be about a whole matrix
  help      name driver and kernel too, or write it into the row: `os_version: VERSION`
exit 2
error: `kmf 1.0 for 6.1.0-57-amd64 (debian bookworm, amd64), headers of registry.example/devel:1` and `kmf 1.0 for 6.1.0-57-amd64 (debian bookworm, amd64), headers of registry.example/devel:2` would both be tagged `localhost/drivers/kmf:1.0-6.1.0-57-amd64`
  help      use `{{ kernel.tag }}`, `{{ kernel.os_version }}`, `{{ distro.release }}` or `{{ arch }}` in the tag template to tell them apart
exit 2

"]]
    );
}
