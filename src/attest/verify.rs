//! What is found beside an image, believed only as far as a public key proves it. Pure: bytes come from a registry, and may be anything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde::Deserialize;
use serde_json::Value;

use super::ArtifactManifest;
use super::cosign::SIGNATURE;
use super::statement::pre_authentication_encoding;
use crate::image::manifest::Descriptor;
use crate::reference::Digest;

/// The public half of a cosign key: ECDSA on the curve P-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// Why some text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// It is a private key.
    #[error("it is a private key: those who verify need the public half")]
    Private,
    /// Another kind of file, or of key.
    #[error("it is no public key for ECDSA on the curve P-256")]
    Other,
}

impl PublicKey {
    /// Reads a key from PEM, as cosign writes it into `cosign.pub`.
    ///
    /// # Errors
    /// When it is something else.
    pub fn from_pem(pem: &str) -> Result<Self, PublicKeyError> {
        let other = if pem.contains("PRIVATE KEY-----") { PublicKeyError::Private } else { PublicKeyError::Other };
        VerifyingKey::from_public_key_pem(pem.trim()).map(Self).map_err(|_| other)
    }

    /// Whether a signature, ASN.1 DER in base64, is over these bytes.
    fn verifies(&self, bytes: &[u8], signature: &str) -> bool {
        let der = STANDARD.decode(signature.trim()).ok();
        der.and_then(|der| Signature::from_der(&der).ok()).is_some_and(|signature| self.0.verify(bytes, &signature).is_ok())
    }
}

/// What something that is attached to an image proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// What it should.
    Good,
    /// It was signed with another key, or changed since.
    OtherKey,
    /// It is about another image.
    OtherSubject,
    /// It is not of the form that it claims to have.
    Unreadable,
}

/// The layers of an artifact's manifest; none if it is not one.
#[must_use]
pub fn layers(manifest: &[u8]) -> Vec<Descriptor> {
    serde_json::from_slice::<ArtifactManifest>(manifest).map(|manifest| manifest.layers).unwrap_or_default()
}

/// What cosign signs (its `SIGNATURE_SPEC.md`, "Payload").
#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: SignedImage,
}

#[derive(Deserialize)]
struct SignedImage {
    #[serde(rename = "docker-manifest-digest")]
    digest: Digest,
}

/// What a signature proves about the image that has one of these digests: its manifest's own, and that of an index that names it.
/// `entry` is the layer of a `….sig` artifact, `payload` its bytes.
#[must_use]
pub fn signature(key: &PublicKey, entry: &Descriptor, payload: &[u8], digests: &[Digest]) -> Proof {
    let Some(signature) = entry.annotations.get(SIGNATURE) else { return Proof::Unreadable };
    if !key.verifies(payload, signature) {
        return Proof::OtherKey;
    }
    match serde_json::from_slice::<Payload>(payload) {
        Ok(payload) if digests.contains(&payload.critical.image.digest) => Proof::Good,
        Ok(_) => Proof::OtherSubject,
        Err(_) => Proof::Unreadable,
    }
}

/// An envelope (DSSE 1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

/// A statement (in-toto attestation framework, 0.1 and 1).
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    #[serde(default)]
    subject: Vec<StatedSubject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct StatedSubject {
    #[serde(default)]
    digest: serde_json::Map<String, Value>,
}

impl Stated {
    fn proof(&self, digests: &[Digest]) -> Proof {
        let is_about = |subject: &StatedSubject| {
            let hex = subject.digest.get("sha256").and_then(Value::as_str);
            hex.is_some_and(|hex| digests.iter().any(|digest| digest.hex() == hex))
        };
        if self.subject.iter().any(is_about) { Proof::Good } else { Proof::OtherSubject }
    }
}

/// What a signed statement proves about the image, and of which type it says that it is.
#[must_use]
pub fn attestation(key: &PublicKey, envelope: &[u8], digests: &[Digest]) -> (Option<String>, Proof) {
    let Ok(envelope) = serde_json::from_slice::<Envelope>(envelope) else { return (None, Proof::Unreadable) };
    let Ok(payload) = STANDARD.decode(&envelope.payload) else { return (None, Proof::Unreadable) };
    let signed = pre_authentication_encoding(&envelope.payload_type, &payload);
    let is_signed = envelope.signatures.iter().any(|signature| key.verifies(&signed, &signature.sig));
    match serde_json::from_slice::<Stated>(&payload) {
        Err(_) => (None, Proof::Unreadable),
        Ok(stated) if !is_signed => (Some(stated.predicate_type), Proof::OtherKey),
        Ok(stated) => {
            let proof = stated.proof(digests);
            (Some(stated.predicate_type), proof)
        }
    }
}

