//! Variants of findings, and what must not be one.

use super::*;

#[test]
fn versions_of_the_images_own_symbols_are_compared() {
    let stale = spoiled(bookworm(), |world| {
        world.patch("kmf_closed.ko", |bytes| {
            let at = version_of(bytes, "kmf_alpha");
            bytes[at] ^= 1;
        });
    });
    assert_eq!(
        stale,
        ["error symbol-crc: `kmf_closed.ko` needs another version of `kmf_alpha` than `kmf_core.ko` has | `kmf_alpha` 0x20a56370 | \
          0x20a56371 (exported by `kmf_core.ko`)"]
    );
}

#[test]
fn a_foreign_kernel_is_named_by_its_layout_first() {
    let findings = spoiled(bookworm(), |world| {
        world.patch("kmf_user.ko", |bytes| {
            for symbol in ["__fentry__", "module_layout", "usb_deregister"] {
                let at = version_of(bytes, symbol);
                bytes[at] ^= 0xff;
            }
        });
    });
    assert_eq!(findings.len(), 1);
    assert!(findings[0].contains("| `module_layout` 0x906032c0 (also `__fentry__`, `usb_deregister`) |"), "{findings:?}");
}

#[test]
fn extended_versions_are_compared() {
    let findings = spoiled(extended(), |world| {
        let versions = world.modules[1].1.versions.as_mut().unwrap();
        versions.last_mut().unwrap().crc = 1;
    });
    assert_eq!(
        findings,
        ["error symbol-crc: `kmf_user.ko` was compiled for another kernel than 7.2.12+deb13-amd64 | `module_layout` 0x00000001 | \
          0x2b1c0d33 (Module.symvers of linux-headers-7.2.12+deb13-amd64 1)"]
    );
}

#[test]
fn missing_versions_are_errors() {
    let without = spoiled(bookworm(), |world| world.modules[1].1.versions = None);
    assert_eq!(
        without,
        ["error symbol-crc: `kmf_user.ko` has no symbol versions, which 6.1.0-56-amd64 demands | no `__versions` section | \
          a version for each imported symbol"]
    );
    let some = spoiled(bookworm(), |world| world.modules[1].1.versions.as_mut().unwrap().retain(|version| &*version.name != "kmf_beta"));
    assert_eq!(some, ["error symbol-crc: `kmf_user.ko` has no version of symbols that it imports | none for `kmf_beta` | a version for each imported symbol"]);
}

#[test]
fn a_symbol_without_a_version_in_the_kernel_is_not_compared() {
    let findings = spoiled(bookworm(), |world| {
        let text = include_str!("../../../tests/fixtures/kmod/6.1.0-56-amd64/Module.symvers").replace("0x92997ed8\t_printk", "0x00000000\t_printk");
        world.kernel.symvers = Symvers::parse(&text).unwrap();
    });
    assert_eq!(findings, Vec::<String>::new());
}

#[test]
fn kernels_without_versions_are_checked_by_name() {
    let findings = spoiled(without_versions(), |world| world.modules[1].1.imports[0].name = "gone".into());
    assert_eq!(
        findings,
        ["error symbol-unresolved: `kmf_user.ko` needs a symbol that 7.2.12+deb13-amd64 does not export | `gone` | \
          names in Module.symvers of linux-headers-7.2.12+deb13-amd64 1, or exported by a module of the image"]
    );
}

#[test]
fn symbols_kept_for_some_modules_are_for_them_only() {
    let using = |name: &str| {
        spoiled(without_versions(), |world| {
            let import = |name: &str| crate::kmod::Import { name: name.into(), weak: false };
            world.modules[1].1.imports.push(import("x86_verw_sel"));
            world.modules[1].1.info = crate::kmod::ModInfo::parse(
                format!("name={name}\0license=GPL\0import_ns=KMF\0retpoline=Y\0vermagic=7.2.12+deb13-amd64 SMP preempt mod_unload \0").as_bytes(),
            );
            world.expectations = None;
        })
    };
    assert_eq!(using("kvm_intel"), Vec::<String>::new());
    assert_eq!(
        using("kmf_user"),
        ["error symbol-namespace: `kmf_user.ko` uses symbols that are not for it | `x86_verw_sel` | use by the modules `kvm,kvm-amd,kvm-intel` only"]
    );
}

#[test]
fn some_kernels_only_warn_about_namespaces() {
    let findings = spoiled(bookworm(), |world| {
        world.kernel.config = KernelConfig::parse(
            &(include_str!("../../../tests/fixtures/kmod/6.1.0-56-amd64/config").to_owned() + "CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS=y\n"),
        );
        world.replace("kmf_user.ko", "import_ns=KMF", "import_ns=KMG");
    });
    assert!(findings[0].starts_with("warning symbol-namespace: ") && findings.len() == 1, "{findings:?}");
}

