//! What a user is told when something cannot be done.
//!
//! Every stage has its own error type, which holds facts; its `From` implementation for [`Failure`] puts them into words.

use std::fmt;

/// Exit status of the program. The numbers are part of the command-line contract (`docs/cli.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Everything asked for is done.
    Done = 0,
    /// A target failed, or the job could not be done.
    Failed = 1,
    /// The command line, a profile or the project file is wrong.
    Usage = 2,
    /// Modules were built, but a check rejected them.
    CheckFailed = 3,
    /// Nothing but targets that cannot exist: the kernel lacks a needed `CONFIG_*`, say.
    Unsupported = 4,
    /// Ctrl-C or SIGTERM.
    Interrupted = 130,
}

/// A failure as it is shown: one line that says what failed, labelled facts, and what to do next.
///
/// ```text
/// error[id]: headline
///   --> file:line:column          (snippet, for mistakes in YAML)
///   label     value
///   help      what to do
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the check that failed, shown in brackets.
    pub id: Option<String>,
    /// One sentence: lower case, no full stop, literals in backticks.
    pub headline: String,
    /// Source excerpt with a marker, already laid out, without the final line break.
    pub snippet: Option<String>,
    /// `label`, `value` in the order of reading. Values may have several lines.
    pub facts: Vec<(String, String)>,
    /// What the user can do, most likely first.
    pub help: Vec<String>,
    /// What the program's exit status becomes.
    pub exit: Exit,
}

impl Failure {
    /// A failure with nothing but a headline.
    pub fn new(exit: Exit, headline: impl Into<String>) -> Self {
        Self { id: None, headline: headline.into(), snippet: None, facts: Vec::new(), help: Vec::new(), exit }
    }

    /// Columns that labels and the space behind them take: those of `expected`, or of the longest label there is.
    pub fn label_columns(&self) -> usize {
        self.facts.iter().map(|(label, _)| label.chars().count() + 2).max().unwrap_or(0).max(10)
    }

    /// Adds a labelled fact (`found`, `expected`, `log`…).
    #[must_use]
    pub fn fact(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push((label.into(), value.into()));
        self
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Names the check that failed.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Shows where in a file the mistake is.
    #[must_use]
    pub fn snippet(mut self, snippet: impl Into<String>) -> Self {
        self.snippet = Some(snippet.into());
        self
    }
}

/// What the operating system says, without the random name of a temporary file that it was about.
#[must_use]
pub fn io_words(error: &std::io::Error) -> String {
    // tempfile adds the path of a file that nobody asked for.
    error.to_string().split(" at path ").next().unwrap_or_default().to_owned()
}

/// `1 image`, `3 images`.
#[must_use]
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "error[{id}]: {}", self.headline)?,
            None => write!(f, "error: {}", self.headline)?,
        }
        if let Some(snippet) = &self.snippet {
            write!(f, "\n{snippet}")?;
        }
        let help = self.help.iter().map(|help| ("help", help.as_str()));
        let facts = self.facts.iter().map(|(label, value)| (label.as_str(), value.as_str()));
        let columns = self.label_columns();
        for (label, value) in facts.chain(help) {
            let mut lines = value.lines();
            write!(f, "\n  {label:<columns$}{}", lines.next().unwrap_or_default())?;
            for line in lines {
                write!(f, "\n  {:columns$}{line}", "")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lays_out_facts_and_help_under_the_headline() {
        let failure = Failure::new(Exit::CheckFailed, "`a.ko` was compiled for another kernel")
            .id("vermagic")
            .fact("found", "6.1.0-55-amd64")
            .fact("log", "one\ntwo")
            .help("build again");
        assert_eq!(
            failure.to_string(),
            "error[vermagic]: `a.ko` was compiled for another kernel\n  found     6.1.0-55-amd64\n  log       one\n            two\n  help      build again"
        );
    }
}
