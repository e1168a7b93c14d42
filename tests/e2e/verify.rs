//! `verify`: our images, wrong images, and images of other tools.

use std::fs;

use crate::files::{layers, tree, unpack};
use crate::forge::{Forge, newest, oldest};
use crate::light::pushed;
use crate::stack::{docker, plain_build, registry, scratch, skopeo_copy};

fn forge() -> Forge {
    Forge::new("verify", &format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\"]}}\n", newest()))
}

#[test]
fn an_image_passes_for_its_own_kernel_only() {
    let image = pushed("v4l2loopback", newest());
    let right = forge().run(&["verify", &image]).expect(0);
    right.says("checks passed against");
    let wrong = forge().run(&["verify", &image, "--kernel", oldest()]).expect(3);
    assert!(["error[vermagic]", "error[symbol-crc]"].iter().any(|id| wrong.stderr.contains(id)), "{}", wrong.stderr);
}

#[test]
fn an_image_of_another_tool_is_verified_too() {
    let (layout, root) = (scratch(), scratch());
    skopeo_copy(&pushed("v4l2loopback", newest()), layout.path());
    let layers = layers(layout.path());
    unpack(&layers, root.path());
    let module = tree(&layers).into_keys().find(|path| path.ends_with("/v4l2loopback.ko")).unwrap();

    let context = scratch();
    fs::copy(root.path().join(module), context.path().join("x.ko")).unwrap();
    fs::write(context.path().join("Dockerfile"), format!("FROM scratch\nCOPY x.ko /lib/modules/{}/x.ko\n", newest())).unwrap();
    let image = format!("{}/foreign/x:1", registry());
    plain_build(context.path(), &image);
    docker(&["push", &image]);
    let run = forge().run(&["verify", &image]).expect(0);
    run.says("checks passed against");
    run.says(&format!("/lib/modules/{}/x.ko", newest()));
    forge().run(&["verify", &image, "--kernel", oldest()]).expect(3);
}
