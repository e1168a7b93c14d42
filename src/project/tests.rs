use super::*;
use crate::error::{Exit, Failure};
use crate::profile::distro::DistroProfile;
use crate::profile::driver::DriverProfile;

struct Known(Vec<DriverProfile>, Vec<DistroProfile>);

impl Profiles for Known {
    fn drivers(&self) -> Vec<&DriverProfile> {
        self.0.iter().collect()
    }

    fn distros(&self) -> Vec<&DistroProfile> {
        self.1.iter().collect()
    }
}

fn known() -> Known {
    let driver = |name: &str| {
        let path = format!("{}/drivers/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        DriverProfile::load(name, &std::fs::read_to_string(path).unwrap()).unwrap()
    };
    let distro = concat!(env!("CARGO_MANIFEST_DIR"), "/distros/debian.yaml");
    Known(vec![driver("v4l2loopback"), driver("zfs")], vec![DistroProfile::load("debian", &std::fs::read_to_string(distro).unwrap()).unwrap()])
}

fn parse(text: &str) -> Result<Project, ProjectError> {
    let project = Project::parse(Path::new("kmodforge.yaml"), text)?;
    project.check(&known())?;
    Ok(project)
}

/// Headline, position and label of what is wrong with a matrix row.
fn mistake(row: &str) -> String {
    let message = Failure::from(parse(&format!("matrix:\n  - {row}\n")).unwrap_err()).to_string();
    let lines: Vec<_> = message.lines().collect();
    let label = lines[4].split_once('^').map(|(_, rest)| rest.trim_start_matches('^').trim()).unwrap_or_default();
    format!("{} @{} {label}", lines[0].trim_start_matches("error: "), lines[1].trim().trim_start_matches("--> kmodforge.yaml:"))
}

#[test]
fn a_full_project_is_read() {
    let project = parse(
        r#"
repository: registry.example/drivers
tag: "{{ driver.version }}-{{ kernel.tag }}"
profiles: our/profiles
mirrors:
  images: { "docker.io/library/": "127.0.0.1:5000/library/" }
matrix:
  - drivers: [v4l2loopback@0.15.3, zfs]
    distros: [debian]
    kernels: ["6.1.0-5*-amd64", "latest:2"]
    arches: [amd64, arm64]
    exclude: [{ driver: zfs, arch: arm64 }]
"#,
    )
    .unwrap();
    let row = &project.content.rows()[0];
    assert_eq!(row.drivers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["v4l2loopback@0.15.3", "zfs"]);
    assert_eq!(row.kernels[1].newest(), Some(2));
    assert_eq!(project.profiles(), Some(PathBuf::from("our/profiles")));
    let kernel: KernelRelease = "6.1.0-56-arm64".parse().unwrap();
    assert!(row.exclude[0].fits("zfs", "2.4.4", "debian", &kernel, Arch::Arm64));
    assert!(!row.exclude[0].fits("zfs", "2.4.4", "debian", &kernel, Arch::Amd64));
    assert!(!row.exclude[0].fits("v4l2loopback", "0.15.3", "debian", &kernel, Arch::Arm64));
}

#[test]
fn impossible_matrices_are_refused_where_they_are() {
    for (row, expected) in [
        ("{drivers: [], kernels: [latest]}", "`drivers` is empty @2:15 expected at least one entry"),
        ("{drivers: [zfs], kernels: []}", "`kernels` is empty @2:31 expected at least one entry"),
        ("{drivers: [zfs], kernels: [latest], arches: []}", "`arches` is empty @2:49 expected at least one entry"),
        ("{drivers: [zfs, zfs], kernels: [latest]}", "`zfs` is listed twice @2:21 the second one is here"),
        ("{drivers: [zsf], kernels: [latest]}", "unknown driver `zsf` @2:16 expected `v4l2loopback`, `zfs`"),
        ("{drivers: [zfs@1.0], kernels: [latest]}", "unknown version `1.0` @2:16 expected `2.4.4`, `2.3.9`, `2.3.2`, `2.1.11`"),
        ("{drivers: [zfs], distros: [debain], kernels: [latest]}", "unknown distro `debain` @2:32 expected `debian`"),
        ("{drivers: [zfs], kernels: [latest], arches: [mips]}", "unknown value `mips` @2:50 expected `amd64` or `arm64`"),
        ("{drivers: [zfs], kernels: [latest], exclude: [{}]}", "this exclude names nothing @2:51 expected `driver`, `distro`, `kernel` or `arch`"),
        (
            "{drivers: [zfs], kernels: [latest], exclude: [{driver: v4l2loopback}]}",
            "this exclude fits nothing: the row has no driver `v4l2loopback` @2:60 leave it out",
        ),
        (
            "{drivers: [zfs], kernels: [6.1.0-56-amd64], exclude: [{kernel: 6.1.0-55-amd64}]}",
            "this exclude fits nothing: the row has no kernel `6.1.0-55-amd64` @2:68 leave it out",
        ),
        (
            "{drivers: [zfs], kernels: [latest], arches: [amd64], exclude: [{arch: arm64}]}",
            "this exclude fits nothing: the row has no architecture `arm64` @2:75 leave it out",
        ),
        ("{drivers: [zfs], kernels: [latest], exclude: [{kernel: latest}]}", "`latest` cannot be excluded @2:60 expected a release or a pattern"),
        (
            "{drivers: [zfs], kernels: [latest], exclude: [{driver: zfs}]}",
            "nothing is left of this row: its excludes fit everything @2:41 leave the row out, or exclude less",
        ),
        (
            "{drivers: [zfs], kernels: [latest], exclude: [{arch: amd64}, {arch: arm64}]}",
            "nothing is left of this row: its excludes fit everything @2:41 leave the row out, or exclude less",
        ),
        ("{drivers: [zfs], kernels: [6.1.0-$(id)]}", "`6.1.0-$(id)` is not a kernel selector @2:32 `$` is not allowed in it"),
    ] {
        assert_eq!(mistake(row), expected, "{row}");
    }
}

#[test]
fn excludes_that_may_leave_something_are_taken() {
    for row in [
        "{drivers: [zfs], kernels: [latest:3], exclude: [{kernel: '*-cloud-*'}]}",
        "{drivers: [zfs], kernels: ['6.1.*', '6.12.*'], exclude: [{kernel: '6.1.*'}]}",
        "{drivers: [zfs], kernels: [latest], exclude: [{driver: zfs@2.4.4}]}",
        "{drivers: [zfs, v4l2loopback], kernels: [latest], exclude: [{driver: zfs}]}",
    ] {
        assert!(parse(&format!("matrix:\n  - {row}\n")).is_ok(), "{row}");
    }
}

#[test]
fn who_signs_and_what_is_attached_is_read() {
    let project = parse(
        "sign: {key: 'pkcs11:object=driver', certificate: keys/mok.crt, hash: sha384, passphrase_file: /run/pin}\nattach: {cosign_key: env://KEY, sbom: false}\n",
    );
    let content = project.unwrap().content;
    let sign = content.sign.unwrap();
    assert_eq!((sign.key.as_deref(), sign.hash), (Some("pkcs11:object=driver"), Some(crate::pki::Hash::Sha384)));
    assert_eq!(content.attach, Some(Attachments { sbom: Some(false), provenance: None, cosign_key: Some("env://KEY".into()) }));
    assert_eq!(Project::parse(Path::new("/a/kmodforge.yaml"), "sign: {hash: sha256}").unwrap().beside(Path::new("keys/x")), Path::new("/a/keys/x"));
    assert_eq!(Project::parse(Path::new("kmodforge.yaml"), "sign: {hash: sha256}").unwrap().beside(Path::new("/x")), Path::new("/x"));
}

#[test]
fn names_of_images_are_given_once() {
    let words = |head: &str| {
        let text = format!("{head}\nmatrix:\n  - {{drivers: [zfs], kernels: [latest]}}\n");
        Failure::from(parse(&text).unwrap_err()).headline
    };
    assert_eq!(words("repository: r.example/x\nimage: r.example/y"), "`image` and `repository` cannot stand together");
    assert_eq!(words("tag: ' '"), "`tag` is empty");
    assert_eq!(words("repository: r.example/x:1"), "`r.example/x:1` is not a repository: tags and digests are made per target");
    assert_eq!(words("repository: r.example/X"), "`r.example/X` is not a repository: repository names are lower case");
    assert_eq!(words("repositry: x"), "unknown key `repositry`");
}

#[test]
fn a_directory_without_a_project_is_no_mistake() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Project::find(directory.path()).unwrap().is_none());
    std::fs::write(directory.path().join(FILE_NAME), "matrix: [{drivers: [zfs], kernels: [latest]}]").unwrap();
    assert!(Project::find(directory.path()).unwrap().is_some());
    let missing = directory.path().join("other.yaml");
    let failure = Failure::from(Project::load(&missing).unwrap_err());
    assert_eq!(failure.headline, format!("the project file `{}` cannot be read: No such file or directory (os error 2)", missing.display()));
    assert_eq!(failure.exit, Exit::Usage);
}

