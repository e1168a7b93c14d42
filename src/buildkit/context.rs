//! The build context: a tree of files that is the same for everybody, whoever sends it.
//!
//! Every file is root's, has mode 0644 and one fixed time, so that equal contents are equal steps in the builder's cache.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bollard_buildkit_proto::pb;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::builder::{Content, ContextFile, SolveError};

/// Modification time of everything, in nanoseconds since 1970: 2020-01-01. Some tools take 0 for "unknown".
pub(super) const TIME: i64 = 1_577_836_800_000_000_000;

impl File {
    /// SHA-256 of its bytes, as hexadecimal digits.
    fn digest(&self) -> String {
        match &self.content {
            Content::Bytes(bytes) => hex(&Sha256::digest(bytes)),
            Content::File { sha256, .. } => sha256.clone(),
        }
    }

    /// When it was modified, in nanoseconds since 1970: for every content another time, within some minutes of [`TIME`]. A builder that has an
    /// older context under the same name takes files of equal size and time for equal.
    pub(super) fn time(&self) -> i64 {
        let digest = self.digest();
        TIME + i64::from_str_radix(digest.get(..10).unwrap_or_default(), 16).unwrap_or_default()
    }
}

/// A context, checked and in the order in which `BuildKit` wants it.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    entries: Vec<Entry>,
}

/// A directory or a file.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Relative, `/`-separated.
    pub(super) path: String,
    /// `None` for a directory.
    pub(super) file: Option<File>,
}

/// A file of the tree.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// In bytes.
    pub(super) size: u64,
    pub(super) content: Content,
}

impl Tree {
    /// Checks the paths, adds the directories, sorts, and looks up the sizes.
    pub(super) async fn new(files: &[ContextFile]) -> Result<Self, SolveError> {
        let mut directories = BTreeSet::new();
        let mut found = BTreeMap::new();
        for file in files {
            let key = components(&file.path).ok_or_else(|| refuse(&file.path, "is not relative and clean"))?;
            directories.extend((1..key.len()).map(|depth| key[..depth].to_vec()));
            if found.insert(key, File { size: size_of(&file.content).await?, content: file.content.clone() }).is_some() {
                return Err(refuse(&file.path, "is there twice"));
            }
        }
        if let Some(both) = directories.iter().find(|directory| found.contains_key(*directory)) {
            return Err(refuse(&both.join("/"), "is both a file and a directory"));
        }
        // Compared by component, which is the order that `BuildKit` insists on: `a`, `a/b`, `a.txt`.
        let mut all: BTreeMap<Vec<String>, Option<File>> = directories.into_iter().map(|directory| (directory, None)).collect();
        all.extend(found.into_iter().map(|(path, file)| (path, Some(file))));
        Ok(Self { entries: all.into_iter().map(|(path, file)| Entry { path: path.join("/"), file }).collect() })
    }

    /// Parents before children, siblings bytewise.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of all files.
    pub(super) fn size(&self) -> u64 {
        self.entries.iter().filter_map(|entry| entry.file.as_ref()).map(|file| file.size).sum()
    }

    /// A name under which the builder may keep what it has received: that of the largest file, so that contexts which have it in common send it
    /// once. The rest is what differs then, and is sent each time; [`File::time`] tells it apart.
    pub(super) fn key(&self) -> String {
        let largest = self.entries.iter().filter_map(|entry| Some((entry.file.as_ref()?, &entry.path))).max_by_key(|(file, path)| (file.size, *path));
        largest.map_or_else(|| "empty".to_owned(), |(file, path)| hex(&Sha256::digest(format!("{path}\0{}", file.digest()))))
    }

    /// The tree as a build step, to travel inside the request. `title` is what progress displays call it.
    pub(super) async fn definition(&self, title: &str) -> Result<pb::Definition, SolveError> {
        let mut actions = vec![directory("/")];
        for Entry { path, file } in &self.entries {
            let path = format!("/{path}");
            actions.push(match file {
                None => directory(&path),
                Some(file) => make_file(path, read(&file.content).await?),
            });
        }
        Ok(define(actions, title))
    }
}

