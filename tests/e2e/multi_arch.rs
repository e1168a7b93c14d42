//! Modules for arm64 by a cross compiler, on an amd64 builder.

use std::process::Command;

use kmodforge::record::Outcome;

use crate::files::{tree, unpack};
use crate::forge::{Forge, newest, newest_arm64};
use crate::stack::{registry, run, scratch, skopeo_inspect};

#[test]
fn one_tag_serves_both_architectures() {
    let matrix = format!("  - {{drivers: [v4l2loopback], distros: [debian], kernels: [\"{}\", \"{}\"], arches: [amd64, arm64]}}\n", newest(), newest_arm64());
    let forge = Forge::new("multi", &matrix);
    let run_it = forge.run(&["build", "--push", "--tag-template", "{{ driver.version }}-{{ kernel.version }}", "--output", "oci:layout"]).expect(0);
    run_it.says("2 targets done");
    let arm = forge.target("v4l2loopback", newest_arm64());
    assert_eq!((arm.outcome, arm.target.arch.as_str()), (Outcome::Built, "arm64"));
    assert!(arm.findings.is_empty(), "{:?}", arm.findings);
    assert!(arm.checks > 10);

    let image = arm.image.unwrap();
    assert_eq!(forge.target("v4l2loopback", newest()).image.as_ref(), Some(&image));
    let index = skopeo_inspect(&image, &["--raw"]);
    let mut seen: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|entry| entry["platform"]["architecture"].as_str().unwrap()).collect();
    seen.sort_unstable();
    assert_eq!(seen, ["amd64", "arm64"], "{index}");
    assert_eq!(skopeo_inspect(&image, &["--override-arch", "arm64"])["Labels"]["io.kmodforge.kernel"], newest_arm64());

    let (layout, root) = (scratch(), scratch());
    let digest = arm.digest.unwrap();
    let name = format!("{}/multi/v4l2loopback@{digest}", registry());
    crate::stack::skopeo_copy(&name, layout.path());
    let layers = crate::files::layers(layout.path());
    let module = tree(&layers).into_keys().find(|path| path.ends_with("/v4l2loopback.ko")).unwrap();
    unpack(&layers, root.path());
    let header = run(Command::new("readelf").arg("--file-header").arg(root.path().join(module)));
    assert!(header.contains("AArch64"), "{header}");
    let program = run(Command::new("readelf").arg("--file-header").arg(root.path().join("usr/bin/kmod")));
    assert!(program.contains("AArch64"), "{program}");
}
