use std::collections::BTreeSet;

use super::plain::PlainContext;
use super::*;
use crate::arch::Arch;
use crate::catalog::Catalog;
use crate::fixture;
use crate::kernel::KernelRelease;
use crate::package::{Package, PublishedKernel, PublishedRelease};
use crate::plan::{Group, Plan};
use crate::profile::distro::{Archives, DistroProfile, Family};
use crate::profile::driver::DriverProfile;
use crate::reference::Digest;
use crate::template::quote_shell;

fn target() -> Target {
    fixture::target("v4l2loopback", "6.1.0-56-amd64")
}

#[test]
fn templates_name_what_their_context_has_and_nothing_else() {
    for family in Family::ALL {
        let mut target = target();
        let mut profile = target.distro.profile.as_ref().clone();
        profile.family = family;
        target.distro = crate::plan::PlannedDistro { profile: profile.into(), release: target.distro.release.clone() }.into();
        let context = serde_json::to_value(Context::of(&target, &Mirrors::default()).unwrap()).unwrap();
        let mut fields: BTreeSet<String> = context.as_object().unwrap().keys().cloned().collect();
        if family != Family::Apt {
            // Profiles of other families have none.
            fields.retain(|field| !field.starts_with("archive"));
        }
        let used: BTreeSet<String> = template::names_used(&template_name(&target)).unwrap().into_iter().collect();
        assert_eq!(used, fields, "{family:?}: names in the template (left), fields of its context (right)");
    }
}

#[test]
fn plain_templates_name_what_their_context_has_and_nothing_else() {
    let target = archived();
    let context = PlainContext::of(&target.driver, &target.distro, &Mirrors::default()).unwrap();
    let fields: BTreeSet<String> = serde_json::to_value(context).unwrap().as_object().unwrap().keys().cloned().collect();
    let used: BTreeSet<String> = template::names_used("dockerfile/apt-plain.Dockerfile.tera").unwrap().into_iter().collect();
    assert_eq!(used, fields, "names in the template (left), fields of its context (right)");
}

/// A target whose source any builder can fetch.
fn archived() -> Target {
    built_in("v4l2loopback", &newest("v4l2loopback"), "6.1.0-56-amd64", Arch::Amd64)
}

#[test]
fn a_plain_dockerfile_asks_nothing_of_the_builder() {
    for (driver, target) in every_driver() {
        if target.driver.dkms().is_some() {
            continue;
        }
        let text = dockerfile_for_any_kernel(&target.driver, &target.distro, &Mirrors::default()).unwrap();
        for word in ["--mount", "<<", "# syntax", "ADD "] {
            assert!(!text.contains(word), "{driver}: {word}\n{text}");
        }
        assert!(text.lines().filter(|line| line.starts_with("COPY")).all(|line| line.starts_with("COPY --from=build ")), "{text}");
        assert!(!text.contains("6.1.0-56") && text.contains("'linux-headers-'\"$KERNEL_FULL_VERSION\""), "{text}");
        assert!(!text.contains(['\u{e000}', '\u{e001}', '\u{e002}', '\u{e003}', '\u{e004}']), "{text}");
        // Whatever stands in the text, bash finds every RUN whole.
        for run in text.split("\n\n").flat_map(|part| part.split("\nRUN ").skip(1)).chain(text.split("\n\nRUN ").skip(1)) {
            let script = run.split("\n\n").next().unwrap().replace("\\\n", " ");
            let script = script.lines().next().unwrap();
            let parsed = std::process::Command::new("bash").args(["-n", "-c", script]).output().unwrap();
            assert!(parsed.status.success(), "{script}\n{}", String::from_utf8_lossy(&parsed.stderr));
        }
    }
}

#[test]
fn what_the_shell_knows_later_stands_outside_of_quotes() {
    assert_eq!(recipe::unmark(&quote_shell("\u{e000}")), "\"$KERNEL_FULL_VERSION\"");
    assert_eq!(recipe::unmark(&quote_shell("/usr/src/linux-headers-\u{e000}/a b")), "'/usr/src/linux-headers-'\"$KERNEL_FULL_VERSION\"'/a b'");
    let run = |text: &str| {
        let script = format!("KERNEL_FULL_VERSION='6.1 $x'; printf %s {}", recipe::unmark(&quote_shell(text)));
        String::from_utf8(std::process::Command::new("bash").args(["-c", &script]).output().unwrap().stdout).unwrap()
    };
    for text in ["\u{e000}", "a\u{e000}", "\u{e000}b", "it's \u{e000}", "''\"\u{e000}", "'\u{e000}'", "$\u{e000}\u{e000}'", "\"\u{e000}\""] {
        assert_eq!(run(text), text.replace('\u{e000}', "6.1 $x"), "{text}");
    }
}

