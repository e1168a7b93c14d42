//! Signs for tests, with a key that `GnuPG` has made.

use pgp::composed::{CleartextSignedMessage, Deserializable as _, DetachedSignature, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::Password;

use super::{Keyring, Keyrings};

/// The keyring of that key, as `archive`.
pub(crate) fn keyrings() -> Keyrings {
    Keyrings::from([("archive".to_owned(), Keyring::parse("archive", include_bytes!("../../tests/fixtures/openpgp/release.asc")).unwrap())])
}

/// The signature of some bytes, as it stands beside them.
pub(crate) fn sign_detached(bytes: &[u8]) -> String {
    let (key, _) = SignedSecretKey::from_string(include_str!("../../tests/fixtures/openpgp/release.key")).unwrap();
    let signature = DetachedSignature::sign_binary_data(rand::thread_rng(), &key.primary_key, &Password::empty(), HashAlgorithm::Sha256, bytes).unwrap();
    signature.to_armored_string(pgp::composed::ArmorOptions::default()).unwrap()
}

/// A text with its signature.
pub(crate) fn clearsign(text: &str) -> String {
    let (key, _) = SignedSecretKey::from_string(include_str!("../../tests/fixtures/openpgp/release.key")).unwrap();
    // The line break before the signature is not part of the text.
    let text = text.strip_suffix('\n').unwrap_or(text);
    let message = CleartextSignedMessage::sign(rand::thread_rng(), text, &key.primary_key, &Password::empty()).unwrap();
    message.to_armored_string(pgp::composed::ArmorOptions::default()).unwrap()
}
