use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the reading is tested")]
struct Recipe {
    name: String,
    #[serde(default)]
    count: usize,
    #[serde(default)]
    sharp: bool,
    #[serde(default)]
    steps: Vec<Step>,
    #[serde(default)]
    tools: BTreeMap<String, String>,
    #[serde(default)]
    size: Option<Size>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "only the reading is tested")]
enum Step {
    Cut(Cut),
    Wait(Cut),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the reading is tested")]
struct Cut {
    what: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Size {
    Small,
    Large,
}

/// The message for a document, without its first `error: `.
fn message(text: &str) -> String {
    let error = parse::<Recipe>("recipe.yaml", text).unwrap_err();
    Failure::from(error).to_string().trim_start_matches("error: ").to_owned()
}

/// Headline, position and label for a document.
fn short(text: &str) -> String {
    let message = message(text);
    let mut lines = message.lines();
    let headline = lines.next().unwrap().to_owned();
    let position = lines.next().unwrap().trim().trim_start_matches("--> recipe.yaml:").to_owned();
    let marker = message.lines().nth(4).unwrap_or_default();
    let label = marker.split_once('^').map(|(_, rest)| rest.trim_start_matches('^').trim()).unwrap_or_default();
    let width = marker.matches('^').count();
    format!("{headline} @{position}+{width} {label}")
}

#[test]
fn an_unknown_key_is_shown_with_its_line_and_the_nearest_key() {
    assert_eq!(
        message("name: soup\ncuont: 3\n"),
        "unknown key `cuont`
  --> recipe.yaml:2:1
   |
 2 | cuont: 3
   | ^^^^^ expected one of `name`, `count`, `sharp`, `steps`, `tools`, `size`
  help      did you mean `count`?"
    );
}

#[test]
fn the_marker_stays_under_the_token_for_long_numbers_and_lines() {
    let text = format!("name: soup\n{}# {}\nsize: huge # {}\n", "\n".repeat(100), "x".repeat(300), "y".repeat(300));
    let message = message(&text);
    let lines: Vec<_> = message.lines().collect();
    assert_eq!(lines[1], "    --> recipe.yaml:103:7");
    assert_eq!(lines[4], "     |       ^^^^ expected `small` or `large`");
    assert!(lines[3].starts_with(" 103 | size: huge # yyy") && lines[3].ends_with("y…") && lines[3].chars().count() < 160, "{}", lines[3]);
}

#[test]
fn values_of_a_wrong_type_say_what_was_found_and_what_must_be_there() {
    for (text, expected) in [
        ("name: [a, b]", "`name` must be a single value @1:7+6 found a list"),
        ("name:\n  x: y", "`name` must be a single value @2:3+1 found a mapping"),
        ("name:", "`name` must be text @1:1+4 found nothing"),
        ("name: a\ncount: many", "`count` must be a number @2:8+4 found text"),
        ("name: a\ncount: -1", "`count` must be a number @2:8+2 found the number `-1`"),
        ("name: a\nsharp: yes", "`sharp` must be `true` or `false` @2:8+3 found text"),
        ("name: a\ntools: [a]", "`tools` must be a mapping @2:8+3 found a list"),
        ("name: a\nsteps: cut", "`steps` must be a list @2:8+3 found text"),
        ("name: a\nsteps:\n  - cut: soup", "`cut` must be a mapping @3:10+4 found text"),
        ("name: a\nsteps:\n  - cut\ncount: 1", "`cut` must be followed by a mapping @3:5+3 found nothing after it"),
        ("name: a\nsteps:\n  - [cut]", "the entry must be a word or a mapping with one key @3:5+5 found a list"),
        ("just text", "the document must be a mapping @1:1+9 found text"),
    ] {
        assert_eq!(short(text), expected, "{text}");
    }
}

#[test]
fn keys_are_exact() {
    for (text, expected) in [
        ("count: 1", "missing key `name` @1:1+5 `name` is required here"),
        ("name: a\nsteps:\n  - cut:\n      {}", "missing key `what` @3:5+3 `what` is required here"),
        ("name: a\nname: b", "`name` is given twice @2:1+4 already given in line 1"),
        ("name: a\nsteps:\n  - cutt: {what: x}", "unknown key `cutt` @3:5+4 expected `cut` or `wait`"),
        ("name: a\nsteps:\n  - cut: {what: x}\n    wait: {what: y}", "`wait` cannot stand beside another key @4:5+4 expected exactly one key here"),
        ("name: a\ntools: {<<: {a: b}}", "`<<` is not supported @2:9+2 write the keys out"),
    ] {
        assert_eq!(short(text), expected, "{text}");
    }
}

#[test]
fn documents_that_are_no_yaml_are_shown_where_reading_stopped() {
    for (text, expected) in [
        ("", "the file is empty @1:1+1 expected a mapping"),
        ("# only a comment\n", "the file is empty @1:1+1 expected a mapping"),
        ("name: a\n---\nname: b\n", "the file holds several documents @2:1+3 expected one; the second starts here"),
        ("name: a\n\tcount: 1\n", "a tab in the indentation @2:1+1 YAML takes spaces only"),
        ("name: a: b", "this is not YAML: mapping values are not allowed in this context @1:8+1 the reader stopped here"),
        ("name: [a", "this is not YAML: unclosed bracket '[' @1:7+1 the reader stopped here"),
    ] {
        assert_eq!(short(text), expected, "{text}");
    }
    assert!(short(&format!("name: {}", "a".repeat(FILE_SIZE))).starts_with("the file is too large @1:1"));
    assert!(short(&"- ".repeat(60)).starts_with("lists and mappings are nested too deep"));
}

#[test]
fn text_stays_text() {
    let recipe: Recipe = parse("r", "name: 5.10\ntools: {a: 0123, b: 1e3, c: yes, d: 'null'}").unwrap();
    assert_eq!(recipe.name, "5.10");
    assert_eq!(recipe.tools.values().map(String::as_str).collect::<Vec<_>>(), ["0123", "1e3", "yes", "null"]);
}

#[test]
fn aliases_are_no_bombs() {
    let bomb = "name: a\ntools: {a: &a [x,x,x,x,x,x,x,x,x,x], b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], c: [*b,*b,*b,*b,*b,*b,*b,*b,*b]}";
    assert!(parse::<Recipe>("r", bomb).is_err());
    assert_eq!(parse::<Recipe>("r", "name: &n soup\ntools: {a: *n}").unwrap().tools["a"], "soup");
}

#[test]
fn only_near_words_are_suggested() {
    assert_eq!(nearest("kernles", ["drivers", "kernels"]), Some("kernels"));
    assert_eq!(nearest("ZFS", ["zfs"]), Some("zfs"));
    assert_eq!(nearest("nvidia", ["zfs", "jool"]), None);
}