#[test]
fn a_source_on_this_machine_is_no_use_to_other_builders() {
    let target = target();
    let failure = Failure::from(dockerfile_for_any_kernel(&target.driver, &target.distro, &Mirrors::default()).unwrap_err());
    assert_eq!(
        failure.to_string(),
        "error: the source of driver `v4l2loopback` lies on this machine\n  help      give its profile a source with a URL: `archive` or `deb`"
    );
}

#[test]
fn links_of_the_programs_are_pairs_of_words() {
    let text = dockerfile(&target(), &Mirrors::default()).unwrap();
    let pairs: Vec<_> = target().distro.profile.runtime.links.iter().map(|(from, to)| format!(" \\\n      {to} {from}")).collect();
    let pairs = pairs.concat();
    assert!(text.contains(&format!("printf '%s %s\\n'{pairs})")), "{pairs}\n{text}");
}

/// The built-in profiles, read once: unoptimised, that takes a second.
fn embedded() -> &'static Catalog {
    static CATALOG: std::sync::LazyLock<Catalog> = std::sync::LazyLock::new(|| Catalog::embedded().unwrap());
    &CATALOG
}

/// A target of the built-in profiles; the kernel's packages are invented.
pub(super) fn built_in(driver: &str, version: &str, kernel: &str, arch: Arch) -> Target {
    let catalog = embedded();
    let group = Group {
        drivers: vec![(catalog.driver(driver).unwrap().clone().into(), Some(version.parse().unwrap()))],
        distros: vec![(catalog.distro("debian").unwrap().clone().into(), Some("bookworm".parse().unwrap()))],
        kernels: vec![kernel.parse().unwrap()],
        arches: vec![arch],
        excludes: Vec::new(),
        unlisted: Vec::new(),
    };
    fixture::plan_of(group, &[PublishedRelease { arch: arch.to_string(), ..fixture::index(&[kernel]) }]).unwrap().targets.remove(0)
}

fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/dockerfile").join(name)
}

/// Compares with a file in `tests/golden/dockerfile`; `SNAPSHOTS=overwrite` writes it.
pub(super) fn check_text(name: &str, text: &str) {
    snapbox::assert_data_eq!(text, snapbox::Data::read_from(&golden(&format!("{name}.Dockerfile")), None).raw());
}

fn check(name: &str, target: &Target) {
    check_text(name, &dockerfile(target, &Mirrors::default()).unwrap());
}

/// A kernel of each distribution.
pub(super) const OF_DISTROS: &[(&str, &str, &str)] = &[
    ("almalinux", "9", "5.14.0-570.12.1.el9_6.x86_64"),
    ("amazon-2", "2", "5.10.240-238.955.amzn2.x86_64"),
    ("amazon-2023", "2023", "6.12.64-87.122.amzn2023.x86_64"),
    ("arch", "rolling", "6.16.8-arch3-1"),
    ("azurelinux", "3.0", "6.6.134.1-2.azl3"),
    ("centos-stream", "10", "6.12.0-150.el10.x86_64"),
    ("cos", "any", "6.6.93+"),
    ("debian", "trixie", "6.12.117+deb13-amd64"),
    ("fedora", "43", "6.17.7-300.fc43.x86_64"),
    ("flatcar", "any", "6.12.103-flatcar"),
    ("gardenlinux", "any", "6.12.72-cloud-amd64"),
    ("openshift", "9", "5.14.0-427.13.1.el9_4.x86_64"),
    ("opensuse-leap", "15.6", "6.4.0-150600.23.25-default"),
    ("oracle", "9", "5.15.0-313.189.5.el9uek.x86_64"),
    ("rhel", "9", "5.14.0-570.12.1.el9_6.x86_64"),
    ("rocky", "9", "5.14.0-570.12.1.el9_6.x86_64+rt"),
    ("sles", "15-sp5", "5.14.21-150500.55.49-default"),
    ("ubuntu", "jammy", "5.15.0-119-generic"),
];

