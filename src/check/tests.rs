use super::*;

/// An image that has no findings, with the kernel it is for. Tests spoil one thing in it.
struct World {
    kernel: KernelFacts,
    modules: Vec<(String, Module)>,
    firmware: BTreeSet<String>,
    modules_dep: Option<String>,
    expectations: Option<Expectations>,
}

macro_rules! world {
    ($folder:literal, $release:literal, $arch:expr, [$($module:literal),*]) => {
        World::new(
            $release,
            $arch,
            include_str!(concat!("../../tests/fixtures/kmod/", $folder, "/config")),
            include_str!(concat!("../../tests/fixtures/kmod/", $folder, "/Module.symvers")),
            include_bytes!(concat!("../../tests/fixtures/kmod/", $folder, "/kmf_empty.ko")),
            &[$(($module, include_bytes!(concat!("../../tests/fixtures/kmod/", $folder, "/", $module)))),*],
        )
    };
}

impl World {
    fn new(release: &str, arch: Arch, config: &str, symvers: &str, reference: &[u8], modules: &[(&str, &[u8])]) -> Self {
        let path = |file: &str| format!("/opt/lib/modules/{release}/extra/{file}");
        let needs = |file: &str| if file == "kmf_core.ko" { "" } else { " extra/kmf_core.ko" };
        let expected = |file: &str| ExpectedModule { name: file.replace(".ko", ""), path: path(file), optional: false };
        Self {
            kernel: KernelFacts {
                release: release.parse().unwrap(),
                arch,
                headers: format!("linux-headers-{release} 1"),
                config: KernelConfig::parse(config),
                symvers: Symvers::parse(symvers).unwrap(),
                reference: Some(Module::parse("kmf_empty.ko", reference).unwrap()),
            },
            modules: modules.iter().map(|(file, bytes)| (path(file), Module::parse(file, bytes).unwrap())).collect(),
            firmware: BTreeSet::from(["kmf/core.bin".to_owned()]),
            modules_dep: Some(modules.iter().map(|(file, _)| format!("extra/{file}:{}", needs(file))).collect::<Vec<_>>().join("\n")),
            expectations: Some(Expectations { modules: modules.iter().map(|(file, _)| expected(file)).collect(), ..Expectations::default() }),
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            kernel: &self.kernel,
            modules: &self.modules,
            firmware: &self.firmware,
            modules_dep: self.modules_dep.as_deref(),
            expectations: self.expectations.as_ref(),
        }
    }

    /// What all checks find, without help: `severity id: message | found | expected`.
    fn findings(&self) -> Vec<String> {
        let shown = |finding: Finding| {
            let texts = [Some(format!("{} {}: {}", finding.severity, finding.check, finding.message)), finding.found, finding.expected];
            texts.into_iter().flatten().collect::<Vec<_>>().join(" | ")
        };
        run_all(&self.subject()).into_iter().map(shown).collect()
    }

    fn expectations(&mut self) -> &mut Expectations {
        self.expectations.as_mut().unwrap()
    }

    /// Compiles a module anew, so to say: `change` spoils its bytes.
    fn patch(&mut self, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = match file {
            "kmf_core.ko" => CORE.to_vec(),
            "kmf_user.ko" => USER.to_vec(),
            _ => CLOSED.to_vec(),
        };
        change(&mut bytes);
        let (_, module) = self.modules.iter_mut().find(|(_, module)| module.file == file).unwrap();
        *module = Module::parse(file, &bytes).unwrap();
    }

    /// Replaces a text in the bytes of a module by one of the same length, wherever it is.
    fn replace(&mut self, file: &str, old: &str, new: &str) {
        assert_eq!(old.len(), new.len());
        self.patch(file, |bytes| {
            let places: Vec<_> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old.as_bytes())).collect();
            assert!(!places.is_empty(), "{old} is not in {file}");
            for at in places {
                bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
            }
        });
    }
}

const CORE: &[u8] = include_bytes!("../../tests/fixtures/kmod/6.1.0-56-amd64/kmf_core.ko");
const USER: &[u8] = include_bytes!("../../tests/fixtures/kmod/6.1.0-56-amd64/kmf_user.ko");
const CLOSED: &[u8] = include_bytes!("../../tests/fixtures/kmod/6.1.0-56-amd64/kmf_closed.ko");

fn bookworm() -> World {
    world!("6.1.0-56-amd64", "6.1.0-56-amd64", Arch::Amd64, ["kmf_core.ko", "kmf_user.ko", "kmf_closed.ko"])
}

