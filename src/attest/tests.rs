use base64::Engine as _;
use p256::ecdsa::Signature;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::DecodePublicKey as _;

use super::cosign::{Entry, attestations_of, envelopes, is_signed, signatures_of, with_entries};
use super::*;
use crate::error::Failure;
use crate::reference::{Digest, Reference};

/// Made for these tests by openssl; it signs nothing else.
const SEC1: &str = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIFktezSmSuP6n/04KnDn+f9Xd4JRC+AkY9PE98lVhzA/oAoGCCqGSM49\nAwEHoUQDQgAE+DpW63C04Sty+H4iGQBlGUzQIu0IyFskdKr7r9aN6oRPBCz9FWhc\nSdvOvIPVscPfdDJRxlotf2BdWrfs2hJPng==\n-----END EC PRIVATE KEY-----\n";
const PKCS8: &str = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgWS17NKZK4/qf/Tgq\ncOf5/1d3glEL4CRj08T3yVWHMD+hRANCAAT4OlbrcLThK3L4fiIZAGUZTNAi7QjI\nWyR0qvuv1o3qhE8ELP0VaFxJ2868g9Wxw990MlHGWi1/YF1at+zaEk+e\n-----END PRIVATE KEY-----\n";
/// The same key as `cosign import-key-pair` writes it, with the password `secret`.
const SEALED: &str = include_str!("../../tests/fixtures/cosign/sealed.key");
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE+DpW63C04Sty+H4iGQBlGUzQIu0I\nyFskdKr7r9aN6oRPBCz9FWhcSdvOvIPVscPfdDJRxlotf2BdWrfs2hJPng==\n-----END PUBLIC KEY-----\n";

fn key() -> SigningKey {
    SigningKey::from_pem(PKCS8, None).unwrap()
}

fn image() -> Reference {
    "registry.example/drivers/x:1".parse().unwrap()
}

fn fits(bytes: &[u8], signature: &[u8]) -> bool {
    let signature = Signature::from_der(signature).unwrap();
    p256::ecdsa::VerifyingKey::from_public_key_pem(PUBLIC).unwrap().verify(bytes, &signature).is_ok()
}

#[test]
fn every_form_of_a_key_is_the_same_key() {
    for (pem, password) in [(SEC1, None), (PKCS8, None), (SEALED, Some("secret"))] {
        let key = SigningKey::from_pem(pem, password).unwrap();
        assert_eq!(key.public_pem(), PUBLIC);
        assert!(fits(b"text", &key.sign(b"text")) && !fits(b"other", &key.sign(b"text")));
    }
}

#[test]
fn signing_again_gives_the_same_signature() {
    assert_eq!(key().sign(b"text"), key().sign(b"text"));
}

/// What is said about a key that cannot be used.
fn refusal(pem: &str, password: Option<&str>) -> String {
    Failure::from(SigningKey::from_pem(pem, password).unwrap_err()).to_string()
}

#[test]
fn says_why_a_key_cannot_be_used() {
    let expected =
        "\n  expected  `ENCRYPTED SIGSTORE PRIVATE KEY`, `PRIVATE KEY` or `EC PRIVATE KEY` on the curve P-256\n  help      make one: cosign generate-key-pair";
    let other = PKCS8.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    let params = |n: u32| serde_json::json!({"kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": ""}, "cipher": {"name": "nacl/secretbox", "nonce": ""}, "ciphertext": ""});
    let sealed = |content: serde_json::Value| {
        let text = base64::engine::general_purpose::STANDARD.encode(content.to_string());
        format!("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n{text}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n")
    };
    let nonce = |mut content: serde_json::Value| {
        content["cipher"]["nonce"] = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into();
        content
    };
    for (pem, password, said) in [
        ("text", None, format!("it holds no PEM block{expected}")),
        (PUBLIC, None, "it holds `PUBLIC KEY`\n  help      that is the public half, for those who verify; the other file signs".to_owned()),
        (&other, None, format!("it holds `RSA PRIVATE KEY`{expected}")),
        (&PKCS8.replace("MIG", "MIH"), None, format!("it is no key for ECDSA on the curve P-256{expected}")),
        (
            SEALED,
            Some("wrong"),
            "the password does not open it\n  help      COSIGN_PASSWORD must be the password that `cosign generate-key-pair` asked for".to_owned(),
        ),
        (SEALED, None, "it is encrypted, and no password was given\n  help      give it: COSIGN_PASSWORD=… kmodforge build …".to_owned()),
        (&sealed(nonce(params(1 << 24))), None, "opening it would take 16384 MiB of memory".to_owned()),
        (&sealed(nonce(params(3))), None, "it is damaged: its scrypt parameters are out of range".to_owned()),
        (&sealed(params(2)), None, "it is damaged: its nonce has not 24 bytes".to_owned()),
    ] {
        assert_eq!(refusal(pem, password), format!("error: the cosign key cannot be used: {said}"));
    }
}

#[test]
fn a_key_never_shows_itself() {
    assert_eq!(format!("{:?}", key()), "SigningKey");
}