pub(super) fn of_distro(distro: &str, release: &str, kernel: &str) -> Target {
    let catalog = embedded();
    let profile = catalog.distro(distro).unwrap();
    let compiler = profile.release(release).unwrap().default_compiler.clone().unwrap();
    let held = || PublishedKernel {
        headers: Vec::new(),
        headers_image: Some("registry.example/devel:1".to_owned()),
        compilers: Vec::new(),
        ..fixture::kernel(kernel)
    };
    let unlisted = match (&profile.kernels.in_image, &profile.kernels.archives) {
        (Some(_), _) => vec![held()],
        (None, Some(archives)) => vec![of_archive(archives, kernel, "18613.339.5")],
        (None, None) => Vec::new(),
    };
    of_group(profile, release, kernel, compiler, unlisted)
}

/// A kernel of an archive, and the archive of its compiler.
fn of_archive(archives: &Archives, kernel: &str, os_version: &str) -> PublishedKernel {
    let package = |url: String| Package { url, arch: "amd64".into(), ..fixture::kernel(kernel).headers[0].clone() };
    let mut headers = vec![package(archives.url(os_version, Arch::Amd64).unwrap())];
    headers.extend(archives.compiler.iter().map(|_| package("https://storage.example/toolchain.tar.xz".to_owned())));
    PublishedKernel { headers, os_version: Some(os_version.to_owned()), compilers: Vec::new(), ..fixture::kernel(kernel) }
}

fn of_group(profile: &DistroProfile, release: &str, kernel: &str, compiler: String, unlisted: Vec<PublishedKernel>) -> Target {
    let catalog = embedded();
    let group = Group {
        drivers: vec![(catalog.driver("v4l2loopback").unwrap().clone().into(), None)],
        distros: vec![(profile.clone().into(), Some(release.parse().unwrap()))],
        kernels: vec![kernel.parse().unwrap()],
        arches: vec![Arch::Amd64],
        excludes: Vec::new(),
        unlisted,
    };
    let index = fixture::index(&[kernel]);
    let kernels = index.kernels.iter().map(|kernel| PublishedKernel { compilers: Vec::new(), ..kernel.clone() }).collect();
    let index = PublishedRelease { distro: profile.id.to_string(), release: release.into(), compilers: vec![compiler], kernels, ..index };
    fixture::plan_of(group, &[index]).unwrap().targets.remove(0)
}

#[test]
fn each_distribution_renders_as_people_have_read_it() {
    let known: Vec<_> = OF_DISTROS.iter().map(|(distro, ..)| *distro).collect();
    let catalog = embedded();
    assert_eq!(catalog.distro_entries().map(|entry| entry.profile.id.as_str()).collect::<Vec<_>>(), known, "a distribution without a kernel here");
    for (distro, release, kernel) in OF_DISTROS {
        let target = of_distro(distro, release, kernel);
        check(&format!("of-{distro}"), &target);
        shellcheck(&dockerfile(&target, &Mirrors::default()).unwrap());
    }
}

#[test]
fn headers_come_out_of_a_disk_image_where_their_archive_is_one() {
    let profile = embedded().distro("flatcar").unwrap();
    let kernel = of_archive(profile.kernels.archives.as_ref().unwrap(), "6.12.103-flatcar", "4459.2.1");
    let target = of_group(profile, "any", "6.12.103-flatcar", "gcc".to_owned(), vec![kernel]);
    check("of-flatcar-archive", &target);
    shellcheck(&dockerfile(&target, &Mirrors::default()).unwrap());
}

/// Every `RUN` is a script that shellcheck has nothing to say about, save that some lists have one word.
pub(super) fn shellcheck(dockerfile: &str) {
    use std::io::Write as _;
    let lines = dockerfile.replace("\\\n", " ");
    for run in lines.lines().filter_map(|line| line.strip_prefix("RUN ")) {
        let script: Vec<_> = run.split(' ').skip_while(|word| word.is_empty() || word.starts_with("--mount")).collect();
        let mut checker = std::process::Command::new("shellcheck");
        checker.args(["--shell=bash", "--severity=warning", "--exclude=SC2043", "-"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
        let mut checker = checker.spawn().unwrap_or_else(|error| panic!("shellcheck: {error}; scripts/setup.sh installs it"));
        // As `SHELL` has it run.
        let script = format!("set -euo pipefail; {}", script.join(" "));
        checker.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = checker.wait_with_output().unwrap();
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stdout));
    }
}

