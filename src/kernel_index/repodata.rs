//! The metadata of an RPM repository, read as a stream: `repomd.xml`, and `primary.xml` which it names
//! (<https://github.com/rpm-software-management/createrepo_c>; there is no other specification).

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::packages::Stanza;

/// The largest piece between two tags that is taken, in bytes. Descriptions have a few kilobytes, change logs are elsewhere.
const LARGEST_PIECE: u64 = 1 << 20;
/// The largest uncompressed `primary.xml` that is taken, in bytes. Fedora's has 0.2 GB.
const LARGEST_INDEX: u64 = 4 << 30;

/// Where the list of packages is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Primary {
    /// Path below the repository.
    pub(super) path: String,
    /// SHA-256 of the file as it is there.
    pub(super) sha256: String,
}

/// Finds `primary.xml` in `repomd.xml`.
pub(super) fn primary(repomd: &[u8]) -> Result<Primary, String> {
    let mut document = Document::new(repomd);
    let (mut kind, mut path, mut sha256) = (String::new(), None, None);
    let mut seen = false;
    while let Some(event) = document.next()? {
        match event {
            Node::Start(name, tag) => match name.as_str() {
                "repomd" => seen = true,
                "data" => (kind, path, sha256) = (attribute(&tag, "type").unwrap_or_default(), None, None),
                "location" => path = attribute(&tag, "href"),
                "checksum" if attribute(&tag, "type").as_deref() == Some("sha256") => sha256 = Some(document.text()?),
                _ => {}
            },
            Node::End(name) if name == "data" && kind == "primary" => {
                let path = path.ok_or("its `primary` has no place")?;
                let sha256 = sha256.ok_or("its `primary` has no SHA-256")?;
                return Ok(Primary { path, sha256 });
            }
            Node::End(_) => {}
        }
    }
    Err(if seen { "it has no `primary`" } else { "it is no `repomd.xml`" }.to_owned())
}

/// Reads the packages whose names are wanted; of their requirements, those that are wanted. What else is in the file costs no memory.
///
/// Packages without a SHA-256, which could not be pinned, are left out.
pub(super) fn scan(stream: impl Read, wants: impl Fn(&str) -> bool) -> Result<Vec<Stanza>, String> {
    let mut document = Document::new(BufReader::with_capacity(1 << 18, stream.take(LARGEST_INDEX)));
    let mut found = Vec::new();
    let mut package = Stanza::default();
    let (mut seen, mut wanted, mut list) = (false, false, List::Other);
    while let Some(event) = document.next()? {
        match event {
            Node::Start(name, tag) => match name.as_str() {
                "metadata" => seen = true,
                "package" => (package, wanted) = (Stanza::default(), true),
                "name" if wanted => {
                    package.name = document.text()?;
                    wanted = wants(&package.name);
                }
                _ if !wanted => {}
                "arch" => package.arch = document.text()?,
                "version" => package.version = version(&tag, "epoch", "rel").unwrap_or_default(),
                "checksum" if attribute(&tag, "type").as_deref() == Some("sha256") => package.sha256 = document.text()?,
                "size" => package.size = attribute(&tag, "package").and_then(|size| size.parse().ok()).unwrap_or_default(),
                "location" => package.filename = attribute(&tag, "href").unwrap_or_default(),
                "requires" => list = List::Requires,
                "provides" => list = List::Provides,
                "entry" if list == List::Requires => require(&mut package.depends, &tag, &wants),
                "entry" if list == List::Provides && attribute(&tag, "name").as_deref() == Some(&package.name) => {
                    package.provides.extend(version(&tag, "epoch", "rel").filter(|version| *version != package.version));
                }
                _ => {}
            },
            Node::End(name) => match name.as_str() {
                "requires" | "provides" => list = List::Other,
                "package" if wanted => {
                    wanted = false;
                    if [&package.name, &package.version, &package.arch, &package.filename, &package.sha256].iter().all(|field| !field.is_empty()) {
                        found.push(std::mem::take(&mut package));
                    }
                }
                _ => {}
            },
        }
    }
    if seen { Ok(found) } else { Err("it is no list of packages".to_owned()) }
}

