//! The compiler of modules and of the kernel.

use std::fmt;

use super::{Check, Subject};
use crate::finding::Finding;
use crate::kmod::Module;

/// A compiler, as far as it matters to modules.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Compiler {
    family: &'static str,
    version: String,
}

impl Compiler {
    /// Reads `CONFIG_CC_VERSION_TEXT` or a line of `.comment`. Its forms, among others:
    ///
    /// ```text
    /// gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0
    /// gcc (GCC) 11.4.1 20230605 (Red Hat 11.4.1-2)
    /// GCC: (Debian 14.2.0-19) 14.2.0
    /// Chromium OS 17.0_pre498229-r9 clang version 17.0.0 (/var/… 8f2a)
    /// ```
    fn parse(text: &str) -> Option<Self> {
        let (family, rest) = match text.split_once("clang version ") {
            Some((_, rest)) => ("clang", rest),
            None if text.to_ascii_lowercase().contains("gcc") => ("gcc", text),
            None => return None,
        };
        let mut depth = 0_i32;
        let outside = rest.chars().filter(|c| {
            depth += i32::from(*c == '(') - i32::from(*c == ')');
            depth == 0
        });
        let outside: String = outside.collect();
        let version = outside.split([' ', ')']).find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()))?;
        Some(Self { family, version: version.to_owned() })
    }

    fn major(&self) -> &str {
        self.version.split('.').next().unwrap_or_default()
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.version)
    }
}

/// Modules were compiled by the kernel's compiler. Another family or major version is an error: structures (by plugins and
/// hardening options) and calling conventions may differ; another minor version is worth a note.
pub(super) fn compiler(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let kernel = subject.kernel;
    let from_config = kernel.config.text("CONFIG_CC_VERSION_TEXT").and_then(Compiler::parse);
    let from_reference = || kernel.reference.as_ref().and_then(|module| compilers(module).into_iter().next());
    let Some(expected) = from_config.or_else(from_reference) else {
        let note = format!("not checked: {} do not tell the kernel's compiler", kernel.headers);
        return if subject.modules.is_empty() { Vec::new() } else { vec![check.note(note)] };
    };
    subject.modules.iter().filter_map(|(path, module)| compare(check, module, &expected).map(|finding| finding.file(path))).collect()
}

fn compare(check: &Check, module: &Module, expected: &Compiler) -> Option<Finding> {
    let found = compilers(module);
    if found.is_empty() {
        return Some(check.note(format!("not checked: `{}` does not tell its compiler", module.file)));
    }
    let alike = |compiler: &Compiler| compiler.family == expected.family && compiler.major() == expected.major();
    let different = found.iter().find(|compiler| *compiler != expected)?;
    let file = &module.file;
    let finding = if !found.iter().any(alike) {
        let finding = check.finding(format!("`{file}` was compiled by another compiler than the kernel"));
        finding.help("compile with the compiler that the kernel's headers depend on")
    } else if alike(different) {
        check.note(format!("`{file}` was compiled by another version of the kernel's compiler"))
    } else {
        // Objects that a vendor delivers compiled: the rest of the module shows that the right compiler was at hand.
        check.note(format!("parts of `{file}` were compiled by another compiler than the kernel"))
    };
    Some(finding.differs(different.to_string(), format!("{expected} (`CONFIG_CC_VERSION_TEXT`)")))
}

/// The compilers that left their mark in a module; other tools (`rustc`, linkers) do not count.
fn compilers(module: &Module) -> Vec<Compiler> {
    module.compilers.iter().filter_map(|line| Compiler::parse(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_texts_of_many_compilers() {
        for (text, shown) in [
            ("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0", "gcc 12.2.0"),
            ("x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0", "gcc 14.2.0"),
            ("gcc (GCC) 11.4.1 20230605 (Red Hat 11.4.1-2)", "gcc 11.4.1"),
            ("gcc10-gcc (GCC) 10.5.0 20230707 (Red Hat 10.5.0-1)", "gcc 10.5.0"),
            ("GCC: (crosstool-NG 1.24.0 (custom)) 9.2.0", "gcc 9.2.0"),
            ("Chromium OS 17.0_pre498229-r9 clang version 17.0.0 (/var/tmp 8f2a)", "clang 17.0.0"),
            ("Debian clang version 14.0.6", "clang 14.0.6"),
        ] {
            assert_eq!(Compiler::parse(text).unwrap().to_string(), shown, "{text}");
        }
        assert_eq!(Compiler::parse("rustc version 1.85.0 (4d91de4e4 2025-02-17)"), None);
        assert_eq!(Compiler::parse("gcc"), None);
    }
}
