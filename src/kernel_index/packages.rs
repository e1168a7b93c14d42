//! A repository's `Packages` file, read as a stream; what an entry becomes is the same for the indexes of all families.

use std::io::{self, BufRead, BufReader, Read};

use serde::{Deserialize, Serialize};

/// Entries are a few kilobytes; the largest in Debian, with a long list of virtual packages, has less than 100.
const LARGEST_ENTRY: usize = 1 << 20;

/// The parts of a package's entry that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stanza {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) arch: String,
    /// `Pre-Depends` and `Depends`; what other families have instead, in the same form.
    pub(super) depends: String,
    /// Other versions under which it says that it is there (RPM).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) provides: Vec<String>,
    /// `Multi-Arch: foreign`: fulfils dependencies of packages of any architecture.
    pub(super) foreign: bool,
    /// Path below the repository.
    pub(super) filename: String,
    pub(super) size: u64,
    pub(super) sha256: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) homepage: String,
    /// The first line of the description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) summary: String,
}

/// Reads the entries whose names are wanted. What else is in the file costs no memory.
pub(super) fn scan(stream: impl Read, wants: impl Fn(&str) -> bool) -> io::Result<Vec<Stanza>> {
    let mut reader = BufReader::with_capacity(1 << 18, stream);
    let mut found = Vec::new();
    let mut entry = Vec::with_capacity(1 << 13);
    loop {
        let start = entry.len();
        // A line that is too long is not even read to its end.
        let count = reader.by_ref().take(LARGEST_ENTRY as u64 + 1).read_until(b'\n', &mut entry)?;
        if entry.len() > LARGEST_ENTRY {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("an entry has more than {} KiB", LARGEST_ENTRY >> 10)));
        }
        if count > 0 && !entry[start..].trim_ascii().is_empty() {
            continue;
        }
        if name_of(&entry).is_some_and(&wants) {
            found.extend(parse(&entry));
        }
        if count == 0 {
            return Ok(found);
        }
        entry.clear();
    }
}

/// The package's name; the field comes first in every known index, but may be anywhere.
fn name_of(entry: &[u8]) -> Option<&str> {
    let line = if entry.starts_with(b"Package:") { Some(entry) } else { entry.split(|b| *b == b'\n').find(|line| line.starts_with(b"Package:")) }?;
    let line = line.split(|b| *b == b'\n').next()?;
    std::str::from_utf8(line[8..].trim_ascii()).ok()
}

/// An entry; none when a field is missing without which it cannot be fetched.
fn parse(entry: &[u8]) -> Option<Stanza> {
    let text = String::from_utf8_lossy(entry);
    let mut stanza = Stanza::default();
    let mut before = String::new();
    for line in text.lines().filter(|line| !line.starts_with([' ', '\t'])) {
        let Some((field, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match field {
            "Package" => value.clone_into(&mut stanza.name),
            "Version" => value.clone_into(&mut stanza.version),
            "Architecture" => value.clone_into(&mut stanza.arch),
            "Depends" => value.clone_into(&mut stanza.depends),
            "Pre-Depends" => before = format!("{value}, "),
            "Multi-Arch" => stanza.foreign = value == "foreign",
            "Filename" => value.trim_start_matches("./").clone_into(&mut stanza.filename),
            "Size" => stanza.size = value.parse().ok()?,
            "SHA256" => value.clone_into(&mut stanza.sha256),
            "Homepage" => value.clone_into(&mut stanza.homepage),
            "Description" => value.clone_into(&mut stanza.summary),
            _ => {}
        }
    }
    stanza.depends.insert_str(0, &before);
    let complete = [&stanza.name, &stanza.version, &stanza.arch, &stanza.filename, &stanza.sha256].into_iter().all(|field| !field.is_empty());
    complete.then_some(stanza)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: &str = "Package: a\nVersion: 1\nArchitecture: all\nDescription: one\n Package: not-this\nFilename: pool/a.deb\nSize: 3\nSHA256: aa\n\n\
        Version: 2\nPackage: b\nArchitecture: amd64\nPre-Depends: p\nDepends: d (>= 1), e\nMulti-Arch: foreign\nFilename: ./pool/b.deb\nSize: 4\nSHA256: bb\n\n\n\
        Package: broken\nVersion: 1\n";

    #[test]
    fn an_entry_without_an_end_is_not_read_into_memory() {
        let endless = io::repeat(b'x');
        assert_eq!(scan(endless, |_| true).unwrap_err().to_string(), "an entry has more than 1024 KiB");
        let lines = "Tag: a\n".repeat(LARGEST_ENTRY / 7 + 1);
        assert!(scan(lines.as_bytes(), |_| true).is_err());
        assert!(scan(format!("{}\n{INDEX}", &lines[..1000]).as_bytes(), |_| true).is_ok());
    }

    #[test]
    fn reads_wanted_entries_whatever_the_order_of_fields() {
        let found = scan(INDEX.as_bytes(), |_| true).unwrap();
        assert_eq!(found.iter().map(|stanza| stanza.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((found[1].depends.as_str(), found[1].foreign, found[1].filename.as_str(), found[1].size), ("p, d (>= 1), e", true, "pool/b.deb", 4));
        assert_eq!(scan(INDEX.as_bytes(), |name| name == "b").unwrap().len(), 1);
        assert_eq!(scan("".as_bytes(), |_| true).unwrap(), []);
    }
}
