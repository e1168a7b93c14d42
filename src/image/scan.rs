//! Reads a tar's headers once: what is in it, where the bytes are, and whether it can be trusted. Contents stay on disk.

pub(crate) mod links;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::tar::{Archive, EntryType, PaxExtensions};

use super::tar::{BLOCK, END};

/// What an entry is. Modes are reduced to the one bit that images keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file; also a hard link, which then has the place of the bytes it shares.
    File {
        /// Any execute bit is set.
        executable: bool,
        /// Length in bytes.
        size: u64,
        /// Where its bytes begin in the tar.
        offset: u64,
    },
    /// A symbolic link, with its target as written.
    Symlink(String),
}

/// What a tar may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rules {
    /// Ours: exactly these top-level directories, and nothing that does not belong into an image.
    Strict(&'static [Root]),
    /// A layer or archive that another tool made: what we cannot use is left out of the index.
    Lenient,
}

/// A top-level directory of a strict tar.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    /// Its name.
    pub(crate) name: &'static str,
    /// Whether the directory itself is `/` of the image (`tools/usr` becomes `/usr`), or a directory of the image (`firmware/x` stays).
    pub(crate) is_image_root: bool,
}

/// How much a tar may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries.
    pub(crate) entries: usize,
    /// Bytes of all files together.
    pub(crate) bytes: u64,
    /// Bytes of a path or a link target.
    pub(crate) path: usize,
}

/// Far above the largest drivers there are (under 1 GB with their firmware), far below what fills a disk or the memory.
pub(crate) const LIMITS: Limits = Limits { entries: 100_000, bytes: 8 << 30, path: 4096 };

/// No file that is read into memory as a whole (a module, what headers say about a kernel) has more bytes.
pub(crate) const LARGEST: u64 = 1 << 30;

/// What is wrong with a tar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Cannot be read as a tar, or not at all.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// Ends before its end marker.
    #[error("it is truncated: it ends at byte {0}")]
    Truncated(u64),
    /// More entries than any driver has.
    #[error("it has more than {0} entries")]
    TooManyEntries(usize),
    /// More bytes than any driver has.
    #[error("its files have more than {0} bytes together")]
    TooLarge(u64),
    /// An entry that has no place in an image.
    #[error("entry `{path}` {what}")]
    Entry {
        /// Its path; control characters are escaped.
        path: String,
        /// What is wrong with it.
        what: EntryProblem,
    },
}

/// What is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryProblem {
    /// `/etc/passwd`.
    AbsolutePath,
    /// `tools/../x`.
    ParentPath,
    /// Control characters in its path or target.
    ControlCharacters,
    /// Its path or target is not UTF-8.
    NotUtf8,
    /// Its path or target is longer than this many bytes.
    LongPath(usize),
    /// Not below one of these directories.
    Elsewhere(Vec<&'static str>),
    /// The same path twice.
    Duplicate,
    /// A character device, block device or fifo, or a type unknown.
    Special(&'static str),
    /// An overlay whiteout, which would delete files of lower layers.
    Whiteout,
    /// Below something that is no directory.
    BelowFile,
    /// A link that leaves its layer.
    LinkOut(String),
    /// A chain of links without an end.
    LinkLoop(String),
    /// A hard link to something that is no file of the same layer.
    DanglingHardLink(String),
}

impl fmt::Display for EntryProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AbsolutePath => f.write_str("has an absolute path"),
            Self::ParentPath => f.write_str("has `..` in its path"),
            Self::ControlCharacters => f.write_str("has control characters in its path or target"),
            Self::NotUtf8 => f.write_str("has a path or target that is not UTF-8"),
            Self::LongPath(limit) => write!(f, "has a path or target longer than {limit} bytes"),
            Self::Elsewhere(roots) => write!(f, "is not below {}", roots.iter().map(|root| format!("`{root}/`")).collect::<Vec<_>>().join(", ")),
            Self::Duplicate => f.write_str("occurs twice"),
            Self::Special(kind) => write!(f, "is a {kind}"),
            Self::Whiteout => f.write_str("is an overlay whiteout"),
            Self::BelowFile => f.write_str("is below something that is no directory"),
            Self::LinkOut(target) => write!(f, "is a link out of the image: `{target}`"),
            Self::LinkLoop(target) => write!(f, "is a link that leads nowhere: `{target}`"),
            Self::DanglingHardLink(target) => write!(f, "is a hard link to `{target}`, which is no file of the same layer"),
        }
    }
}

/// An indexed tar on disk. Cheap to clone; reading needs no lock.
#[derive(Clone, Debug)]
pub struct TarIndex {
    file: Arc<File>,
    path: PathBuf,
    entries: Arc<BTreeMap<String, Kind>>,
    whiteouts: Arc<Vec<String>>,
}