fn without_versions() -> World {
    world!("7.2.12+deb13-amd64", "7.2.12+deb13-amd64", Arch::Amd64, ["kmf_core.ko", "kmf_user.ko", "kmf_closed.ko"])
}

fn extended() -> World {
    world!("extended", "7.2.12+deb13-amd64", Arch::Amd64, ["kmf_core.ko", "kmf_user.ko"])
}

/// Where a section's header is in a 64-bit ELF file.
fn section_header(bytes: &[u8], name: &str) -> usize {
    use object::{Object, ObjectSection};
    let index = object::File::parse(bytes).unwrap().section_by_name(name).unwrap().index().0;
    usize::try_from(u64::from_le_bytes(bytes[40..48].try_into().unwrap())).unwrap() + index * 64
}

fn section_offset(bytes: &[u8], name: &str) -> usize {
    let header = section_header(bytes, name);
    usize::try_from(u64::from_le_bytes(bytes[header + 24..header + 32].try_into().unwrap())).unwrap()
}

/// Where the version of a symbol is in `__versions`.
fn version_of(bytes: &[u8], symbol: &str) -> usize {
    let start = section_offset(bytes, "__versions");
    let named = |at: &usize| bytes[at + 8..].starts_with(format!("{symbol}\0").as_bytes());
    (start..).step_by(64).find(named).unwrap()
}

#[test]
fn good_modules_have_no_findings() {
    for world in [
        bookworm(),
        world!("6.1.0-56-arm64", "6.1.0-56-arm64", Arch::Arm64, ["kmf_core.ko", "kmf_user.ko"]),
        world!("6.12.117+deb13-amd64", "6.12.117+deb13-amd64", Arch::Amd64, ["kmf_core.ko", "kmf_user.ko", "kmf_closed.ko"]),
        without_versions(),
        extended(),
    ] {
        assert_eq!(world.findings(), Vec::<String>::new(), "{}", world.kernel.release);
    }
}

