//! Kernels whose headers are in no repository: an image has them, with the compiler. Images of Debian with a real kernel's headers stand in for those of
//! the distributions, under their kernels' names and in their directories.

use std::fs;
use std::process::Command;
use std::sync::OnceLock;

use kmodforge::record::{Outcome, TargetRecord};

use crate::families::{standin_mirrors, unpacked_headers};
use crate::forge::{Forge, image};
use crate::stack::{docker, mirrored, plain_build, registry, run, scratch, setting, skopeo_inspect};

const REPOSITORY: &str = "in-image";

/// A distribution, a kernel of it, and where its image has the headers.
const IMAGES: [(&str, &str, &str); 3] = [
    ("openshift", "5.14.0-427.13.1.el9_4.x86_64", "usr/src/kernels/5.14.0-427.13.1.el9_4.x86_64"),
    ("gardenlinux", "6.1.72-cloud-amd64", "usr/src/linux-headers-6.1.72-cloud-amd64"),
    ("flatcar", "6.1.103-flatcar", "usr/lib/modules/6.1.103-flatcar/build"),
];

fn devel_image(distro: &str) -> String {
    format!("{}/devel/{distro}:1", registry())
}

/// An image with headers and compiler, pushed.
fn push_devel_image(distro: &str, kernel: &str, directory: &str) {
    let (folder, (tree, own_name)) = (scratch(), unpacked_headers());
    let to = folder.path().join("root").join(directory);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    run(Command::new("cp").arg("-a").arg(tree).arg(&to));
    for file in ["include/generated/utsrelease.h", "include/config/kernel.release"] {
        let text = fs::read_to_string(to.join(file)).unwrap();
        fs::remove_file(to.join(file)).unwrap();
        fs::write(to.join(file), text.replace(&own_name, kernel)).unwrap();
    }
    fs::write(folder.path().join("Dockerfile"), recipe()).unwrap();
    plain_build(folder.path(), &devel_image(distro));
    docker(&["push", "--quiet", &devel_image(distro)]);
}

fn recipe() -> String {
    let archive = mirrored("http://ftp.debian.org/debian");
    format!(
        "FROM {}/library/debian:bookworm\n\
         RUN rm -f /etc/apt/sources.list.d/*; echo 'deb [check-valid-until=no] {archive} bookworm main' > /etc/apt/sources.list; apt-get -q -o APT::Sandbox::User=root update; \
           apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends gcc libelf1 make kmod\n\
         COPY root/ /\n",
        registry()
    )
}

fn row(distro: &str, kernel: &str) -> String {
    let image = devel_image(distro);
    format!("  - {{drivers: [v4l2loopback], distros: [{distro}], kernels: [\"{kernel}\"], arches: [amd64], headers_image: \"{image}\"}}\n")
}

/// The run that builds for each of them, made once, and what it recorded.
fn built() -> &'static (Forge, Vec<TargetRecord>) {
    static BUILT: OnceLock<(Forge, Vec<TargetRecord>)> = OnceLock::new();
    BUILT.get_or_init(|| {
        for (distro, kernel, directory) in IMAGES {
            push_devel_image(distro, kernel, directory);
        }
        let rows: String = IMAGES.iter().map(|(distro, kernel, _)| row(distro, kernel)).collect();
        // Programs of OpenShift's images come from packages that everybody may fetch: here those of its sibling.
        let images = [("registry.access.redhat.com/ubi9/ubi:latest", "docker.io/library/almalinux:9")];
        let packages = [
            ("https://cdn-ubi.redhat.com/content/public/ubi/dist/ubi9/9/x86_64/baseos/os", "https://repo.almalinux.org/almalinux/9/BaseOS/x86_64/os"),
            ("https://cdn-ubi.redhat.com/content/public/ubi/dist/ubi9/9/x86_64/appstream/os", "https://repo.almalinux.org/almalinux/9/AppStream/x86_64/os"),
        ];
        let forge = Forge::mirrored(REPOSITORY, &rows, &standin_mirrors(&images, &packages)).with_builder(setting("KMODFORGE_TEST_BUILDKIT"));
        forge.run(&["build", "--push"]).expect(0);
        let targets = forge.record().targets;
        (forge, targets)
    })
}

fn target(kernel: &str) -> &'static TargetRecord {
    built().1.iter().find(|target| target.target.kernel == kernel).unwrap()
}

#[test]
fn modules_are_compiled_in_the_image_that_has_the_headers() {
    for (distro, kernel, _) in IMAGES {
        let target = target(kernel);
        assert_eq!((target.outcome, target.target.distro.as_str()), (Outcome::Built, distro));
        assert_eq!((&target.headers, target.checks > 15), (&vec![devel_image(distro)], true), "{distro}: {} checks", target.checks);
        let labels = skopeo_inspect(&image(REPOSITORY, "v4l2loopback", &target.target.version, kernel), &[])["Labels"].clone();
        assert_eq!(labels["io.kmodforge.kernel"].as_str(), Some(kernel));
    }
    built().0.run(&["build", "--push", "--record", "again.json"]).expect(0).says("3 already published");
}

#[test]
fn a_published_image_is_checked_against_the_same_headers() {
    let (distro, kernel, _) = IMAGES[0];
    let published = image(REPOSITORY, "v4l2loopback", &target(kernel).target.version, kernel);
    let forge = &built().0;
    forge.run(&["verify", &published, "--distro", distro, "--headers-image", &devel_image(distro)]).expect(0);
    // Where nobody says which image has them, the message does.
    forge.run(&["verify", &published, "--distro", distro]).expect(2).says("--headers-image IMAGE (oc adm release info --image-for=driver-toolkit VERSION)");
}

#[test]
fn an_image_without_the_kernels_headers_says_what_it_has() {
    let (_, has, _) = IMAGES[1];
    let devel = devel_image("gardenlinux");
    let arguments = ["--driver", "v4l2loopback", "--distro", "flatcar", "--kernel", "6.1.104-flatcar", "--headers-image", &devel];
    let run = built().0.run(&[&["build", "--output", "oci:other", "--record", "other.json"][..], &arguments].concat()).expect(1);
    run.says(&format!("{devel} has no headers of 6.1.104-flatcar; what it has:"));
    run.says(&format!("/usr/src/linux-headers-{has}/"));
}