#[test]
fn drivers_are_named_with_or_without_a_version() {
    assert_eq!("zfs".parse::<DriverSelector>().unwrap().version, None);
    assert_eq!("zfs@2.4.4".parse::<DriverSelector>().unwrap().version.unwrap().as_str(), "2.4.4");
    assert!("zfs@".parse::<DriverSelector>().is_err() && "@1".parse::<DriverSelector>().is_err() && "zfs@../x".parse::<DriverSelector>().is_err());
}

mod package_mirrors {
    use std::collections::BTreeMap;

    use crate::mirror::PackageMirror;

    fn read(text: &str) -> Result<PackageMirror, String> {
        let parsed = crate::yaml::parse::<BTreeMap<String, PackageMirror>>("x.yaml", text);
        parsed.map(|mut map| map.remove("m").unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_mirror_is_an_address_or_a_mapping() {
        assert_eq!(read("m: http://m/debian").unwrap(), "http://m/debian".into());
        assert_eq!(read("m: {url: http://m/debian}").unwrap(), "http://m/debian".into());
        let trusted = PackageMirror { trusted: true, .."http://m".into() };
        assert_eq!(read("m: {url: http://m, trusted: true}").unwrap(), trusted);
        for mirror in [trusted, "http://m".into()] {
            assert_eq!(serde_json::from_value::<PackageMirror>(serde_json::to_value(&mirror).unwrap()).unwrap(), mirror);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (text, reason) in [
            ("m: {trusted: true}", "x.yaml:1:1: missing key `url`"),
            ("m: {url: http://m, trustd: true}", "x.yaml:1:20: unknown key `trustd`"),
            ("m: {url: http://m, trusted: yes}", "x.yaml:1:29: `trusted` must be `true` or `false`"),
        ] {
            assert_eq!(read(text).unwrap_err(), reason);
        }
        assert!(read("m: [http://m]").is_err());
    }
}
