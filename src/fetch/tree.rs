//! Files of an archive or a directory: checked, held on disk, written again as a tar that is the same for the same files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::Path;

use tempfile::{NamedTempFile, TempPath};

use super::unpack::UnpackError;
use crate::reference::Hashing;

/// Modification time of every file: 2000-01-01. Not 0, which some tools take for "unknown".
const MTIME: u64 = 946_684_800;

/// Where an image has its firmware.
pub(super) const FIRMWARE: &str = "firmware";

/// Directories of version control systems; what is in them says nothing about the source.
const IGNORED: [&str; 3] = [".git", ".hg", ".svn"];

/// The most that a source may be: what unpacks to more is taken for a bomb. The kernel itself has 1.5 GiB and 90,000 files.
const LIMITS: Limits = Limits { bytes: 4 << 30, entries: 400_000 };

/// The most that a tree may hold.
#[derive(Clone, Copy, Debug)]
struct Limits {
    bytes: u64,
    entries: usize,
}

/// A file, directory or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Directory,
    /// Bytes in the spool.
    File {
        offset: u64,
        size: u64,
        executable: bool,
    },
    /// A symbolic link and what it points at.
    Link(String),
}

/// Paths and what is there. Paths are relative, `/`-separated and have no `.` and `..`.
pub(super) type Nodes = BTreeMap<String, Node>;

/// A tree of files. Their bytes are in a spool file, so that memory grows with their number only.
pub(super) struct Tree {
    nodes: Nodes,
    spool: Spool,
    limits: Limits,
}

impl Tree {
    /// A tree of files to add to; `spool` is an empty file.
    pub(super) fn new(spool: NamedTempFile) -> Self {
        let (file, path) = spool.into_parts();
        let spool = Spool { file: BufWriter::with_capacity(1 << 16, file), path, end: 0, limit: LIMITS.bytes };
        Self { nodes: Nodes::new(), spool, limits: LIMITS }
    }

    fn insert(&mut self, path: String, node: Node) -> Result<(), UnpackError> {
        self.nodes.insert(path, node);
        if self.nodes.len() > self.limits.entries { Err(UnpackError::TooLarge(format!("{} files", self.limits.entries))) } else { Ok(()) }
    }