/// A definition with one file.
pub(super) fn single_file(name: &str, data: &[u8], title: &str) -> pb::Definition {
    define(vec![make_file(format!("/{name}"), data.to_vec())], title)
}

fn components(path: &str) -> Option<Vec<String>> {
    let parts: Vec<String> = path.split('/').map(str::to_owned).collect();
    let clean = |part: &String| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    parts.iter().all(clean).then_some(parts)
}

fn refuse(path: &str, why: &str) -> SolveError {
    SolveError::Refused { message: format!("the path `{path}` in the build context {why}"), help: None }
}

async fn size_of(content: &Content) -> Result<u64, SolveError> {
    match content {
        Content::Bytes(bytes) => Ok(bytes.len() as u64),
        Content::File { path, .. } => Ok(tokio::fs::metadata(path).await.map_err(|error| local(path, &error))?.len()),
    }
}

async fn read(content: &Content) -> Result<Vec<u8>, SolveError> {
    match content {
        Content::Bytes(bytes) => Ok(bytes.to_vec()),
        Content::File { path, sha256 } => {
            let data = tokio::fs::read(path).await.map_err(|error| local(path, &error))?;
            if hex(&Sha256::digest(&data)) == *sha256 { Ok(data) } else { Err(changed(path)) }
        }
    }
}

/// The error for a file that cannot be read or written here.
pub(super) fn local(path: &Path, error: &std::io::Error) -> SolveError {
    SolveError::Local { path: path.to_owned(), message: error.to_string() }
}

/// The error for a file that is not what its digest says.
pub(super) fn changed(path: &Path) -> SolveError {
    SolveError::Local { path: path.to_owned(), message: "the file changed since its digest was computed".to_owned() }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |text, byte| text + &format!("{byte:02x}"))
}

/// Making a directory that exists is no error, so `/` serves as the step of an empty context, which must not be empty itself.
fn directory(path: &str) -> pb::file_action::Action {
    pb::file_action::Action::Mkdir(pb::FileActionMkDir { path: path.to_owned(), mode: 0o755, timestamp: TIME, ..Default::default() })
}

fn make_file(path: String, data: Vec<u8>) -> pb::file_action::Action {
    pb::file_action::Action::Mkfile(pb::FileActionMkFile { path, mode: 0o644, data, timestamp: TIME, ..Default::default() })
}

/// Two operations: a file operation on an empty root, and the marker of the result.
fn define(actions: Vec<pb::file_action::Action>, title: &str) -> pb::Definition {
    let last = actions.len() - 1;
    let chained = actions.into_iter().enumerate().map(|(position, action)| pb::FileAction {
        input: i64::try_from(position).unwrap_or(i64::MAX) - 1,
        secondary_input: -1,
        output: if position == last { 0 } else { -1 },
        action: Some(action),
    });
    let files = pb::Op { op: Some(pb::op::Op::File(pb::FileOp { actions: chained.collect() })), ..Default::default() }.encode_to_vec();
    let digest = format!("sha256:{}", hex(&Sha256::digest(&files)));
    let result = pb::Op { inputs: vec![pb::Input { digest: digest.clone(), index: 0 }], ..Default::default() }.encode_to_vec();
    // Without metadata for the first operation the daemon does not find it.
    let metadata = pb::OpMetadata { description: BTreeMap::from([("llb.customname".to_owned(), title.to_owned())]), ..Default::default() };
    pb::Definition { def: vec![files, result], metadata: BTreeMap::from([(digest, metadata)]), source: None }
}

