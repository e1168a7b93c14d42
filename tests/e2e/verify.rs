//! `verify`: our images, wrong images, and images of other tools.

use std::fs;
use std::process::Command;

use crate::files::{layers, tree, unpack};
use crate::forge::{Forge, newest, oldest};
use crate::light::pushed;
use crate::stack::{docker, plain_build, registry, run, scratch, skopeo_copy};

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
    let folder = format!("lib/modules/{}", newest());
    fs::create_dir_all(context.path().join(&folder)).unwrap();
    fs::copy(root.path().join(module), context.path().join(&folder).join("x.ko")).unwrap();
    fs::write(context.path().join("Dockerfile"), "FROM scratch\nCOPY lib /lib\n").unwrap();
    let bare = format!("{}/foreign/bare:1", registry());
    plain_build(context.path(), &bare);
    docker(&["push", &bare]);
    forge().run(&["verify", &bare]).expect(3).says("error[depmod]: the image has no `modules.dep`");

    run(Command::new("/sbin/depmod").arg("--basedir").arg(context.path()).arg(newest()));
    let image = format!("{}/foreign/x:1", registry());
    plain_build(context.path(), &image);
    docker(&["push", &image]);
    let verified = forge().run(&["verify", &image]).expect(0);
    verified.says("checks passed against");
    verified.says(&format!("/lib/modules/{}/x.ko", newest()));
    forge().run(&["verify", &image, "--kernel", oldest()]).expect(3);
}
