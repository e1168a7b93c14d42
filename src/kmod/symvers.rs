//! `Module.symvers`: every symbol that a kernel and its modules export.
//!
//! One line per symbol, separated by tabs: version, name, module, kind of export, namespace
//! (`Documentation/kbuild/modules.rst` §6.1). Linux 5.4 and 5.5 have the namespace third; older ones have none.

use std::collections::BTreeSet;

use super::kernel_name;
use crate::error::{Exit, Failure};

/// The text of a `Module.symvers`, with an index by symbol. Takes little more memory than the text.
#[derive(Clone, Debug, Default)]
pub struct Symvers {
    text: Box<str>,
    /// Where lines begin, in the order of their symbols.
    lines: Vec<u32>,
    modules: BTreeSet<Box<str>>,
}

/// An exported symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSymbol<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its version; 0 on kernels without symbol versions.
    pub crc: u32,
    /// Path of the module, `vmlinux` for the kernel itself: `drivers/usb/core/usbcore`.
    pub module: &'a str,
    /// Only for modules with a licence compatible with the GPL.
    pub gpl_only: bool,
    /// The namespace that users must import.
    pub namespace: Option<&'a str>,
}

/// A line of a `Module.symvers` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of Module.symvers cannot be read: `{text}`")]
pub struct SymversError {
    /// Its number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

impl Symvers {
    /// Reads the text of a `Module.symvers`.
    pub fn parse(text: &str) -> Result<Self, SymversError> {
        let mut lines = Vec::new();
        let mut modules = BTreeSet::new();
        let mut offset = 0_u32;
        let mut last = "";
        for (index, line) in text.split_inclusive('\n').enumerate() {
            let fail = || SymversError { line: index + 1, text: line.trim_end().to_owned() };
            if !line.trim().is_empty() {
                let module = parse_line(line).ok_or_else(fail)?.module;
                if module != last && module != "vmlinux" {
                    modules.insert(kernel_name(module.rsplit('/').next().unwrap_or(module)).into());
                    last = module;
                }
                lines.push(offset);
            }
            // Four gigabytes of symbols are no Module.symvers.
            offset = u32::try_from(line.len()).ok().and_then(|length| offset.checked_add(length)).ok_or_else(fail)?;
        }
        let mut symvers = Self { text: text.into(), lines, modules };
        let mut lines = std::mem::take(&mut symvers.lines);
        lines.sort_by_key(|line| symvers.name_at(*line));
        symvers.lines = lines;
        Ok(symvers)
    }

    /// A symbol by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<KernelSymbol<'_>> {
        let found = self.lines.binary_search_by(|line| self.name_at(*line).cmp(name)).ok()?;
        parse_line(self.line_at(self.lines[found]))
    }

    /// Whether a module of the kernel exports symbols; `-` and `_` are the same. Modules that export none are not listed.
    #[must_use]
    pub fn has_module(&self, name: &str) -> bool {
        self.modules.contains(&*kernel_name(name))
    }

    /// How many symbols there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn line_at(&self, offset: u32) -> &str {
        let rest = self.text.get(offset as usize..).unwrap_or_default();
        rest.split('\n').next().unwrap_or(rest)
    }

    fn name_at(&self, offset: u32) -> &str {
        self.line_at(offset).split('\t').nth(1).unwrap_or_default()
    }
}

fn parse_line(line: &str) -> Option<KernelSymbol<'_>> {
    let mut columns = line.trim_end_matches(['\r', '\n']).split('\t');
    let crc = u32::from_str_radix(columns.next()?.strip_prefix("0x")?, 16).ok()?;
    let name = columns.next().filter(|name| !name.is_empty())?;
    let (third, fourth, fifth) = (columns.next()?, columns.next()?, columns.next().unwrap_or_default());
    let (module, export, namespace) = if fourth.starts_with("EXPORT_") { (third, fourth, fifth) } else { (fourth, fifth, third) };
    if !export.starts_with("EXPORT_") || columns.next().is_some() {
        return None;
    }
    let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
    Some(KernelSymbol { name, crc, module, gpl_only: export.ends_with("_GPL"), namespace })
}

impl From<SymversError> for Failure {
    fn from(error: SymversError) -> Self {
        let failure = Self::new(Exit::Failed, "the `Module.symvers` of the kernel's headers cannot be read");
        let failure = failure.fact("found", format!("line {}: `{}`", error.line, error.text));
        failure.fact("expected", "version, symbol, module, kind of export and namespace, separated by tabs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_symbols_and_modules() {
        let symvers = Symvers::parse(include_str!("../../tests/fixtures/kmod/6.1.0-56-amd64/Module.symvers")).unwrap();
        assert_eq!(
            symvers.get("iwl_write8"),
            Some(KernelSymbol {
                name: "iwl_write8",
                crc: 0xf0c7_bc5c,
                module: "drivers/net/wireless/intel/iwlwifi/iwlwifi",
                gpl_only: true,
                namespace: Some("IWLWIFI")
            })
        );
        let layout = symvers.get("module_layout").unwrap();
        assert_eq!((layout.crc, layout.module, layout.gpl_only, layout.namespace), (0x9060_323f, "vmlinux", false, None));
        assert_eq!(symvers.get("module_layou"), None);
        assert!(symvers.has_module("usbcore") && !symvers.has_module("vmlinux"));
        assert_eq!(symvers.len(), 13);
    }

    #[test]
    fn module_names_are_spelled_either_way() {
        let symvers = Symvers::parse("0x00000001\tkvm_x\tarch/x86/kvm/kvm-intel\tEXPORT_SYMBOL_GPL\n").unwrap();
        assert!(symvers.has_module("kvm_intel") && symvers.has_module("kvm-intel"));
    }

    #[test]
    fn reads_the_older_orders_of_columns() {
        let symvers = Symvers::parse("0x00000001\ta\tKMF\tdrivers/a\tEXPORT_SYMBOL_GPL\n0x00000002\tb\t\tvmlinux\tEXPORT_SYMBOL\r\n\n").unwrap();
        assert_eq!(symvers.get("a"), Some(KernelSymbol { name: "a", crc: 1, module: "drivers/a", gpl_only: true, namespace: Some("KMF") }));
        assert_eq!(symvers.get("b"), Some(KernelSymbol { name: "b", crc: 2, module: "vmlinux", gpl_only: false, namespace: None }));
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = Symvers::parse("0x00000001\ta\tvmlinux\tEXPORT_SYMBOL\t\n<html>404\n").unwrap_err();
        assert_eq!(
            Failure::from(error).to_string(),
            "error: the `Module.symvers` of the kernel's headers cannot be read\n  found     line 2: `<html>404`\n  \
             expected  version, symbol, module, kind of export and namespace, separated by tabs"
        );
        assert!(Symvers::parse("0x1\ta\tvmlinux\n").is_err());
        assert!(Symvers::parse("").unwrap().is_empty());
    }
}