/// The tree, shared with the session that serves it.
pub(super) type SharedTree = Arc<Tree>;

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Vec<ContextFile> {
        paths.iter().map(|path| ContextFile { path: (*path).to_owned(), content: Content::Bytes(path.as_bytes().into()) }).collect()
    }

    async fn paths(given: &[&str]) -> Vec<String> {
        Tree::new(&files(given)).await.unwrap().entries.into_iter().map(|entry| entry.path).collect()
    }

    #[tokio::test]
    async fn sorts_by_component_and_adds_directories() {
        assert_eq!(paths(&["a0", "a.txt", "a/b", "b/c/d"]).await, ["a", "a/b", "a.txt", "a0", "b", "b/c", "b/c/d"]);
    }

    #[tokio::test]
    async fn refuses_paths_that_leave_the_context() {
        for path in ["/etc/passwd", "../x", "a/../b", "a//b", "./a", "", "a/"] {
            let error = Tree::new(&files(&[path])).await.unwrap_err();
            assert_eq!(error.to_string(), format!("the path `{path}` in the build context is not relative and clean"));
        }
        let twice = Tree::new(&files(&["a", "a"])).await.unwrap_err();
        assert_eq!(twice.to_string(), "the path `a` in the build context is there twice");
        let both = Tree::new(&files(&["a", "a/b"])).await.unwrap_err();
        assert_eq!(both.to_string(), "the path `a` in the build context is both a file and a directory");
    }

    #[tokio::test]
    async fn gives_equal_content_equal_names_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        std::fs::write(&path, "x").unwrap();
        let on_disk = Content::File { path, sha256: hex(&Sha256::digest("x")) };
        let in_memory = Content::Bytes(b"x".as_slice().into());
        let tree = async |content| Tree::new(&[ContextFile { path: "x".to_owned(), content }]).await.unwrap();
        let (a, b) = (tree(on_disk).await, tree(in_memory).await);
        assert_eq!(a.key(), b.key());
        assert_eq!(a.definition("t").await.unwrap(), b.definition("t").await.unwrap());
        assert_ne!(a.key(), Tree::new(&files(&["y"])).await.unwrap().key());
    }

    #[tokio::test]
    async fn contexts_that_share_their_largest_file_share_a_name_and_nothing_is_mixed_up() {
        let tree = async |small: &str, large: &str| {
            let file = |path: &str, text: &str| ContextFile { path: path.to_owned(), content: Content::Bytes(text.as_bytes().into()) };
            Tree::new(&[file("small", small), file("large", large)]).await.unwrap()
        };
        let (a, b) = (tree("a", "large").await, tree("b", "large").await);
        assert_eq!(a.key(), b.key());
        assert_ne!(a.key(), tree("a", "other").await.key());
        let times = |tree: &Tree| tree.entries().iter().map(|entry| entry.file.as_ref().unwrap().time()).collect::<Vec<_>>();
        assert_eq!(times(&a)[0], times(&b)[0], "large");
        assert_ne!(times(&a)[1], times(&b)[1], "small");
    }

    #[tokio::test]
    async fn never_makes_an_empty_definition() {
        let definition = Tree::new(&[]).await.unwrap().definition("empty").await.unwrap();
        assert_eq!(definition.def.len(), 2, "an empty one kills dockerd 20.10");
        assert_eq!(definition.metadata.len(), 1);
    }

    #[tokio::test]
    async fn notices_files_that_are_gone_or_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let file = ContextFile { path: "data".to_owned(), content: Content::File { path: path.clone(), sha256: "00".repeat(32) } };
        let gone = Tree::new(std::slice::from_ref(&file)).await.unwrap_err();
        assert_eq!(gone.to_string(), format!("{}: No such file or directory (os error 2)", path.display()));
        std::fs::write(&path, "x").unwrap();
        let changed = Tree::new(&[file]).await.unwrap().definition("t").await.unwrap_err();
        assert_eq!(changed.to_string(), format!("{}: the file changed since its digest was computed", path.display()));
    }
}
