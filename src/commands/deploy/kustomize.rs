//! A tree for kustomize on disk: what an earlier run wrote goes, what others put beside it stays.

use std::collections::BTreeMap;
use std::path::Path;

use crate::commands::part::write_whole;
use crate::deploy::manifest::MARK;
use crate::error::{Exit, Failure, io_words};

const LIST: &str = "kustomization.yaml";

/// Writes the files below a folder.
///
/// # Errors
/// When the folder holds something else, or cannot be written to.
pub(super) fn write(folder: &Path, files: &BTreeMap<String, String>) -> Result<(), Failure> {
    refuse_foreign(folder)?;
    remove_listed(folder, 2);
    // The list comes last: until then kustomize finds nothing.
    let last = |path: &&String| path.as_str() == LIST;
    for path in files.keys().filter(|path| !last(path)).chain(files.keys().filter(last)) {
        put(&folder.join(path), &files[path])?;
    }
    Ok(())
}

fn refuse_foreign(folder: &Path) -> Result<(), Failure> {
    let occupied = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if !occupied || std::fs::read_to_string(folder.join(LIST)).is_ok_and(|list| list.starts_with(MARK)) {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, format!("`{}` is not empty, and not written by kmodforge", folder.display()))
        .fact("expected", format!("an empty folder, or a `{LIST}` that begins with `{MARK}`"))
        .help("name another folder: --kustomize DIR; an overlay of yours can list it as a resource"))
}

/// Removes what a list of ours names, folders that are empty then, and the list.
fn remove_listed(folder: &Path, depth: usize) {
    let Ok(list) = std::fs::read_to_string(folder.join(LIST)) else { return };
    if depth == 0 || !list.starts_with(MARK) {
        return;
    }
    let names = list.lines().filter_map(|line| line.strip_prefix("- ")).filter(|name| !name.contains('/') && *name != "..");
    for path in names.map(|name| folder.join(name)) {
        if path.is_dir() {
            remove_listed(&path, depth - 1);
            // Not if anything else is in it.
            let _ = std::fs::remove_dir(&path);
        } else {
            let _ = std::fs::remove_file(&path);
        }
    }
    let _ = std::fs::remove_file(folder.join(LIST));
}

fn put(path: &Path, text: &str) -> Result<(), Failure> {
    write_whole(path, false, text.as_bytes())
        .map_err(|error| Failure::new(Exit::Failed, format!("`{}` cannot be written: {}", path.display(), io_words(&error))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> BTreeMap<String, String> {
        let mut files: BTreeMap<_, _> = names.iter().map(|name| (format!("zfs/{name}"), "x".to_owned())).collect();
        let list = |names: &[&str]| names.iter().fold(format!("{MARK}\n"), |list, name| format!("{list}- {name}\n"));
        files.insert(format!("zfs/{LIST}"), list(names));
        files.insert(LIST.into(), list(&["zfs"]));
        files
    }

    #[test]
    fn what_is_not_listed_any_more_goes_and_what_is_foreign_stays() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &files(&["a.yaml", "b.yaml"])).unwrap();
        std::fs::write(folder.path().join("zfs/mine.yaml"), "mine").unwrap();
        write(folder.path(), &files(&["b.yaml", "c.yaml"])).unwrap();
        let mut there: Vec<_> = std::fs::read_dir(folder.path().join("zfs")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        there.sort();
        assert_eq!(there, ["b.yaml", "c.yaml", LIST, "mine.yaml"]);
    }

    #[test]
    fn a_folder_of_somebody_else_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LIST), "resources: []\n").unwrap();
        let failure = write(folder.path(), &files(&["a.yaml"])).unwrap_err();
        assert!(failure.headline.ends_with("is not empty, and not written by kmodforge"), "{failure}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
