use std::io::Write as _;

use super::*;
use crate::error::Failure;

/// A bundle with one file from one place, and a place where nothing was.
fn bundle(folder: &Path) -> Filled {
    let draft = Draft::open(folder).unwrap();
    draft.answer("http://a.example/InRelease", Some(b"signed")).unwrap();
    draft.answer("http://a.example/Release.gpg", None).unwrap();
    draft.target("kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)");
    draft.finish("kmodforge 0.1.0", 7, true).unwrap()
}

fn file(folder: &Path, bytes: &[u8]) -> PathBuf {
    folder.join(FILES).join(Digest::of(bytes).hex())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn answers_what_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let filled = bundle(folder.path());
    assert_eq!((filled.files, filled.bytes), (1, 6));
    let bundle = Bundle::open(folder.path()).unwrap();
    let sha256 = bundle.place("http://a.example/InRelease").unwrap().unwrap();
    assert_eq!(std::fs::read(bundle.file(sha256, "x").unwrap()).unwrap(), b"signed");
    assert_eq!(bundle.place("http://a.example/Release.gpg").unwrap(), None);
    assert!(matches!(bundle.place("http://b.example/"), Err(BundleError::Lacks { .. })));
    assert_eq!(bundle.contents().fetched, 7);
}

#[test]
fn a_file_that_changed_or_went_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    bundle(folder.path());
    let path = file(folder.path(), b"signed");
    let said = || Failure::from(Bundle::open(folder.path()).unwrap().file(Digest::of(b"signed").hex(), "x").unwrap_err()).facts;
    std::fs::write(&path, b"forged").unwrap();
    assert_eq!(said()[1], ("found".to_owned(), format!("{}", Digest::of(b"forged"))));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(said()[1], ("found".to_owned(), "nothing".to_owned()));
}

#[test]
fn a_second_fetch_keeps_what_is_good_and_removes_what_nobody_needs() {
    let folder = tempfile::tempdir().unwrap();
    bundle(folder.path());
    let draft = Draft::open(folder.path()).unwrap();
    assert!(draft.held(Digest::of(b"signed").hex(), "x").is_some());
    let mut part = draft.part().unwrap();
    part.write_all(b"half").unwrap();
    drop(part);
    draft.answer("http://a.example/InRelease", Some(b"newer")).unwrap();
    drop(draft);
    assert!(file(folder.path(), b"signed").exists(), "a fetch that was broken off takes nothing away");
    assert_eq!(Bundle::open(folder.path()).unwrap().place("http://a.example/InRelease").unwrap(), Some(Digest::of(b"signed").hex()));

    let draft = Draft::open(folder.path()).unwrap();
    draft.answer("http://a.example/InRelease", Some(b"newer")).unwrap();
    draft.finish("kmodforge 0.1.0", 8, true).unwrap();
    assert_eq!(names(&folder.path().join(FILES)), [Digest::of(b"newer").hex()]);
    assert_eq!(names(folder.path()), [CONTENTS, FILES]);
}

#[test]
fn a_damaged_file_is_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    bundle(folder.path());
    std::fs::write(file(folder.path(), b"signed"), b"forged").unwrap();
    let draft = Draft::open(folder.path()).unwrap();
    assert!(draft.held(Digest::of(b"signed").hex(), "x").is_none());
    draft.answer("http://a.example/InRelease", Some(b"signed")).unwrap();
    draft.finish("kmodforge 0.1.0", 8, true).unwrap();
    assert_eq!(std::fs::read(file(folder.path(), b"signed")).unwrap(), b"signed");
}

#[test]
fn toolchains_are_known_by_what_they_are_made_from() {
    let folder = tempfile::tempdir().unwrap();
    let draft = Draft::open(folder.path()).unwrap();
    let mut part = draft.part().unwrap();
    part.write_all(b"root").unwrap();
    draft.keep(part, Digest::of(b"root").hex(), "a toolchain").unwrap();
    draft.toolchain("key", Digest::of(b"root").hex());
    draft.finish("kmodforge 0.1.0", 7, true).unwrap();
    drop(draft);
    let bundle = Bundle::open(folder.path()).unwrap();
    assert_eq!(bundle.toolchain("key", "x").unwrap().0, file(folder.path(), b"root"));
    assert!(bundle.toolchain("other", "x").is_err());
    let draft = Draft::open(folder.path()).unwrap();
    assert!(draft.held_toolchain("key", "x") && !draft.held_toolchain("other", "x"));
}

#[test]
fn only_one_run_fills_a_bundle() {
    let folder = tempfile::tempdir().unwrap();
    let first = Draft::open(folder.path()).unwrap();
    assert_eq!(Draft::open(folder.path()).unwrap_err(), BundleError::Busy { folder: folder.path().to_owned() });
    drop(first);
    Draft::open(folder.path()).unwrap();
}