pub(super) fn newest(driver: &str) -> String {
    embedded().driver(driver).unwrap().versions[0].version.to_string()
}

/// Every driver's newest version, for a kernel of Debian that it is for; `WireGuard`'s kernels are older than those.
fn every_driver() -> Vec<(String, Target)> {
    let catalog = embedded();
    let kernels = ["6.1.0-56-amd64", "6.12.0-1-amd64", "5.5.0-1-amd64"];
    let of = |driver: &DriverProfile| {
        let version = &driver.versions[0];
        let fits = |kernel: &&&str| driver.supports(version, kernel.parse::<KernelRelease>().unwrap().version(), Arch::Amd64).is_ok();
        let kernel = kernels.iter().find(fits).unwrap_or_else(|| panic!("{} is for none of {kernels:?}", driver.id));
        (driver.id.to_string(), built_in(driver.id.as_str(), version.version.as_str(), kernel, Arch::Amd64))
    };
    catalog.driver_entries().map(|entry| of(&entry.profile)).collect()
}

/// What is a driver's own: the stage that builds it, and its labels. The rest is as in the whole ones below.
#[test]
fn drivers_are_built_as_people_have_read_it() {
    for (driver, target) in every_driver() {
        let text = dockerfile(&target, &Mirrors::default()).unwrap();
        let stages = text.split("\nFROM ").filter(|stage| ["AS driver-toolchain", "AS build"].iter().any(|name| stage.lines().next().unwrap().ends_with(name)));
        let own = stages.fold(String::new(), |own, stage| own + "FROM " + stage.split("\n#").next().unwrap().trim_end() + "\n\n");
        let labels = text.split("\nLABEL ").nth(1).unwrap().split("\nCMD ").next().unwrap();
        check_text(&format!("drivers/{driver}"), &format!("{own}LABEL {labels}\n"));
    }
    let known: BTreeSet<_> = every_driver().into_iter().map(|(driver, _)| format!("{driver}.Dockerfile")).collect();
    let there = std::fs::read_dir(golden("drivers")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(known, there, "drivers (left), files that show them (right)");
}

#[test]
fn dockerfiles_are_as_people_have_read_them() {
    check("v4l2loopback-amd64", &built_in("v4l2loopback", &newest("v4l2loopback"), "6.1.0-56-amd64", Arch::Amd64));
    check("v4l2loopback-arm64", &built_in("v4l2loopback", &newest("v4l2loopback"), "6.1.0-56-arm64", Arch::Arm64));
    check("zfs", &built_in("zfs", &newest("zfs"), "6.1.0-56-amd64", Arch::Amd64));
    check("nvidia-open", &built_in("nvidia-open", "535.261.03", "6.1.0-47-amd64", Arch::Amd64));
    let mut dkms = built_in("v4l2loopback", &newest("v4l2loopback"), "6.1.0-56-arm64", Arch::Arm64);
    let mut profile = dkms.driver.profile.as_ref().clone();
    profile.modules.clear();
    profile.ignored_modules = vec!["test/*".into()];
    profile.build = serde_saphyr::from_str("{packages: {apt: ['libelf-dev|libelf1']}, steps: [{dkms: {directory: src}}]}").unwrap();
    dkms.driver = crate::plan::PlannedDriver { profile: profile.into(), index: 0 }.into();
    check("dkms", &dkms);
    check("jool", &built_in("jool", &newest("jool"), "6.1.0-56-amd64", Arch::Amd64));
    let mut plus = target();
    plus.kernel = fixture::kernel("5.10.109+").into();
    check("release-with-plus", &plus);
}

/// The words that bash makes of the arguments behind `marker` in the Dockerfile's `RUN` lines.
fn words_after(text: &str, marker: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.trim_start().starts_with(marker)).unwrap_or_else(|| panic!("no `{marker}` in\n{text}"));
    let arguments = line.trim_start().strip_prefix(marker).unwrap().trim_end_matches(['\\', ' ', ';']);
    let output = std::process::Command::new("bash").args(["-c", &format!("printf '%s\\0' {arguments}")]).output().unwrap();
    assert!(output.status.success(), "{line}");
    String::from_utf8(output.stdout).unwrap().split_terminator('\0').map(ToOwned::to_owned).collect()
}