impl TarIndex {
    /// Indexes the tar at `path`.
    pub(crate) fn open(path: &Path, rules: Rules, limits: Limits) -> Result<Self, Problem> {
        let damaged = |error: io::Error| Problem::Damaged(error.to_string());
        let file = File::open(path).map_err(damaged)?;
        let length = file.metadata().map_err(damaged)?.len();
        let mut scan = Scan { rules, limits, entries: BTreeMap::new(), whiteouts: Vec::new(), hard_links: BTreeMap::new(), bytes: 0 };
        let end = scan.read(&file, length)?;
        check_end_marker(&file, end, length)?;
        let entries = links::resolve(scan.entries, &scan.hard_links, rules)?;
        Ok(Self { file: Arc::new(file), path: path.to_owned(), entries: Arc::new(entries), whiteouts: Arc::new(scan.whiteouts) })
    }

    /// The tar's own path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every entry in bytewise order of paths, without leading or trailing slashes. Directories above an entry may be missing.
    pub fn entries(&self) -> &BTreeMap<String, Kind> {
        &self.entries
    }

    /// Overlay whiteouts of a lenient tar: `dir/.wh.name`, `dir/.wh..wh..opq`.
    pub(crate) fn whiteouts(&self) -> &[String] {
        &self.whiteouts
    }

    /// A reader of a file's bytes; `None` when there is no such file. Links are not followed.
    pub fn reader(&self, path: &str) -> Option<FileReader> {
        match self.entries.get(path)? {
            Kind::File { size, offset, .. } => Some(FileReader::new(Arc::clone(&self.file), *offset, offset + size)),
            Kind::Directory | Kind::Symlink(_) => None,
        }
    }
}

/// Reads one file of a [`TarIndex`].
#[derive(Debug)]
pub struct FileReader {
    file: Arc<File>,
    offset: u64,
    end: u64,
}

impl FileReader {
    /// The bytes of `file` from `offset` to `end`.
    pub(super) fn new(file: Arc<File>, offset: u64, end: u64) -> Self {
        Self { file, offset, end }
    }

