//! The tar that a builder sends: whatever it is, nothing outside of it is read, and all that is accepted can be read.
#![no_main]

use kmodforge::image::artifacts::Artifacts;
use kmodforge::image::scan::Kind;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    std::fs::write(file.path(), data).unwrap();
    let Ok(artifacts) = Artifacts::open(file.path()) else { return };
    for root in ["tools", "modules", "evidence"] {
        for (path, kind) in artifacts.paths(root) {
            assert!(path.starts_with(root) && !path.split('/').any(|part| part == ".."), "{path}");
            if let Kind::File { size, .. } = kind {
                assert_eq!(artifacts.read(path).unwrap().len() as u64, *size);
            }
        }
    }
});
