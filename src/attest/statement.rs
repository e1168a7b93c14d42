//! Statements about images (in-toto attestation framework 1) and the envelopes that they are signed in (DSSE 1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::key::SigningKey;
use super::{Document, IN_TOTO};
use crate::image::manifest::Blob;
use crate::reference::Digest;

/// `_type` of a statement.
const TYPE: &str = "https://in-toto.io/Statement/v1";
/// Media type of an envelope.
pub const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The repository, without a tag.
    pub name: String,
    /// Digest of the image's manifest, or of an index that names it.
    pub digest: Digest,
}

/// A statement: something holds for some images.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The images.
    pub subjects: Vec<Subject>,
    /// What kind of thing is said.
    pub predicate_type: &'static str,
    /// What is said.
    pub predicate: Value,
}

impl Statement {
    /// The statement's bytes: the same for the same statement.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let subjects: Vec<_> = self.subjects.iter().map(|subject| json!({"name": subject.name, "digest": {"sha256": subject.digest.hex()}})).collect();
        json!({"_type": TYPE, "subject": subjects, "predicateType": self.predicate_type, "predicate": self.predicate}).to_string().into_bytes()
    }

    /// The statement as a document to attach.
    #[must_use]
    pub fn document(&self, kind: &'static str, file: &'static str) -> Document {
        Document { kind, file, predicate_type: Some(self.predicate_type), blob: Blob::new(IN_TOTO, self.to_bytes()) }
    }

    /// The statement in a signed envelope.
    #[must_use]
    pub fn envelope(&self, key: &SigningKey) -> Blob {
        let payload = self.to_bytes();
        let signature = key.sign(&pre_authentication_encoding(IN_TOTO, &payload));
        let envelope = json!({
            "payloadType": IN_TOTO,
            "payload": STANDARD.encode(&payload),
            "signatures": [{"keyid": "", "sig": STANDARD.encode(signature)}],
        });
        Blob::new(ENVELOPE, envelope.to_string().into_bytes())
    }
}

/// What is really signed (DSSE protocol, "PAE"): no other kind of payload has these bytes.
pub(super) fn pre_authentication_encoding(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_the_specification_shows() {
        let encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world");
        assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }
}
