//! A rendered folder gives a plain `docker build` the same files.

use crate::files::{assert_same, layers, saved_layers, tree};
use crate::forge::{Forge, newest_trixie};
use crate::stack::{docker, plain_build, scratch, skopeo_copy};

fn files_are_equal(driver: &str, kernel: &str, ours: &[Vec<u8>]) {
    let forge = Forge::new("rendered", &format!("  - {{drivers: [\"{driver}\"], distros: [debian], kernels: [\"{kernel}\"]}}\n"));
    let folder = forge.run(&["render", "-o", "out"]).expect(0).stdout.trim().to_owned();
    let image = format!("rendered-{}", driver.split('@').next().unwrap());
    plain_build(&forge.path(&folder), &image);
    let archive = forge.path("saved.tar");
    docker(&["save", "--output", archive.to_str().unwrap(), &image]);
    assert_same(&tree(ours), &tree(&saved_layers(&archive)));
    let command = docker(&["inspect", "--format", "{{json .Config.Cmd}} {{json .Config.Env}} {{json .Config.Labels}}", &image]);
    assert!(command.contains(kernel) && command.contains("sleep"), "{command}");
}

#[test]
fn a_plain_build_of_small_modules_has_the_same_files() {
    let layout = scratch();
    skopeo_copy(&crate::light::pushed("jool", newest_trixie()), layout.path());
    files_are_equal("jool", newest_trixie(), &layers(layout.path()));
}