    /// Adds everything that a tar archive holds, without the first `strip` directories of each path.
    pub(super) fn add_tar(&mut self, stream: impl Read, strip: usize) -> Result<(), UnpackError> {
        let mut archive = tar::Archive::new(stream);
        for entry in archive.entries().map_err(|error| UnpackError::damaged(&error))? {
            let mut entry = entry.map_err(|error| UnpackError::damaged(&error))?;
            let kind = entry.header().entry_type();
            if kind.is_pax_global_extensions() {
                continue;
            }
            let Some(path) = inner(&entry.path_bytes(), strip)? else { continue };
            let target = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned()).unwrap_or_default();
            let node = match kind {
                tar::EntryType::Directory => Node::Directory,
                tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                    let executable = entry.header().mode().map_err(|error| UnpackError::damaged(&error))? & 0o111 != 0;
                    self.spool.add(&mut entry, executable, UnpackError::damaged)?
                }
                tar::EntryType::Symlink => Node::Link(target),
                tar::EntryType::Link => self.hard_link(&path, &target, strip)?,
                _ => return Err(refused(&path, "is a device, a pipe or a socket")),
            };
            self.insert(path, node)?;
        }
        self.check()
    }

    /// Adds a directory of this machine, without what version control keeps in it.
    pub(super) fn add_directory(&mut self, root: &Path) -> Result<(), UnpackError> {
        let mut pending = vec![(root.to_owned(), String::new())];
        while let Some((directory, prefix)) = pending.pop() {
            for entry in std::fs::read_dir(&directory).map_err(|error| UnpackError::read(&directory, &error))? {
                let entry = entry.map_err(|error| UnpackError::read(&directory, &error))?;
                let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
                    return Err(refused(&entry.path().to_string_lossy(), "has a name that is not UTF-8"));
                };
                if IGNORED.contains(&name.as_str()) {
                    continue;
                }
                let path = format!("{prefix}{name}");
                let node = self.local(&entry.path(), &path)?;
                if node == Node::Directory {
                    pending.push((entry.path(), format!("{path}/")));
                }
                self.insert(path, node)?;
            }
        }
        self.check()
    }

    fn local(&mut self, from: &Path, path: &str) -> Result<Node, UnpackError> {
        use std::os::unix::fs::PermissionsExt as _;
        let unreadable = |error: &io::Error| UnpackError::read(from, error);
        let about = std::fs::symlink_metadata(from).map_err(|error| unreadable(&error))?;
        if about.is_dir() {
            Ok(Node::Directory)
        } else if about.is_symlink() {
            let target = std::fs::read_link(from).map_err(|error| unreadable(&error))?;
            Ok(Node::Link(target.to_string_lossy().into_owned()))
        } else if about.is_file() {
            let mut file = File::open(from).map_err(|error| unreadable(&error))?;
            self.spool.add(&mut file, about.permissions().mode() & 0o111 != 0, unreadable)
        } else {
            Err(refused(path, "is a device, a pipe or a socket"))
        }
    }

    /// A hard link is the file it names, which comes before it in the archive.
    fn hard_link(&self, path: &str, target: &str, strip: usize) -> Result<Node, UnpackError> {
        let file = inner(target.as_bytes(), strip)?.and_then(|target| self.nodes.get(&target));
        match file {
            Some(file @ Node::File { .. }) => Ok(file.clone()),
            _ => Err(refused(path, &format!("is a hard link to `{target}`, which is no file before it in the archive"))),
        }
    }

    /// Adds the directories that no entry names, and makes sure that nothing lies below a file or a link.
    fn check(&mut self) -> Result<(), UnpackError> {
        let mut implied = Vec::new();
        for path in self.nodes.keys() {
            for (at, _) in path.match_indices('/') {
                match self.nodes.get(&path[..at]) {
                    Some(Node::Directory) => {}
                    Some(_) => return Err(refused(path, &format!("lies below `{}`, which is no directory", &path[..at]))),
                    None => implied.push(path[..at].to_owned()),
                }
            }
        }
        self.nodes.extend(implied.into_iter().map(|path| (path, Node::Directory)));
        Ok(())
    }

    /// What lies below a directory (`.`: everything), by its path from there.
    pub(super) fn below(&self, directory: &str) -> Result<Nodes, UnpackError> {
        let prefix = if directory == "." { String::new() } else { format!("{directory}/") };
        if self.nodes.is_empty() || !prefix.is_empty() && self.nodes.get(directory) != Some(&Node::Directory) {
            return Err(self.missing(directory));
        }
        let inside = self.nodes.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        inside.map(|(path, node)| Ok((path[prefix.len()..].to_owned(), self.settle(path, node, &prefix)?))).collect()
    }

    /// A file, or everything below a directory, by its path from there; a file's path is empty.
    pub(super) fn at(&self, path: &str) -> Result<Nodes, UnpackError> {
        match self.follow(path) {
            Some(file @ Node::File { .. }) => Ok(Nodes::from([(String::new(), file.clone())])),
            _ => self.below(path),
        }
    }

    /// Copies a file, or everything below a directory, of another tree to `to`.
    pub(super) fn adopt(&mut self, other: &mut Self, from: &str, to: &str) -> Result<(), UnpackError> {
        let nodes = other.at(from)?;
        other.spool.flush()?;
        for (path, node) in nodes {
            let path = match (path.as_str(), from.rsplit('/').next()) {
                ("", Some(name)) if to == FIRMWARE => format!("{to}/{name}"),
                ("", _) => to.to_owned(),
                _ => format!("{to}/{path}"),
            };
            let node = match node {
                Node::File { offset, size, executable } => {
                    let spool = other.spool.path.to_path_buf();
                    let mut bytes = other.spool.read(offset, size).map_err(|error| UnpackError::read(&spool, &error))?;
                    self.spool.add(&mut bytes, executable, |error| UnpackError::read(&spool, error))?
                }
                node => node,
            };
            if self.nodes.get(&path).is_some_and(|before| *before != Node::Directory || node != Node::Directory) {
                return Err(UnpackError::Conflict(path));
            }
            self.nodes.insert(path, node);
        }
        self.check()
    }

    /// The licence file of a Debian package (Debian Policy 12.5).
    pub(super) fn copyright(&self) -> Option<Node> {
        let is_copyright =
            |path: &str| path.strip_prefix("usr/share/doc/").is_some_and(|rest| rest.split_once('/').is_some_and(|(_, file)| file == "copyright"));
        let path = self.nodes.keys().find(|path| is_copyright(path))?;
        self.follow(path).filter(|node| matches!(node, Node::File { .. })).cloned()
    }

    /// A link that stays below `prefix` is kept; for one that leaves it there is the file that it points at.
    fn settle(&self, path: &str, node: &Node, prefix: &str) -> Result<Node, UnpackError> {
        let Node::Link(target) = node else { return Ok(node.clone()) };
        let Some(pointed) = point(path, target) else {
            return Err(refused(path, &format!("is a link to `{target}`, outside of the source")));
        };
        if format!("{pointed}/").starts_with(prefix) {
            return Ok(node.clone());
        }
        match self.follow(&pointed) {
            Some(file @ Node::File { .. }) => Ok(file.clone()),
            _ => Err(refused(path, &format!("is a link to `{target}`, outside of the source"))),
        }
    }

    /// What is at a path when links are followed.
    fn follow(&self, path: &str) -> Option<&Node> {
        let mut path = path.to_owned();
        for _ in 0..16 {
            match self.nodes.get(&path)? {
                Node::Link(target) => path = point(&path, target)?,
                node => return Some(node),
            }
        }
        None
    }

    fn missing(&self, path: &str) -> UnpackError {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let beside = |prefix: &str| -> Vec<String> {
            let names = self.nodes.keys().filter_map(|path| path.strip_prefix(prefix)).filter(|rest| !rest.contains('/'));
            names.take(8).map(|name| format!("{prefix}{name}")).collect()
        };
        let near = if parent.is_empty() { Vec::new() } else { beside(&format!("{parent}/")) };
        UnpackError::Missing { path: path.to_owned(), holds: if near.is_empty() { beside("") } else { near } }
    }

    /// Writes nodes of this tree as a tar archive; gives its SHA-256.
    ///
    /// Sorted, owned by 0:0, dated 2000-01-01, modes 0755 and 0644: the bytes depend on names, contents and executable bits only.
    pub(super) fn write_tar(&mut self, nodes: &Nodes, to: &mut File, path: &Path) -> Result<String, UnpackError> {
        self.spool.flush()?;
        let mut builder = tar::Builder::new(Hashing::new(BufWriter::with_capacity(1 << 16, to)));
        for (name, node) in nodes {
            append(&mut builder, name, node, &mut self.spool).map_err(|error| UnpackError::write(path, &error))?;
        }
        let mut hashing = builder.into_inner().map_err(|error| UnpackError::write(path, &error))?;
        hashing.flush().map_err(|error| UnpackError::write(path, &error))?;
        Ok(hashing.digest().hex().to_owned())
    }
}

