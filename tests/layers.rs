//! The order of the code: which module may name which, what only some modules may do, and how long a file gets.

#![expect(clippy::unwrap_used, reason = "a test may stop where it is wrong")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The longest file.
const LINES: usize = 500;

/// Modules that only compute: what disks and networks say is passed in.
const PURE: [&str; 4] = ["plan", "render", "check", "template"];

/// Who may print.
const PRINTERS: [&str; 2] = ["ui", "main"];

struct File {
    /// `src/check/binary.rs`.
    name: String,
    /// `check`.
    module: String,
    text: String,
}

impl File {
    /// Lines with their numbers, without comments. A `//` in a text counts as a comment too: more cannot be missed by that than an
    /// import behind it.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(number, line)| (number + 1, line.find("//").map_or(line, |at| &line[..at])))
    }

    /// Places where a text stands in the code: `src/a.rs:3`.
    fn places(&self, text: &str) -> Vec<String> {
        self.code().filter(|(_, line)| line.contains(text)).map(|(number, _)| format!("{}:{number}: {text}", self.name)).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files() -> Vec<File> {
    let mut waiting = vec![root().join("src")];
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(read(&path));
            }
        }
    }
    assert!(files.len() > 100, "the sources were not found");
    files
}

fn read(path: &PathBuf) -> File {
    let inner = path.strip_prefix(root().join("src")).unwrap();
    let module = inner.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
    File { name: format!("src/{}", inner.display()), module: module.to_owned(), text: std::fs::read_to_string(path).unwrap() }
}

/// Whether a file is nothing but tests, which may open sockets and read files.
fn is_test(file: &File) -> bool {
    let parts = file.name.split(['/', '.']);
    file.module == "fixture" || parts.into_iter().any(|part| ["tests", "fake", "testing", "fixture"].contains(&part))
}

/// The rows of `src/lib.rs`, highest first: each comment begins one.
fn rows() -> Vec<BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut rows = vec![BTreeSet::from(["main".to_owned()])];
    for line in text.lines().skip_while(|line| !line.starts_with("// ")) {
        if line.starts_with("// ") {
            rows.push(BTreeSet::new());
        } else if let Some(module) = line.strip_prefix("pub mod ") {
            rows.last_mut().unwrap().insert(module.trim_end_matches(';').to_owned());
        }
    }
    rows
}

fn row(rows: &[BTreeSet<String>], module: &str) -> Option<usize> {
    rows.iter().position(|row| row.contains(module))
}

/// The modules that a line names: what follows `crate::` or, in `main.rs`, `kmodforge::`.
fn named<'a>(line: &'a str, root: &str) -> Vec<&'a str> {
    let is_end = |c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    line.match_indices(root).map(|(at, _)| &line[at + root.len()..]).map(|rest| &rest[..rest.find(is_end).unwrap_or(rest.len())]).collect()
}

#[test]
fn imports_go_down() {
    let rows = rows();
    let mut wrong = BTreeSet::new();
    for file in files().iter().filter(|file| !["lib", "fixture"].contains(&file.module.as_str())) {
        let mine = row(&rows, &file.module).unwrap_or_else(|| panic!("{} has no row in src/lib.rs", file.name));
        let root = if file.module == "main" { "kmodforge::" } else { "crate::" };
        for (number, line) in file.code() {
            if line.contains(&format!("{root}{{")) || line.contains("super::super") {
                wrong.insert(format!("{}:{number}: name one module per `use`, from the crate's root", file.name));
            }
            for other in named(line, root).into_iter().filter(|other| !other.is_empty() && *other != file.module) {
                if row(&rows, other).is_some_and(|theirs| theirs <= mine) {
                    wrong.insert(format!("{}:{number}: `{}` may not name `{other}`", file.name, file.module));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_design_page_draws_the_same_rows() {
    let Ok(page) = std::fs::read_to_string(root().join("docs/design.md")) else { return };
    let block = page.split("```rows\n").nth(1).and_then(|rest| rest.split("```").next()).expect("docs/design.md has a block `rows`");
    let drawn: Vec<BTreeSet<String>> = block.lines().map(|line| line.split_whitespace().map(ToOwned::to_owned).collect()).collect();
    assert_eq!(drawn, rows(), "docs/design.md (left) and src/lib.rs (right) have different rows");
}

#[test]
fn files_stay_short() {
    let long: Vec<_> = files().iter().map(|file| (file.text.lines().count(), file.name.clone())).filter(|(lines, _)| *lines > LINES).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn only_the_screen_prints() {
    let printing = |file: &File| ["print!(", "println!(", "dbg!(", "io::stdout", "io::stderr"].iter().flat_map(|text| file.places(text)).collect::<Vec<_>>();
    let wrong: Vec<_> = files().iter().filter(|file| !PRINTERS.contains(&file.module.as_str()) && !is_test(file)).flat_map(printing).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn only_env_reads_environment_and_clock() {
    let reading = |file: &File| ["env::var(", "env::var_os(", "env::vars", "SystemTime"].iter().flat_map(|text| file.places(text)).collect::<Vec<_>>();
    let own = |place: &String| place.contains("crate::env::var(") || place.ends_with(": env::var(");
    for file in files().iter().filter(|file| file.module != "env" && !is_test(file)) {
        // `env::var(` is also how the crate's own module is called.
        let ours = file.text.contains("use crate::env;") || file.text.contains("use kmodforge::env;");
        let wrong: Vec<_> = reading(file).into_iter().filter(|place| !(ours && own(place))).collect();
        let foreign = file.places("std::env::var");
        assert!(wrong.is_empty() && foreign.is_empty(), "{wrong:#?} {foreign:#?}");
    }
}

#[test]
fn pure_modules_do_no_input_or_output() {
    let doing = |file: &File| ["std::fs", "std::net", "std::process", "tokio", "reqwest"].iter().flat_map(|text| file.places(text)).collect::<Vec<_>>();
    let is_pure = |file: &&File| PURE.contains(&file.module.as_str()) && !is_test(file);
    let without_tests = |file: &File| File {
        text: file.text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned(),
        name: file.name.clone(),
        module: file.module.clone(),
    };
    let wrong: Vec<_> = files().iter().filter(is_pure).map(without_tests).flat_map(|file| doing(&file)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_check_is_explained() {
    let page = std::fs::read_to_string(root().join("docs/checks.md")).unwrap();
    let sections: BTreeSet<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let checks = kmodforge::check::CHECKS.iter().map(|check| check.id).chain(kmodforge::boot::CHECKS);
    let checks: BTreeSet<_> = checks.chain(kmodforge::policy::CHECKS.map(|(id, _)| id)).collect();
    assert_eq!(sections, checks, "docs/checks.md (left) and the registry (right)");
}