    /// Bytes that are left.
    pub fn remaining(&self) -> u64 {
        self.end - self.offset
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining()).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.file.read_at(&mut buffer[..wanted], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// The state of one pass over the headers.
struct Scan {
    rules: Rules,
    limits: Limits,
    entries: BTreeMap<String, Kind>,
    whiteouts: Vec<String>,
    /// Path and target, checked once everything is known.
    hard_links: BTreeMap<String, String>,
    bytes: u64,
}

/// Names that came in a record before the header they belong to.
#[derive(Default)]
struct LongNames {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Scan {
    /// Reads all headers and returns where the last entry's padding ends.
    fn read(&mut self, file: &File, length: u64) -> Result<u64, Problem> {
        let damaged = |error: io::Error| Problem::Damaged(error.to_string());
        let mut archive = Archive::new(file);
        let mut long = LongNames::default();
        let mut end = 0;
        // Raw, so that a record with a name of a gigabyte is refused rather than read into memory.
        for entry in archive.entries_with_seek().map_err(damaged)?.raw(true) {
            let mut entry = entry.map_err(|error| if end + BLOCK > length { Problem::Truncated(length) } else { damaged(error) })?;
            let (offset, size, kind) = (entry.raw_file_position(), entry.header().entry_size().map_err(damaged)?, entry.header().entry_type());
            end = offset.checked_add(size.next_multiple_of(BLOCK)).ok_or_else(|| Problem::Damaged("a size is out of range".into()))?;
            if end > length {
                return Err(Problem::Truncated(length));
            }
            match kind {
                EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName | EntryType::GNULongLink => {
                    if size > 4 * self.limits.path as u64 + 1024 * 1024 {
                        return Err(Problem::Damaged("a header record is too long".into()));
                    }
                    let mut record = Vec::new();
                    entry.read_to_end(&mut record).map_err(damaged)?;
                    long.take(kind, record)?;
                }
                _ => {
                    let LongNames { path, target } = std::mem::take(&mut long);
                    let path = path.unwrap_or_else(|| entry.path_bytes().into_owned());
                    let target = target.unwrap_or_else(|| entry.link_name_bytes().unwrap_or_default().into_owned());
                    let executable = entry.header().mode().map_err(damaged)? & 0o111 != 0;
                    self.take(kind, &path, &target, Kind::File { executable, size, offset })?;
                }
            }
        }
        Ok(end)
    }

    /// Checks one entry and adds it.
    fn take(&mut self, kind: EntryType, path: &[u8], target: &[u8], file: Kind) -> Result<(), Problem> {
        let path = self.text(path, path)?;
        let strict = matches!(self.rules, Rules::Strict(_));
        let path = match self.place(&path) {
            Ok(path) if path.is_empty() => return Ok(()),
            Ok(path) => path,
            Err(what) if strict => return Err(problem(&path, what)),
            Err(_) => return Ok(()),
        };
        if path.rsplit('/').next().is_some_and(|name| name.starts_with(".wh.")) {
            if strict {
                return Err(problem(&path, EntryProblem::Whiteout));
            }
            self.whiteouts.push(path);
            return Ok(());
        }
        let target = self.text(target, path.as_bytes())?;
        let kind = match kind {
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(target),
            EntryType::Regular | EntryType::Continuous => {
                let Kind::File { size, .. } = file else { return Ok(()) };
                self.bytes = self.bytes.saturating_add(size);
                if self.bytes > self.limits.bytes {
                    return Err(Problem::TooLarge(self.limits.bytes));
                }
                file
            }
            EntryType::Link => {
                self.hard_links.insert(path.clone(), target.trim_start_matches("./").trim_start_matches('/').to_owned());
                file
            }
            _ if !strict => return Ok(()),
            EntryType::Char | EntryType::Block => return Err(problem(&path, EntryProblem::Special("device node"))),
            EntryType::Fifo => return Err(problem(&path, EntryProblem::Special("fifo"))),
            EntryType::GNUSparse => return Err(problem(&path, EntryProblem::Special("sparse file"))),
            _ => return Err(problem(&path, EntryProblem::Special("thing of unknown type"))),
        };
        if self.entries.len() >= self.limits.entries {
            return Err(Problem::TooManyEntries(self.limits.entries));
        }
        match self.entries.insert(path.clone(), kind) {
            Some(_) if strict => Err(problem(&path, EntryProblem::Duplicate)),
            _ => Ok(()),
        }
    }

    fn text(&self, bytes: &[u8], path: &[u8]) -> Result<String, Problem> {
        let wrong = |what| problem(&String::from_utf8_lossy(path), what);
        let text = std::str::from_utf8(bytes).map_err(|_| wrong(EntryProblem::NotUtf8))?;
        if text.len() > self.limits.path {
            return Err(wrong(EntryProblem::LongPath(self.limits.path)));
        }
        if text.chars().any(char::is_control) {
            return Err(wrong(EntryProblem::ControlCharacters));
        }
        Ok(text.to_owned())
    }

    /// The path without `./` and slashes around it, when it is one that the rules allow.
    fn place(&self, path: &str) -> Result<String, EntryProblem> {
        if path.starts_with('/') && matches!(self.rules, Rules::Strict(_)) {
            return Err(EntryProblem::AbsolutePath);
        }
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err(EntryProblem::ParentPath);
        }
        if let (Rules::Strict(roots), Some(first)) = (self.rules, parts.first())
            && !roots.iter().any(|root| root.name == *first)
        {
            return Err(EntryProblem::Elsewhere(roots.iter().map(|root| root.name).collect()));
        }
        Ok(parts.join("/"))
    }
}

impl LongNames {
    fn take(&mut self, kind: EntryType, mut record: Vec<u8>) -> Result<(), Problem> {
        match kind {
            EntryType::GNULongName | EntryType::GNULongLink => {
                while record.last() == Some(&0) {
                    record.pop();
                }
                *(if kind == EntryType::GNULongName { &mut self.path } else { &mut self.target }) = Some(record);
            }
            EntryType::XHeader => {
                for extension in PaxExtensions::new(&record) {
                    let extension = extension.map_err(|error| Problem::Damaged(error.to_string()))?;
                    match extension.key_bytes() {
                        b"path" => self.path = Some(extension.value_bytes().to_vec()),
                        b"linkpath" => self.target = Some(extension.value_bytes().to_vec()),
                        // Sizes that need a record (8 GiB and more) are beyond every limit.
                        b"size" => return Err(Problem::TooLarge(LIMITS.bytes)),
                        key if key.starts_with(b"GNU.sparse.") => return Err(Problem::Damaged("it has sparse files".into())),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn problem(path: &str, what: EntryProblem) -> Problem {
    Problem::Entry { path: path.escape_debug().to_string(), what }
}

/// A tar that was cut between two entries looks complete but for the two empty blocks at its end.
fn check_end_marker(file: &File, end: u64, length: u64) -> Result<(), Problem> {
    let mut marker = END.map(|_| 1);
    match file.read_exact_at(&mut marker, end) {
        Ok(()) if marker == END => Ok(()),
        Ok(()) => Err(Problem::Damaged(format!("the end marker is missing at byte {end}"))),
        Err(_) => Err(Problem::Truncated(length)),
    }
}
