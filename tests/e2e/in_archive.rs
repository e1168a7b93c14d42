//! Kernels whose headers archives have, as those of Container-Optimized OS and Flatcar: archives with a real kernel's headers, laid out as theirs,
//! stand in for them (`scripts/standin-archive.sh`).

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use kmodforge::record::{Outcome, TargetRecord};

use crate::families::mirrored_servers;
use crate::forge::{Forge, image};
use crate::stack::{mirrors, run, setting, skopeo_inspect};

const REPOSITORY: &str = "in-archive";

/// What the stand-in has.
struct Offer {
    distro: String,
    os_version: String,
    kernel: String,
}

struct Standin {
    offers: Vec<Offer>,
    /// The `mirrors:` of a project file.
    mirrors: String,
}

fn standin() -> &'static Standin {
    static STANDIN: OnceLock<Standin> = OnceLock::new();
    STANDIN.get_or_init(|| {
        let script = format!("{}/scripts/standin-archive.sh", env!("CARGO_MANIFEST_DIR"));
        let folder = PathBuf::from(run(&mut Command::new(script)).trim());
        let offer = |line: &str| {
            let [distro, os_version, kernel] = line.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
            Offer { distro, os_version, kernel }
        };
        let offers = fs::read_to_string(folder.join("kernels")).unwrap().lines().map(offer).collect();
        Standin { offers, mirrors: mirrors().replacen("  packages:\n", &format!("  packages:\n{}", mirrored_servers(&folder.join("site"))), 1) }
    })
}

fn offer(distro: &str) -> &'static Offer {
    standin().offers.iter().find(|offer| offer.distro == distro).unwrap()
}

fn row(Offer { distro, os_version, kernel }: &Offer) -> String {
    format!("  - {{drivers: [v4l2loopback], distros: [{distro}], kernels: [\"{kernel}\"], arches: [amd64], os_version: {os_version}}}\n")
}

/// The run that builds for each of them, made once, and what it recorded.
fn built() -> &'static (Forge, Vec<TargetRecord>) {
    static BUILT: OnceLock<(Forge, Vec<TargetRecord>)> = OnceLock::new();
    BUILT.get_or_init(|| {
        let rows: String = standin().offers.iter().map(row).collect();
        let forge = Forge::mirrored(REPOSITORY, &rows, &standin().mirrors).with_builder(setting("KMODFORGE_TEST_BUILDKIT"));
        forge.run(&["build", "--push"]).expect(0);
        let targets = forge.record().targets;
        (forge, targets)
    })
}

fn target(kernel: &str) -> &'static TargetRecord {
    built().1.iter().find(|target| target.target.kernel == kernel).unwrap()
}

#[test]
fn modules_are_compiled_with_the_headers_and_the_compiler_of_the_archives() {
    for Offer { distro, os_version, kernel } in &standin().offers {
        let target = target(kernel);
        assert_eq!((target.outcome, target.target.distro.as_str()), (Outcome::Built, distro.as_str()));
        assert!(target.checks > 15, "{distro}: {} checks", target.checks);
        // The base image's compiler is 14: this is the archive's, or the one that the kernel's configuration names.
        assert!(target.compiler.as_ref().unwrap().contains(" 12."), "{:?}", target.compiler);
        assert!(target.headers[0].ends_with(&format!(" {os_version}")), "{:?}", target.headers);
        // Nobody has signed an archive.
        assert!(target.unverified.iter().any(|place| place.contains(os_version)), "{:?}", target.unverified);
        let labels = skopeo_inspect(&image(REPOSITORY, "v4l2loopback", &target.target.version, kernel), &[])["Labels"].clone();
        assert_eq!(labels["io.kmodforge.kernel"].as_str(), Some(kernel.as_str()));
    }
    assert_eq!(target(&offer("cos").kernel).headers.len(), 2, "headers and compiler");
    built().0.run(&["build", "--push", "--record", "again.json"]).expect(0).says("2 already published");
}

#[test]
fn a_published_image_is_checked_against_the_same_archive() {
    let Offer { distro, os_version, kernel } = offer("cos");
    let published = image(REPOSITORY, "v4l2loopback", &target(kernel).target.version, kernel);
    built().0.run(&["verify", &published, "--distro", distro, "--os-version", os_version]).expect(0);
    // Where nobody says which version it is, the message does.
    built().0.run(&["verify", &published, "--distro", distro]).expect(2).says("--os-version VERSION (BUILD_ID in a node's /etc/os-release)");
}

#[test]
fn an_archive_without_the_kernels_headers_says_what_it_has() {
    for distro in ["cos", "flatcar"] {
        let Offer { os_version, kernel, .. } = offer(distro);
        let other = kernel.replacen("6.1.", "6.1.1", 1);
        let arguments = ["--driver", "v4l2loopback", "--distro", distro, "--kernel", &other, "--os-version", os_version];
        let run = built().0.run(&[&["build", "--output", "oci:other", "--record", "other.json"][..], &arguments].concat()).expect(1);
        run.says(&format!("has no headers of {other}"));
    }
}

#[test]
fn a_version_that_nobody_has_is_no_partial_image() {
    let arguments = ["--driver", "v4l2loopback", "--distro", "cos", "--kernel", "6.1.93+", "--os-version", "1.2.3"];
    let run = built().0.run(&[&["build", "--push"][..], &arguments].concat()).expect(1);
    run.says("https://storage.googleapis.com/cos-tools/1.2.3/");
    run.says("see whether `cos` has a version `1.2.3`: https://cloud.google.com/container-optimized-os");
}

#[test]
fn a_bundle_holds_the_archives() {
    let forge = Forge::mirrored("in-archive-gap", &row(offer("cos")), &standin().mirrors).with_builder(setting("KMODFORGE_TEST_BUILDKIT"));
    forge.run(&["fetch", "-o", "bundle"]).expect(0);
    forge.run(&["build", "--offline", "bundle", "--output", "oci:gap"]).expect(0);
    let target = forge.record().targets.remove(0);
    assert_eq!((target.outcome, target.compiler.as_ref().unwrap().contains(" 12.")), (Outcome::Built, true));
}
