use std::path::Path;

use super::*;
use crate::kmod::{Compression, Module};
use crate::signer::KeySource;

const PLAIN: &[u8] = include_bytes!("../../tests/fixtures/kmod/6.1.0-56-amd64/kmf_empty.ko");
const SIGNED: &[u8] = include_bytes!("../../tests/fixtures/kmod/layouts/kmf_signed.ko");

fn signer(name: &str) -> Signer {
    let file = |end: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/sign/{name}.{end}"));
    Signer::open(&KeySource::File(file("key")), &file("crt"), None).unwrap()
}

#[test]
fn a_signed_module_is_the_module_and_a_signature() {
    let signer = signer("rsa");
    let module = sign_module("x.ko", PLAIN, &signer, Some(Hash::Sha512)).unwrap();
    assert!(module.starts_with(PLAIN));
    assert_eq!(Module::parse("x.ko", &module).unwrap().signature.unwrap().digest, Some("sha512"));
    assert_eq!(signed_by(signer.certificate(), "x.ko", &module), Ok(Ok(())));
    assert_eq!(sign_module("x.ko", PLAIN, &signer, Some(Hash::Sha512)).unwrap(), module, "RSA signatures are reproducible");
}

#[test]
fn a_signature_takes_the_place_of_another() {
    let signer = signer("p256");
    assert!(matches!(signed_by(signer.certificate(), "x.ko", SIGNED), Ok(Err(Distrust::OtherSigner(_)))));
    let module = sign_module("x.ko", SIGNED, &signer, None).unwrap();
    assert_eq!(signature::strip(&module), PLAIN);
    assert_eq!(signed_by(signer.certificate(), "x.ko", &module), Ok(Ok(())));
}

#[test]
fn without_a_hash_it_is_that_of_the_old_signature() {
    let signer = signer("rsa");
    let hash = |bytes: &[u8]| Module::parse("x.ko", bytes).unwrap().signature.unwrap().digest;
    let strong = sign_module("x.ko", PLAIN, &signer, Some(Hash::Sha384)).unwrap();
    assert_eq!(hash(&sign_module("x.ko", &strong, &signer, None).unwrap()), Some("sha384"));
    assert_eq!(hash(&sign_module("x.ko", PLAIN, &signer, None).unwrap()), Some("sha256"));
}

#[test]
fn a_compressed_module_is_signed_below_its_compression() {
    let signer = signer("rsa");
    for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
        let module = sign_module("x.ko", &compression.compress(PLAIN).unwrap(), &signer, None).unwrap();
        let (found, plain) = kmod::decompress("x.ko", &module).unwrap();
        assert_eq!(found, Some(compression));
        assert_eq!(plain, sign_module("x.ko", PLAIN, &signer, None).unwrap());
        assert_eq!(signed_by(signer.certificate(), "x.ko", &module), Ok(Ok(())));
    }
}

#[test]
fn several_threads_sign_in_order() {
    let signer = signer("rsa");
    let modules = [("a.ko", PLAIN), ("b.ko", SIGNED), ("c.ko", PLAIN)];
    let one = sign_modules(&modules, &signer, None, 1).unwrap();
    assert_eq!(sign_modules(&modules, &signer, None, 2).unwrap(), one);
    assert_eq!(sign_modules(&[], &signer, None, 2).unwrap(), Vec::<Vec<u8>>::new());
}

#[test]
fn what_is_no_module_is_not_signed() {
    let error = sign_modules(&[("a.ko", PLAIN), ("b.ko", b"text")], &signer("rsa"), None, 2).unwrap_err();
    assert_eq!(
        Failure::from(error).to_string(),
        "error[elf-format]: `b.ko` is not a kernel module\n  found     not an ELF file\n  expected  a relocatable ELF file with a `.modinfo` section"
    );
}

#[test]
fn a_change_after_signing_is_noticed() {
    let signer = signer("rsa");
    let mut module = sign_module("x.ko", PLAIN, &signer, None).unwrap();
    module[100] ^= 1;
    assert_eq!(signed_by(signer.certificate(), "x.ko", &module), Ok(Err(Distrust::Mismatch)));
    assert_eq!(signed_by(signer.certificate(), "x.ko", PLAIN), Ok(Err(Distrust::Unsigned)));
}

#[test]
fn the_kernel_says_which_hash() {
    let hash = |config: &str| hash_of(&KernelConfig::parse(config));
    assert_eq!(hash("CONFIG_MODULE_SIG_HASH=\"sha512\"\n"), Ok(Hash::Sha512));
    assert_eq!(hash("# CONFIG_MODULE_SIG is not set\n"), Ok(Hash::Sha256));
    assert_eq!(
        Failure::from(hash("CONFIG_MODULE_SIG_HASH=\"sha3-512\"\n").unwrap_err()).to_string(),
        "error: the kernel wants modules signed with the hash `sha3-512`, which is not supported\n  \
         expected  `sha256`, `sha384` or `sha512`\n  help      kernels take every hash that they were built with: --sign-hash sha256"
    );
}
