use super::*;
use crate::fixture;

const KMOD: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nCopyright: A\nLicense: LGPL-2.1+\n\n\
    Files: testsuite/*\nCopyright: B\nLicense: odd\n As you like.\n";

fn facts() -> Facts {
    Facts {
        modules: vec![ModuleFile {
            path: "/opt/lib/modules/6.1.0-56-amd64/extra/v4l2loopback.ko".into(),
            digest: Digest::of(b"module"),
            licence: "GPL".into(),
        }],
        source: ("https://example.org/v4l2loopback.tar.gz".into(), Digest::of(b"source").hex().into()),
        firmware: Vec::new(),
        copyrights: BTreeMap::from([("kmod".to_owned(), KMOD.to_owned())]),
        toolchain: BTreeMap::from([("gcc-12".to_owned(), "12.2.0-14+deb12u1".to_owned())]),
    }
}

fn made(facts: &Facts) -> Value {
    let target = fixture::target("v4l2loopback", "6.1.0-56-amd64");
    serde_json::from_slice(&document(&target, &Digest::of(b"image"), facts, 0)).unwrap()
}

fn package<'a>(document: &'a Value, name: &str) -> &'a Value {
    document["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap()
}

fn is_related(document: &Value, from: &str, relation: &str, to: &str) -> bool {
    let wanted = json!({"spdxElementId": from, "relationshipType": relation, "relatedSpdxElement": to});
    document["relationships"].as_array().unwrap().contains(&wanted)
}

#[test]
fn says_what_is_in_the_image_with_version_digest_and_licence() {
    let document = made(&facts());
    let kmod = package(&document, "kmod");
    assert_eq!(kmod["versionInfo"], "6.1.192-2");
    assert_eq!(kmod["licenseDeclared"], "LGPL-2.1-or-later AND LicenseRef-kmod-odd");
    assert_eq!(kmod["externalRefs"][0]["referenceLocator"], "pkg:deb/debian/kmod@6.1.192-2?arch=amd64&distro=bookworm");
    assert_eq!(document["hasExtractedLicensingInfos"][0]["extractedText"], "As you like.");
    let module = package(&document, "v4l2loopback.ko");
    assert_eq!(module["checksums"][0]["checksumValue"], Digest::of(b"module").hex());
    assert_eq!(module["licenseComments"], "MODULE_LICENSE(\"GPL\")");
    assert!(is_related(&document, "SPDXRef-Image", "CONTAINS", "SPDXRef-Package-kmod"));
    assert!(is_related(&document, "SPDXRef-Module-1", "GENERATED_FROM", "SPDXRef-Driver"));
    assert_eq!(package(&document, "v4l2loopback")["downloadLocation"], "https://example.org/v4l2loopback.tar.gz");
}

#[test]
fn says_what_it_was_built_with() {
    let document = made(&facts());
    assert_eq!(package(&document, "gcc-12")["versionInfo"], "12.2.0-14+deb12u1");
    assert!(is_related(&document, "SPDXRef-Build-gcc-12", "BUILD_TOOL_OF", "SPDXRef-Image"));
    assert!(is_related(&document, "SPDXRef-Build-linux-headers-6.1.0-56-amd64", "BUILD_DEPENDENCY_OF", "SPDXRef-Image"));
}

#[test]
fn does_not_guess() {
    let document = made(&Facts { source: ("/home/me/source".into(), "00".into()), copyrights: BTreeMap::new(), ..facts() });
    assert_eq!(package(&document, "kmod")["licenseDeclared"], "NOASSERTION");
    assert_eq!(package(&document, "v4l2loopback")["downloadLocation"], "NOASSERTION");
}

#[test]
fn the_same_image_has_the_same_document() {
    let target = fixture::target("v4l2loopback", "6.1.0-56-amd64");
    let document = |image: &[u8]| document(&target, &Digest::of(image), &facts(), 0);
    assert_eq!(document(b"a"), document(b"a"));
    assert_ne!(document(b"a"), document(b"b"));
}

#[test]
fn identifiers_are_unique_and_spelled_as_spdx_wants_them() {
    let document = made(&facts());
    let ids: Vec<_> = document["packages"].as_array().unwrap().iter().map(|package| package["SPDXID"].as_str().unwrap()).collect();
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
    let fits = |id: &str| id.strip_prefix("SPDXRef-").unwrap().chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    assert!(ids.iter().all(|id| fits(id)) && identifier("libstdc++6") == "libstdc--6", "{ids:?}");
}