/// One thing that is wrong, and the only finding that it gives.
type Spoiled = (fn(&mut World), &'static str);

const BAD: &[Spoiled] = &[
    (
        |world| world.expectations().config = vec!["CONFIG_DRM".to_owned().try_into().unwrap()],
        "error kernel-config: 6.1.0-56-amd64 has no `CONFIG_DRM` | not set | `y` or `m`",
    ),
    (
        |world| {
            world.modules.pop();
            world.modules_dep = Some("extra/kmf_core.ko:\nextra/kmf_user.ko: extra/kmf_core.ko\n".into());
        },
        "error modules-present: module `kmf_closed` is not in the image | modules `kmf_core.ko`, `kmf_user.ko` | \
         /opt/lib/modules/6.1.0-56-amd64/extra/kmf_closed.ko",
    ),
    (|world| drop(world.expectations().modules.pop()), "error modules-unexpected: `kmf_closed.ko` is none of the driver's modules"),
    (
        |world| world.patch("kmf_core.ko", |bytes| *bytes = zstd::encode_all(&**bytes, 1).unwrap()),
        "warning module-compressed: `kmf_core.ko` is compressed; a node's modprobe may not be able to read it | zstd | \
         a plain `.ko`: layers are compressed anyway",
    ),
    (
        |world| world.patch("kmf_core.ko", |bytes| bytes[18] = 183),
        "error elf-format: `kmf_core.ko` is not for amd64 | ELF 64-bit little-endian AArch64 | ELF 64-bit little-endian x86-64",
    ),
    (
        |world| world.replace("kmf_user.ko", "vermagic=6.1.0-56", "vermagic=6.1.0-55"),
        "error vermagic: `kmf_user.ko` was compiled for another kernel than 6.1.0-56-amd64 | \
         6.1.0-55-amd64 SMP preempt mod_unload modversions | 6.1.0-56-amd64 SMP preempt mod_unload modversions",
    ),
    (
        |world| {
            world.patch("kmf_user.ko", |bytes| {
                let at = version_of(bytes, "module_layout");
                bytes[at] ^= 0xff;
            });
        },
        "error symbol-crc: `kmf_user.ko` was compiled for another kernel than 6.1.0-56-amd64 | `module_layout` 0x906032c0 | \
         0x9060323f (Module.symvers of linux-headers-6.1.0-56-amd64 1)",
    ),
    (
        |world| {
            world.patch("kmf_core.ko", |bytes| {
                let at = section_header(bytes, ".gnu.linkonce.this_module") + 32;
                bytes[at] -= 64;
            });
        },
        "error module-struct: `kmf_core.ko` was compiled with another `struct module` than 6.1.0-56-amd64 has | \
         832 bytes of `.gnu.linkonce.this_module` | \
         896 bytes of `.gnu.linkonce.this_module` (an empty module compiled with linux-headers-6.1.0-56-amd64 1)",
    ),
    (
        |world| world.replace("kmf_user.ko", "deb12u1) 12.2.0", "deb12u1) 11.2.0"),
        "error compiler: `kmf_user.ko` was compiled by another compiler than the kernel | gcc 11.2.0 | gcc 12.2.0 (`CONFIG_CC_VERSION_TEXT`)",
    ),
    (
        |world| world.replace("kmf_user.ko", "retpoline=Y", "retpoline=N"),
        "warning retpoline: `kmf_user.ko` was compiled without retpolines | no `retpoline=Y` in `.modinfo` | \
         `CONFIG_RETPOLINE`, as 6.1.0-56-amd64 has it",
    ),
    (
        |world| world.replace("kmf_user.ko", "\0usb_deregister\0", "\0usb_forgetmeno\0"),
        "error symbol-unresolved: `kmf_user.ko` needs a symbol that 6.1.0-56-amd64 does not export | `usb_forgetmeno` | \
         names in Module.symvers of linux-headers-6.1.0-56-amd64 1, or exported by a module of the image",
    ),
    (
        |world| world.kernel.symvers = with_line("0x20a56371\tkmf_alpha\tvmlinux\tEXPORT_SYMBOL\t"),
        "error symbol-duplicate: `kmf_core.ko` exports symbols that 6.1.0-56-amd64 exports already | `kmf_alpha` | names that nobody else exports",
    ),
    (
        |world| world.replace("kmf_user.ko", "import_ns=KMF", "import_ns=KMG"),
        "error symbol-namespace: `kmf_user.ko` uses symbols of the namespace `KMF` without importing it | `kmf_beta` | `import_ns=KMF` in `.modinfo`",
    ),
    (
        |world| world.replace("kmf_user.ko", "license=GPL", "license=MIT"),
        "error gpl-only: `kmf_user.ko` uses symbols that are for GPL modules only | \
         licence `MIT`, and `kmf_beta`, `usb_deregister`, `usb_register_driver` | a licence such as `GPL` or `Dual BSD/GPL`",
    ),
    (
        |world| world.replace("kmf_user.ko", "depends=kmf_core,usbcore", "depends=kmf_core,usbcord"),
        "error depends: `kmf_user.ko` depends on modules that neither the image nor 6.1.0-56-amd64 has | `usbcord` | \
         modules in Module.symvers of linux-headers-6.1.0-56-amd64 1, or of the image",
    ),
    (
        |world| world.modules_dep = Some("extra/kmf_core.ko:\nextra/kmf_user.ko: extra/kmf_core.ko\n".into()),
        "error depmod: `modules.dep` does not list `kmf_closed.ko`",
    ),
    (
        |world| world.firmware.clear(),
        "error firmware: firmware that `kmf_core.ko` may ask for is not in the image | nothing at `kmf/core.bin` | a file below /firmware for each",
    ),
];

fn with_line(line: &str) -> Symvers {
    let text = include_str!("../../tests/fixtures/kmod/6.1.0-56-amd64/Module.symvers");
    Symvers::parse(&format!("{text}{line}\n")).unwrap()
}

#[test]
fn every_check_rejects_what_no_other_does() {
    let mut proven = Vec::new();
    for (spoil, finding) in BAD {
        let mut world = bookworm();
        spoil(&mut world);
        assert_eq!(world.findings(), [*finding]);
        proven.push(finding.split([' ', ':']).nth(1).unwrap());
    }
    assert_eq!(proven, CHECKS.iter().map(|check| check.id).collect::<Vec<_>>());
}

#[test]
fn every_check_is_documented() {
    let headings = include_str!("../../docs/checks.md").lines().filter_map(|line| line.strip_prefix("## ")).collect::<Vec<_>>();
    assert_eq!(headings, CHECKS.iter().map(|check| check.id).collect::<Vec<_>>());
}

fn spoiled(mut world: World, spoil: impl FnOnce(&mut World)) -> Vec<String> {
    spoil(&mut world);
    world.findings()
}

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
        let text = include_str!("../../tests/fixtures/kmod/6.1.0-56-amd64/Module.symvers").replace("0x92997ed8\t_printk", "0x00000000\t_printk");
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
            &(include_str!("../../tests/fixtures/kmod/6.1.0-56-amd64/config").to_owned() + "CONFIG_MODULE_ALLOW_MISSING_NAMESPACE_IMPORTS=y\n"),
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
            world.expectations().optional_firmware = optional.iter().map(|text| (*text).to_owned()).collect();
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