#[test]
fn a_proprietary_module_taints_its_users() {
    let findings = spoiled(bookworm(), |world| world.replace("kmf_core.ko", "Dual BSD/GPL", "Dual BSD/IPL"));
    assert_eq!(
        findings,
        ["error gpl-only: `kmf_user.ko` uses symbols that are for GPL modules only | \
          symbols of `kmf_core.ko`, whose licence is not compatible, and `kmf_beta`, `usb_deregister`, `usb_register_driver` | \
          a licence such as `GPL` or `Dual BSD/GPL`"]
    );
}

#[test]
fn a_note_says_what_could_not_be_checked() {
    let findings = spoiled(bookworm(), |world| {
        world.kernel.symvers = Symvers::default();
        world.kernel.reference = None;
        world.kernel.config = KernelConfig::parse("CONFIG_SMP=y\nCONFIG_PREEMPT_BUILD=y\nCONFIG_MODULE_UNLOAD=y\nCONFIG_MODVERSIONS=y\n");
    });
    let symbols = "not checked: linux-headers-6.1.0-56-amd64 1 hold no `Module.symvers`";
    assert_eq!(
        findings,
        [
            format!("note symbol-crc: {symbols}"),
            "note module-struct: not checked: no module compiled with linux-headers-6.1.0-56-amd64 1 is at hand".to_owned(),
            "note compiler: not checked: linux-headers-6.1.0-56-amd64 1 do not tell the kernel's compiler".to_owned(),
            format!("note symbol-unresolved: {symbols}"),
            format!("note symbol-namespace: {symbols}"),
            format!("note gpl-only: {symbols}"),
            format!("note depends: {symbols}"),
        ]
    );
}

#[test]
fn without_a_configuration_the_release_is_still_compared() {
    let findings = spoiled(bookworm(), |world| {
        world.kernel.reference = None;
        world.kernel.config = KernelConfig::default();
        world.expectations().config = vec!["CONFIG_USB".to_owned().try_into().unwrap()];
        world.replace("kmf_user.ko", "vermagic=6.1.0-56", "vermagic=6.1.0-55");
    });
    let notes: Vec<_> = findings.iter().filter(|finding| finding.ends_with("hold no `.config`")).cloned().collect();
    assert_eq!(
        notes,
        ["kernel-config", "symbol-crc", "retpoline"].map(|check| format!("note {check}: not checked: linux-headers-6.1.0-56-amd64 1 hold no `.config`"))
    );
    let errors: Vec<_> = findings.iter().filter(|finding| finding.starts_with("error")).collect();
    assert!(errors.len() == 1 && errors[0].starts_with("error vermagic: `kmf_user.ko`"), "{errors:?}");
}

#[test]
fn without_a_reference_the_version_magic_follows_from_the_configuration() {
    let mut world = bookworm();
    world.kernel.reference = None;
    assert_eq!(world.findings(), ["note module-struct: not checked: no module compiled with linux-headers-6.1.0-56-amd64 1 is at hand"]);
    world.replace("kmf_user.ko", "SMP preempt ", "SMP         ");
    assert_eq!(
        world.findings()[0],
        "error vermagic: `kmf_user.ko` was compiled for another kernel than 6.1.0-56-amd64 | 6.1.0-56-amd64 SMP         mod_unload modversions | \
         6.1.0-56-amd64 SMP preempt mod_unload modversions"
    );
    // A reference compiled with other headers is none.
    let misled = spoiled(bookworm(), |world| world.kernel.release = "6.1.0-55-amd64".parse().unwrap());
    assert!(
        misled.contains(
            &"error vermagic: `kmf_core.ko` was compiled for another kernel than 6.1.0-55-amd64 | 6.1.0-56-amd64 SMP preempt mod_unload modversions | \
          6.1.0-55-amd64 SMP preempt mod_unload modversions"
                .to_owned()
        )
    );
    let mut arm = world!("6.1.0-56-arm64", "6.1.0-56-arm64", Arch::Arm64, ["kmf_core.ko", "kmf_user.ko"]);
    arm.kernel.reference = None;
    assert_eq!(arm.findings().len(), 1);
}