/// What a statement says about the image that nobody has signed.
#[must_use]
pub fn unsigned(statement: &[u8], digests: &[Digest]) -> Proof {
    serde_json::from_slice::<Stated>(statement).map_or(Proof::Unreadable, |stated| stated.proof(digests))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attest::cosign::{Entry, with_entries};
    use crate::attest::{SigningKey, Statement, Subject};
    use crate::reference::Reference;

    const SEALED: &str = include_str!("../../tests/fixtures/cosign/sealed.key");
    const PUBLIC: &str = include_str!("../../tests/fixtures/cosign/cosign.pub");

    fn key() -> SigningKey {
        SigningKey::from_pem(SEALED, Some("secret")).unwrap()
    }

    fn other() -> PublicKey {
        let other = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
        PublicKey(*other.verifying_key())
    }

    fn public() -> PublicKey {
        PublicKey::from_pem(PUBLIC).unwrap()
    }

    fn image() -> Reference {
        "registry.example/drivers/x:1".parse().unwrap()
    }

    #[test]
    fn a_signature_is_good_for_its_key_and_digest_only() {
        let digest = Digest::of(b"the image");
        let artifact = with_entries(None, &[Entry::signature(&image(), &digest, &key())]).unwrap();
        let entries = layers(&artifact.manifest.bytes);
        let payload = artifact.blobs.iter().find(|blob| blob.digest == entries[0].digest).unwrap();
        let proof = |key: &PublicKey, payload: &[u8], digest: &Digest| signature(key, &entries[0], payload, std::slice::from_ref(digest));
        assert_eq!(proof(&public(), &payload.bytes, &digest), Proof::Good);
        assert_eq!(proof(&other(), &payload.bytes, &digest), Proof::OtherKey);
        assert_eq!(proof(&public(), &payload.bytes, &Digest::of(b"another image")), Proof::OtherSubject);
        let forged = String::from_utf8(payload.bytes.clone()).unwrap().replace(digest.hex(), Digest::of(b"another image").hex());
        assert_eq!(proof(&public(), forged.as_bytes(), &Digest::of(b"another image")), Proof::OtherKey);
    }

    #[test]
    fn a_statement_is_good_for_its_key_and_subject_only() {
        let digest = Digest::of(b"the image");
        let subjects = vec![Subject { name: "x".into(), digest: digest.clone() }];
        let statement = Statement { subjects, predicate_type: "https://spdx.dev/Document", predicate: serde_json::json!({}) };
        let envelope = statement.envelope(&key()).bytes;
        let proof = |key: &PublicKey, digest: &Digest| attestation(key, &envelope, std::slice::from_ref(digest));
        let kind = Some("https://spdx.dev/Document".to_owned());
        assert_eq!(proof(&public(), &digest), (kind.clone(), Proof::Good));
        assert_eq!(proof(&other(), &digest), (kind.clone(), Proof::OtherKey));
        assert_eq!(proof(&public(), &Digest::of(b"another image")), (kind, Proof::OtherSubject));
        assert_eq!(unsigned(&statement.to_bytes(), std::slice::from_ref(&digest)), Proof::Good);
        assert_eq!(unsigned(b"{}", &[digest]), Proof::Unreadable);
    }

    #[test]
    fn anything_else_proves_nothing() {
        let entry = Descriptor {
            media_type: String::new(),
            digest: Digest::of(b""),
            size: 0,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
            other: std::collections::BTreeMap::new(),
        };
        assert_eq!(signature(&public(), &entry, b"{}", &[]), Proof::Unreadable);
        for bytes in [&b""[..], b"[]", br#"{"payloadType":"x","payload":"%","signatures":[]}"#, br#"{"payloadType":"x","payload":"e30=","signatures":[]}"#] {
            assert_eq!(attestation(&public(), bytes, &[]), (None, Proof::Unreadable));
        }
        assert!(layers(b"no manifest").is_empty());
    }

    #[test]
    fn only_public_keys_verify() {
        assert_eq!(PublicKey::from_pem(SEALED), Err(PublicKeyError::Private));
        assert_eq!(PublicKey::from_pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"), Err(PublicKeyError::Other));
        assert_eq!(PublicKey::from_pem(""), Err(PublicKeyError::Other));
    }
}
