use super::*;

macro_rules! fixture {
    ($path:literal) => {
        include_bytes!(concat!("../../tests/fixtures/kmod/", $path))
    };
}

fn module(file: &str, bytes: &[u8]) -> Module {
    Module::parse(file, bytes).unwrap()
}

fn crc(module: &Module, symbol: &str) -> Option<u32> {
    module.versions.as_ref()?.iter().find(|version| *version.name == *symbol).map(|version| version.crc)
}

fn export(name: &str, crc: Option<u32>, namespace: Option<&str>, gpl_only: bool) -> Export {
    Export { name: name.into(), crc, namespace: namespace.map(Into::into), gpl_only }
}

const CORE: &[u8] = fixture!("6.1.0-56-amd64/kmf_core.ko");

#[test]
fn reads_what_modinfo_shows() {
    let module = module("lib/extra/kmf_core.ko", CORE);
    let info = &module.info;
    assert_eq!((module.file.as_str(), module.name().as_str()), ("kmf_core.ko", "kmf_core"));
    assert_eq!(info.vermagic(), Some("6.1.0-56-amd64 SMP preempt mod_unload modversions"));
    assert_eq!((info.license(), info.version()), (Some("Dual BSD/GPL"), Some("1.2")));
    assert_eq!(info.srcversion(), Some("B460C41DA647014CBF164DD"));
    assert_eq!(info.firmware().collect::<Vec<_>>(), ["kmf/core.bin"]);
    assert_eq!(info.softdeps().collect::<Vec<_>>(), ["pre: crc32c"]);
    assert_eq!((info.aliases(), info.depends().count(), info.retpoline(), info.in_tree()), (2, 0, true, false));
    assert_eq!(info.parameters(), [Parameter { name: "level".into(), kind: Some("int".into()), description: Some("how much to say".into()) }]);
    assert_eq!(module.compilers, ["GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"]);
    assert_eq!(module.this_module, Some(896));
    assert_eq!(module.format.to_string(), "ELF 64-bit little-endian x86-64");
}

#[test]
fn reads_imports_and_their_versions() {
    let module = module("kmf_user.ko", fixture!("6.1.0-56-amd64/kmf_user.ko"));
    assert_eq!(module.info.depends().collect::<Vec<_>>(), ["kmf_core", "usbcore"]);
    assert_eq!(module.info.imported_namespaces().collect::<Vec<_>>(), ["KMF"]);
    assert_eq!(crc(&module, "module_layout"), Some(0x9060_323f));
    assert_eq!(crc(&module, "kmf_alpha"), Some(0x20a5_6371));
    let weak: Vec<_> = module.imports.iter().filter(|import| import.weak).map(|import| &*import.name).collect();
    assert_eq!(weak, ["kmf_nowhere"]);
    assert!(module.imports.iter().any(|import| &*import.name == "usb_register_driver" && !import.weak));
}

#[test]
fn reads_exports_in_every_layout() {
    let exports = |bytes: &[u8]| module("m.ko", bytes).exports;
    assert_eq!(exports(CORE), [export("kmf_alpha", Some(0x20a5_6371), None, false), export("kmf_beta", Some(0x410b_30a1), Some("KMF"), true)]);
    assert_eq!(exports(fixture!("6.1.0-56-arm64/kmf_core.ko")).len(), 2);
    // Linux 7.x: flags instead of a second table; this one has no symbol versions.
    assert_eq!(exports(fixture!("7.2.12+deb13-amd64/kmf_core.ko")), [export("kmf_alpha", None, None, false), export("kmf_beta", None, Some("KMF"), true)]);
    // Before 5.4 there were no namespaces, and versions were values of symbols.
    assert_eq!(
        exports(fixture!("layouts/old_exports.ko")),
        [export("old_alpha", Some(0x00c0_ffee), None, false), export("old_beta", Some(0x0bad_cafe), None, true)]
    );
}

#[test]
fn reads_the_versions_of_newer_kernels() {
    let module = module("kmf_user.ko", fixture!("extended/kmf_user.ko"));
    assert_eq!(module.versions.as_ref().unwrap().len(), 7);
    assert_eq!((crc(&module, "module_layout"), crc(&module, "kmf_beta")), (Some(0x2b1c_0d33), Some(0x5e6f_7a8b)));
    assert_eq!(Module::parse("kmf_user.ko", fixture!("7.2.12+deb13-amd64/kmf_user.ko")).unwrap().versions, None);
}

#[test]
fn knows_the_machine() {
    let module = module("kmf_core.ko", fixture!("6.1.0-56-arm64/kmf_core.ko"));
    assert_eq!(module.format, Format { wide: true, big_endian: false, machine: 183 });
    assert_eq!(module.info.vermagic(), Some("6.1.0-56-arm64 SMP mod_unload modversions aarch64"));
}

#[test]
fn sees_through_compression_and_signature() {
    let packed = zstd::encode_all(CORE, 1).unwrap();
    let module = module("kmf_core.ko.zst", &packed);
    assert_eq!((module.compression, module.exports.len()), (Some(Compression::Zstd), 2));
    let signed = Module::parse("kmf_empty.ko", fixture!("layouts/kmf_signed.ko")).unwrap();
    assert_eq!(signed.signature, Some(Signature { length: 397, digest: Some("sha256") }));
    let plain = Module::parse("kmf_empty.ko", fixture!("6.1.0-56-amd64/kmf_empty.ko")).unwrap();
    assert_eq!(Module { signature: None, ..signed }, plain);
}

#[test]
fn a_name_falls_back_to_the_file() {
    assert_eq!(module("old-exports.ko.xz", fixture!("layouts/old_exports.ko")).name(), "old_exports");
}

#[test]
fn says_why_a_file_is_no_module() {
    let shown = |bytes: &[u8]| Failure::from(Module::parse("extra/x.ko", bytes).unwrap_err()).to_string();
    assert_eq!(
        shown(b"#!/bin/sh\n"),
        "error[elf-format]: `x.ko` is not a kernel module\n  found     not an ELF file\n  \
         expected  a relocatable ELF file with a `.modinfo` section"
    );
    let mut program = CORE.to_vec();
    program[16] = 2;
    assert!(shown(&program).contains("found     an ELF file that is not relocatable"));
    let mut nameless = CORE.to_vec();
    let at = nameless.windows(8).position(|name| name == b".modinfo").unwrap();
    nameless[at] = b'x';
    assert!(shown(&nameless).contains("found     an object file without a `.modinfo` section"));
    assert!(shown(&CORE[..3000]).contains("found     a damaged ELF file: "));
    assert!(shown(&[0x1f, 0x8b, 8, 0, 1]).contains("found     damaged gzip data: "));
}

#[test]
fn survives_damage() {
    for bytes in [CORE, fixture!("6.1.0-56-amd64/kmf_user.ko"), fixture!("layouts/kmf_signed.ko"), fixture!("extended/kmf_user.ko")] {
        for length in (0..bytes.len()).step_by(23) {
            let _ = Module::parse("x.ko", &bytes[..length]);
        }
        let mut damaged = bytes.to_vec();
        for at in (0..bytes.len()).step_by(7) {
            let mask = if at % 2 == 0 { 0xff } else { 1 << (at % 8) };
            damaged[at] ^= mask;
            let _ = Module::parse("x.ko", &damaged);
            damaged[at] = bytes[at];
        }
    }
}
