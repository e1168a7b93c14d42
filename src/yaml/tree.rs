//! Where each node of a YAML document is: keys, values and entries with their exact tokens.
//!
//! The deserialiser knows positions only while it runs and only of the place where it stopped. Mistakes that show up later
//! (a name used twice, a pattern that is no regular expression) are found by their [`Trail`] in this tree.

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// The most nodes and the deepest nesting that a file may have; real ones stay far below.
pub(super) const NODES: usize = 20_000;
pub(super) const DEPTH: usize = 32;

/// A token's place: line and column count from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column of the first character.
    pub column: usize,
    /// Characters from there to the token's end, or to the end of the line if it has several.
    pub width: usize,
}

/// One step from a node to a node inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into a mapping.
    Key(String),
    /// Into a list.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// The way from the top of a document to a node: `Trail::to("versions").then(0).then("sources")`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trail(Vec<Step>);

impl Trail {
    /// Starts at the top.
    pub fn to(step: impl Into<Step>) -> Self {
        Self(vec![step.into()])
    }

    /// Goes one step further.
    #[must_use]
    pub fn then(&self, step: impl Into<Step>) -> Self {
        let mut steps = self.0.clone();
        steps.push(step.into());
        Self(steps)
    }
}

/// A node and its token.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Text as it is after unquoting, and whether it had no quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
    /// A reference to a node defined elsewhere (`*name`).
    Alias,
}

impl Node {
    /// For people: what was found where something else was expected.
    pub(super) fn describe(&self) -> String {
        match &self.kind {
            Kind::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null") => "nothing".into(),
            Kind::Scalar { text, plain: true } if matches!(text.as_str(), "true" | "false") => format!("`{text}`"),
            Kind::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => format!("the number `{text}`"),
            Kind::Scalar { .. } => "text".into(),
            Kind::List(_) => "a list".into(),
            Kind::Mapping(_) => "a mapping".into(),
            Kind::Alias => "an alias".into(),
        }
    }

    /// Whether the node is this very text.
    pub(super) fn is_text(&self, expected: &str) -> bool {
        matches!(&self.kind, Kind::Scalar { text, .. } if text == expected)
    }

    /// Where a mapping has a key first.
    pub(super) fn line_of_key(&self, expected: &str) -> Option<usize> {
        let Kind::Mapping(entries) = &self.kind else { return None };
        entries.iter().find(|(key, _)| key.is_text(expected)).map(|(key, _)| key.place.line)
    }

    fn is_inline(&self) -> bool {
        match &self.kind {
            Kind::Scalar { text, .. } => !text.is_empty() && self.place.width > 0,
            Kind::Alias => true,
            Kind::List(entries) => entries.is_empty(),
            Kind::Mapping(entries) => entries.is_empty(),
        }
    }
}

/// Why there is no tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TreeError {
    /// The scanner's words and where it stopped.
    Syntax(String, Place),
    /// A tab where only spaces may be.
    Tab(Place),
    /// The document has no node.
    Empty,
    /// A second document starts here.
    SeveralDocuments(Place),
    /// More nodes than [`NODES`].
    TooManyNodes,
    /// Nested more than [`DEPTH`] levels.
    TooDeep(Place),
}

/// Reads the tree of a file that holds exactly one document.
pub(super) fn read(text: &str) -> Result<Node, TreeError> {
    let mut open: Vec<Open> = Vec::new();
    let mut root = None;
    let mut nodes = 0;
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| syntax(text, &error))?;
        let place = place_of(text, &span);
        let complete = match event {
            Event::Scalar(value, style, ..) => Some(Node { place, kind: Kind::Scalar { text: value.into_owned(), plain: style == ScalarStyle::Plain } }),
            Event::Alias(_) => Some(Node { place, kind: Kind::Alias }),
            Event::SequenceStart(..) => {
                open.push(Open { place, start: span, kind: OpenKind::List(Vec::new()) });
                None
            }
            Event::MappingStart(..) => {
                open.push(Open { place, start: span, kind: OpenKind::Mapping(Vec::new(), None) });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(|node| node.close(text, &span)),
            Event::DocumentStart(..) if root.is_some() => return Err(TreeError::SeveralDocuments(place)),
            _ => continue,
        };
        nodes += 1;
        if nodes > NODES {
            return Err(TreeError::TooManyNodes);
        }
        if open.len() > DEPTH {
            return Err(TreeError::TooDeep(place));
        }
        if let Some(node) = complete {
            match open.last_mut() {
                Some(parent) => parent.take(node),
                None => root = Some(node),
            }
        }
    }
    match root {
        Some(Node { kind: Kind::Scalar { text, plain: true }, .. }) if text.is_empty() => Err(TreeError::Empty),
        Some(node) => Ok(node),
        None => Err(TreeError::Empty),
    }
}

