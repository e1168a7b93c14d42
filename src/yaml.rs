//! Strict YAML: every mistake comes with file, line, column, the line itself, what was expected and the nearest right word.
//!
//! A file is read twice: into a tree of positions ([`tree`]) and, by serde-saphyr, into its type. The first says where things
//! are, also long after the second has finished.

mod settings;
mod tree;
mod words;

use serde::de::DeserializeOwned;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use crate::error::Failure;
pub use settings::{Impossible, SettingsError, read_settings};
use tree::{Node, TreeError};
pub use tree::{Place, Step, Trail};
pub use words::nearest;

/// The largest file that is read, in bytes.
pub const FILE_SIZE: usize = 1 << 20;

/// Text that is one YAML document, with the position of everything in it.
#[derive(Clone, Debug)]
pub struct Source {
    file: String,
    text: String,
    root: Node,
}

/// A place in a file, with the line it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// The file as it was named.
    pub file: String,
    /// The token.
    pub place: Place,
    /// The text of its line.
    pub line: String,
}

/// What is wrong with a document, as YAML or as a value of its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// The file has more bytes or nodes than any honest one.
    #[error("the file is too large")]
    TooLarge,
    /// Lists and mappings inside each other, too deep.
    #[error("lists and mappings are nested too deep")]
    TooDeep,
    /// Nothing but comments and white space.
    #[error("the file is empty")]
    Empty,
    /// `---` starts a second document.
    #[error("the file holds several documents")]
    SeveralDocuments,
    /// Indentation with tabs.
    #[error("a tab in the indentation")]
    Tab,
    /// Not YAML; the scanner's words.
    #[error("this is not YAML: {0}")]
    Syntax(String),
    /// A key that the mapping does not have.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// What was written.
        key: String,
        /// What there is.
        expected: Vec<&'static str>,
    },
    /// A word that the list of allowed ones does not have.
    #[error("unknown value `{value}`")]
    UnknownValue {
        /// What was written.
        value: String,
        /// What there is.
        expected: Vec<&'static str>,
    },
    /// A mapping lacks a key.
    #[error("missing key `{0}`")]
    MissingKey(String),
    /// A mapping has a key twice.
    #[error("`{key}` is given twice")]
    DuplicateKey {
        /// The key.
        key: String,
        /// The line of the first one.
        first: usize,
    },
    /// A mapping that chooses between kinds has more than one key.
    #[error("`{0}` cannot stand beside another key")]
    SecondKind(String),
    /// A value of another type.
    #[error("{subject} must be {expected}")]
    WrongType {
        /// What the value belongs to: a key, an entry, the document.
        subject: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A word that chooses a kind and lacks the kind's mapping.
    #[error("`{0}` must be followed by a mapping")]
    BareKind(String),
    /// The type's own words about a value.
    #[error("{headline}")]
    Refused {
        /// What is wrong.
        headline: String,
        /// What was expected instead, or why.
        label: String,
    },
}

/// A mistake and where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}:{}: {mistake}", spot.file, spot.place.line, spot.place.column)]
pub struct YamlError {
    /// Where.
    pub spot: Box<Spot>,
    /// What.
    pub mistake: Mistake,
}

/// Reads a document into its type; `file` is how messages call it.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, YamlError> {
    Source::read(file, text)?.decode()
}

impl Source {
    /// Reads a document's structure.
    pub fn read(file: &str, text: &str) -> Result<Self, YamlError> {
        let top = Place { line: 1, column: 1, width: 1 };
        let (mistake, place) = match tree::read(if text.len() > FILE_SIZE { "" } else { text }) {
            _ if text.len() > FILE_SIZE => (Mistake::TooLarge, top),
            Ok(root) => return Ok(Self { file: file.to_owned(), text: text.to_owned(), root }),
            Err(TreeError::Empty) => (Mistake::Empty, top),
            Err(TreeError::TooManyNodes) => (Mistake::TooLarge, top),
            Err(TreeError::TooDeep(place)) => (Mistake::TooDeep, place),
            Err(TreeError::SeveralDocuments(place)) => (Mistake::SeveralDocuments, place),
            Err(TreeError::Tab(place)) => (Mistake::Tab, place),
            Err(TreeError::Syntax(message, place)) => (Mistake::Syntax(message), place),
        };
        Err(YamlError { spot: Box::new(spot(file, text, place)), mistake })
    }

    /// Reads the document into its type.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, YamlError> {
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::Error,
            merge_keys: MergeKeyPolicy::Error,
            strict_booleans: true,
            reject_unsupported_tags: true,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_events: 4 * tree::NODES, max_depth: tree::DEPTH, max_aliases: 100, max_anchors: 100 },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 2_000, max_replay_stack_depth: 4 },
        };
        serde_saphyr::from_str_with_options(&self.text, options).map_err(|error| {
            let (mistake, place) = words::explain(&self.root, error.without_snippet());
            YamlError { spot: Box::new(self.at(place)), mistake }
        })
    }

    /// The spot that a mistake at the end of a trail is about: a value that is one token, otherwise its key.
    #[must_use]
    pub fn spot(&self, trail: &Trail) -> Spot {
        self.at(tree::locate(&self.root, trail))
    }

    /// The spot of the key at the end of a trail.
    #[must_use]
    pub fn key_spot(&self, trail: &Trail) -> Spot {
        tree::locate_key(&self.root, trail).map_or_else(|| self.spot(trail), |place| self.at(place))
    }

    /// Whether the document is a mapping with this key.
    #[must_use]
    pub fn has_key(&self, key: &str) -> bool {
        matches!(&self.root.kind, tree::Kind::Mapping(entries) if entries.iter().any(|(name, _)| name.is_text(key)))
    }

    /// The text as it was read.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file as it was named.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    fn at(&self, place: Place) -> Spot {
        spot(&self.file, &self.text, place)
    }
}

fn spot(file: &str, text: &str, place: Place) -> Spot {
    let line = text.lines().nth(place.line.saturating_sub(1)).unwrap_or_default();
    Spot { file: file.to_owned(), place, line: line.to_owned() }
}

impl Spot {
    /// A failure at this spot, laid out with its line and a label under the token.
    #[must_use]
    pub fn failure(&self, headline: impl Into<String>, label: &str) -> Failure {
        Failure::new(crate::error::Exit::Usage, headline).snippet(words::excerpt(self, label))
    }
}

impl From<YamlError> for Failure {
    fn from(YamlError { spot, mistake }: YamlError) -> Self {
        let failure = spot.failure(mistake.to_string(), &words::label(&mistake));
        match words::help(&mistake) {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests;