#[test]
fn a_signature_signs_the_payload_that_names_the_digest() {
    let digest = Digest::of(b"image");
    let artifact = with_entries(None, &[Entry::signature(&image(), &digest, &key())]).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest.bytes).unwrap();
    let layer = &manifest["layers"][0];
    let payload = artifact.blobs.iter().find(|blob| blob.digest.as_str() == layer["digest"]).unwrap();
    let critical: serde_json::Value = serde_json::from_slice(&payload.bytes).unwrap();
    assert_eq!(critical["critical"]["image"]["docker-manifest-digest"], digest.as_str());
    let signature = layer["annotations"]["dev.cosignproject.cosign/signature"].as_str().unwrap();
    assert!(fits(&payload.bytes, &base64::engine::general_purpose::STANDARD.decode(signature).unwrap()));
    assert_eq!(signatures_of(&image(), &digest).to_string(), format!("registry.example/drivers/x:sha256-{}.sig", digest.hex()));
    assert_eq!(attestations_of(&image(), &digest).tag.unwrap(), format!("sha256-{}.att", digest.hex()));
}

#[test]
fn adding_keeps_what_others_have_signed_and_adds_nothing_twice() {
    let (digest, other) = (Digest::of(b"image"), Digest::of(b"other"));
    let entry = |digest| Entry::signature(&image(), digest, &key());
    let first = with_entries(None, &[entry(&other)]).unwrap();
    let both = with_entries(Some(&first.manifest.bytes), &[entry(&digest)]).unwrap();
    let is_signed = |artifact: &Artifact, digest: &Digest| is_signed(&artifact.manifest.bytes, &image(), digest, &key().public());
    assert!(is_signed(&both, &other) && is_signed(&both, &digest) && !is_signed(&first, &digest));
    assert_eq!(with_entries(Some(&both.manifest.bytes), &[entry(&digest), entry(&other)]), None);
}

#[test]
fn an_envelope_signs_type_and_statement() {
    let decode = |text: &serde_json::Value| base64::engine::general_purpose::STANDARD.decode(text.as_str().unwrap()).unwrap();
    let subject = Subject { name: "registry.example/drivers/x".into(), digest: Digest::of(b"image") };
    let statement = Statement { subjects: vec![subject], predicate_type: "https://example.org/p".into(), predicate: serde_json::json!({"a": 1}) };
    let envelope: serde_json::Value = serde_json::from_slice(&statement.envelope(&key()).bytes).unwrap();
    let payload = decode(&envelope["payload"]);
    assert_eq!(payload, statement.to_bytes());
    let signed = [format!("DSSEv1 {} {IN_TOTO} {} ", IN_TOTO.len(), payload.len()).into_bytes(), payload].concat();
    assert!(fits(&signed, &decode(&envelope["signatures"][0]["sig"])));
}

#[test]
fn an_envelope_opens_for_its_key_alone() {
    let subject = Subject { name: "registry.example/drivers/x".into(), digest: Digest::of(b"image") };
    let statement = Statement { subjects: vec![subject], predicate_type: "https://example.org/p".into(), predicate: serde_json::json!({"b": 1, "a": [2]}) };
    let envelope = statement.envelope(&key()).bytes;
    assert_eq!(Statement::opened(&envelope, &key().public()), Some(statement.clone()));
    assert_eq!(Statement::opened(&envelope, &key().public()).unwrap().to_bytes(), statement.to_bytes());
    assert!(statement.is_about(&Digest::of(b"image")) && !statement.is_about(&Digest::of(b"other")));
    let text = String::from_utf8(envelope).unwrap();
    let other = Statement { predicate: serde_json::json!({}), ..statement.clone() };
    let payload = |statement: &Statement| base64::engine::general_purpose::STANDARD.encode(statement.to_bytes());
    assert_eq!(Statement::opened(text.replace(&payload(&statement), &payload(&other)).as_bytes(), &key().public()), None);
    assert_eq!(Statement::opened(b"{}", &key().public()), None);
    let artifact = with_entries(None, &[Entry::attestation(&statement, &key())]).unwrap();
    assert_eq!(envelopes(&artifact.manifest.bytes)[0].digest, Digest::of(text.as_bytes()));
}

#[test]
fn the_public_half_is_enough_to_tell_who_signed() {
    let digest = Digest::of(b"image");
    let artifact = with_entries(None, &[Entry::signature(&image(), &digest, &key())]).unwrap();
    for (pem, password) in [(PUBLIC, None), (PKCS8, None), (SEALED, Some("secret"))] {
        assert!(is_signed(&artifact.manifest.bytes, &image(), &digest, &PublicKey::of_pair(pem, password).unwrap()));
    }
    assert!(!is_signed(&artifact.manifest.bytes, &image(), &Digest::of(b"other"), &key().public()));
    assert_eq!(PublicKey::of_pair("text", None).unwrap_err(), KeyError::NotPem);
    assert_eq!(PublicKey::of_pair(&PUBLIC.replace("MFkw", "MFkx"), None).unwrap_err(), KeyError::OtherAlgorithm);
}

#[test]
fn a_referrer_names_its_image_and_its_kind() {
    let image = Blob::new(MANIFEST, b"image".to_vec());
    let document =
        Document { kind: "sbom", file: "sbom.spdx.json", predicate_type: Some("https://spdx.dev/Document".into()), blob: Blob::new(SPDX, b"{}".to_vec()) };
    let Referrer { descriptor, artifact } = document.referrer(&image.descriptor());
    let manifest: serde_json::Value = serde_json::from_slice(&artifact.manifest.bytes).unwrap();
    assert_eq!((&manifest["subject"]["digest"], &manifest["artifactType"]), (&image.digest.as_str().into(), &SPDX.into()));
    assert_eq!(manifest["layers"][0]["annotations"]["org.opencontainers.image.title"], "sbom.spdx.json");
    assert!(has_referrer(&[descriptor], SPDX, "https://spdx.dev/Document"));
}
