//! The same image whatever builds it, and wherever it goes.

use std::process::Command;

use crate::files::{assert_same, layers, tree};
use crate::forge::{Forge, newest};
use crate::stack::{docker, registry, run, setting};

fn forge(repository: &str) -> Forge {
    Forge::new(repository, &format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n", newest()))
}

#[test]
fn two_builders_without_caches_make_the_same_image() {
    let docker = forge("same");
    docker.run(&["build", "--no-cache", "--output", "oci-archive:image.tar"]).expect(0);
    let buildkitd = forge("same").with_builder(setting("KMODFORGE_TEST_BUILDKIT"));
    buildkitd.run(&["build", "--no-cache", "--output", "oci:image"]).expect(0);
    let digest = |forge: &Forge| forge.target("v4l2loopback", newest()).digest.unwrap();
    assert_eq!(digest(&docker), digest(&buildkitd));

    let inspect = |image: String| run(Command::new("skopeo").args(["inspect", "--format", "{{.Digest}} {{.Architecture}} {{.Layers}}"]).arg(image));
    let archive = inspect(format!("oci-archive:{}", docker.path("image.tar").display()));
    let layout = inspect(format!("oci:{}", buildkitd.path("image").display()));
    assert_eq!(archive, layout);
    assert!(layout.contains(" amd64 [sha256:"), "{layout}");
}

#[test]
fn an_old_engine_runs_the_image_in_gzip() {
    let forge = forge("engine");
    forge.run(&["build", "--compression", "gzip", "--output", "docker", "--output", "oci:gzip"]).expect(0);
    let image = forge.target("v4l2loopback", newest()).image.unwrap();
    assert!(image.starts_with(&registry()), "{image}");
    let said = docker(&["run", "--rm", "--network", "none", &image, "modprobe", "--version"]);
    assert!(said.starts_with("kmod version"), "{said}");
    let shown = docker(&["run", "--rm", "--network", "none", &image, "modprobe", "-d", "/opt", "-S", newest(), "--show-depends", "v4l2loopback"]);
    assert!(shown.contains("v4l2loopback.ko"), "{shown}");

    forge.run(&["build", "--output", "oci:zstd"]).expect(0);
    assert_same(&tree(&layers(&forge.path("gzip"))), &tree(&layers(&forge.path("zstd"))));
}
