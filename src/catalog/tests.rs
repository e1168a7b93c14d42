use super::*;

fn kernel(text: &str) -> KernelRelease {
    text.parse().unwrap()
}

fn words(error: CatalogError) -> String {
    Failure::from(error).to_string()
}

fn write(directory: &Path, file: &str, text: &str) {
    let path = directory.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn every_embedded_profile_is_right_and_named_after_its_file() {
    let catalog = Catalog::embedded().unwrap();
    assert_eq!(catalog.usual_distros().map(|distro| distro.id.as_str()).collect::<Vec<_>>(), ["debian"]);
    assert!(catalog.drivers.contains_key("zfs"));
    assert!(EmbeddedDrivers::iter().all(|name| catalog.drivers.contains_key(name.trim_end_matches(".yaml"))));
    assert!(EmbeddedDistros::iter().all(|name| catalog.distros.contains_key(name.trim_end_matches(".yaml"))));
}

#[test]
fn what_nobody_can_build_for_is_refused_with_the_reason() {
    let catalog = Catalog::embedded().unwrap();
    let expected = "error: no modules can be built for Talos Linux\n  \
        because   its kernels load only modules that were signed with them, by a key that is thrown away when a kernel has been built\n  \
        help      take one of its system extensions (https://github.com/siderolabs/extensions), or build the module together with the kernel \
        (https://github.com/siderolabs/pkgs)";
    assert_eq!(words(catalog.recognise(&kernel("6.18.45-talos")).unwrap_err()), expected);
    assert_eq!(words(catalog.distro("talos").unwrap_err()), expected);
    assert_eq!(Failure::from(catalog.distro("talos").unwrap_err()).exit, Exit::Unsupported);
    // Nothing tells its kernels from those of others.
    assert!(matches!(catalog.recognise(&kernel("6.1.119")), Err(CatalogError::NotRecognised { .. })));
    assert!(words(catalog.distro("bottlerocket").unwrap_err()).starts_with("error: no modules can be built for Bottlerocket\n  because   its kernels refuse"));
    assert!(catalog.refusals.iter().all(|refusal| refusal.recognise.iter().all(|pattern| regex::Regex::new(pattern).is_ok())));
}

#[test]
fn debian_recognises_its_kernels() {
    let catalog = Catalog::embedded().unwrap();
    for (release, flavour, arch, suite) in [
        ("6.1.0-56-amd64", "", "amd64", None),
        ("6.1.0-56-cloud-arm64", "cloud", "arm64", None),
        ("6.1.0-47-rt-amd64", "rt", "amd64", None),
        ("5.10.0-0.bpo.15-amd64", "", "amd64", None),
        ("6.1.0-0.deb11.6-amd64", "", "amd64", None),
        ("6.12.107+deb12-cloud-amd64", "cloud", "amd64", Some("bookworm")),
        ("6.12.115+deb13.1-amd64", "", "amd64", Some("trixie")),
        ("7.3.4+deb13-rt-amd64", "rt", "amd64", Some("trixie")),
        ("6.12.117+deb13-arm64-16k", "16k", "arm64", Some("trixie")),
        ("7.2.13+deb14-amd64", "", "amd64", Some("sid")),
    ] {
        assert_eq!(catalog.recognise(&kernel(release)).unwrap().id.as_str(), "debian", "{release}");
        let recognised = catalog.distro("debian").unwrap().recognise(&kernel(release)).unwrap();
        assert_eq!((recognised.flavour.as_str(), recognised.arch.unwrap().oci(), recognised.release.as_deref()), (flavour, arch, suite), "{release}");
    }
    for release in ["6.12.72-cloud-amd64", "6.1.0-56-686-pae", "6.8.0-60-generic", "5.14.0-503.el9.x86_64", "6.1.0-56-amd64-x", "5.10.109+"] {
        assert!(catalog.distro("debian").unwrap().recognise(&kernel(release)).is_none(), "{release}");
    }
}

#[test]
fn debian_tells_headers_and_compilers_among_dependencies() {
    let catalog = Catalog::embedded().unwrap();
    let debian = catalog.distro("debian").unwrap();
    for package in ["linux-headers-6.1.0-56-common", "linux-headers-6.1.0-56-common-rt", "linux-kbuild-6.1", "linux-kbuild-7.2.12+deb13"] {
        assert!(debian.is_headers_package(package), "{package}");
    }
    for package in ["linux-image-6.12.107+deb13-amd64", "linux-base", "linux-base-7.2.13+deb14-amd64", "gcc-12", "pahole"] {
        assert!(!debian.is_headers_package(package), "{package}");
    }
    for (package, program) in [("linux-compiler-gcc-12-x86", "gcc-12"), ("gcc-14", "gcc-14"), ("gcc-16-for-host", "gcc-16")] {
        assert_eq!(debian.compiler_program(package), Some(program));
    }
    assert_eq!(debian.compiler_program("gcc-12-base"), None);
}

#[test]
fn ten_thousand_kernels_are_recognised_at_once() {
    let catalog = Catalog::embedded().unwrap();
    let kernels: Vec<_> = (0..10_000).map(|n| kernel(&format!("6.1.0-{n}-cloud-amd64"))).collect();
    assert!(kernels.iter().all(|kernel| catalog.recognise(kernel).is_ok()));
}

#[test]
fn a_directory_adds_profiles_and_replaces_known_ones() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = Catalog::embedded().unwrap();
    let text = &embedded.driver_entry("v4l2loopback").unwrap().text;
    write(directory.path(), "drivers/v4l2loopback.yaml", &text.replace("name: v4l2loopback\nsummary", "name: Ours\nsummary"));
    write(directory.path(), "drivers/camera.yaml", &text.replace("id: v4l2loopback", "id: camera"));
    write(directory.path(), "drivers/README.md", "not a profile");
    let catalog = embedded.with_dir(directory.path()).unwrap();
    assert_eq!(catalog.driver("v4l2loopback").unwrap().name, "Ours");
    assert_eq!(catalog.driver("camera").unwrap().id.as_str(), "camera");
    assert_eq!(catalog.driver_entry("camera").unwrap().file.as_deref(), Some(directory.path().join("drivers/camera.yaml").as_path()));
    assert!(catalog.driver("zfs").is_ok() && catalog.driver_entry("zfs").unwrap().file.is_none());
}

