//! An archive that holds an OCI layout: what can be taken apart says the same as a folder.
#![no_main]

use kmodforge::image::layout::{Layout, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::TempDir::new_in("/dev/shm").unwrap();
    let archive = folder.path().join("archive.tar");
    std::fs::write(&archive, data).unwrap();
    let Ok(layout) = Layout::open(&archive) else { return };
    let _ = (layout.images(None), layout.named_images());
    let unpacked = folder.path().join("unpacked");
    if unpack(&layout, &unpacked).is_ok() {
        assert_eq!(Layout::open(&unpacked).unwrap().names(), layout.names());
    }
});