/// Which of a package's lists is being read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Requires,
    Provides,
    Other,
}

/// `epoch:version-release`, as a package or a requirement has it.
fn version(tag: &BytesStart<'_>, epoch: &str, release: &str) -> Option<String> {
    let version = attribute(tag, "ver")?;
    let epoch = attribute(tag, epoch).filter(|epoch| epoch != "0").map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let release = attribute(tag, release).map(|release| format!("-{release}")).unwrap_or_default();
    Some(format!("{epoch}{version}{release}"))
}

/// Adds a requirement in the form of Debian's `Depends`, which one resolver reads for all families.
fn require(depends: &mut String, tag: &BytesStart<'_>, wants: impl Fn(&str) -> bool) {
    let Some(name) = attribute(tag, "name").filter(|name| wants(name)) else { return };
    let relation = attribute(tag, "flags").and_then(|flags| match flags.as_str() {
        "EQ" => Some("="),
        "GE" => Some(">="),
        "LE" => Some("<="),
        "GT" => Some(">>"),
        "LT" => Some("<<"),
        _ => None,
    });
    let bound = relation.zip(version(tag, "epoch", "rel")).map(|(relation, version)| format!(" ({relation} {version})")).unwrap_or_default();
    if !depends.is_empty() {
        depends.push_str(", ");
    }
    depends.push_str(&name);
    depends.push_str(&bound);
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok()??;
    Some(attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).ok()?.into_owned())
}

/// A beginning or an end, by its name without a prefix.
enum Node {
    Start(String, BytesStart<'static>),
    End(String),
}

/// Tags and texts of an XML file, none of them larger than [`LARGEST_PIECE`].
struct Document<R> {
    reader: Reader<Limited<R>>,
    piece: Rc<Cell<u64>>,
    buffer: Vec<u8>,
}

impl<R: BufRead> Document<R> {
    fn new(stream: R) -> Self {
        let piece = Rc::new(Cell::new(0));
        let mut reader = Reader::from_reader(Limited { stream, piece: piece.clone() });
        reader.config_mut().expand_empty_elements = true;
        Self { reader, piece, buffer: Vec::new() }
    }

    fn event(&mut self) -> Result<Event<'static>, String> {
        self.piece.set(0);
        self.buffer.clear();
        self.reader.read_event_into(&mut self.buffer).map(Event::into_owned).map_err(|error| error.to_string())
    }

    /// The next tag; none at the end.
    fn next(&mut self) -> Result<Option<Node>, String> {
        loop {
            match self.event()? {
                Event::Start(tag) => return Ok(Some(Node::Start(tag.local_name().as_ref().to_owned(), tag))),
                Event::End(tag) => return Ok(Some(Node::End(tag.local_name().as_ref().to_owned()))),
                Event::Eof => return Ok(None),
                _ => {}
            }
        }
    }

    /// The text in the tag that has just begun.
    fn text(&mut self) -> Result<String, String> {
        let mut text = String::new();
        loop {
            match self.event()? {
                Event::Text(part) => text.push_str(&part),
                Event::End(_) | Event::Eof => return Ok(text.trim().to_owned()),
                _ => {}
            }
        }
    }
}

/// Gives up when more than [`LARGEST_PIECE`] is read before the counter is set back.
struct Limited<R> {
    stream: R,
    piece: Rc<Cell<u64>>,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }
}