#[test]
fn two_files_cannot_hold_one_profile() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = Catalog::embedded().unwrap();
    write(directory.path(), "drivers/loop.yaml", &embedded.driver_entry("v4l2loopback").unwrap().text);
    let path = directory.path().display();
    assert_eq!(
        words(embedded.with_dir(directory.path()).unwrap_err()),
        format!("error: {path}/drivers/loop.yaml holds the profile `v4l2loopback`\n  help      rename it to {path}/drivers/v4l2loopback.yaml")
    );
}

#[test]
fn a_directory_without_profiles_is_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().display();
    assert_eq!(
        words(Catalog::default().with_dir(directory.path()).unwrap_err()),
        format!("error: {path} has neither `drivers` nor `distros`\n  help      profiles are files `drivers/<id>.yaml` and `distros/<id>.yaml` in it")
    );
}

#[test]
fn unknown_names_come_with_the_known_ones_if_they_are_few() {
    let catalog = Catalog::embedded().unwrap();
    let distros = catalog.distro_entries().map(|entry| entry.profile.id.to_string()).collect::<Vec<_>>().join(", ");
    assert!(distros.contains("debian, "));
    assert_eq!(
        words(catalog.driver("v4l2lopback").unwrap_err()),
        "error: unknown driver `v4l2lopback`
  help      did you mean `v4l2loopback`?
  help      list them: kmodforge profile list; add one: --profiles DIR with drivers/v4l2lopback.yaml"
    );
    assert_eq!(
        words(catalog.distro("plan9").unwrap_err()),
        format!(
            "error: unknown distro `plan9`
  known     {distros}
  help      list them: kmodforge profile list; add one: --profiles DIR with distros/plan9.yaml"
        )
    );
    assert_eq!(
        words(catalog.recognise(&kernel("6.6.93")).unwrap_err()),
        format!(
            "error: no distro profile recognises `6.6.93`
  looked at  {distros}
  help       add a profile for its distribution: --profiles DIR"
        )
    );
    assert_eq!(Failure::from(catalog.driver("x").unwrap_err()).exit, Exit::Usage);
}

#[test]
fn a_kernel_of_two_distributions_needs_the_users_word() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = Catalog::embedded().unwrap();
    let text = embedded.distro_entry("debian").unwrap().text.replace("id: debian\nname", "id: mydebian\nname");
    write(directory.path(), "distros/mydebian.yaml", &text);
    let catalog = embedded.with_dir(directory.path()).unwrap();
    assert_eq!(
        words(catalog.recognise(&kernel("6.1.0-56-amd64")).unwrap_err()),
        "error: `6.1.0-56-amd64` can be a kernel of debian and of mydebian
  help      say which one it is: --distro debian
  help      say which one it is: --distro mydebian"
    );
}

#[test]
fn damaged_profiles_are_refused_and_never_a_panic() {
    let catalog = Catalog::embedded().unwrap();
    for entry in catalog.driver_entries() {
        for end in (0..entry.text.len()).step_by(199).filter(|end| entry.text.is_char_boundary(*end)) {
            let (head, tail) = entry.text.split_at(end);
            for damaged in
                [head.to_owned(), format!("{head}\u{0}{tail}"), format!("{head}[{tail}"), format!("{head}: *x &y {tail}"), format!("{head}\u{1f980}{tail}")]
            {
                if let Err(error) = DriverProfile::load("damaged.yaml", &damaged) {
                    assert!(Failure::from(error).snippet.is_some());
                }
            }
        }
    }
}

#[test]
fn keyrings_come_with_the_program_and_from_directories() {
    let catalog = Catalog::embedded().unwrap();
    assert_eq!(catalog.keyrings().keys().collect::<Vec<_>>(), ["debian", "suse", "ubuntu"]);
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("keyrings")).unwrap();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/openpgp/ring.gpg");
    std::fs::copy(fixture, directory.path().join("keyrings/debian.gpg")).unwrap();
    let before = catalog.keyrings()["debian"].clone();
    let catalog = catalog.with_dir(directory.path()).unwrap();
    assert_ne!(catalog.keyrings()["debian"], before, "one with a known name replaces the known one");
}
