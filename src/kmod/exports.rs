//! The tables of exported symbols, in all their layouts.
//!
//! A `struct kernel_symbol` is the symbol, its name and, since Linux 5.4, its namespace; as pointers or as offsets of four
//! bytes. In a relocatable file all of them are relocations: one that does not point into `__ksymtab_strings` begins an
//! entry, and those that follow and do point there are the texts. Versions stand at the same index in `__kcrctab*`.

use std::collections::BTreeMap;

use object::{File, Object, ObjectSection, ObjectSymbol, Relocation, RelocationTarget, SectionIndex, SymbolSection};

use super::elf::{Format, number, section, text};
use super::{Export, Fault};

/// Tables of symbols, of their versions, and whether they are for GPL modules only.
const TABLES: [(&str, &str, bool); 5] = [
    ("__ksymtab", "__kcrctab", false),
    ("__ksymtab_gpl", "__kcrctab_gpl", true),
    ("__ksymtab_gpl_future", "__kcrctab_gpl_future", false),
    ("__ksymtab_unused", "__kcrctab_unused", false),
    ("__ksymtab_unused_gpl", "__kcrctab_unused_gpl", true),
];

/// `KSYM_FLAG_GPL_ONLY` (`include/linux/module_symbol.h`). Linux 7.x has one table for both kinds of symbols, and flags beside it.
const GPL_ONLY: u8 = 1;

pub(super) fn read(file: &File<'_>, format: Format) -> Result<Vec<Export>, Fault> {
    let mut exports = Vec::new();
    let flags = section(file, "__kflagstab")?.unwrap_or_default();
    for (table, crcs, gpl_only) in TABLES {
        let entries = entries(file, table, format)?;
        let crcs = crcs_of(file, crcs, entries.len(), format)?;
        for (index, (texts, crc)) in entries.into_iter().zip(crcs).enumerate() {
            let flagged = table == "__ksymtab" && flags.get(index).is_some_and(|flag| flag & GPL_ONLY != 0);
            let mut texts = texts.into_iter();
            if let Some(name) = texts.next() {
                exports.push(Export { name, crc, namespace: texts.next().filter(|name| !name.is_empty()), gpl_only: gpl_only || flagged });
            }
        }
    }
    Ok(exports)
}

/// The texts (name, namespace) of each entry of a table.
fn entries(file: &File<'_>, table: &str, format: Format) -> Result<Vec<Vec<Box<str>>>, Fault> {
    let (Some(section), Some(data)) = (file.section_by_name(table), section(file, table)?) else { return Ok(Vec::new()) };
    let strings = file.section_by_name("__ksymtab_strings").map(|section| section.index());
    let relocations: BTreeMap<u64, Relocation> = section.relocations().collect();
    let mut entries = Vec::<Vec<Box<str>>>::new();
    for (offset, relocation) in relocations {
        match target(file, &relocation, field(&data, offset, format)) {
            Some(Target::Section(index, offset)) if Some(index) == strings => {
                if let (Some(entry), Some(name)) = (entries.last_mut(), bytes_at(file, index, offset)) {
                    entry.push(text(name));
                }
            }
            _ => entries.push(Vec::new()),
        }
    }
    Ok(entries)
}

/// The versions of `count` symbols: numbers, or (before Linux 5.18) symbols whose value or whose place is the version.
fn crcs_of(file: &File<'_>, table: &str, count: usize, format: Format) -> Result<Vec<Option<u32>>, Fault> {
    let (Some(section), Some(data)) = (file.section_by_name(table), section(file, table)?) else { return Ok(vec![None; count]) };
    let size = if count > 0 && data.len() / count >= 8 { 8 } else { 4 };
    let relocations: BTreeMap<u64, Relocation> = section.relocations().collect();
    let crc = |index: usize| {
        let offset = (index * size) as u64;
        match relocations.get(&offset) {
            Some(relocation) => match target(file, relocation, field(&data, offset, format))? {
                #[expect(clippy::cast_possible_truncation, reason = "a CRC has 32 bits, whatever the size of a symbol's value")]
                Target::Absolute(value) => Some(value as u32),
                Target::Section(index, offset) => number(bytes_at(file, index, offset)?, format),
            },
            None => number(data.get(index * size + if format.big_endian { size - 4 } else { 0 }..)?, format),
        }
    };
    Ok((0..count).map(crc).collect())
}

/// What a relocation points at.
enum Target {
    /// A number.
    Absolute(u64),
    /// An offset in a section.
    Section(SectionIndex, u64),
}

/// Resolves a relocation; `stored` is what stands in its place, which counts where relocations hold no addend.
fn target(file: &File<'_>, relocation: &Relocation, stored: i64) -> Option<Target> {
    let RelocationTarget::Symbol(index) = relocation.target() else { return None };
    let symbol = file.symbol_by_index(index).ok()?;
    let addend = if relocation.has_implicit_addend() { stored } else { relocation.addend() };
    let value = symbol.address().checked_add_signed(addend)?;
    match symbol.section() {
        SymbolSection::Absolute => Some(Target::Absolute(value)),
        SymbolSection::Section(section) => Some(Target::Section(section, value)),
        _ => None,
    }
}

fn field(data: &[u8], offset: u64, format: Format) -> i64 {
    let bytes = usize::try_from(offset).ok().and_then(|offset| data.get(offset..));
    bytes.and_then(|bytes| number(bytes, format)).map_or(0, |stored| i64::from(stored.cast_signed()))
}

fn bytes_at<'data>(file: &File<'data>, section: SectionIndex, offset: u64) -> Option<&'data [u8]> {
    file.section_by_index(section).ok()?.data().ok()?.get(usize::try_from(offset).ok()?..)
}
