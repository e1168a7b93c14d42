//! One kernel module: everything that a `.ko` file says about itself, and the two files that describe a kernel to modules.
//!
//! Modules are ELF relocatables, perhaps compressed, perhaps with a signature appended. What is read here is what the
//! kernel's loader (`kernel/module/main.c`) and depmod look at.

mod compressed;
pub mod config;
mod elf;
mod exports;
mod modinfo;
pub mod signature;
pub mod symvers;

use std::borrow::Cow;
use std::fmt;

pub use compressed::Compression;
pub use elf::Format;
pub use modinfo::{ModInfo, Parameter};
pub use signature::Signature;

use crate::error::{Exit, Failure};

/// A kernel module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Name of the file, without its directory: `nvidia-uvm.ko`.
    pub file: String,
    /// How the file is compressed.
    pub compression: Option<Compression>,
    /// Class, byte order and machine.
    pub format: Format,
    /// What `modinfo` shows.
    pub info: ModInfo,
    /// Versions of imported symbols, of `module_layout` as well; `None` if it was compiled without symbol versions.
    pub versions: Option<Vec<SymbolVersion>>,
    /// Symbols that the kernel or other modules must provide.
    pub imports: Vec<Import>,
    /// Symbols that other modules may use.
    pub exports: Vec<Export>,
    /// Size in bytes of `.gnu.linkonce.this_module`, which holds the module's `struct module`.
    pub this_module: Option<u64>,
    /// What compilers left in `.comment`, each once: `GCC: (Debian 12.2.0-14+deb12u1) 12.2.0`.
    pub compilers: Vec<String>,
    /// The signature at the end of the file.
    pub signature: Option<Signature>,
}

/// The version (a checksum over the types involved) of an imported symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolVersion {
    /// Name of the symbol.
    pub name: Box<str>,
    /// Its CRC when the module was compiled.
    pub crc: u32,
}

/// An undefined symbol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Name of the symbol.
    pub name: Box<str>,
    /// Whether the module loads without it.
    pub weak: bool,
}

/// A symbol that a module exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Name of the symbol.
    pub name: Box<str>,
    /// Its version, if the kernel has symbol versions.
    pub crc: Option<u32>,
    /// The namespace that users must import.
    pub namespace: Option<Box<str>>,
    /// Only for modules with a licence compatible with the GPL.
    pub gpl_only: bool,
}

impl Module {
    /// Reads a module. `file` is its name, with or without a directory; compression is told by the content.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, KmodError> {
        let file = file.rsplit('/').next().unwrap_or(file);
        let fail = |fault| KmodError { file: file.to_owned(), fault };
        let (compression, bytes) = compressed::open(bytes).map_err(fail)?;
        let (elf, signature) = signature::split(&bytes);
        let contents = elf::read(elf).map_err(fail)?;
        Ok(Self {
            file: file.to_owned(),
            compression,
            format: contents.format,
            info: contents.info,
            versions: contents.versions,
            imports: contents.imports,
            exports: contents.exports,
            this_module: contents.this_module,
            compilers: contents.compilers,
            signature,
        })
    }

    /// The name that the kernel knows it by: `nvidia_uvm`.
    #[must_use]
    pub fn name(&self) -> String {
        let from_file = || self.file.split(".ko").next().unwrap_or(&self.file);
        kernel_name(self.info.first("name").unwrap_or_else(from_file))
    }
}

/// How a module's file is compressed, told by its content, and its bytes without that.
///
/// # Errors
/// When it is damaged or becomes too large.
pub fn decompress<'a>(file: &str, bytes: &'a [u8]) -> Result<(Option<Compression>, Cow<'a, [u8]>), KmodError> {
    compressed::open(bytes).map_err(|fault| KmodError { file: file.to_owned(), fault })
}

/// Whether a file's name is that of a module, perhaps compressed.
#[must_use]
pub fn is_module_file(path: &str) -> bool {
    [".ko", ".ko.xz", ".ko.gz", ".ko.zst"].iter().any(|end| path.ends_with(end))
}

/// A module's name as the kernel spells it: `-` becomes `_`.
#[must_use]
pub fn kernel_name(name: &str) -> String {
    name.replace('-', "_")
}

/// A parameter as `modprobe` takes it: the kernel splits parameters at spaces, but not inside of double quotes.
#[must_use]
pub fn parameter(name: &str, value: &str) -> String {
    if value.contains(' ') { format!("{name}=\"{value}\"") } else { format!("{name}={value}") }
}

/// A file that is no kernel module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {fault}")]
pub struct KmodError {
    /// Name of the file.
    pub file: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Why a file is no kernel module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Not an ELF file.
    NotElf,
    /// An ELF file of another type: a program, a shared library.
    NotRelocatable,
    /// A relocatable without what makes it a module.
    NoModinfo,
    /// Broken or cut off.
    Damaged(String),
    /// Cannot be decompressed.
    Compression(Compression, String),
    /// Bigger than any module, in bytes, after decompression.
    TooLarge(u64),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotElf => f.write_str("not an ELF file"),
            Self::NotRelocatable => f.write_str("an ELF file that is not relocatable"),
            Self::NoModinfo => f.write_str("an object file without a `.modinfo` section"),
            Self::Damaged(message) => write!(f, "a damaged ELF file: {message}"),
            Self::Compression(format, message) => write!(f, "damaged {format} data: {message}"),
            Self::TooLarge(limit) => write!(f, "more than {} MiB when decompressed", limit >> 20),
        }
    }
}

impl From<KmodError> for Failure {
    fn from(error: KmodError) -> Self {
        let failure = Self::new(Exit::CheckFailed, format!("`{}` is not a kernel module", error.file)).id("elf-format");
        failure.fact("found", error.fault.to_string()).fact("expected", "a relocatable ELF file with a `.modinfo` section")
    }
}

#[cfg(test)]
mod tests;
