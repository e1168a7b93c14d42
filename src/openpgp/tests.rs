//! Keys and signatures of `tests/fixtures/openpgp`, which `GnuPG` has made.

use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../tests/fixtures/openpgp/", $name)).as_slice()
    };
}

/// Seconds since 1970 of 2026-06-01.
const JUNE: u64 = 1_780_272_000;
const NOW: Moment = Moment { now: JUNE, frozen: false };
const FROZEN: Moment = Moment { now: JUNE, frozen: true };

fn ring() -> Keyring {
    Keyring::parse("test", fixture!("ring.asc")).unwrap()
}

fn check(signed: &[u8], moment: Moment) -> Result<(), Distrust> {
    let signed = Clearsigned::parse(std::str::from_utf8(signed).unwrap()).unwrap();
    ring().verify(&signed.content(), signed.signature.as_bytes(), moment)
}

#[test]
fn what_gnupg_signs_is_believed() {
    assert_eq!(check(fixture!("good.asc"), NOW), Ok(()), "by a subkey, RSA");
    assert_eq!(check(fixture!("stable.asc"), NOW), Ok(()), "by the primary key, Ed25519");
    for signature in [fixture!("Release.gpg"), fixture!("Release.gpg.asc")] {
        assert_eq!(ring().verify(fixture!("Release"), signature, NOW), Ok(()));
    }
    let text = std::str::from_utf8(fixture!("good.asc")).unwrap();
    let signed = Clearsigned::parse(text).unwrap();
    assert_eq!(signed.text, std::str::from_utf8(fixture!("Release")).unwrap().replace("  \n", "\n"));
}

#[test]
fn one_good_signature_suffices() {
    let release = Keyring::parse("release", fixture!("release.asc")).unwrap();
    let signed = Clearsigned::parse(std::str::from_utf8(fixture!("good.asc")).unwrap()).unwrap();
    assert_eq!(release.verify(&signed.content(), signed.signature.as_bytes(), NOW), Ok(()), "the first is by an unknown key");
}

/// What is wrong with a signature, without the key's fingerprint, which is new whenever fixtures are made.
fn wrong(signed: &[u8], moment: Moment) -> String {
    let text = format!("{:?}", check(signed, moment).unwrap_err());
    regex::Regex::new("[0-9A-F]{16,40}").unwrap().replace_all(&text, "KEY").into_owned()
}

#[test]
fn everything_else_is_told_apart() {
    let altered = std::str::from_utf8(fixture!("stable.asc")).unwrap().replace("bookworm", "bullseye");
    assert_eq!(wrong(altered.as_bytes(), NOW), r#"Altered { key: "KEY Test Release <release@example>" }"#);
    assert_eq!(wrong(fixture!("stranger.asc"), NOW), r#"Unknown { keys: ["KEY"] }"#);
    assert_eq!(wrong(fixture!("sha1.asc"), NOW), r#"Weak { key: "KEY Test Archive <archive@example>", what: "SHA1" }"#);
    assert_eq!(wrong(fixture!("short.asc"), NOW), r#"Weak { key: "KEY Short Key <short@example>", what: "an RSA key of 1024 bits" }"#);
    assert_eq!(wrong(fixture!("expired.asc"), NOW), r#"Expired { key: "KEY Test Archive <archive@example>", when: 1772496000 }"#);
    assert_eq!(wrong(fixture!("future.asc"), NOW), r#"Future { key: "KEY Test Archive <archive@example>", when: 4070908800 }"#);
    assert_eq!(wrong(fixture!("old.asc"), NOW), r#"Unusable(Expired { key: "KEY Old Archive <old@example>", when: 1735732800 })"#);
    assert_eq!(wrong(fixture!("lost.asc"), NOW), r#"Unusable(Revoked("KEY Lost Archive <lost@example>"))"#);
}

#[test]
fn what_expired_since_it_was_made_counts_in_a_frozen_copy() {
    assert_eq!(check(fixture!("expired.asc"), FROZEN), Ok(()));
    assert_eq!(check(fixture!("old.asc"), FROZEN), Ok(()));
    assert_eq!(wrong(fixture!("lost.asc"), FROZEN), r#"Unusable(Revoked("KEY Lost Archive <lost@example>"))"#);
    assert!(check(fixture!("future.asc"), FROZEN).is_err());
}

#[test]
fn a_key_that_certifies_may_not_sign() {
    let ring = ring();
    let certifying = ring.keys.iter().find(|key| key.details.users[0].id.id().starts_with(b"Encryption")).unwrap();
    let (signature, _) = DetachedSignature::from_armor_single(fixture!("Release.gpg.asc")).unwrap();
    assert!(Signer::of(certifying, &signature.signature).is_none());
    assert!(matches!(Signer::primary(certifying).may_sign(JUNE), Err(UnusableKey::NotForSigning(_))));
}

#[test]
fn keyrings_are_text_or_not() {
    let fingerprints = |bytes: &[u8]| Keyring::parse("x", bytes).unwrap().fingerprints();
    assert_eq!(fingerprints(fixture!("ring.gpg")), fingerprints(fixture!("ring.asc"))[..2]);
    let several = [fixture!("release.asc"), b"and another one:\n", fixture!("release.asc")].concat();
    assert_eq!(fingerprints(&several).len(), 2);
    for (bytes, reason) in
        [(b"".as_slice(), "it holds no public key"), (b"ssh-ed25519 AAAA", "it holds no public key"), (fixture!("release.key"), "it holds no public key")]
    {
        assert_eq!(Keyring::parse("x", bytes).unwrap_err().to_string(), reason);
    }
    assert!(matches!(Keyring::parse("x", &fixture!("ring.asc")[..900]), Err(KeyringError::Damaged(_))));
    assert!(Keyring::parse("x", b"\xff\xfe\x00").is_err());
}

#[test]
fn nonsense_is_no_signature() {
    for signature in [b"".as_slice(), b"x", b"-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----", fixture!("release.asc")] {
        assert!(matches!(ring().verify(b"", signature, NOW), Err(Distrust::Malformed(_))), "{}", String::from_utf8_lossy(signature));
    }
    let many = fixture!("Release.gpg").repeat(17);
    assert_eq!(ring().verify(b"", &many, NOW), Err(Distrust::Malformed("it has more than 16 signatures".into())));
}

/// Debian's own keys, as they are shipped.
#[test]
fn debians_keys_may_sign_today() {
    let ring = Keyring::parse("debian", include_bytes!("../../keyrings/debian.asc")).unwrap();
    assert_eq!(ring.keys.len(), 9);
    for key in &ring.keys {
        let signer = key.public_subkeys.first().map_or_else(|| Signer::primary(key), |subkey| Signer::subkey(key, subkey));
        assert_eq!(signer.may_sign(JUNE), Ok(()), "{}", signer.name());
        assert_eq!(signer.weakness(), None);
    }
}
