//! Kernel releases that a user lists.

use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;

/// Why a list of kernel releases cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// An entry is no kernel release, or the JSON is none.
    #[error("{name}:{line}: {reason}")]
    Entry {
        /// The file, or `-` for standard input.
        name: String,
        /// Its line, counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// There is no entry.
    #[error("{0} lists no kernel release")]
    Empty(String),
}

/// Reads a list of kernel releases: one per line, `#` begins a comment; or a JSON array of texts.
/// Repeated ones count once, at their first place.
pub fn parse_list(name: &str, text: &str) -> Result<Vec<KernelRelease>, ListError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let entries = if text.trim_start().starts_with('[') { parse_json(name, text)? } else { parse_lines(name, text)? };
    let mut releases = Vec::with_capacity(entries.len());
    let mut seen = std::collections::HashSet::new();
    for release in entries {
        if seen.insert(release.clone()) {
            releases.push(release);
        }
    }
    if releases.is_empty() { Err(ListError::Empty(name.to_owned())) } else { Ok(releases) }
}

fn parse_lines(name: &str, text: &str) -> Result<Vec<KernelRelease>, ListError> {
    let entries = text.lines().enumerate().map(|(at, line)| (at + 1, line.split('#').next().unwrap_or_default().trim()));
    let parse = |(line, entry): (usize, &str)| {
        entry.parse().map_err(|error: crate::kernel::InvalidRelease| ListError::Entry { name: name.to_owned(), line, reason: error.to_string() })
    };
    entries.filter(|(_, entry)| !entry.is_empty()).map(parse).collect()
}

fn parse_json(name: &str, text: &str) -> Result<Vec<KernelRelease>, ListError> {
    serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        let reason = reason.rsplit_once(" at line ").map_or(reason.as_str(), |(reason, _)| reason);
        ListError::Entry { name: name.to_owned(), line: error.line(), reason: reason.to_owned() }
    })
}

impl From<ListError> for Failure {
    fn from(error: ListError) -> Self {
        let file = |name: &str| if name == "-" { "standard input".to_owned() } else { format!("`{name}`") };
        let failure = match &error {
            ListError::Entry { name, line, reason } => Self::new(Exit::Usage, format!("{}, line {line}: {reason}", file(name))),
            ListError::Empty(name) => Self::new(Exit::Usage, format!("{} lists no kernel release", file(name))),
        };
        failure.help("expected one kernel release per line, as `uname -r` prints it, or a JSON array of them")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<String> {
        parse_list("kernels.txt", text).unwrap().into_iter().map(String::from).collect()
    }

    fn message(name: &str, text: &str) -> String {
        Failure::from(parse_list(name, text).unwrap_err()).headline
    }

    #[test]
    fn takes_lines_and_json() {
        let expected = ["6.1.0-56-amd64", "6.12.107+deb12-amd64"];
        assert_eq!(list("\u{feff}# nodes\r\n\r\n 6.1.0-56-amd64\t# two of them\r\n6.12.107+deb12-amd64\r\n6.1.0-56-amd64"), expected);
        assert_eq!(list("\n[\"6.1.0-56-amd64\",\n\"6.12.107+deb12-amd64\"]\n"), expected);
    }

    #[test]
    fn names_the_line() {
        assert_eq!(message("k.txt", "6.1.0-56-amd64\n\n6.1.0-$(id)\n"), "`k.txt`, line 3: `6.1.0-$(id)` is not a kernel release: `$` is not allowed in it");
        assert_eq!(
            message("-", "6.1.0-56-amd64 6.1.0-55-amd64"),
            "standard input, line 1: `6.1.0-56-amd64 6.1.0-55-amd64` is not a kernel release: ` ` is not allowed in it"
        );
        assert_eq!(message("k.json", "[\"6.1.0-56-amd64\",\n \"../x\"]"), "`k.json`, line 2: `../x` is not a kernel release: `/` is not allowed in it");
        assert_eq!(message("k.json", "[\n 7\n]"), "`k.json`, line 2: invalid type: integer `7`, expected a string");
        assert_eq!(message("k.txt", "# nothing yet\n"), "`k.txt` lists no kernel release");
    }
}