#[test]
fn a_module_says_what_it_was_compiled_for() {
    let findings = spoiled(bookworm(), |world| world.replace("kmf_user.ko", "vermagic=", "vermagik="));
    assert_eq!(
        findings,
        ["error vermagic: `kmf_user.ko` was compiled for another kernel than 6.1.0-56-amd64 | no `vermagic` in `.modinfo` | \
          6.1.0-56-amd64 SMP preempt mod_unload modversions"]
    );
    let findings = spoiled(bookworm(), |world| world.modules[0].1.this_module = None);
    assert_eq!(
        findings,
        ["error module-struct: `kmf_core.ko` was compiled with another `struct module` than 6.1.0-56-amd64 has | no `.gnu.linkonce.this_module` | \
          896 bytes of `.gnu.linkonce.this_module` (an empty module compiled with linux-headers-6.1.0-56-amd64 1)"]
    );
}

#[test]
fn another_minor_version_of_the_compiler_is_a_note() {
    let compiled_by = |lines: &[&str]| spoiled(bookworm(), |world| world.modules[0].1.compilers = lines.iter().map(|line| (*line).to_owned()).collect());
    assert_eq!(
        compiled_by(&["GCC: (Debian 12.3.0-1) 12.3.0"]),
        ["note compiler: `kmf_core.ko` was compiled by another version of the kernel's compiler | gcc 12.3.0 | gcc 12.2.0 (`CONFIG_CC_VERSION_TEXT`)"]
    );
    assert_eq!(
        compiled_by(&["GCC: (GNU) 9.2.0", "GCC: (Debian 12.2.0-14) 12.2.0"]),
        ["note compiler: parts of `kmf_core.ko` were compiled by another compiler than the kernel | gcc 9.2.0 | gcc 12.2.0 (`CONFIG_CC_VERSION_TEXT`)"]
    );
    assert_eq!(
        compiled_by(&["Debian clang version 14.0.6"]),
        ["error compiler: `kmf_core.ko` was compiled by another compiler than the kernel | clang 14.0.6 | gcc 12.2.0 (`CONFIG_CC_VERSION_TEXT`)"]
    );
    assert_eq!(compiled_by(&[]), ["note compiler: not checked: `kmf_core.ko` does not tell its compiler"]);
}

#[test]
fn modules_are_in_their_place_once() {
    let moved = spoiled(bookworm(), |world| world.expectations().modules[2].path = "/opt/lib/modules/6.1.0-56-amd64/updates/kmf_closed.ko".into());
    assert_eq!(
        moved,
        ["error modules-present: module `kmf_closed` is not where the driver's profile has it | \
          /opt/lib/modules/6.1.0-56-amd64/extra/kmf_closed.ko | /opt/lib/modules/6.1.0-56-amd64/updates/kmf_closed.ko"]
    );
    let twice = spoiled(bookworm(), |world| {
        world.modules.push((String::from("/opt/lib/modules/6.1.0-56-amd64/updates/kmf_closed.ko"), world.modules[2].1.clone()));
        world.modules_dep.as_mut().unwrap().push_str("\nupdates/kmf_closed.ko: extra/kmf_core.ko\n");
    });
    assert_eq!(twice, ["error modules-unexpected: `kmf_closed.ko` is in the image twice | /opt/lib/modules/6.1.0-56-amd64/extra/kmf_closed.ko | one of them"]);
    let empty = spoiled(bookworm(), |world| {
        world.modules.clear();
        world.modules_dep = Some(String::new());
    });
    assert_eq!(empty, ["error modules-present: the image holds no module for 6.1.0-56-amd64"]);
}

#[test]
fn an_optional_module_may_be_absent() {
    let findings = spoiled(bookworm(), |world| {
        let module = ExpectedModule { name: "kmf-extra".into(), path: "/opt/x.ko".into(), optional: true };
        world.expectations().modules.push(module);
    });
    assert_eq!(findings, Vec::<String>::new());
}

#[test]
fn two_modules_cannot_export_the_same() {
    let findings = spoiled(bookworm(), |world| {
        let export = world.modules[0].1.exports[0].clone();
        world.modules[2].1.exports.push(export);
    });
    assert!(findings.contains(
        &"error symbol-duplicate: `kmf_closed.ko` exports symbols that `kmf_core.ko` exports already | `kmf_alpha` | names that nobody else exports".to_owned()
    ));
}

