//! What is said about a mistake, and the excerpt that shows it.

use serde_saphyr::Error;

use super::tree::{self, Found, Kind, Node, Place};
use super::{Mistake, Spot};

/// The longest line that an excerpt shows whole, in characters.
const EXCERPT_WIDTH: usize = 140;

/// The deserialiser's error as a mistake, and the token that it is about.
pub(super) fn explain(root: &Node, error: &Error) -> (Mistake, Place) {
    let (line, column) = error.location().map_or((1, 1), |at| (number(at.line()), number(at.column())));
    let found = tree::find(root, line, column);
    let outer = found.first().copied();
    let inner = found.last().copied();
    let place = inner.map_or(Place { line, column, width: 1 }, |found| found.node.place);
    match error {
        Error::SerdeUnknownField { field, expected, .. } => (Mistake::UnknownKey { key: field.clone(), expected: expected.clone() }, place),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            let (value, expected) = (variant.clone(), expected.clone());
            let is_key = inner.is_some_and(|found| found.is_key);
            (if is_key { Mistake::UnknownKey { key: value, expected } } else { Mistake::UnknownValue { value, expected } }, place)
        }
        Error::SerdeMissingField { field, .. } => {
            let mapping = outer.filter(|found| !found.is_key).or_else(|| tree::mapping_of_key(root, line, column));
            let place = mapping.map_or(place, |found| found.key.unwrap_or(found.node).place);
            (Mistake::MissingKey((*field).to_owned()), place)
        }
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.clone().unwrap_or_default();
            let first = tree::mapping_of_key(root, line, column).and_then(|mapping| mapping.node.line_of_key(&key)).unwrap_or(line);
            (Mistake::DuplicateKey { key, first }, place)
        }
        Error::MergeKeyNotAllowed { .. } => (refused("`<<` is not supported; write the keys out"), place),
        Error::ExpectedMappingEndAfterEnumVariantValue { .. } => (Mistake::SecondKind(text_of(inner)), place),
        Error::ExpectedStringKeyForExternallyTaggedEnum { .. } | Error::ExternallyTaggedEnumExpectedScalarOrMapping { .. } => {
            wrong_type(root, (line, column), outer, "a word or a mapping with one key")
        }
        Error::Unexpected { expected, .. } => wrong_type(root, (line, column), outer, type_name(expected)),
        Error::SerdeInvalidType { expected, .. } => wrong_type(root, (line, column), outer, type_name(expected)),
        Error::NullIntoString { .. } => wrong_type(root, (line, column), outer, "text"),
        Error::InvalidBooleanStrict { .. } => wrong_type(root, (line, column), outer, "`true` or `false`"),
        Error::InvalidScalar { .. } => wrong_type(root, (line, column), outer, "a number"),
        Error::Message { msg, .. } => (refused(msg), place),
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } | Error::AliasReplayStackDepthExceeded { .. } => (Mistake::TooLarge, place),
        Error::AliasError { error, .. } => explain(root, error),
        other => (refused(&other.to_string()), place),
    }
}

/// Types put what they expect behind `; `, or what is wrong behind `… is not …: `.
fn refused(message: &str) -> Mistake {
    let reason = || {
        let (_, rest) = message.split_once(" is not ")?;
        let reason = rest.split_once(": ")?.1;
        Some((message[..message.len() - reason.len() - 2].to_owned(), reason.to_owned()))
    };
    // What is quoted first may have a `; ` of its own.
    let quoted = message.find("` is not ").unwrap_or_default();
    let expected = message[quoted..].find("; ").map(|at| (message[..quoted + at].to_owned(), message[quoted + at + 2..].to_owned()));
    let parts = expected.or_else(reason);
    let (headline, label) = parts.unwrap_or_else(|| (message.to_owned(), "refused here".into()));
    Mistake::Refused { headline, label }
}

fn number(value: u64) -> usize {
    usize::try_from(value).unwrap_or(1)
}

fn text_of(found: Option<Found<'_>>) -> String {
    match found.map(|found| &found.node.kind) {
        Some(Kind::Scalar { text, .. }) => text.clone(),
        _ => String::new(),
    }
}

fn type_name(expected: &str) -> &'static str {
    match expected.split_whitespace().next().unwrap_or_default() {
        "mapping" | "struct" => "a mapping",
        "sequence" => "a list",
        "bool" | "boolean" => "`true` or `false`",
        _ if expected.contains("map") => "a mapping",
        _ if expected.contains("sequence") => "a list",
        _ => "a single value",
    }
}

