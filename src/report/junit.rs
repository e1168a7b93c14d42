//! `JUnit`'s XML, as CI systems read it: a suite per driver version, a case per kernel.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Entry, Report, escape};
use crate::record::{Outcome, TargetLabel};

/// The report as `JUnit` XML. What a check rejected is a failure, what could not be built an error, what cannot be is skipped.
#[must_use]
pub fn junit(report: &Report) -> String {
    let mut suites: BTreeMap<(&str, &str), Vec<(&TargetLabel, &Entry)>> = BTreeMap::new();
    for (label, entry) in &report.entries {
        suites.entry((&label.driver, &label.version)).or_default().push((label, entry));
    }
    let all: Vec<_> = report.entries.iter().collect();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(xml, "<testsuites name=\"kmodforge\" {}>", counts(&all));
    for ((driver, version), cases) in &suites {
        let _ = writeln!(xml, "  <testsuite name=\"{} {}\" {}>", escape(driver), escape(version), counts(cases));
        for (label, entry) in cases {
            case(&mut xml, label, entry);
        }
        xml.push_str("  </testsuite>\n");
    }
    xml.push_str("</testsuites>\n");
    xml
}

fn counts(entries: &[(&TargetLabel, &Entry)]) -> String {
    let count = |wanted: &[Outcome]| entries.iter().filter(|(_, entry)| wanted.contains(&entry.record.outcome)).count();
    let seconds: f64 = entries.iter().map(|(_, entry)| entry.record.seconds).sum();
    format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\"",
        entries.len(),
        count(&[Outcome::Rejected]),
        count(&[Outcome::Failed]),
        count(&[Outcome::Unsupported, Outcome::Cancelled])
    )
}

fn case(xml: &mut String, label: &TargetLabel, entry: &Entry) {
    let record = &entry.record;
    let name = format!("{} ({} {}, {})", label.kernel, label.distro, label.distro_release, label.arch);
    let class = format!("{}.{}", label.driver, label.version.replace('.', "_"));
    let _ = write!(xml, "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">", escape(&class), escape(&name), record.seconds);
    let why = escape(&record.why);
    let log = escape(entry.log.as_deref().unwrap_or_default());
    let _ = match record.outcome {
        Outcome::Built | Outcome::Published | Outcome::Fetched => Ok(()),
        Outcome::Rejected => write!(xml, "<failure message=\"{why}\" type=\"check\">{}</failure>", escape(&findings(entry))),
        Outcome::Failed => write!(xml, "<error message=\"{why}\" type=\"build\">{log}</error>"),
        Outcome::Unsupported | Outcome::Cancelled => write!(xml, "<skipped message=\"{why}\"/>"),
    };
    let booted = record.boot.as_ref().map(|boot| format!("boot: {}\n", super::boot(boot))).unwrap_or_default();
    let found = if record.outcome == Outcome::Rejected { String::new() } else { findings(entry) };
    if !booted.is_empty() || !found.is_empty() {
        let _ = write!(xml, "<system-out>{}</system-out>", escape(&(booted + &found)));
    }
    if let Some(console) = entry.boot_log.as_ref().filter(|_| record.outcome == Outcome::Rejected) {
        let _ = write!(xml, "<system-err>{}</system-err>", escape(console));
    }
    xml.push_str("</testcase>\n");
}

fn findings(entry: &Entry) -> String {
    let line = |finding: &crate::finding::Finding| {
        let found = finding.found.iter().map(|found| format!("; found {found}"));
        let expected = finding.expected.iter().map(|expected| format!("; expected {expected}"));
        format!("{}[{}]: {}{}\n", finding.severity, finding.check, finding.message, found.chain(expected).collect::<String>())
    };
    entry.record.findings.iter().map(line).collect()
}
