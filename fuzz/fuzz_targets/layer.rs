//! A layer of an image that anybody may have made, compressed or not.
#![no_main]

use kmodforge::image::contents::Contents;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::TempDir::new_in("/dev/shm").unwrap();
    let layer = folder.path().join("layer");
    std::fs::write(&layer, data).unwrap();
    let Ok(contents) = Contents::open(&[layer.clone(), layer], folder.path()) else { return };
    for (path, _) in contents.entries() {
        let _ = contents.read(path).unwrap();
    }
});
