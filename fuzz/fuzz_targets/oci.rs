//! The JSON documents of images, as registries send them.
#![no_main]

use kmodforge::image::manifest::{Config, Index, Manifest, is_index};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = is_index("", data);
    let _ = serde_json::from_slice::<Manifest>(data);
    let _ = serde_json::from_slice::<Config>(data);
    let Ok(index) = serde_json::from_slice::<Index>(data) else { return };
    if let Some(first) = index.manifests.first().cloned() {
        assert!(index.with(first.clone()).manifests.contains(&first));
    }
    let again: Index = serde_json::from_slice(&index.to_blob().bytes).unwrap();
    assert_eq!(again, index);
});
