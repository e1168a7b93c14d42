//! The files of an image, read without kmodforge's own code.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use serde_json::Value;
use tar::{Archive, EntryType};

/// What an image says about one path; times are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    kind: &'static str,
    mode: u32,
    owner: (u64, u64),
    size: u64,
    /// Hash of a file's content, or what a link points to.
    pub(crate) content: String,
}

pub(crate) type Tree = BTreeMap<String, Facts>;

fn plain(bytes: Vec<u8>) -> Vec<u8> {
    let mut plain = Vec::new();
    match bytes[..4] {
        [0x28, 0xb5, 0x2f, 0xfd] => plain = zstd::decode_all(&bytes[..]).unwrap(),
        [0x1f, 0x8b, ..] => drop(flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut plain).unwrap()),
        _ => plain = bytes,
    }
    plain
}

/// Layers of an OCI layout's only image, as tar files.
pub(crate) fn layers(layout: &Path) -> Vec<Vec<u8>> {
    let blob = |digest: &Value| fs::read(layout.join("blobs/sha256").join(digest.as_str().unwrap().trim_start_matches("sha256:"))).unwrap();
    let mut manifest: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    while let Some(list) = manifest["manifests"].as_array() {
        assert_eq!(list.len(), 1, "{manifest}");
        manifest = serde_json::from_slice(&blob(&list[0]["digest"])).unwrap();
    }
    manifest["layers"].as_array().unwrap().iter().map(|layer| plain(blob(&layer["digest"]))).collect()
}

/// Layers of what `docker save` writes, as tar files.
pub(crate) fn saved_layers(archive: &Path) -> Vec<Vec<u8>> {
    let mut members: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in Archive::new(fs::File::open(archive).unwrap()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        members.insert(entry.path().unwrap().to_string_lossy().into_owned(), bytes);
    }
    let manifest: Value = serde_json::from_slice(&members["manifest.json"]).unwrap();
    manifest[0]["Layers"].as_array().unwrap().iter().map(|name| plain(members[name.as_str().unwrap()].clone())).collect()
}

/// What remains when layers lie on each other. Images of drivers delete nothing, so there is nothing to delete.
pub(crate) fn tree(layers: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::new();
    for layer in layers {
        for entry in Archive::new(Cursor::new(layer)).entries().unwrap() {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().trim_start_matches("./").trim_end_matches('/').to_owned();
            if path.is_empty() {
                continue;
            }
            let header = entry.header().clone();
            let (kind, content) = match header.entry_type() {
                EntryType::Regular => ("file", hash(&mut entry)),
                EntryType::Directory => ("folder", String::new()),
                EntryType::Symlink => ("link", entry.link_name().unwrap().unwrap().to_string_lossy().into_owned()),
                other => panic!("{path} is a {other:?}"),
            };
            let (mode, owner) = (header.mode().unwrap() & 0o7777, (header.uid().unwrap(), header.gid().unwrap()));
            tree.insert(path, Facts { kind, mode, owner, size: entry.size(), content });
        }
    }
    tree
}

fn hash(content: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).unwrap();
    kmodforge::reference::Digest::of(&bytes).hex().to_owned()
}

/// Puts an image's files below a folder, as a container runtime does.
pub(crate) fn unpack(layers: &[Vec<u8>], root: &Path) {
    for layer in layers {
        let mut archive = Archive::new(Cursor::new(layer));
        archive.set_preserve_permissions(true);
        archive.unpack(root).unwrap();
    }
}

/// Fails with the first differences, if there are any.
#[track_caller]
pub(crate) fn assert_same(ours: &Tree, theirs: &Tree) {
    let paths: std::collections::BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let different = |path: &&&String| ours.get(**path) != theirs.get(**path);
    let differences: Vec<_> = paths.iter().filter(different).map(|path| format!("{path}\n  {:?}\n  {:?}", ours.get(*path), theirs.get(*path))).collect();
    assert!(differences.is_empty(), "{} of {} paths differ:\n{}", differences.len(), paths.len(), differences[..differences.len().min(20)].join("\n"));
}
