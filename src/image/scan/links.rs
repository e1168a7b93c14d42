//! Follows links the way a kernel would, but only through the tar itself.

use std::collections::BTreeMap;

use super::{EntryProblem, Kind, Problem, Root, Rules, problem};

/// As many links as Linux follows in one path (`MAXSYMLINKS`).
const LONGEST_CHAIN: usize = 40;

/// Gives hard links the bytes they share, and checks that no link leaves its layer and nothing lies below a file or link.
pub(super) fn resolve(mut entries: BTreeMap<String, Kind>, hard_links: &BTreeMap<String, String>, rules: Rules) -> Result<BTreeMap<String, Kind>, Problem> {
    for (path, target) in hard_links {
        let shared = follow_hard_links(&entries, hard_links, path, target, rules);
        match (shared, rules) {
            (Some(file), _) => {
                entries.insert(path.clone(), file);
            }
            (None, Rules::Strict(_)) => return Err(problem(path, EntryProblem::DanglingHardLink(target.clone()))),
            // A layer may link to a file of a layer below it.
            (None, Rules::Lenient) => {
                entries.remove(path);
            }
        }
    }
    if let Rules::Strict(roots) = rules {
        for (path, kind) in &entries {
            check_parents(&entries, path)?;
            if let (Kind::Symlink(target), Some(root)) = (kind, root_of(roots, path)) {
                check_symlink(&entries, root, path, target)?;
            }
        }
    }
    Ok(entries)
}

fn root_of(roots: &'static [Root], path: &str) -> Option<&'static Root> {
    let first = path.split('/').next();
    roots.iter().find(|root| Some(root.name) == first)
}

fn follow_hard_links(entries: &BTreeMap<String, Kind>, hard_links: &BTreeMap<String, String>, path: &str, target: &str, rules: Rules) -> Option<Kind> {
    let mut target = target;
    for _ in 0..LONGEST_CHAIN {
        if matches!(rules, Rules::Strict(_)) && target.split('/').next() != path.split('/').next() {
            return None;
        }
        match hard_links.get(target) {
            Some(next) => target = next,
            None => return entries.get(target).filter(|kind| matches!(kind, Kind::File { .. })).cloned(),
        }
    }
    None
}

fn check_parents(entries: &BTreeMap<String, Kind>, path: &str) -> Result<(), Problem> {
    let parents = path.match_indices('/').map(|(end, _)| &path[..end]);
    for parent in parents {
        if entries.get(parent).is_some_and(|kind| *kind != Kind::Directory) {
            return Err(problem(path, EntryProblem::BelowFile));
        }
    }
    Ok(())
}

fn check_symlink(entries: &BTreeMap<String, Kind>, root: &Root, path: &str, target: &str) -> Result<(), Problem> {
    // Directories above `/` of the image: a layer of its own has one, `tools`.
    let floor = usize::from(root.is_image_root);
    match follow(|path| entries.get(path), path, floor) {
        // Firmware is copied to the node without the rest of the image.
        Ok(place) if place.split('/').next() == Some(root.name) => Ok(()),
        Ok(_) | Err(Astray::Out) => Err(problem(path, EntryProblem::LinkOut(target.to_owned()))),
        Err(Astray::Loop) => Err(problem(path, EntryProblem::LinkLoop(target.to_owned()))),
    }
}

/// Why links lead to no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Astray {
    /// Above the image's root.
    Out,
    /// Too many links, or a circle.
    Loop,
}

/// The place that a path leads to when every link in it is followed; there may be nothing at that place.
///
/// `/` of the image is the directory that the first `floor` parts of the path name.
pub(crate) fn follow<'a>(kind_of: impl Fn(&str) -> Option<&'a Kind>, path: &str, floor: usize) -> Result<String, Astray> {
    let mut place: Vec<String> = Vec::new();
    let mut todo = parts(path);
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == ".." {
            if place.len() <= floor {
                return Err(Astray::Out);
            }
            place.pop();
            continue;
        }
        place.push(part);
        if let Some(Kind::Symlink(target)) = kind_of(&place.join("/")) {
            links += 1;
            if links > LONGEST_CHAIN {
                return Err(Astray::Loop);
            }
            place.pop();
            if target.starts_with('/') {
                place.truncate(floor);
            }
            todo.extend(parts(target));
        }
    }
    Ok(place.join("/"))
}

/// The parts of a path, last first.
fn parts(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").rev().map(str::to_owned).collect()
}
