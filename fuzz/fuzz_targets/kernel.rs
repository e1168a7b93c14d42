//! What headers say about a kernel: `Module.symvers` and `.config`.
#![no_main]

use kmodforge::kmod::config::KernelConfig;
use kmodforge::kmod::symvers::Symvers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let _ = Symvers::parse(&text);
    let config = KernelConfig::parse(&text);
    let _ = kmodforge::sign::hash_of(&config);
});
