//! Licences that packages declare.
#![no_main]

use kmodforge::sbom::copyright::licences;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some(terms) = licences(&String::from_utf8_lossy(data)) else { return };
    assert!(terms.choices.iter().all(|choice| !choice.is_empty()));
});