fn append<W: Write>(builder: &mut tar::Builder<W>, name: &str, node: &Node, spool: &mut Spool) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_mtime(MTIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    match node {
        Node::Directory => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            builder.append_data(&mut header, format!("{name}/"), io::empty())
        }
        Node::File { offset, size, executable } => {
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(if *executable { 0o755 } else { 0o644 });
            header.set_size(*size);
            builder.append_data(&mut header, name, spool.read(*offset, *size)?)
        }
        Node::Link(target) => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            builder.append_link(&mut header, name, target)
        }
    }
}

fn refused(entry: &str, reason: &str) -> UnpackError {
    UnpackError::Unsafe { entry: entry.to_owned(), reason: reason.to_owned() }
}

/// An archive's path as a relative one without `.`, and without its first `strip` parts; none when nothing is left.
fn inner(path: &[u8], strip: usize) -> Result<Option<String>, UnpackError> {
    let shown = String::from_utf8_lossy(path);
    let text = std::str::from_utf8(path).map_err(|_| refused(&shown, "has a name that is not UTF-8"))?;
    if text.starts_with('/') {
        return Err(refused(text, "is an absolute path"));
    }
    let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(refused(text, "leads out of the archive"));
    }
    Ok((parts.len() > strip).then(|| parts[strip..].join("/")))
}

/// Where a link at `path` points, if that is inside. `..` may only come first: after a name, it would depend on what
/// that name is.
fn point(path: &str, target: &str) -> Option<String> {
    if target.is_empty() || target.starts_with('/') {
        return None;
    }
    let mut parts: Vec<_> = path.split('/').collect();
    parts.pop();
    let mut down = false;
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part != ".." {
            parts.push(part);
            down = true;
        } else if down || parts.pop().is_none() {
            return None;
        }
    }
    Some(parts.join("/"))
}

/// Contents of files, one after the other. The file goes away with it.
struct Spool {
    file: BufWriter<File>,
    path: TempPath,
    end: u64,
    /// The most bytes that it takes.
    limit: u64,
}

impl Spool {
    /// Adds all that `from` holds. `unreadable` says what it means when that cannot be read.
    fn add(&mut self, from: &mut impl Read, executable: bool, unreadable: impl Fn(&io::Error) -> UnpackError) -> Result<Node, UnpackError> {
        let offset = self.end;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return Ok(Node::File { offset, size: self.end - offset, executable }),
                Ok(count) => {
                    self.file.write_all(&buffer[..count]).map_err(|error| UnpackError::write(&self.path, &error))?;
                    self.end += count as u64;
                    if self.end > self.limit {
                        return Err(UnpackError::TooLarge(format!("{} MiB", self.limit >> 20)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
    }

    fn flush(&mut self) -> Result<(), UnpackError> {
        self.file.flush().map_err(|error| UnpackError::write(&self.path, &error))
    }

    fn read(&mut self, offset: u64, size: u64) -> io::Result<impl Read + '_> {
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(offset))?;
        Ok(file.take(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(bytes: u64, entries: usize) -> Tree {
        let mut tree = Tree::new(NamedTempFile::new().unwrap());
        tree.limits.entries = entries;
        tree.spool.limit = bytes;
        tree
    }

    fn archive(files: &[(&str, usize)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, size) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(*size as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, io::repeat(0).take(*size as u64)).unwrap();
        }
        builder.into_inner().unwrap()
    }

    #[test]
    fn what_unpacks_to_too_much_is_refused_before_it_is_unpacked() {
        let two = archive(&[("a", 3 << 20), ("b", 3 << 20)]);
        assert_eq!(tree(4 << 20, 10).add_tar(&two[..], 0), Err(UnpackError::TooLarge("4 MiB".into())));
        assert_eq!(tree(8 << 20, 1).add_tar(&two[..], 0), Err(UnpackError::TooLarge("1 files".into())));
        assert_eq!(tree(8 << 20, 2).add_tar(&two[..], 0), Ok(()));
    }
}
