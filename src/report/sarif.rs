//! Findings as SARIF 2.1.0 (OASIS, "Static Analysis Results Interchange Format"), which GitHub, GitLab and others collect.
//!
//! Each check is a rule, each finding a result at a path of the image. What a policy ignores is a suppressed result, with the policy's reason.

use serde_json::{Map, Value, json};

use crate::arch::Arch;
use crate::finding::{Finding, Severity};
use crate::reference::Digest;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// Stands for the root of the image's file system in paths (§3.14.14).
const ROOT: &str = "IMAGE";

/// A check.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// Its id; a section of the page of checks.
    pub id: &'a str,
    /// What holds when there is no finding.
    pub summary: &'a str,
    /// How much its findings matter, at most.
    pub severity: Severity,
}

/// An image, checked for one kernel.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    /// As it was named.
    pub name: &'a str,
    /// Digest of its manifest.
    pub digest: &'a str,
    /// Its architecture.
    pub arch: Arch,
    /// The kernel's release.
    pub kernel: &'a str,
    /// What was found.
    pub outcomes: Vec<Outcome<'a>>,
}

/// A finding, and whether it counts.
#[derive(Clone, Debug)]
pub struct Outcome<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// Why somebody has accepted it.
    pub accepted: Option<String>,
}

/// The log of one run. `page` explains the rules, one section each.
#[must_use]
pub fn sarif(page: &str, rules: &[Rule<'_>], images: &[Image<'_>]) -> Value {
    let results: Vec<_> = images.iter().flat_map(|image| image.outcomes.iter().map(|outcome| result(rules, image, outcome))).collect();
    let rules: Vec<_> = rules
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id, "name": rule.id, "shortDescription": {"text": sentence(rule.summary)},
                "helpUri": format!("{page}#{}", rule.id), "defaultConfiguration": {"level": level(rule.severity)},
            })
        })
        .collect();
    let driver = json!({
        "name": "kmodforge", "semanticVersion": env!("CARGO_PKG_VERSION"), "informationUri": env!("CARGO_PKG_REPOSITORY"), "rules": rules,
    });
    json!({
        "$schema": SCHEMA, "version": "2.1.0",
        "runs": [{
            "tool": {"driver": driver},
            "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the image's file system."}}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(rules: &[Rule<'_>], image: &Image<'_>, Outcome { finding, accepted }: &Outcome<'_>) -> Value {
    let mut result = Map::new();
    result.insert("ruleId".into(), finding.check.clone().into());
    if let Some(index) = rules.iter().position(|rule| rule.id == finding.check) {
        result.insert("ruleIndex".into(), index.into());
    }
    result.insert("level".into(), level(finding.severity).into());
    result.insert("message".into(), json!({"text": message(image, finding)}));
    let path = finding.file.as_deref().unwrap_or("/").trim_start_matches('/');
    let place = json!({"artifactLocation": {"uri": if path.is_empty() { "./".to_owned() } else { encoded(path) }, "uriBaseId": ROOT}});
    let logical = json!({"name": image.name, "fullyQualifiedName": format!("{}@{}", image.name, image.digest), "kind": "resource"});
    result.insert("locations".into(), json!([{"physicalLocation": place, "logicalLocations": [logical]}]));
    // The same finding in the next image of the same kernel is the same alert, though its bytes differ.
    let same = format!("{}\n{}\n{}\n{path}\n{}", finding.check, image.arch, image.kernel, finding.message);
    result.insert("partialFingerprints".into(), json!({"kmodforge/v1": Digest::of(same.as_bytes()).hex()}));
    if let Some(reason) = accepted {
        result.insert("suppressions".into(), json!([{"kind": "external", "status": "accepted", "justification": reason}]));
    }
    let properties = json!({"image": image.name, "digest": image.digest, "arch": image.arch, "kernel": image.kernel});
    result.insert("properties".into(), properties);
    result.into()
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// Everything in words: most viewers show nothing else.
fn message(image: &Image<'_>, finding: &Finding) -> String {
    let facts = [("found", &finding.found), ("expected", &finding.expected), ("help", &finding.help)];
    let facts = facts.iter().filter_map(|(label, value)| Some(format!("\n{label}: {}", value.as_deref()?)));
    format!("{} ({}, {}){}", sentence(&finding.message), image.name, image.kernel, facts.collect::<String>())
}

/// Messages begin small.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// A path as part of a URI (RFC 3986 §3.3).
fn encoded(path: &str) -> String {
    let byte = |byte: u8| match byte {
        b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    path.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_results_of_rules() {
        let rules = [Rule { id: "vermagic", summary: "the version magic is the kernel's", severity: Severity::Error }];
        let magic = Finding::new("vermagic", Severity::Error, "`a.ko` is wrong").file("/opt/lib/modules/6.1+/a b.ko").differs("x", "y");
        let none = Finding::new("depmod", Severity::Warning, "the image has no `modules.dep`");
        let outcomes = vec![Outcome { finding: &magic, accepted: None }, Outcome { finding: &none, accepted: Some("kernel of ours".into()) }];
        let image = Image { name: "registry.example/x:1", digest: "sha256:00", arch: Arch::Amd64, kernel: "6.1+", outcomes };
        let log = sarif("https://example.org/checks.md", &rules, &[image]);
        let run = &log["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"][0]["helpUri"], "https://example.org/checks.md#vermagic");
        let [first, second] = [&run["results"][0], &run["results"][1]];
        assert_eq!((&first["ruleIndex"], &first["level"]), (&json!(0), &json!("error")));
        assert_eq!(first["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "opt/lib/modules/6.1%2B/a%20b.ko");
        assert_eq!(first["message"]["text"], "`a.ko` is wrong (registry.example/x:1, 6.1+)\nfound: x\nexpected: y");
        assert_eq!(second["suppressions"][0]["justification"], "kernel of ours");
        assert_eq!((second.get("ruleIndex"), &second["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]), (None, &json!("./")));
        assert_ne!(first["partialFingerprints"], second["partialFingerprints"]);
    }
}
