//! What is attached to a published image and says where it comes from: documents, statements about it, signatures.
//!
//! ```text
//! document ─► referrer (OCI image specification 1.1, `subject`)          for anybody who asks the registry
//!          └► statement (in-toto) ─► envelope (DSSE) ─► `sha256-….att`   for `cosign verify-attestation`
//! digest   ─► payload (simple signing) ─► signature  ─► `sha256-….sig`   for `cosign verify`
//! ```
//!
//! Nothing here knows the time or chance: signatures are made by RFC 6979, so attaching the same to the same image changes nothing.

pub mod cosign;
pub mod key;
mod secretbox;
pub mod statement;
pub mod verify;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::image::manifest::{Blob, Descriptor, MANIFEST};

pub use key::{KeyError, SigningKey};
pub use statement::{Statement, Subject};
pub use verify::{Proof, PublicKey};

/// Media type of the configuration of what is no image (OCI image specification 1.1, "Guidance for an Empty Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// Media type of a statement, plain or in an envelope.
pub const IN_TOTO: &str = "application/vnd.in-toto+json";
/// Media type of an SPDX document.
pub const SPDX: &str = "application/spdx+json";
/// Annotation of a referrer: the type of its statement's predicate, as `BuildKit` has it.
pub const PREDICATE_TYPE: &str = "in-toto.io/predicate-type";
/// Annotation of a layer: what a client calls the file.
const TITLE: &str = "org.opencontainers.image.title";

/// A manifest and the blobs that it names: what is pushed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// The manifest.
    pub manifest: Blob,
    /// The blobs.
    pub blobs: Vec<Blob>,
}

/// A manifest that need not be an image's (OCI image specification 1.1, "Image Manifest").
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactManifest {
    schema_version: u32,
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

/// A document to attach to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What people call it: `sbom`, `provenance`, `checks`, `boot-log`.
    pub kind: &'static str,
    /// The file's name for those who download it: `sbom.spdx.json`.
    pub file: &'static str,
    /// Type of the predicate that it is, or is part of: `https://spdx.dev/Document`. A log is none.
    pub predicate_type: Option<&'static str>,
    /// The document itself, in a form that needs no signature around it.
    pub blob: Blob,
}

impl Document {
    /// The artifact that refers to an image and holds the document.
    #[must_use]
    pub fn referrer(&self, subject: &Descriptor) -> Referrer {
        let config = Blob::new(EMPTY, b"{}".to_vec());
        let annotations: BTreeMap<_, _> = self.predicate_type.iter().map(|kind| (PREDICATE_TYPE.to_owned(), (*kind).to_owned())).collect();
        let title = BTreeMap::from([(TITLE.to_owned(), self.file.to_owned())]);
        let manifest = ArtifactManifest {
            schema_version: 2,
            media_type: MANIFEST.into(),
            artifact_type: Some(self.blob.media_type.clone()),
            config: config.descriptor(),
            layers: vec![Descriptor { annotations: title, ..self.blob.descriptor() }],
            subject: Some(Descriptor { platform: None, annotations: BTreeMap::new(), ..subject.clone() }),
            annotations: annotations.clone(),
        };
        let manifest = Blob::json(MANIFEST, &manifest);
        let artifact_type = BTreeMap::from([("artifactType".to_owned(), Value::from(self.blob.media_type.clone()))]);
        let descriptor = Descriptor { annotations, other: artifact_type, ..manifest.descriptor() };
        Referrer { descriptor, artifact: Artifact { manifest, blobs: vec![config, self.blob.clone()] } }
    }
}

/// An artifact with a subject, and how a list of referrers names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Digest, size, artifact type and annotations.
    pub descriptor: Descriptor,
    /// What is pushed.
    pub artifact: Artifact,
}

/// Whether a list of referrers has one of this artifact type and predicate type.
#[must_use]
pub fn has_referrer(referrers: &[Descriptor], artifact_type: &str, predicate_type: &str) -> bool {
    referrers.iter().any(|descriptor| {
        descriptor.other.get("artifactType").and_then(Value::as_str) == Some(artifact_type)
            && descriptor.annotations.get(PREDICATE_TYPE).is_some_and(|found| found == predicate_type)
    })
}

#[cfg(test)]
mod tests;
