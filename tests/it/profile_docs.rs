//! The reference pages of profiles and projects: their tables are made from the schema, their examples are read by the program.
//! `SNAPSHOTS=overwrite` writes the tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use kmodforge::catalog::Catalog;
use kmodforge::cli::SchemaKind;
use kmodforge::commands::profile::schema;
use kmodforge::policy::Policy;
use kmodforge::profile::distro::DistroProfile;
use kmodforge::profile::driver::{DriverProfile, Redistribution};
use kmodforge::project::Project;
use serde_json::Value;
use snapbox::Data;

const BEGIN: &str = "<!-- made from the schema: begin -->";
const END: &str = "<!-- made from the schema: end -->";

fn page(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// Compares a page with itself, its table made anew.
fn check_page(name: &str, of: SchemaKind) {
    let path = page(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let schema = schema(of);
    let made = format!("{before}{BEGIN}\n\n{}\n{END}{after}", reference(&schema));
    snapbox::assert_data_eq!(made, Data::read_from(&path, None).raw());
}

/// A section per mapping, in the order in which they are met, then what texts look like.
fn reference(schema: &Value) -> String {
    let mut text = String::new();
    let (mut waiting, mut seen) = (vec![("The file".to_owned(), schema.clone())], BTreeSet::new());
    let mut texts = BTreeSet::new();
    while !waiting.is_empty() {
        let (title, mapping) = waiting.remove(0);
        let _ = write!(text, "### {title}\n\n{}\n\n", description(&mapping));
        text.push_str("| key | value | meaning |\n|---|---|---|\n");
        for (key, value, required) in keys(&mapping) {
            let mut meaning = description(&value);
            if !required {
                meaning.push_str(&default_of(&value));
            }
            let _ = writeln!(text, "| `{key}`{} | {} | {meaning} |", if required { " **required**" } else { "" }, type_of(&value));
            for name in references(&value) {
                if !seen.insert(name.clone()) {
                    continue;
                }
                let definition = schema["$defs"][&name].clone();
                if [&definition["type"], &definition["oneOf"][0]["type"], &definition["anyOf"][0]["type"]].iter().any(|kind| *kind == "object") {
                    waiting.push((name, definition));
                } else {
                    texts.insert(name);
                }
            }
        }
        text.push('\n');
    }
    if !texts.is_empty() {
        text.push_str("### Values\n\n| name | meaning |\n|---|---|\n");
        for name in texts {
            let definition = &schema["$defs"][&name];
            let words: Vec<_> = words(definition).iter().map(|word| format!("`{word}`")).collect();
            let words = if words.is_empty() { String::new() } else { format!(" One of {}.", words.join(", ")) };
            let _ = writeln!(text, "| {name} | {}{words} |", description(definition));
        }
    }
    text
}

/// Keys of a mapping, or of a choice between mappings with one key each.
fn keys(mapping: &Value) -> Vec<(String, Value, bool)> {
    if let Some(kinds) = mapping["oneOf"].as_array() {
        return kinds
            .iter()
            .flat_map(|kind| {
                keys(kind).into_iter().map(|(key, mut value, _)| {
                    value["description"] = kind["description"].clone();
                    value["choice"] = true.into();
                    (key, value, false)
                })
            })
            .collect();
    }
    let required: Vec<_> = mapping["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = mapping["properties"].as_object().or_else(|| mapping["anyOf"][0]["properties"].as_object()).unwrap();
    properties.iter().map(|(key, value)| (key.clone(), value.clone(), required.contains(&key.as_str()))).collect()
}

/// Words that a text can be.
fn words(definition: &Value) -> Vec<String> {
    let listed = definition["enum"].as_array().into_iter().flatten();
    let described = definition["oneOf"].as_array().into_iter().flatten().map(|word| &word["const"]);
    listed.chain(described).filter_map(|word| word.as_str().map(ToOwned::to_owned)).collect()
}

fn description(value: &Value) -> String {
    let text = value["description"].as_str().unwrap_or_default();
    assert!(!text.is_empty(), "without documentation: {value}");
    text.replace('\n', " ").replace('|', "\\|")
}

fn default_of(value: &Value) -> String {
    match &value["default"] {
        _ if value["choice"] == true => String::new(),
        Value::Bool(yes) => format!(" Default: `{yes}`."),
        Value::Number(number) => format!(" Default: `{number}`."),
        Value::String(text) => format!(" Default: `{text}`."),
        _ => String::new(),
    }
}

fn type_of(value: &Value) -> String {
    if let Some(name) = value["$ref"].as_str() {
        return link(name);
    }
    if let Some(kinds) = value["anyOf"].as_array() {
        return type_of(&kinds[0]);
    }
    let name = value["type"].as_str().or_else(|| value["type"][0].as_str()).unwrap_or_default();
    match name {
        "array" => format!("list of {}", type_of(&value["items"])),
        "object" => format!("mapping of {}", type_of(&value["additionalProperties"])),
        "integer" => "number".into(),
        "boolean" => "`true` or `false`".into(),
        "string" => "text".into(),
        other => panic!("no words for {other}: {value}"),
    }
}

fn link(reference: &str) -> String {
    let name = reference.rsplit('/').next().unwrap();
    let plain = matches!(
        name,
        "Id" | "Version"
            | "Sha256Hex"
            | "InnerPath"
            | "KernelVersion"
            | "ConfigRule"
            | "Arch"
            | "Family"
            | "Answer"
            | "Proof"
            | "Redistribution"
            | "Seconds"
            | "Hash"
            | "RuleSeverity"
            | "DocumentKind"
    );
    if plain || name.ends_with("Selector") { format!("[{name}](#values)") } else { format!("[{name}](#{})", name.to_lowercase()) }
}

fn references(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| match value.as_str() {
                Some(reference) if key == "$ref" => vec![reference.rsplit('/').next().unwrap().to_owned()],
                _ => references(value),
            })
            .collect(),
        Value::Array(values) => values.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}

/// The blocks of a page in a language.
fn blocks(name: &str, language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(page(name)).unwrap();
    let start = format!("```{language}\n");
    text.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// A row per driver.
fn drivers() -> String {
    let mut text = "| driver | what | versions | kernels | licence | proven |\n|---|---|---|---|---|---|\n".to_owned();
    for entry in Catalog::embedded().unwrap().driver_entries() {
        let driver = &entry.profile;
        let versions: Vec<_> = driver.versions.iter().map(|version| version.version.as_str()).collect();
        let licence = if driver.redistribution == Redistribution::Permitted { driver.licence.clone() } else { format!("*{}*", driver.licence) };
        let _ = writeln!(
            text,
            "| [`{}`](catalogue/driver-{}.md) | {} | {} | {} | {licence} | {} |",
            driver.id,
            driver.id,
            driver.summary,
            versions.join(", "),
            kernels(driver),
            driver.proven.name()
        );
    }
    text
}

/// From the oldest kernel that any version supports to the newest.
fn kernels(driver: &DriverProfile) -> String {
    let ranges: Vec<_> = driver.versions.iter().map(|version| driver.requirements(version).kernel).collect();
    let min = ranges.iter().map(|range| range.min).min().flatten();
    let below = if ranges.iter().all(|range| range.below.is_some()) { ranges.iter().filter_map(|range| range.below).max() } else { None };
    let words = [min.map(|min| format!("from {min}")), below.map(|below| format!("below {below}"))];
    let words: Vec<_> = words.into_iter().flatten().chain(driver.in_tree.iter().map(|own| format!("{}: {}", own.since, own.module))).collect();
    words.join(", ")
}

#[test]
fn every_driver_is_listed() {
    let path = page("drivers.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once("<!-- made from the profiles: begin -->").unwrap();
    let made = format!("{before}<!-- made from the profiles: begin -->\n\n{}\n<!-- made from the profiles: end -->\n", drivers());
    snapbox::assert_data_eq!(made, Data::read_from(&path, None).raw());
}

#[test]
fn every_key_of_a_driver_is_documented() {
    check_page("driver-profiles.md", SchemaKind::Driver);
}

#[test]
fn every_key_of_a_distro_is_documented() {
    check_page("distro-profiles.md", SchemaKind::Distro);
}

#[test]
fn every_key_of_a_project_is_documented() {
    check_page("project-file.md", SchemaKind::Project);
}

#[test]
fn every_key_of_a_policy_is_documented() {
    check_page("policy.md", SchemaKind::Policy);
}

#[test]
fn the_examples_are_right() {
    for text in blocks("driver-profiles.md", "yaml") {
        DriverProfile::load("driver-profiles.md", &text).unwrap();
    }
    for text in blocks("distro-profiles.md", "yaml") {
        DistroProfile::load("distro-profiles.md", &text).unwrap();
    }
    let catalog = Catalog::embedded().unwrap();
    for text in blocks("project-file.md", "yaml") {
        Project::parse(Path::new("project-file.md"), &text).unwrap().check(&catalog).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    for (fixture, name) in [("sign/rsa.crt", "mok.crt"), ("cosign/cosign.pub", "cosign.pub")] {
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(fixture), folder.path().join(name)).unwrap();
    }
    for text in blocks("policy.md", "yaml") {
        Policy::parse(&folder.path().join("policy.yaml"), &text).unwrap();
    }
    assert!(["driver-profiles.md", "distro-profiles.md", "project-file.md", "policy.md"].iter().all(|page| !blocks(page, "yaml").is_empty()));
}