/// A word that stands for a kind without its mapping (`- kbuild`) is reported where the next token is: in that case the word
/// before is meant.
fn wrong_type(root: &Node, (line, column): (usize, usize), outer: Option<Found<'_>>, expected: &'static str) -> (Mistake, Place) {
    let outer = outer.filter(|found| !found.is_key);
    let word = outer.is_none().then(|| tree::last_scalar_before(root, line, column)).flatten();
    let Some(found) = outer.or(word) else {
        return (Mistake::WrongType { subject: "the value".into(), expected, found: "nothing".into() }, Place { line, column, width: 1 });
    };
    if let (Some(word), Kind::Scalar { text, .. }) = (word, &found.node.kind) {
        return (Mistake::BareKind(text.clone()), word.node.place);
    }
    let subject = match (found.key.map(|key| &key.kind), &found.node.kind) {
        (Some(Kind::Scalar { text, .. }), _) => format!("`{text}`"),
        _ if std::ptr::eq(found.node, root) => "the document".into(),
        _ => "the entry".into(),
    };
    let place = match found.key {
        Some(key) if found.node.place.width == 0 => key.place,
        _ => found.node.place,
    };
    (Mistake::WrongType { subject, expected, found: found.node.describe() }, place)
}

/// The words under the token.
pub(super) fn label(mistake: &Mistake) -> String {
    match mistake {
        Mistake::TooLarge => "files of this kind have at most 1 MiB and 20,000 values".into(),
        Mistake::TooDeep => format!("at most {} levels", tree::DEPTH),
        Mistake::Empty => "expected a mapping".into(),
        Mistake::SeveralDocuments => "expected one; the second starts here".into(),
        Mistake::Tab => "YAML takes spaces only".into(),
        Mistake::Syntax(_) => "the reader stopped here".into(),
        Mistake::UnknownKey { expected, .. } | Mistake::UnknownValue { expected, .. } => one_of(expected),
        Mistake::MissingKey(key) => format!("`{key}` is required here"),
        Mistake::DuplicateKey { first, .. } => format!("already given in line {first}"),
        Mistake::SecondKind(_) => "expected exactly one key here".into(),
        Mistake::WrongType { found, .. } => format!("found {found}"),
        Mistake::BareKind(_) => "found nothing after it".into(),
        Mistake::Refused { label, .. } => label.clone(),
    }
}

/// What to do, where more can be said than what was expected.
pub(super) fn help(mistake: &Mistake) -> Option<String> {
    match mistake {
        Mistake::UnknownKey { key: word, expected } | Mistake::UnknownValue { value: word, expected } => {
            nearest(word, expected.iter().copied()).map(|word| format!("did you mean `{word}`?"))
        }
        Mistake::BareKind(word) => Some(format!("if there is nothing to say about it: `{word}: {{}}`")),
        Mistake::WrongType { expected: "a list", found, .. } if found == "text" => Some("a list of one is written `[value]`".into()),
        _ => None,
    }
}

fn one_of(expected: &[&str]) -> String {
    match expected {
        [] => "no keys are expected here".into(),
        [only] => format!("expected `{only}`"),
        [first, second] => format!("expected `{first}` or `{second}`"),
        several => format!("expected one of `{}`", several.join("`, `")),
    }
}

/// The candidate that differs least from a word, if it is so near that a slip of the finger explains the difference.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let limit = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// How many insertions, deletions, replacements and swaps of neighbours turn one word into the other.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<_>, Vec<_>) = (left.chars().collect(), right.chars().collect());
    let mut before: Vec<usize> = vec![0; right.len() + 1];
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let same = usize::from(left[i - 1] != right[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

/// The line of a spot with its number, and a marker with a label under the token.
pub(super) fn excerpt(spot: &Spot, label: &str) -> String {
    let Place { line: number, column, width } = spot.place;
    let gutter = number.to_string().len();
    let visible: Vec<char> = spot.line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let start = if visible.len() > EXCERPT_WIDTH { column.saturating_sub(EXCERPT_WIDTH / 2) } else { 0 };
    let text: String = visible.iter().skip(start).take(EXCERPT_WIDTH).collect();
    let (lead, more) = (if start > 0 { "…" } else { "" }, if visible.len() > start + EXCERPT_WIDTH { "…" } else { "" });
    let indent = column.saturating_sub(1 + start) + lead.chars().count();
    let marker = "^".repeat(width.clamp(1, EXCERPT_WIDTH / 2));
    format!(
        "{:gutter$} --> {}:{number}:{column}\n {:gutter$} |\n {number} | {lead}{}{more}\n {:gutter$} | {:indent$}{marker} {label}",
        "",
        spot.file,
        "",
        text.trim_end(),
        "",
        "",
    )
}
