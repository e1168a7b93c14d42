//! What a registry holds beside an image: lists of signatures and attestations, envelopes.
#![no_main]

use kmodforge::attest::cosign::{Entry, envelopes, is_signed, with_entries};
use kmodforge::attest::{SigningKey, Statement};
use kmodforge::reference::{Digest, Reference};
use libfuzzer_sys::fuzz_target;

struct Fixed {
    key: SigningKey,
    image: Reference,
    digest: Digest,
    entry: Entry,
}

fuzz_target!(|data: &[u8]| {
    thread_local!(static FIXED: Fixed = {
        let key = SigningKey::from_pem(include_str!("../../tests/fixtures/sign/p256.key"), None).unwrap();
        let (image, digest): (Reference, _) = ("registry.example/x:1".parse().unwrap(), Digest::of(b"image"));
        let entry = Entry::signature(&image, &digest, &key);
        Fixed { key, image, digest, entry }
    });
    FIXED.with(|Fixed { key, image, digest, entry }| {
        let key = key.public();
        assert_eq!(Statement::opened(data, &key), None);
        let _ = envelopes(data);
        if let Some(added) = with_entries(Some(data), std::slice::from_ref(entry)) {
            assert!(is_signed(&added.manifest.bytes, image, digest, &key));
            assert_eq!(with_entries(Some(&added.manifest.bytes), std::slice::from_ref(entry)), None);
        }
    });
});
