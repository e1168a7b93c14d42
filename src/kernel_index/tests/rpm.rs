//! Repositories of RPM distributions: which packages make a kernel, and whose word is taken for it.

use super::*;
use crate::openpgp::testing::sign_detached;

/// The parts of openSUSE's profile that matter here, or of one whose indexes nobody signs.
fn profile(family: &str, keyring: Option<&str>) -> DistroProfile {
    serde_json::from_value(json!({
        "id": "opensuse-leap", "name": "openSUSE Leap", "homepage": "https://www.opensuse.org/", "family": family, "arches": ["amd64", "arm64"],
        "keyring": keyring,
        "kernels": {
            "recognise": [r"\d+\.\d+\.\d+-(?P<release>\d+)\.[0-9.]+-default"],
            "headers_versions": {"kernel-default-devel": "{version}-{source_revision}-default"},
            "headers_dependencies": "kernel-devel",
            "directory": "/usr/src/linux-{kernel_base}-obj/{machine}/{kernel_flavour}"
        },
        "releases": [{
            "id": "15.6", "version": "150600", "base_image": "registry.opensuse.org/opensuse/leap:15.6",
            "repositories": [{"url": format!("{SERVER}/{{arch}}"), "suite": "oss"}], "default_compiler": "gcc", "package_keys": ["/usr/lib/rpm/gnupg/keys"]
        }],
        "toolchain": {"packages": ["make"], "compiler": {"native_package": "{program}"}},
        "runtime": {"packages": ["kmod"], "files": [], "links": {}},
        "node": {"firmware_directory": "/lib/firmware"}
    }))
    .unwrap()
}

/// The tests' mirror has everything of this server.
const SERVER: &str = "http://ftp.debian.org/leap";

fn package(name: &str, release: &str, arch: &str, provides: &str, requires: &str) -> String {
    let sha256 = sha256(format!("{name}{release}").as_bytes());
    let entry = |of: &str, release: &str| {
        let entry = format!(r#"<rpm:entry name="kernel-devel" flags="EQ" epoch="0" ver="6.4.0" rel="{release}"/>"#);
        if release.is_empty() { String::new() } else { format!("<rpm:{of}>{entry}</rpm:{of}>") }
    };
    format!(
        r#"<package type="rpm"><name>{name}</name><arch>{arch}</arch><version epoch="0" ver="6.4.0" rel="{release}"/>
        <checksum type="sha256" pkgid="YES">{sha256}</checksum><size package="10"/><location href="{arch}/{name}-{release}.rpm"/>
        <format>{}{}</format></package>"#,
        entry("provides", provides),
        entry("requires", requires)
    )
}

/// A repository with one kernel, whose two packages were built again a different number of times, and with sources of other kernels.
fn repository() -> (Files, Vec<u8>) {
    let packages = [
        package("kernel-default-devel", "150600.23.25.2", "x86_64", "", "150600.23.25"),
        package("kernel-devel", "150600.23.22.1", "noarch", "150600.23.22", ""),
        package("kernel-devel", "150600.23.25.1", "noarch", "150600.23.25", ""),
        package("kernel-devel", "150600.23.30.1", "noarch", "150600.23.30", ""),
        package("kmod", "1", "x86_64", "", ""),
        package("gcc", "1", "x86_64", "", ""),
    ];
    let primary = xz(format!("<metadata>{}</metadata>", packages.concat()).as_bytes());
    let repomd = format!(
        r#"<repomd><data type="primary"><checksum type="sha256">{}</checksum><location href="repodata/primary.xml.xz"/></data></repomd>"#,
        sha256(&primary)
    );
    let path = |file: &str| format!("/leap/x86_64/repodata/{file}");
    let repomd = repomd.into_bytes();
    (vec![(path("primary.xml.xz"), primary), (path("repomd.xml"), repomd.clone())], repomd)
}

/// The repository with this in the place of its signature.
async fn signed(signature: Option<String>) -> Setting {
    let (mut files, _) = repository();
    files.extend(signature.map(|signature| ("/leap/x86_64/repodata/repomd.xml.asc".to_owned(), signature.into_bytes())));
    Setting { distro: profile("zypper", Some("archive")), ..Setting::new(files).await }
}

#[tokio::test]
async fn sources_are_those_of_the_same_build_however_often_it_was_repeated() {
    let (_, repomd) = repository();
    let published = signed(Some(sign_detached(&repomd))).await.read(Arch::Amd64).await.unwrap();
    let [kernel] = &published.kernels[..] else { panic!("{:?}", published.kernels) };
    let headers = ["kernel-default-devel 6.4.0-150600.23.25.2 x86_64", "kernel-devel 6.4.0-150600.23.25.1 noarch"].map(str::to_owned);
    assert_eq!(short(kernel), ("6.4.0-150600.23.25-default".into(), "oss".into(), headers.into()));
    assert_eq!(kernel.headers[1].url, format!("{SERVER}/x86_64/noarch/kernel-devel-150600.23.25.1.rpm"));
    assert_eq!((published.compilers, published.unverified), (vec!["gcc".to_owned()], Vec::new()));
}

#[tokio::test]
async fn an_index_is_believed_by_the_signature_beside_it() {
    let of = format!("the repository `oss` of {SERVER}/{{arch}}");
    assert_eq!(
        signed(None).await.failure().await,
        format!(
            "error: {of} is not signed\n  found     `repodata/repomd.xml` without `repodata/repomd.xml.asc`\n  \
             expected  a signature by a key of the keyring `archive`\n  \
             help      a private mirror that cannot sign needs `trusted: true` beside its `url` in `mirrors` of the project file"
        )
    );
    let message = signed(Some(sign_detached(b"something else"))).await.failure().await;
    assert!(message.starts_with(&format!("error: `repodata/repomd.xml` of {of} is not what was signed\n")), "{message}");
    let trusting = Setting { trusted: true, ..signed(None).await };
    assert_eq!(trusting.read(Arch::Amd64).await.unwrap().unverified, [format!("oss of {}/leap/{{arch}}", trusting.server.url)]);
}

/// Fedora, RHEL and its siblings sign their packages alone.
#[tokio::test]
async fn an_index_that_nobody_signs_is_taken_where_packages_are_signed() {
    let (files, _) = repository();
    let setting = Setting { distro: profile("dnf", None), keyrings: Keyrings::new(), ..Setting::new(files).await };
    let published = setting.read(Arch::Amd64).await.unwrap();
    assert_eq!((published.kernels.len(), published.unverified.len()), (1, 0), "the builder verifies each package");
}

#[tokio::test]
async fn a_list_of_mirrors_names_the_repository() {
    let (mut files, _) = repository();
    files.push(("/leap/latest/mirror.list".to_owned(), format!("{SERVER}/x86_64/\nhttp://other.example/\n").into_bytes()));
    let mut setting = Setting { distro: profile("dnf", None), ..Setting::new(files).await };
    setting.distro.releases[0].repositories[0].url = format!("{SERVER}/latest/mirror.list");
    assert_eq!(setting.read(Arch::Amd64).await.unwrap().kernels[0].headers[0].url, format!("{SERVER}/x86_64/x86_64/kernel-default-devel-150600.23.25.2.rpm"));
    let mut nothing = Setting { distro: profile("dnf", None), ..Setting::new(vec![("/leap/latest/mirror.list".to_owned(), b"<html>".to_vec())]).await };
    nothing.distro.releases[0].repositories[0].url = format!("{SERVER}/latest/mirror.list");
    assert!(nothing.failure().await.starts_with("error: `mirror.list` of the repository `oss`"), "{}", nothing.failure().await);
}
