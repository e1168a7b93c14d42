//! The ELF part of a module: sections, symbols and relocations that the kernel's loader reads.

use std::fmt;

use object::elf::{EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64};
use object::{File, FileKind, Object, ObjectKind, ObjectSection, ObjectSymbol};

use super::{Export, Fault, Import, ModInfo, SymbolVersion, exports};

/// Class, byte order and machine of an ELF file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// 64-bit, not 32-bit.
    pub wide: bool,
    /// Most significant byte first.
    pub big_endian: bool,
    /// `e_machine`: 62 is `x86_64`, 183 is `aarch64`.
    pub machine: u16,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.wide { 64 } else { 32 };
        let order = if self.big_endian { "big" } else { "little" };
        write!(f, "ELF {bits}-bit {order}-endian ")?;
        match object::elf::Machine(self.machine) {
            EM_X86_64 => f.write_str("x86-64"),
            EM_AARCH64 => f.write_str("AArch64"),
            EM_386 => f.write_str("i386"),
            EM_ARM => f.write_str("ARM"),
            EM_PPC64 => f.write_str("PowerPC64"),
            EM_RISCV => f.write_str("RISC-V"),
            EM_S390 => f.write_str("S/390"),
            _ => write!(f, "machine {}", self.machine),
        }
    }
}

/// What a module's ELF part holds.
pub(super) struct Contents {
    pub(super) format: Format,
    pub(super) info: ModInfo,
    pub(super) versions: Option<Vec<SymbolVersion>>,
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<Export>,
    pub(super) this_module: Option<u64>,
    pub(super) compilers: Vec<String>,
}

pub(super) fn read(bytes: &[u8]) -> Result<Contents, Fault> {
    if !matches!(FileKind::parse(bytes), Ok(FileKind::Elf32 | FileKind::Elf64)) {
        return Err(Fault::NotElf);
    }
    let file = File::parse(bytes).map_err(|error| Fault::Damaged(error.to_string()))?;
    if file.kind() != ObjectKind::Relocatable {
        return Err(Fault::NotRelocatable);
    }
    let format = format(&file, bytes);
    Ok(Contents {
        format,
        info: ModInfo::parse(&section(&file, ".modinfo")?.ok_or(Fault::NoModinfo)?),
        versions: versions(&file, format)?,
        imports: imports(&file)?,
        exports: exports::read(&file, format)?,
        this_module: file.section_by_name(".gnu.linkonce.this_module").map(|section| section.size()),
        compilers: compilers(&section(&file, ".comment")?.unwrap_or_default()),
    })
}

fn format(file: &File<'_>, bytes: &[u8]) -> Format {
    let big_endian = !file.is_little_endian();
    // e_machine is at the same place in both classes.
    let machine = bytes.get(18..20).and_then(|field| field.try_into().ok()).unwrap_or_default();
    let machine = if big_endian { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) };
    Format { wide: file.is_64(), big_endian, machine }
}

/// The bytes of a section.
pub(super) fn section<'data>(file: &File<'data>, name: &str) -> Result<Option<std::borrow::Cow<'data, [u8]>>, Fault> {
    let Some(section) = file.section_by_name(name) else { return Ok(None) };
    let damaged = |error: object::Error| Fault::Damaged(format!("section `{name}`: {error}"));
    Ok(Some(section.data().map_err(damaged)?.into()))
}

/// A number of 4 bytes.
pub(super) fn number(bytes: &[u8], format: Format) -> Option<u32> {
    let bytes = *bytes.first_chunk()?;
    Some(if format.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

/// A text that a zero byte ends.
pub(super) fn text(bytes: &[u8]) -> Box<str> {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into()
}

/// Versions of imported symbols, from the classic section (`struct modversion_info`: a long and a name, 64 bytes together)
/// and from the pair of sections that Linux 6.15 has for longer names (`CONFIG_EXTENDED_MODVERSIONS`).
fn versions(file: &File<'_>, format: Format) -> Result<Option<Vec<SymbolVersion>>, Fault> {
    let classic = section(file, "__versions")?;
    let crcs = section(file, "__version_ext_crcs")?;
    if classic.is_none() && crcs.is_none() {
        return Ok(None);
    }
    let mut versions = Vec::new();
    let long = if format.wide { 8 } else { 4 };
    for record in classic.unwrap_or_default().chunks_exact(64) {
        let low = if format.big_endian { long - 4..long } else { 0..4 };
        let crc = record.get(low).and_then(|field| number(field, format)).unwrap_or_default();
        versions.push(SymbolVersion { name: text(&record[long..]), crc });
    }
    let names = section(file, "__version_ext_names")?.unwrap_or_default();
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    for (crc, name) in crcs.unwrap_or_default().chunks_exact(4).zip(names) {
        let version = SymbolVersion { name: text(name), crc: number(crc, format).unwrap_or_default() };
        versions.push(version);
    }
    Ok(Some(versions))
}

fn imports(file: &File<'_>) -> Result<Vec<Import>, Fault> {
    let mut imports = Vec::new();
    for symbol in file.symbols().filter(object::ObjectSymbol::is_undefined) {
        let name = symbol.name().map_err(|error| Fault::Damaged(format!("symbol table: {error}")))?;
        // The loader ignores what only a linker needs (`ignore_undef_symbol`).
        if !name.is_empty() && name != "_GLOBAL_OFFSET_TABLE_" {
            imports.push(Import { name: name.into(), weak: symbol.is_weak() });
        }
    }
    Ok(imports)
}

fn compilers(comment: &[u8]) -> Vec<String> {
    let mut compilers = Vec::new();
    for line in comment.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let line = String::from_utf8_lossy(line).into_owned();
        if !compilers.contains(&line) {
            compilers.push(line);
        }
    }
    compilers
}
