use super::*;
use crate::pki::Distrust;

/// An image that has no findings, with the kernel it is for. Tests spoil one thing in it.
struct World {
    kernel: KernelFacts,
    modules: Vec<(String, Module)>,
    firmware: BTreeSet<String>,
    modules_dep: Option<String>,
    expectations: Option<Expectations>,
    signatures: Option<Signatures>,
}

macro_rules! world {
    ($folder:literal, $release:literal, $arch:expr, [$($module:literal),*]) => {
        World::new(
            $release,
            $arch,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kmod/", $folder, "/config")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kmod/", $folder, "/Module.symvers")),
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kmod/", $folder, "/kmf_empty.ko")),
            &[$(($module, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kmod/", $folder, "/", $module)))),*],
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
            expectations: Some(Expectations {
                modules: modules.iter().map(|(file, _)| expected(file)).collect(),
                optional_firmware: Some(Vec::new()),
                ..Expectations::default()
            }),
            signatures: None,
        }
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            kernel: &self.kernel,
            modules: &self.modules,
            firmware: &self.firmware,
            modules_dep: self.modules_dep.as_deref(),
            expectations: self.expectations.as_ref(),
            signatures: self.signatures.as_ref(),
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
        |world| world.signatures = Some(unsigned("kmf_core.ko")),
        "error module-signature: `kmf_core.ko` is not signed | not signed | a signature by CN=driver signing",
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

fn unsigned(file: &str) -> Signatures {
    let path = format!("/opt/lib/modules/6.1.0-56-amd64/extra/{file}");
    Signatures { signer: "CN=driver signing".into(), faults: [(path, Distrust::Unsigned)].into(), unproven: std::collections::BTreeMap::new() }
}

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
    let headings = include_str!("../../docs/checks.md").lines().filter_map(|line| line.strip_prefix("## "));
    // Those of boots come after them.
    let headings = headings.take_while(|heading| !heading.starts_with("boot-")).collect::<Vec<_>>();
    assert_eq!(headings, CHECKS.iter().map(|check| check.id).collect::<Vec<_>>());
}

fn spoiled(mut world: World, spoil: impl FnOnce(&mut World)) -> Vec<String> {
    spoil(&mut world);
    world.findings()
}

mod details;