/// A list or mapping whose end has not been seen yet.
struct Open {
    place: Place,
    start: Span,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Mapping(Vec<(Node, Node)>, Option<Node>),
}

impl Open {
    fn take(&mut self, node: Node) {
        match &mut self.kind {
            OpenKind::List(entries) => entries.push(node),
            OpenKind::Mapping(entries, key) => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(node),
            },
        }
    }

    /// A list or mapping in brackets has a token from bracket to bracket. Without brackets a list is where its first dash is and
    /// a mapping where its first key is.
    fn close(self, text: &str, end: &Span) -> Node {
        let bracketed = text.get(byte(&self.start)..).is_some_and(|rest| rest.starts_with(['[', '{']));
        let kind = match self.kind {
            OpenKind::List(entries) => Kind::List(entries),
            OpenKind::Mapping(entries, _) => Kind::Mapping(entries),
        };
        let place = if bracketed { place_of(text, &Span::new(self.start.start, end.end)) } else { first_key(&kind).unwrap_or(self.place) };
        Node { place, kind }
    }
}

fn first_key(kind: &Kind) -> Option<Place> {
    match kind {
        Kind::Mapping(entries) => entries.first().map(|(key, _)| key.place),
        Kind::List(_) | Kind::Scalar { .. } | Kind::Alias => None,
    }
}

fn byte(span: &Span) -> usize {
    span.start.byte_offset().unwrap_or_default()
}

fn place_of(text: &str, span: &Span) -> Place {
    let token = span.slice(text).unwrap_or_default();
    let width = token.lines().next().unwrap_or_default().trim_end().chars().count();
    Place { line: span.start.line(), column: span.start.col() + 1, width }
}

fn syntax(text: &str, error: &ScanError) -> TreeError {
    let at = error.marker();
    if error.info().contains("tab") {
        let tab = text.lines().enumerate().skip(at.line().saturating_sub(1)).find_map(|(index, line)| Some((index + 1, tab_in_indentation(line)?)));
        if let Some((line, column)) = tab {
            return TreeError::Tab(Place { line, column, width: 1 });
        }
    }
    TreeError::Syntax(error.info(), Place { line: at.line(), column: at.col() + 1, width: 1 })
}

/// The column of a tab before a line's first visible character.
fn tab_in_indentation(line: &str) -> Option<usize> {
    line.chars().take_while(|c| c.is_whitespace()).position(|c| c == '\t').map(|index| index + 1)
}

/// The key at the end of a trail.
pub(super) fn locate_key(root: &Node, trail: &Trail) -> Option<Place> {
    follow(root, trail).0.map(|key| key.place)
}

/// The token that a mistake at the end of a trail is about: a value that is one token, otherwise its key; of a list's entry
/// that is no single token, its first. A trail that leaves the tree ends where it left.
pub(super) fn locate(root: &Node, trail: &Trail) -> Place {
    match follow(root, trail) {
        (Some(key), node) if !node.is_inline() => key.place,
        (_, node) => node.place,
    }
}

/// The node at the end of a trail and its key.
fn follow<'a>(root: &'a Node, trail: &Trail) -> (Option<&'a Node>, &'a Node) {
    let mut node = root;
    let mut key = None;
    for step in &trail.0 {
        let next = match (step, &node.kind) {
            (Step::Key(name), Kind::Mapping(entries)) => entries.iter().find(|(key, _)| key.is_text(name)).map(|(key, value)| (Some(key), value)),
            (Step::Index(index), Kind::List(entries)) => entries.get(*index).map(|value| (None, value)),
            _ => None,
        };
        match next {
            Some(found) => (key, node) = found,
            None => break,
        }
    }
    (key, node)
}