#[test]
fn depmods_list_is_the_images() {
    let with = |text: Option<&str>| spoiled(bookworm(), |world| world.modules_dep = text.map(str::to_owned));
    assert_eq!(
        with(None),
        ["error depmod: the image has no `modules.dep` for 6.1.0-56-amd64; modprobe finds no module | none | \
          /opt/lib/modules/6.1.0-56-amd64/modules.dep"]
    );
    let good = "extra/kmf_core.ko:\nextra/kmf_closed.ko: extra/kmf_core.ko\n";
    assert_eq!(with(Some(&format!("{good}extra/kmf_user.ko:\n"))), ["error depmod: `modules.dep` does not tell that `kmf_user.ko` needs `kmf_core.ko`"]);
    assert_eq!(
        with(Some(&format!("{good}extra/kmf_user.ko: extra/kmf_core.ko\nextra/ghost.ko:\n"))),
        ["error depmod: `modules.dep` lists modules that are not in the image: `extra/ghost.ko`"]
    );
    let elsewhere = spoiled(bookworm(), |world| {
        world.modules[2].0 = "/opt/lib/modules/6.1.0-55-amd64/extra/kmf_closed.ko".into();
        world.expectations = None;
        world.modules_dep = Some("extra/kmf_core.ko:\nextra/kmf_user.ko: extra/kmf_core.ko\n".into());
    });
    assert_eq!(
        elsewhere,
        ["error depmod: `kmf_closed.ko` is not in the directory of 6.1.0-56-amd64 | /opt/lib/modules/6.1.0-55-amd64/extra/kmf_closed.ko | \
          a path below /opt/lib/modules/6.1.0-56-amd64/"]
    );
}

#[test]
fn firmware_may_be_optional_or_compressed() {
    let with = |optional: &[&str], files: &[&str]| {
        spoiled(bookworm(), |world| {
            world.expectations().optional_firmware = Some(optional.iter().map(|text| (*text).to_owned()).collect());
            world.firmware = files.iter().map(|file| (*file).to_owned()).collect();
        })
    };
    assert_eq!(with(&["kmf/*.bin"], &[]), Vec::<String>::new());
    assert_eq!(with(&[], &["kmf/core.bin.xz"]), Vec::<String>::new());
    // This kernel cannot read zstd.
    assert_eq!(with(&[], &["kmf/core.bin.zst"]).len(), 1);
    let unknown_driver = spoiled(bookworm(), |world| {
        world.expectations = None;
        world.firmware.clear();
    });
    assert!(unknown_driver[0].starts_with("warning firmware: ") && unknown_driver.len() == 1, "{unknown_driver:?}");
    let made_of_the_source = spoiled(bookworm(), |world| {
        world.expectations().optional_firmware = None;
        world.firmware.clear();
    });
    assert_eq!(made_of_the_source, unknown_driver);
}

#[test]
fn options_decide_before_anything_is_compiled() {
    let rules = |texts: &[&str]| texts.iter().map(|text| ConfigRule::try_from((*text).to_owned()).unwrap()).collect::<Vec<_>>();
    let config = bookworm().kernel.config;
    assert_eq!(unsupported(&config, &rules(&["CONFIG_VIDEO_DEV", "!CONFIG_PREEMPT_RT"])), None);
    assert_eq!(unsupported(&config, &rules(&["CONFIG_DRM"])).as_deref(), Some("kernel has no `CONFIG_DRM`"));
    assert_eq!(unsupported(&config, &rules(&["!CONFIG_USB"])).as_deref(), Some("kernel has `CONFIG_USB`"));
    let forbidden = spoiled(bookworm(), |world| world.expectations().config = rules(&["!CONFIG_USB"]));
    assert_eq!(forbidden, ["error kernel-config: 6.1.0-56-amd64 has `CONFIG_USB` | set | not set"]);
}

#[test]
fn findings_become_one_failure() {
    let mut world = bookworm();
    world.patch("kmf_user.ko", |bytes| {
        let at = version_of(bytes, "module_layout");
        bytes[at] ^= 0xff;
    });
    world.replace("kmf_closed.ko", "retpoline=Y", "retpoline=N");
    world.modules_dep = Some("extra/kmf_core.ko:\n".into());
    let failure = failure(&run_all(&world.subject()), "127.0.0.1:5000/drivers/kmf:1.2-6.1.0-56-amd64", Some("nothing was pushed")).unwrap();
    assert_eq!(
        failure.to_string(),
        "error[symbol-crc]: `kmf_user.ko` was compiled for another kernel than 6.1.0-56-amd64
  image     127.0.0.1:5000/drivers/kmf:1.2-6.1.0-56-amd64
  file      /opt/lib/modules/6.1.0-56-amd64/extra/kmf_user.ko
  found     `module_layout` 0x906032c0
  expected  0x9060323f (Module.symvers of linux-headers-6.1.0-56-amd64 1)
  also      depmod: `modules.dep` does not list `kmf_user.ko` (and 1 more)
  help      the headers used were not this kernel's; nothing was pushed"
    );
    assert_eq!(failure.exit, crate::error::Exit::CheckFailed);
}

#[test]
fn notes_and_warnings_are_no_failure() {
    let mut world = bookworm();
    world.kernel.reference = None;
    world.replace("kmf_closed.ko", "retpoline=Y", "retpoline=N");
    assert_eq!(failure(&run_all(&world.subject()), "image", None), None);
}
