//! What repositories sign: signed texts, signatures, keyrings. Nonsense is never a signature.
#![no_main]

use kmodforge::openpgp::{Clearsigned, Keyring, Moment};
use libfuzzer_sys::fuzz_target;

const NOW: Moment = Moment { now: 1_780_272_000, frozen: true };

fuzz_target!(|data: &[u8]| {
    thread_local!(static TRUSTED: Keyring = Keyring::parse("trusted", include_bytes!("../../tests/fixtures/openpgp/ring.gpg")).unwrap());
    TRUSTED.with(|trusted| {
        assert!(trusted.verify(b"never signed by anybody", data, NOW).is_err());
        if let Ok(keyring) = Keyring::parse("foreign", data) {
            assert!(!keyring.fingerprints().is_empty());
            let _ = keyring.verify(include_bytes!("../../tests/fixtures/openpgp/Release"), include_bytes!("../../tests/fixtures/openpgp/Release.gpg"), NOW);
        }
        let Ok(text) = std::str::from_utf8(data) else { return };
        let Ok(signed) = Clearsigned::parse(text) else { return };
        assert!(!signed.text.contains('\r') && signed.content().split(|byte| *byte == b'\n').rev().skip(1).all(|line| line.ends_with(b"\r")));
        if trusted.verify(&signed.content(), signed.signature.as_bytes(), NOW).is_ok() {
            assert_eq!(signed.text, "Suite: bookworm\n- a dash\nSHA256:\n 11 1 main/binary-amd64/Packages\n");
        }
    });
});