/// Every node whose token starts at a place, outer ones first.
pub(super) fn find(root: &Node, line: usize, column: usize) -> Vec<Found<'_>> {
    let mut found = Vec::new();
    visit(root, None, &mut |node, key, is_key| {
        if (node.place.line, node.place.column) == (line, column) {
            found.push(Found { node, key, is_key });
        }
    });
    found
}

/// The mapping with a key at a place, and the key whose value the mapping is.
pub(super) fn mapping_of_key(root: &Node, line: usize, column: usize) -> Option<Found<'_>> {
    let mut found = None;
    visit(root, None, &mut |node, key, is_key| {
        if let Kind::Mapping(entries) = &node.kind
            && entries.iter().any(|(key, _)| (key.place.line, key.place.column) == (line, column))
        {
            found = Some(Found { node, key, is_key });
        }
    });
    found
}

/// The last value that is a single token and starts before a place.
pub(super) fn last_scalar_before(root: &Node, line: usize, column: usize) -> Option<Found<'_>> {
    let mut last = None;
    visit(root, None, &mut |node, key, is_key| {
        if matches!(node.kind, Kind::Scalar { .. }) && !is_key && (node.place.line, node.place.column) < (line, column) {
            last = Some(Found { node, key, is_key });
        }
    });
    last
}

/// A node that was looked for by its place.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) node: &'a Node,
    /// The key whose value the node is.
    pub(super) key: Option<&'a Node>,
    /// Whether the node is a key.
    pub(super) is_key: bool,
}

/// Visits outer nodes before inner ones.
fn visit<'a>(node: &'a Node, key: Option<&'a Node>, see: &mut impl FnMut(&'a Node, Option<&'a Node>, bool)) {
    see(node, key, false);
    match &node.kind {
        Kind::List(entries) => entries.iter().for_each(|entry| visit(entry, None, see)),
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                see(key, None, true);
                visit(value, Some(key), see);
            }
        }
        Kind::Scalar { .. } | Kind::Alias => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "a: 1\nlist:\n  - x: [p, q]\n    \"y\": two words  # note\nempty: []\nmap: {k: v}\n";

    fn place(trail: &Trail) -> (usize, usize, usize) {
        let Place { line, column, width } = locate(&read(TEXT).unwrap(), trail);
        (line, column, width)
    }

    #[test]
    fn scalars_are_underlined_whole() {
        assert_eq!(place(&Trail::to("a")), (1, 4, 1));
        assert_eq!(place(&Trail::to("list").then(0).then("y")), (4, 10, 9));
        assert_eq!(place(&Trail::to("list").then(0).then("x").then(1)), (3, 12, 1));
        assert_eq!(place(&Trail::to("map").then("k")), (6, 10, 1));
    }

    #[test]
    fn collections_are_found_by_their_key() {
        assert_eq!(place(&Trail::to("list")), (2, 1, 4));
        assert_eq!(place(&Trail::to("list").then(0)), (3, 5, 1));
        assert_eq!(place(&Trail::to("empty")), (5, 8, 2));
        assert_eq!(place(&Trail::to("map")), (6, 1, 3));
    }

    #[test]
    fn a_trail_that_leaves_the_tree_ends_where_it_left() {
        assert_eq!(place(&Trail::to("list").then(7).then("z")), (2, 1, 4));
        assert_eq!(place(&Trail::default()), (1, 1, 1));
    }

    #[test]
    fn hostile_documents_are_refused_early() {
        assert!(matches!(read(&"[".repeat(1000)), Err(TreeError::TooDeep(_) | TreeError::Syntax(..))));
        assert_eq!(read(&format!("[{}]", "1,".repeat(NODES))).unwrap_err(), TreeError::TooManyNodes);
        assert_eq!(read("# nothing\n").unwrap_err(), TreeError::Empty);
        assert!(matches!(read("a: 1\n---\nb: 2\n"), Err(TreeError::SeveralDocuments(Place { line: 2, .. }))));
    }
}
