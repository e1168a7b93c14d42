//! Sources that no profile describes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use kmodforge::arch::Arch;
use kmodforge::catalog::Catalog;
use kmodforge::fetch::{FetchOptions, Fetcher, Kind};
use kmodforge::kernel_index::{IndexRequest, find_packages};
use kmodforge::project::Project;
use kmodforge::record::Outcome;

use crate::forge::{Forge, newest};
use crate::stack::{kept, mirrors, run, scratch};

/// A project without a matrix.
fn forge() -> Forge {
    Forge::new("dkms", "  - {drivers: [v4l2loopback], distros: [debian], kernels: [latest]}\n")
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

const CODE: &str = "#include <linux/module.h>\n#include \"told.h\"\nMODULE_LICENSE(\"GPL\");\nMODULE_DESCRIPTION(TOLD);\n";

/// Packages of Debian whose `dkms.conf` differ in what they do: none of its own commands, an own Makefile, several modules.
#[test]
fn packages_without_a_profile_are_built_checked_and_booted() {
    for (package, modules) in [("acpi-call-dkms", &["acpi_call"][..]), ("ddcci-dkms", &["ddcci", "ddcci-backlight"]), ("langford-dkms", &["langford"])] {
        let forge = forge();
        let source = format!("deb:{package}/bookworm");
        let built = forge.run(&["build", "--source", &source, "--kernel", newest(), "--distro", "debian:bookworm", "--output", "oci:out", "--boot"]).expect(0);
        built.says(&format!("source: {package}"));
        built.says("which is run in the builder");
        let record = forge.record();
        let target = &record.targets[0];
        assert_eq!((target.outcome, target.modules.clone()), (Outcome::Built, modules.iter().map(ToString::to_string).collect()), "{package}");
        assert_eq!(target.boot.as_ref().unwrap().loaded.len(), modules.len(), "{package}: {target:?}");
        assert_eq!(target.source.as_deref().map(|source| source.contains(package)), Some(true), "{package}: {target:?}");
    }
}

/// Everything that a `dkms.conf` can do, in one that needs all of it.
#[test]
fn a_directory_is_built_as_its_dkms_conf_says() {
    let forge = forge();
    let conf = "PACKAGE_NAME=told\r\nPACKAGE_VERSION=$(echo 1.5)\r\nBUILT_MODULE_NAME[0]=told\r\nBUILT_MODULE_LOCATION[0]=src\r\n\
        DEST_MODULE_LOCATION[0]=/extra\r\nMAKE[0]=\"make -C \\${kernel_source_dir} M=\\${dkms_tree}/\\$module/\\$module_version/build/src\"\r\n\
        MAKE_MATCH[0]=^6\r\nMAKE[1]=false\r\nMAKE_MATCH[1]=^5\r\nPRE_BUILD=\"configure.sh $kernelver\"\r\nPATCH[0]=words.patch\r\nPATCH_MATCH[0]=^6\r\n";
    write(
        &forge.path("told"),
        &[
            ("dkms.conf", conf),
            ("configure.sh", "#!/bin/sh\n[ \"$(uname -r)\" = \"$1\" ] && printf '#define TOLD \"%s %s\"\\n' \"$(cat words)\" \"$1\" > src/told.h\n"),
            ("words", "wrong\n"),
            ("patches/words.patch", "--- a/words\n+++ b/words\n@@ -1 +1 @@\n-wrong\n+right\n"),
            ("src/Makefile", "obj-m := told.o other.o\n"),
            ("src/told.c", CODE),
            ("src/other.c", "#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\n"),
        ],
    );
    let arguments = ["build", "--source", "told", "--kernel", newest(), "--push"];
    let built = forge.run(&arguments).expect(0);
    built.says("name: told, version 0");
    built.says("dkms.conf names told");
    let layout = scratch();
    let image = built.stdout.trim().to_owned();
    crate::stack::skopeo_copy(image.split_once('@').unwrap().0, layout.path());
    let layers = crate::files::layers(layout.path());
    crate::files::unpack(&layers, layout.path());
    let modules = layout.path().join("opt/lib/modules").join(newest());
    let info = run(Command::new("modinfo").args(["-F", "description"]).arg(modules.join("updates/dkms/told.ko")));
    assert_eq!(info.trim(), format!("right {}", newest()));
    assert!(!modules.join("updates/dkms/other.ko").exists(), "dkms.conf does not name it");

    // The same files are the same image; other files are not.
    forge.run(&arguments).expect(0).says("already published");
    fs::write(forge.path("told/words"), "wrong\n\n").unwrap();
    forge.run(&["plan", "--source", "told", "--kernel", newest()]).expect(0).says("driver source changed");
    // What a published image holds is known without building it again.
    assert_eq!(forge.record().targets[0].modules, ["told"]);
}

#[test]
fn a_kernel_that_dkms_conf_excludes_is_no_failure() {
    let forge = forge();
    let conf = "PACKAGE_NAME=old\nPACKAGE_VERSION=1\nBUILT_MODULE_NAME=old\nDEST_MODULE_LOCATION=/extra\nBUILD_EXCLUSIVE_KERNEL_MAX=5.6\n";
    write(&forge.path("old"), &[("dkms.conf", conf), ("Makefile", "obj-m := old.o\n")]);
    let run = forge.run(&["build", "--source", "old", "--kernel", newest(), "--output", "oci:out"]).expect(4);
    run.says("needs a kernel up to 5.6");
    let target = &forge.record().targets[0];
    assert_eq!((target.outcome, target.why.as_str()), (Outcome::Unsupported, "needs a kernel up to 5.6"));
}

#[test]
fn a_dkms_conf_that_never_ends_is_stopped() {
    let forge = forge();
    write(&forge.path("endless"), &[("dkms.conf", "PACKAGE_NAME=endless\nPACKAGE_VERSION=1\nwhile :; do :; done\n"), ("Makefile", "")]);
    let run = forge.run(&["build", "--source", "endless", "--kernel", newest(), "--output", "oci:out"]).expect(1);
    run.says("could not be built: its dkms.conf cannot be followed");
    run.says("dkms.conf: it did not come to an end within 30 s");
}

#[test]
fn a_kbuild_tree_needs_no_dkms_conf_and_its_profile_builds_the_same() {
    let forge = forge();
    write(&forge.path("plain-2.0"), &[("Makefile", "obj-m := plain.o\n"), ("plain.c", CODE), ("told.h", "#define TOLD \"plain\"\n")]);
    let run = forge.run(&["build", "--source", "plain-2.0", "--kernel", newest(), "--output", "oci:out"]).expect(0);
    run.says("build: by the kernel's Makefile");
    run.says("the build leaves plain");
    assert_eq!(forge.record().targets[0].target.version, "2.0");

    let written = forge.run(&["profile", "new", "--from-source", "plain-2.0"]).expect(0);
    let profile = forge.path("plain.yaml");
    fs::write(&profile, &written.stdout).unwrap();
    let checked = forge.run(&["profile", "check", "plain.yaml", "--build", "--kernel", newest()]).expect(0);
    checked.says("plain.yaml: driver plain");
    checked.says("1 target done");
    assert_eq!(forge.record().targets[0].modules, ["plain"]);
}

/// The table of `tests/dkms/samples`, by Debian's DKMS of trixie.
#[tokio::test]
async fn samples_are_built_as_the_real_dkms_builds_them() {
    let project = format!("{}matrix: [{{drivers: [zfs], kernels: [latest]}}]\n", mirrors());
    let mirrors = Project::parse(Path::new("kmodforge.yaml"), &project).unwrap().content.mirrors;
    let fetcher = Fetcher::new(FetchOptions::new(mirrors, kept("cache"))).unwrap();
    let catalog = Catalog::embedded().unwrap();
    let distro = catalog.distro("debian").unwrap();
    let request = IndexRequest {
        distro,
        release: distro.release("trixie").unwrap(),
        arch: Arch::Amd64,
        build_arch: Arch::Amd64,
        fallbacks: &[],
        keyrings: catalog.keyrings(),
    };
    let found = find_packages(&fetcher, &request, &BTreeSet::from(["dkms".to_owned()]), false).await.unwrap();
    let package = &found.first().unwrap().package;
    let deb = fetcher.verified(Kind::Package, &package.url, &package.sha256).await.unwrap();
    let root = scratch();
    run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(root.path()));
    let compared =
        Command::new("bash").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/dkms/compare.sh")).arg(root.path().join("usr/sbin/dkms")).output().unwrap();
    let said = String::from_utf8_lossy(&compared.stdout);
    assert!(compared.status.success(), "{said}\n{}", String::from_utf8_lossy(&compared.stderr));
    assert!(said.lines().count() >= 30, "{said}");
}