#[test]
fn what_a_hostile_profile_says_stays_a_word() {
    const EVIL: &str = "'; touch /tmp/owned; $(id) `id` \"\\ && x";
    let mut target = target();
    let mut driver = target.driver.profile.as_ref().clone();
    driver.summary = EVIL.into();
    driver.modules[0].name = EVIL.into();
    driver.build.packages = [("apt".to_owned(), vec![EVIL.to_owned()])].into();
    driver.build.steps = serde_saphyr::from_str(&format!("[{{run: {{command: [say, {}]}}}}]", serde_json::to_string(EVIL).unwrap())).unwrap();
    target.driver = crate::plan::PlannedDriver { profile: driver.into(), index: 0 }.into();
    let mut kernel = target.kernel.as_ref().clone();
    kernel.headers[0].url = format!("http://x/{EVIL}");
    target.kernel = kernel.into();
    let text = dockerfile(&target, &Mirrors::default()).unwrap();
    assert_eq!(words_after(&text, "say"), [EVIL]);
    assert_eq!(words_after(&text, "take ''")[0], format!("{EVIL}.ko"));
    let label = text.lines().find(|line| line.contains("image.description=")).unwrap();
    assert_eq!(label.trim(), r#"org.opencontainers.image.description="'; touch /tmp/owned; \$(id) `id` \"\\ && x" \"#);
    // Whatever stands in the text, it stands in quotes: bash finds every RUN whole.
    for run in text.split("\n\n").flat_map(|part| part.split("\nRUN ").skip(1)) {
        let script = run.replace("\\\n", " ");
        let script = script.lines().next().unwrap().split(' ').skip_while(|word| word.is_empty() || word.starts_with("--mount")).collect::<Vec<_>>().join(" ");
        let parsed = std::process::Command::new("bash").args(["-n", "-c", &script]).output().unwrap();
        assert!(parsed.status.success(), "{script}\n{}", String::from_utf8_lossy(&parsed.stderr));
    }
}

#[test]
fn mirrors_say_where_and_do_not_change_what() {
    let mirrors: Mirrors = serde_saphyr::from_str(
        "{images: {docker.io/library/: '127.0.0.1:5000/library/'}, packages: {'http://ftp.debian.org/': 'http://mirror/'}, frozen: true}",
    )
    .unwrap();
    let text = dockerfile(&target(), &mirrors).unwrap();
    assert!(text.contains("FROM 127.0.0.1:5000/library/debian:bookworm AS base"), "{text}");
    assert!(text.contains("deb [check-valid-until=no] http://mirror/debian bookworm main"), "{text}");
    assert!(!text.contains("ftp.debian.org"), "{text}");
}

/// Digests of a target's inputs: the whole, then `source`, `kernel`, `tools`, `recipe`.
fn inputs(change: impl FnOnce(&mut Target)) -> crate::plan::Inputs {
    inputs_with("compression=zstd epoch=0", change)
}

fn inputs_with(arguments: &str, change: impl FnOnce(&mut Target)) -> crate::plan::Inputs {
    let mut target = target();
    change(&mut target);
    let mut plan = Plan { targets: vec![target], skipped: Vec::new() };
    fill_inputs(&mut plan, arguments).unwrap();
    plan.targets.remove(0).inputs.unwrap()
}

/// Names of the parts that differ from those of the unchanged target.
fn changed(now: &crate::plan::Inputs) -> Vec<&'static str> {
    let before = inputs(|_| {});
    assert_eq!(before.digest != now.digest, before.parts != now.parts, "the whole changes with its parts");
    before.parts.iter().zip(&now.parts).filter(|(a, b)| a != b).map(|(part, _)| part.0).collect()
}

