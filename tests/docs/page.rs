//! A page of Markdown: its fenced blocks and its links.

use std::path::{Path, PathBuf};

/// A page.
pub(crate) struct Page {
    /// Its path in the repository.
    pub(crate) path: String,
    /// Its fenced blocks.
    pub(crate) blocks: Vec<Block>,
    text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// Line of its fence, from 1.
    pub(crate) line: usize,
    /// What stands behind the fence.
    pub(crate) language: String,
    /// What is in it.
    pub(crate) text: String,
    /// Whether a comment before it says why it is not run.
    pub(crate) reason: bool,
}

impl Block {
    /// Whether the block is run.
    pub(crate) fn is_commands(&self) -> bool {
        ["sh", "console"].contains(&self.language.as_str())
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All pages of the repository.
pub(crate) fn all() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "docs/"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                pages.push(format!("{folder}{name}"));
            }
        }
    }
    pages.sort();
    pages
}

impl Page {
    /// Reads a page.
    pub(crate) fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        let mut blocks: Vec<Block> = Vec::new();
        let (mut open, mut before) = (false, "");
        for (number, line) in text.lines().enumerate() {
            if let Some(language) = line.strip_prefix("```") {
                open = !open;
                if open {
                    let reason = before.starts_with("<!-- not run: ");
                    blocks.push(Block { line: number + 1, language: language.to_owned(), text: String::new(), reason });
                }
            } else if open {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            if !line.is_empty() {
                before = line;
            }
        }
        assert!(!open, "{path}: a block without an end");
        Self { path: path.to_owned(), blocks, text }
    }

    /// Files that the page links to, with the line.
    pub(crate) fn links(&self) -> Vec<(usize, PathBuf)> {
        let folder = root().join(&self.path).parent().unwrap().to_owned();
        let mut links = Vec::new();
        let mut in_block = false;
        for (number, line) in self.text.lines().enumerate() {
            in_block ^= line.starts_with("```");
            if in_block {
                continue;
            }
            for rest in line.split("](").skip(1) {
                let target = rest.split([')', '#']).next().unwrap();
                if !target.is_empty() && !target.contains("://") {
                    links.push((number + 1, folder.join(target)));
                }
            }
        }
        links
    }
}
