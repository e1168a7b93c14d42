//! The bill of materials of an image: an SPDX 2.3 document in JSON (<https://spdx.github.io/spdx-spec/v2.3/>).
//!
//! SPDX, since `docker buildx --sbom` writes the same: whatever reads those images' documents reads these. Modules are packages with the purpose
//! `FILE`, not files, which would need SHA-1 sums that nothing else here has.

pub mod copyright;
mod licences;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use self::licences::Licences;
use crate::image::assemble::rfc3339;
use crate::package::Package;
use crate::plan::Target;
use crate::reference::Digest;

/// Type of the predicate that a document is.
pub const PREDICATE_TYPE: &str = "https://spdx.dev/Document";
/// Where an image has licence texts, one folder per package.
pub const LICENCES: &str = "usr/share/licenses";
/// SPDX's word for "we do not say".
const NO_ASSERTION: &str = "NOASSERTION";

/// What is in an image, beyond what the plan knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The modules: path in the image, digest, and what they call their licence.
    pub modules: Vec<ModuleFile>,
    /// Where the driver's source was taken from, and its SHA-256.
    pub source: (String, String),
    /// Where the firmware was taken from.
    pub firmware: Vec<String>,
    /// Texts of `copyright` files, by package.
    pub copyrights: BTreeMap<String, String>,
    /// Versions of the packages that the toolchain was made of, by name.
    pub toolchain: BTreeMap<String, String>,
}

/// A module in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleFile {
    /// `/opt/lib/modules/6.1.0-56-amd64/extra/v4l2loopback.ko`.
    pub path: String,
    /// Digest of the file.
    pub digest: Digest,
    /// `MODULE_LICENSE`.
    pub licence: String,
}

/// A package of the document.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    #[serde(rename = "SPDXID")]
    id: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_info: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package_file_name: Option<String>,
    download_location: String,
    files_analyzed: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checksums: Vec<Value>,
    license_concluded: &'static str,
    license_declared: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_comments: Option<String>,
    copyright_text: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    supplier: Option<String>,
    primary_package_purpose: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_refs: Vec<Value>,
}

