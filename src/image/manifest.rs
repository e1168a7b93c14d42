//! The JSON documents of the OCI image specification 1.1: descriptor, manifest, index, configuration.
//!
//! Own types, because the digest of an image is the digest of these bytes: maps are ordered, and what other tools wrote is kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::arch::Arch;
use crate::reference::Digest;

/// Media type of an index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Media type of a manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of a configuration.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// Docker's name for an index.
pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's name for a manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
/// The annotation that names an image in a layout's `index.json`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Names a blob by digest and size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What the blob is.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// In an index: what the image runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Free-form facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Fields that other tools wrote.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// What an image runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`; `unknown` for attestations.
    pub architecture: String,
    /// `linux`; `unknown` for attestations.
    pub os: String,
    /// Fields that other tools wrote: `variant`, `os.version`.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

impl Platform {
    /// Linux on an architecture.
    #[must_use]
    pub fn linux(arch: Arch) -> Self {
        Self { architecture: arch.oci().into(), os: "linux".into(), other: BTreeMap::new() }
    }

    /// Whether this is Linux on `arch`.
    #[must_use]
    pub fn is(&self, arch: Arch) -> bool {
        self.os == "linux" && self.architecture == arch.oci()
    }
}

/// An image for one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// [`MANIFEST`]; some tools leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Free-form facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Images for several platforms under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// [`INDEX`]; some tools leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// One descriptor per image.
    pub manifests: Vec<Descriptor>,
    /// Free-form facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// An index of images, ordered by architecture.
    #[must_use]
    pub fn of(mut manifests: Vec<Descriptor>) -> Self {
        manifests.sort_by_cached_key(|descriptor| (descriptor.platform.as_ref().map(|platform| platform.architecture.clone()), descriptor.digest.clone()));
        Self { schema_version: 2, media_type: Some(INDEX.into()), manifests, annotations: BTreeMap::new() }
    }

    /// The index with `image` in place of whatever it had for that platform; images for other platforms stay.
    ///
    /// Attestations that Docker's tools made about a replaced image go with it.
    #[must_use]
    pub fn with(&self, image: Descriptor) -> Self {
        let same_platform = |other: &Descriptor| match (&other.platform, &image.platform) {
            (Some(theirs), Some(ours)) => theirs.architecture == ours.architecture && theirs.os == ours.os,
            _ => true,
        };
        let replaced: Vec<&str> = self.manifests.iter().filter(|other| same_platform(other)).map(|other| other.digest.as_str()).collect();
        let is_about_replaced =
            |other: &Descriptor| other.annotations.get("vnd.docker.reference.digest").is_some_and(|about| replaced.contains(&about.as_str()));
        let mut manifests: Vec<Descriptor> = self.manifests.iter().filter(|other| !same_platform(other) && !is_about_replaced(other)).cloned().collect();
        manifests.push(image);
        Self::of(manifests)
    }

    /// The image for an architecture.
    #[must_use]
    pub fn find(&self, arch: Arch) -> Option<&Descriptor> {
        self.manifests.iter().find(|descriptor| descriptor.platform.as_ref().is_some_and(|platform| platform.is(arch)))
    }

    /// The document's bytes.
    #[must_use]
    pub fn to_blob(&self) -> Blob {
        Blob::json(INDEX, self)
    }
}

/// How an image is run, and what it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// How to run it.
    #[serde(default)]
    pub config: RunConfig,
    /// Its layers.
    pub rootfs: RootFs,
    /// Where its layers come from.
    #[serde(default)]
    pub history: Vec<History>,
}

/// How a container of an image is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `NAME=value`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// The command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Facts for people and programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// Digests of the uncompressed layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Lowest first.
    pub diff_ids: Vec<Digest>,
}

/// Where a layer comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// What made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}

/// A small document with its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// What it is.
    pub media_type: String,
    /// Digest of `bytes`.
    pub digest: Digest,
    /// The document as it is stored, byte for byte.
    pub bytes: Vec<u8>,
}

impl Blob {
    /// A document that was read from somewhere.
    #[must_use]
    pub fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        Self { media_type: media_type.into(), digest: Digest::of(&bytes), bytes }
    }

    /// Our own document types always can be written: their keys are strings.
    pub(crate) fn json(media_type: &str, document: &impl Serialize) -> Self {
        Self::new(media_type, serde_json::to_vec(document).unwrap_or_default())
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// What names it in another document.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.size(),
            platform: None,
            annotations: BTreeMap::new(),
            other: BTreeMap::new(),
        }
    }
}

/// Whether a media type, or the document itself where a tool left the type out, says that this is an index.
#[must_use]
pub fn is_index(media_type: &str, bytes: &[u8]) -> bool {
    match media_type {
        INDEX | DOCKER_LIST => true,
        MANIFEST | DOCKER_MANIFEST => false,
        _ => serde_json::from_slice::<Value>(bytes).is_ok_and(|document| document.get("manifests").is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(arch: &str, content: &str) -> Descriptor {
        let platform = Platform { architecture: arch.into(), os: "linux".into(), other: BTreeMap::new() };
        Descriptor { platform: Some(platform), ..Blob::new(MANIFEST, content.into()).descriptor() }
    }

    #[test]
    fn replaces_one_platform_and_keeps_the_others() {
        let index = Index::of(vec![image("arm64", "a"), image("amd64", "b")]).with(image("arm64", "c"));
        assert_eq!(index.manifests, [image("amd64", "b"), image("arm64", "c")]);
    }

    #[test]
    fn drops_attestations_about_a_replaced_image() {
        let about = |image: &Descriptor, content| {
            let mut attestation = self::image("unknown", content);
            attestation.annotations.insert("vnd.docker.reference.digest".into(), image.digest.to_string());
            attestation
        };
        let (old, other) = (image("amd64", "old"), image("arm64", "other"));
        let index = Index { manifests: vec![old.clone(), about(&old, "1"), other.clone(), about(&other, "2")], ..Index::of(Vec::new()) };
        assert_eq!(index.with(image("amd64", "new")).manifests, [image("amd64", "new"), other.clone(), about(&other, "2")]);
    }

    #[test]
    fn keeps_what_other_tools_wrote() {
        let text = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":2,"platform":{"architecture":"arm","os":"linux","variant":"v7"},"artifactType":"x/y"}]}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Index>(text).unwrap()).unwrap(), text);
    }

    #[test]
    fn knows_an_index_without_a_media_type() {
        assert!(is_index("application/json", br#"{"manifests":[]}"#) && !is_index("application/json", br#"{"layers":[]}"#));
    }
}
