//! Certificates and signatures.
#![no_main]

use kmodforge::pki::{Certificate, pem_blocks, read, verify};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = pem_blocks(&String::from_utf8_lossy(data));
    let trusted = Certificate::parse(include_bytes!("../../tests/fixtures/sign/rsa.crt")).unwrap();
    assert!(verify(data, b"never signed by anybody", &trusted).is_err());
    for signature in read(data).unwrap_or_default() {
        let _ = (signature.signer(), signature.hash_name());
    }
    if let Ok(certificate) = Certificate::parse(data) {
        assert!(!certificate.subject.chars().any(char::is_control));
        let _ = (certificate.key.rsa_bits(), certificate.serial_text());
    }
});