impl SpdxPackage {
    fn new(id: String, name: &str, purpose: &'static str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            version_info: None,
            package_file_name: None,
            download_location: NO_ASSERTION.into(),
            files_analyzed: false,
            checksums: Vec::new(),
            license_concluded: NO_ASSERTION,
            license_declared: NO_ASSERTION.into(),
            license_comments: None,
            copyright_text: NO_ASSERTION,
            supplier: None,
            primary_package_purpose: purpose,
            external_refs: Vec::new(),
        }
    }

    fn sha256(mut self, hex: &str) -> Self {
        self.checksums.push(json!({"algorithm": "SHA256", "checksumValue": hex}));
        self
    }

    fn purl(mut self, purl: &str) -> Self {
        self.external_refs.push(json!({"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}));
        self
    }
}

/// The document about an image.
#[derive(Default)]
struct Sbom {
    packages: Vec<SpdxPackage>,
    relationships: Vec<Value>,
    licences: Licences,
}

/// The bill of materials of a target's image, in bytes that depend on nothing but the arguments. `epoch` is the time that is written into it.
#[must_use]
pub fn document(target: &Target, image: &Digest, facts: &Facts, epoch: u64) -> Vec<u8> {
    let mut sbom = Sbom::default();
    sbom.image(target, image);
    sbom.driver(target, facts);
    sbom.modules(target, facts);
    sbom.firmware(target, facts);
    for package in target.runtime.iter() {
        sbom.runtime(target, package, facts);
    }
    for package in &target.kernel.headers {
        sbom.build_tool(target, &package.name, Some(&package.version), Some(package));
    }
    for name in &target.toolchain.packages {
        sbom.build_tool(target, name, facts.toolchain.get(name).map(String::as_str), None);
    }
    sbom.finish(target, image, epoch)
}

const IMAGE: &str = "SPDXRef-Image";
const DRIVER: &str = "SPDXRef-Driver";

impl Sbom {
    fn image(&mut self, target: &Target, image: &Digest) {
        let name = target.image.repository.rsplit('/').next().unwrap_or_default();
        let purl = format!("pkg:oci/{name}@{}?arch={}&repository_url={}", escape(image.as_str()), target.arch.oci(), escape(&target.image.name()));
        let package = SpdxPackage { version_info: target.image.tag.clone(), ..SpdxPackage::new(IMAGE.into(), &target.image.name(), "CONTAINER") };
        self.packages.push(package.sha256(image.hex()).purl(&purl));
        self.relate("SPDXRef-DOCUMENT", "DESCRIBES", IMAGE);
    }

    fn driver(&mut self, target: &Target, facts: &Facts) {
        let driver = &target.driver;
        let (origin, sha256) = &facts.source;
        let package = SpdxPackage {
            version_info: Some(driver.version().version.to_string()),
            download_location: if origin.contains("://") { origin.clone() } else { NO_ASSERTION.into() },
            license_declared: self.licences.known(&driver.profile.licence),
            ..SpdxPackage::new(DRIVER.into(), driver.profile.id.as_str(), "SOURCE")
        };
        self.packages.push(package.sha256(sha256));
    }

    fn modules(&mut self, target: &Target, facts: &Facts) {
        for (number, module) in facts.modules.iter().enumerate() {
            let id = format!("SPDXRef-Module-{}", number + 1);
            let package = SpdxPackage {
                package_file_name: Some(module.path.clone()),
                license_declared: self.licences.known(&target.driver.profile.licence),
                license_comments: Some(format!("MODULE_LICENSE(\"{}\")", module.licence)),
                ..SpdxPackage::new(id.clone(), module.path.rsplit('/').next().unwrap_or_default(), "FILE")
            };
            self.packages.push(package.sha256(module.digest.hex()));
            self.relate(IMAGE, "CONTAINS", &id);
            self.relate(&id, "GENERATED_FROM", DRIVER);
        }
    }

    fn firmware(&mut self, target: &Target, facts: &Facts) {
        let version = target.driver.version();
        for (number, (firmware, origin)) in version.firmware.iter().zip(&facts.firmware).enumerate() {
            let id = format!("SPDXRef-Firmware-{}", number + 1);
            let package = SpdxPackage {
                version_info: Some(version.version.to_string()),
                download_location: if origin.contains("://") { origin.clone() } else { NO_ASSERTION.into() },
                license_declared: self.licences.known(&firmware.licence),
                ..SpdxPackage::new(id.clone(), &format!("{} firmware", target.driver.profile.id), "FIRMWARE")
            };
            self.packages.push(package);
            self.relate(IMAGE, "CONTAINS", &id);
        }
    }

    /// A package with programs of the image; its licences are what its own `copyright` says.
    fn runtime(&mut self, target: &Target, package: &Package, facts: &Facts) {
        let id = format!("SPDXRef-Package-{}", identifier(&package.name));
        let declared = facts.copyrights.get(&package.name).and_then(|text| copyright::licences(text));
        let described = SpdxPackage {
            license_declared: declared.as_ref().map_or_else(|| NO_ASSERTION.into(), |terms| self.licences.expression(&package.name, terms)),
            license_comments: facts.copyrights.contains_key(&package.name).then(|| format!("from /{LICENCES}/{}/copyright", package.name)),
            ..of_distribution(target, id.clone(), package, "APPLICATION")
        };
        self.packages.push(described);
        self.relate(IMAGE, "CONTAINS", &id);
    }

    fn build_tool(&mut self, target: &Target, name: &str, version: Option<&str>, package: Option<&Package>) {
        let id = format!("SPDXRef-Build-{}", identifier(name));
        if self.packages.iter().any(|known| known.id == id) {
            return;
        }
        let described = match package {
            Some(package) => of_distribution(target, id.clone(), package, "LIBRARY"),
            None => {
                SpdxPackage { version_info: version.map(str::to_owned), supplier: Some(supplier(target)), ..SpdxPackage::new(id.clone(), name, "APPLICATION") }
            }
        };
        let described = match (version, package) {
            (Some(version), None) => described.purl(&purl(target, name, version, target.distro.profile.family.arch_name(target.toolchain.build_arch))),
            _ => described,
        };
        self.packages.push(described);
        self.relate(&id, if package.is_some() { "BUILD_DEPENDENCY_OF" } else { "BUILD_TOOL_OF" }, IMAGE);
    }

    fn relate(&mut self, from: &str, relation: &str, to: &str) {
        self.relationships.push(json!({"spdxElementId": from, "relationshipType": relation, "relatedSpdxElement": to}));
    }

    fn finish(self, target: &Target, image: &Digest, epoch: u64) -> Vec<u8> {
        let mut document = json!({
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": "SPDXRef-DOCUMENT",
            "name": target.label().to_string(),
            // One per image: the specification wants a name that no other document has, not one that can be fetched.
            "documentNamespace": format!("{}/spdx/{}-{}", env!("CARGO_PKG_REPOSITORY"), target.driver.profile.id, image.hex()),
            "creationInfo": {"created": rfc3339(epoch), "creators": [concat!("Tool: kmodforge-", env!("CARGO_PKG_VERSION"))]},
            "packages": self.packages,
            "relationships": self.relationships,
        });
        if let (Some(document), false) = (document.as_object_mut(), self.licences.is_empty()) {
            document.insert("hasExtractedLicensingInfos".into(), self.licences.extracted());
        }
        document.to_string().into_bytes()
    }
}

/// A package that the plan has pinned.
fn of_distribution(target: &Target, id: String, package: &Package, purpose: &'static str) -> SpdxPackage {
    let described = SpdxPackage {
        version_info: Some(package.version.clone()),
        download_location: package.url.clone(),
        supplier: Some(supplier(target)),
        ..SpdxPackage::new(id, &package.name, purpose)
    };
    described.sha256(&package.sha256).purl(&purl(target, &package.name, &package.version, &package.arch))
}

fn supplier(target: &Target) -> String {
    format!("Organization: {}", target.distro.profile.name)
}

/// A package URL (<https://github.com/package-url/purl-spec>): `pkg:deb/debian/kmod@30-1?arch=amd64&distro=bookworm`.
fn purl(target: &Target, name: &str, version: &str, arch: &str) -> String {
    let distro = &target.distro;
    format!("pkg:{}/{}/{}@{}?arch={arch}&distro={}", distro.profile.family.purl_type(), distro.profile.id, escape(name), escape(version), distro.release.id)
}

/// Percent-encoding of everything that is not unreserved (RFC 3986, 2.3).
fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// A name as an SPDX identifier takes it: letters, digits, `.` and `-`.
fn identifier(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || ".-".contains(c) { c } else { '-' }).collect()
}

#[cfg(test)]
mod tests;
