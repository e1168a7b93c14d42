//! Signatures and attestations where cosign looks for them: in the image's repository, under tags made of its digest (cosign's `SIGNATURE_SPEC.md`
//! and `ATTESTATION_SPEC.md`).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::key::SigningKey;
use super::statement::Statement;
use super::{Artifact, ArtifactManifest};
use crate::image::manifest::{Blob, CONFIG, Config, Descriptor, MANIFEST, RootFs, RunConfig};
use crate::reference::{Digest, Reference};

/// Media type of what a signature signs.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Annotation of a layer: the signature of its bytes, in base64. Empty where the bytes hold it themselves.
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// One signature or attestation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    blob: Blob,
    annotations: BTreeMap<String, String>,
}

impl Entry {
    /// A signature of an image's digest.
    #[must_use]
    pub fn signature(image: &Reference, digest: &Digest, key: &SigningKey) -> Self {
        let payload = json!({
            "critical": {
                "identity": {"docker-reference": image.name()},
                "image": {"docker-manifest-digest": digest.as_str()},
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string().into_bytes();
        let signature = STANDARD.encode(key.sign(&payload));
        Self { blob: Blob::new(SIMPLE_SIGNING, payload), annotations: BTreeMap::from([(SIGNATURE.into(), signature)]) }
    }

    /// A signed statement.
    #[must_use]
    pub fn attestation(statement: &Statement, key: &SigningKey) -> Self {
        let annotations = [(SIGNATURE, ""), ("predicateType", statement.predicate_type)];
        let annotations = annotations.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { blob: statement.envelope(key), annotations: annotations.into() }
    }

    /// Digest of the envelope or payload.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.blob.digest
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &str {
        &self.blob.media_type
    }

    fn descriptor(&self) -> Descriptor {
        Descriptor { annotations: self.annotations.clone(), ..self.blob.descriptor() }
    }
}

/// Where the signatures of an image are.
#[must_use]
pub fn signatures_of(image: &Reference, digest: &Digest) -> Reference {
    beside(image, digest, "sig")
}

/// Where the attestations of an image are.
#[must_use]
pub fn attestations_of(image: &Reference, digest: &Digest) -> Reference {
    beside(image, digest, "att")
}

fn beside(image: &Reference, digest: &Digest, ending: &str) -> Reference {
    Reference { tag: Some(format!("sha256-{}.{ending}", digest.hex())), digest: None, ..image.clone() }
}

/// What is under such a tag, and the entries after it that are not there yet; others' entries stay. `None` if nothing is missing.
///
/// What is there and cannot be read as a manifest is replaced: nobody else can read it either.
#[must_use]
pub fn with_entries(present: Option<&[u8]>, entries: &[Entry]) -> Option<Artifact> {
    let present = present.and_then(|bytes| serde_json::from_slice::<ArtifactManifest>(bytes).ok());
    let mut layers = present.as_ref().map(|manifest| manifest.layers.clone()).unwrap_or_default();
    let missing: Vec<_> = entries.iter().filter(|entry| !holds(&layers, entry)).collect();
    if missing.is_empty() {
        return None;
    }
    layers.extend(missing.iter().map(|entry| entry.descriptor()));
    let config = config(&layers);
    let manifest = ArtifactManifest {
        schema_version: 2,
        media_type: MANIFEST.into(),
        artifact_type: present.as_ref().and_then(|manifest| manifest.artifact_type.clone()),
        config: config.descriptor(),
        subject: present.as_ref().and_then(|manifest| manifest.subject.clone()),
        annotations: present.map(|manifest| manifest.annotations).unwrap_or_default(),
        layers,
    };
    let blobs = missing.into_iter().map(|entry| entry.blob.clone()).chain([config]).collect();
    Some(Artifact { manifest: Blob::json(MANIFEST, &manifest), blobs })
}

/// Whether a manifest of signatures or attestations has an entry.
#[must_use]
pub fn has_entry(manifest: &[u8], entry: &Entry) -> bool {
    serde_json::from_slice::<ArtifactManifest>(manifest).is_ok_and(|manifest| holds(&manifest.layers, entry))
}

fn holds(layers: &[Descriptor], entry: &Entry) -> bool {
    let signature = entry.annotations.get(SIGNATURE);
    layers.iter().any(|layer| layer.digest == entry.blob.digest && layer.annotations.get(SIGNATURE) == signature)
}

/// The configuration that cosign writes: layers that are no archives are their own uncompressed form.
fn config(layers: &[Descriptor]) -> Blob {
    let config = Config {
        created: Some("0001-01-01T00:00:00Z".into()),
        architecture: String::new(),
        os: String::new(),
        config: RunConfig::default(),
        rootfs: RootFs { kind: "layers".into(), diff_ids: layers.iter().map(|layer| layer.digest.clone()).collect() },
        history: Vec::new(),
    };
    Blob::json(CONFIG, &config)
}
