//! The files of a package repository: `Release`, `Packages`, versions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| kmodforge::kernel_index::read_as_anything(data));
