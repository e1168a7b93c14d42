//! A kernel module: ELF, `.modinfo`, compression, the signature behind it.
#![no_main]

use kmodforge::kmod::{Module, signature};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Module::parse("x.ko", data);
    let content = signature::strip(data);
    assert!(data.starts_with(content));
    let signed = signature::append(content, b"signature").unwrap();
    assert_eq!(signature::parts(&signed), Some((content, &b"signature"[..])));
});