impl<R: BufRead> BufRead for Limited<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.get() > LARGEST_PIECE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a piece of it has more than {} KiB", LARGEST_PIECE >> 10)));
        }
        self.stream.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.piece.set(self.piece.get() + count as u64);
        self.stream.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPOMD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>1</revision>
  <data type="filelists"><checksum type="sha256">ff</checksum><location href="repodata/f.xml.gz"/></data>
  <data type="primary">
    <checksum type="sha256">aa</checksum>
    <open-checksum type="sha256">bb</open-checksum>
    <location href="repodata/aa-primary.xml.zst"/>
  </data>
</repomd>"#;

    pub(in crate::kernel_index) const PRIMARY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="3">
<package type="rpm"><name>kernel-devel</name><arch>x86_64</arch><version epoch="0" ver="5.14.0" rel="503.11.1.el9_5"/>
  <checksum type="sha256" pkgid="YES">11</checksum><summary>a &lt;b&gt;</summary><size package="22" installed="1" archive="1"/>
  <location href="Packages/kernel-devel.rpm"/>
  <format><rpm:provides><rpm:entry name="gcc"/><rpm:entry name="kernel-devel" flags="EQ" epoch="0" ver="5.14.0" rel="503.11.1"/></rpm:provides>
  <rpm:requires><rpm:entry name="gcc"/><rpm:entry name="kernel-headers" flags="GE" epoch="0" ver="5" rel="1"/><rpm:entry name="/bin/sh"/></rpm:requires>
  </format></package>
<package type="rpm"><name>other</name><arch>noarch</arch></package>
<package type="rpm"><name>gcc</name><arch>x86_64</arch><version epoch="1" ver="11" rel="2"/><checksum type="sha" pkgid="YES">1</checksum><location href="g"/></package>
</metadata>"#;

    #[test]
    fn finds_the_list_of_packages() {
        assert_eq!(primary(REPOMD.as_bytes()).unwrap(), Primary { path: "repodata/aa-primary.xml.zst".into(), sha256: "aa".into() });
        assert_eq!(primary(b"<html><body>login</body></html>").unwrap_err(), "it is no `repomd.xml`");
        assert_eq!(primary(b"<repomd></repomd>").unwrap_err(), "it has no `primary`");
        assert_eq!(primary(REPOMD.replace("\"sha256\">aa", "\"sha\">aa").as_bytes()).unwrap_err(), "its `primary` has no SHA-256");
        assert!(primary(&REPOMD.as_bytes()[..REPOMD.find("<location href=\"repodata/aa").unwrap()]).is_err());
    }

    #[test]
    fn reads_wanted_packages_and_what_they_require() {
        let found = scan(PRIMARY.as_bytes(), |name| name.starts_with("kernel-") || name == "gcc").unwrap();
        let [package] = &found[..] else { panic!("one cannot be pinned, one is not wanted: {found:?}") };
        assert_eq!((package.name.as_str(), package.version.as_str(), package.arch.as_str()), ("kernel-devel", "5.14.0-503.11.1.el9_5", "x86_64"));
        assert_eq!(package.depends, "gcc, kernel-headers (>= 5-1)");
        assert_eq!(package.provides, ["5.14.0-503.11.1"], "SUSE's sources are asked for without the number of their rebuild");
        assert_eq!((package.filename.as_str(), package.size, package.sha256.as_str()), ("Packages/kernel-devel.rpm", 22, "11"));
        assert_eq!(scan("<html/>".as_bytes(), |_| true).unwrap_err(), "it is no list of packages");
    }

    #[test]
    fn a_piece_without_an_end_is_not_read_into_memory() {
        let endless = PRIMARY.as_bytes()[..200].chain(io::repeat(b'x'));
        let error = scan(endless, |_| true).unwrap_err();
        assert!(error.ends_with("a piece of it has more than 1024 KiB"), "{error}");
        let in_a_tag = PRIMARY.as_bytes()[..PRIMARY.find("<summary>").unwrap()].chain("<summary ".as_bytes()).chain(io::repeat(b'x'));
        assert!(scan(in_a_tag, |_| true).is_err());
    }
}