#[test]
fn the_input_digest_changes_with_each_part_and_says_which() {
    assert_eq!(changed(&inputs(|_| {})), [""; 0]);
    let driver = |change: fn(&mut crate::profile::driver::DriverProfile)| {
        move |target: &mut Target| {
            let mut profile = target.driver.profile.as_ref().clone();
            change(&mut profile);
            target.driver = crate::plan::PlannedDriver { profile: profile.into(), index: 0 }.into();
        }
    };
    let other_source = driver(|profile| profile.versions[0].sources = serde_saphyr::from_str("[{path: {directory: other}}]").unwrap());
    assert_eq!(changed(&inputs(other_source)), ["source"]);
    assert_eq!(changed(&inputs(driver(|profile| profile.summary.push('!')))), ["recipe"]);
    assert_eq!(changed(&inputs(driver(|profile| profile.homepage.push('!')))), ["recipe"]);
    // What only checks use does not make another image.
    assert_eq!(changed(&inputs(driver(|profile| profile.ignored_modules.push("x".into())))), [""; 0]);
    let other_headers = |target: &mut Target| {
        let mut kernel = target.kernel.as_ref().clone();
        kernel.headers[0].sha256 = Digest::of(b"other").hex().to_owned();
        target.kernel = kernel.into();
    };
    assert_eq!(changed(&inputs(other_headers)), ["kernel", "recipe"]);
    let other_tools = |target: &mut Target| target.runtime = vec![fixture::package("kmod-31")].into();
    assert_eq!(changed(&inputs(other_tools)), ["tools", "recipe"]);
    let other_compiler = |target: &mut Target| {
        let mut toolchain = target.toolchain.as_ref().clone();
        toolchain.compiler = "gcc-13".into();
        target.toolchain = toolchain.into();
    };
    assert_eq!(changed(&inputs(other_compiler)), ["recipe"]);
    assert_eq!(changed(&inputs_with("compression=gzip epoch=0", |_| {})), ["recipe"]);
    // The tag is a name, not an input.
    assert_eq!(changed(&inputs(|target| target.image = "registry.example/other:1".parse().unwrap())), [""; 0]);
}

#[test]
fn an_image_is_current_only_if_everything_is_as_it_was() {
    let mut target = built_in("v4l2loopback", &newest("v4l2loopback"), "6.1.0-56-amd64", Arch::Amd64);
    let base = Digest::of(b"base");
    assert_eq!(is_current(&target, &BTreeMap::new(), None), Err("inputs unknown".into()));
    let mut plan = Plan { targets: vec![target.clone()], skipped: Vec::new() };
    fill_inputs(&mut plan, "a").unwrap();
    target = plan.targets.remove(0);
    let annotations = input_annotations(&target, Some(&base));
    assert_eq!(is_current(&target, &annotations, Some(&base)), Ok(()));
    assert_eq!(is_current(&target, &annotations, None), Ok(()));
    assert_eq!(is_current(&target, &annotations, Some(&Digest::of(b"new"))), Err("base image changed".into()));
    assert_eq!(is_current(&target, &BTreeMap::new(), None), Err("tag exists, but holds an image that was not made by kmodforge".into()));
    for (part, reason) in [
        ("source", "driver source changed"),
        ("kernel", "kernel headers changed"),
        ("tools", "programs of the image changed"),
        ("recipe", "build recipe changed"),
    ] {
        let mut annotations = annotations.clone();
        annotations.insert("io.kmodforge.input-digest".into(), Digest::of(b"old").to_string());
        annotations.insert(format!("io.kmodforge.input.{part}"), "000000000000".into());
        assert_eq!(is_current(&target, &annotations, None), Err(reason.into()));
    }
}

#[test]
fn what_only_a_build_tells_is_in_no_dockerfile_for_any_kernel() {
    let mut target = target();
    let mut profile = target.driver.profile.as_ref().clone();
    profile.modules.clear();
    target.driver = crate::plan::PlannedDriver { profile: profile.into(), index: 0 }.into();
    let failure = Failure::from(dockerfile_for_any_kernel(&target.driver, &target.distro, &Mirrors::default()).unwrap_err());
    assert_eq!(failure.headline, "driver `v4l2loopback` tells its steps or modules only while it is built");
    assert!(!labels(&target).contains_key("io.kmodforge.modules"), "a label that nobody knows yet is no empty one");
}

#[test]
fn a_placeholder_that_nobody_knows_is_named() {
    let mut target = target();
    let mut profile = target.driver.profile.as_ref().clone();
    profile.build.steps = serde_saphyr::from_str("[{run: {command: [echo, '{kernle}']}}]").unwrap();
    target.driver = crate::plan::PlannedDriver { profile: profile.into(), index: 0 }.into();
    let failure = Failure::from(dockerfile(&target, &Mirrors::default()).unwrap_err());
    assert_eq!(failure.headline, "driver `v4l2loopback`: `{kernle}`: unknown placeholder `{kernle}`");
}
