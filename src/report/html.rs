//! The page: a matrix of kernels and drivers, a dialog for each target. Style and script are part of it; it asks for nothing else, and its
//! content security policy lets nothing else run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::{Entry, OUTCOMES, Report, duration, escape, word};
use crate::finding::Finding;
use crate::image::assemble::rfc3339;
use crate::kernel::KernelRelease;
use crate::record::{Outcome, TargetLabel};

const STYLE: &str = include_str!("../../templates/report/style.css");
const SCRIPT: &str = include_str!("../../templates/report/script.js");

/// A kernel's row: distribution, release, kernel, architecture.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

/// The report as one HTML document.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut page = String::new();
    head(&mut page, report);
    matrix(&mut page, report);
    for (number, (label, entry)) in report.entries.iter().enumerate() {
        dialog(&mut page, number, label, entry);
    }
    let _ = write!(page, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n");
    page
}

fn head(page: &mut String, report: &Report) {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'\">\n\
         <title>kmodforge report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>kmodforge report</h1>\n",
        hash(STYLE),
        hash(SCRIPT)
    );
    let tools: Vec<_> = report.tools.iter().map(|tool| escape(tool)).collect();
    let _ = write!(page, "<p class=\"about\">{} targets · {} · {}</p>\n<ul class=\"counts\">", report.entries.len(), rfc3339(report.started), tools.join(", "));
    for outcome in OUTCOMES {
        let count = report.count(outcome);
        if count > 0 {
            let _ = write!(page, "<li class=\"{0}\"><b>{count}</b> {0}</li>", word(outcome));
        }
    }
    page.push_str(
        "</ul>\n<p><label>Filter <input id=\"filter\" type=\"search\" placeholder=\"driver, kernel, state, finding…\" autocomplete=\"off\"></label> \
         <output id=\"shown\"></output></p>\n",
    );
}

fn matrix(page: &mut String, report: &Report) {
    let places: BTreeMap<_, _> =
        report.entries.iter().enumerate().map(|(number, (label, entry))| ((row(label), column(label)), (number, label, entry))).collect();
    let rows: BTreeSet<Row<'_>> = report.entries.keys().map(row).collect();
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_by_cached_key(|(distro, release, kernel, arch)| (*distro, Reverse(kernel.parse::<KernelRelease>().ok()), *release, *arch));
    let columns: BTreeSet<_> = report.entries.keys().map(column).collect();
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr><th scope=\"col\">kernel</th>");
    for (driver, version) in &columns {
        let _ = write!(page, "<th scope=\"col\">{}<small>{}</small></th>", escape(driver), escape(version));
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for row_of in &rows {
        let (distro, release, kernel, arch) = row_of;
        let _ = write!(page, "<tr><th scope=\"row\">{}<small>{} {} {}</small></th>", escape(kernel), escape(distro), escape(release), escape(arch));
        for column_of in &columns {
            match places.get(&(*row_of, *column_of)) {
                Some((number, label, entry)) => cell(page, *number, label, entry),
                None => page.push_str("<td></td>"),
            }
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table></div>\n");
}

fn row(label: &TargetLabel) -> Row<'_> {
    (&label.distro, &label.distro_release, &label.kernel, &label.arch)
}

fn column(label: &TargetLabel) -> (&str, &str) {
    (&label.driver, &label.version)
}

fn cell(page: &mut String, number: usize, label: &TargetLabel, entry: &Entry) {
    let record = &entry.record;
    let checks: Vec<_> = record.findings.iter().map(|finding| finding.check.as_str()).collect();
    let words = format!("{label} {} {} {}", word(record.outcome), record.why, checks.join(" ")).to_lowercase();
    let detail = match record.outcome {
        Outcome::Built => duration(record.seconds),
        Outcome::Published => String::new(),
        _ => record.why.clone(),
    };
    let _ = write!(
        page,
        "<td class=\"{0}\" data-words=\"{1}\"><button type=\"button\" data-target=\"target-{number}\">{0}<small>{2}</small></button></td>",
        word(record.outcome),
        escape(&words),
        prose(&detail)
    );
}

fn dialog(page: &mut String, number: usize, label: &TargetLabel, entry: &Entry) {
    let record = &entry.record;
    let _ = write!(
        page,
        "<dialog id=\"target-{number}\" aria-labelledby=\"title-{number}\"><form method=\"dialog\"><button aria-label=\"close\">×</button></form>\n\
         <h2 id=\"title-{number}\">{}</h2>\n<p class=\"{1}\">{2}</p>\n<dl>",
        escape(&label.to_string()),
        word(record.outcome),
        prose(&record.why)
    );
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = write!(page, "<dt>{name}</dt><dd>{}</dd>", escape(&value));
        }
    };
    fact("image", record.image.clone().unwrap_or_default());
    fact("digest", record.digest.clone().unwrap_or_default());
    fact("source", record.source.clone().unwrap_or_default());
    fact("headers", record.headers.join("\n"));
    fact("compiler", record.compiler.clone().unwrap_or_default());
    fact("modules", record.modules.join(", "));
    fact("checks", if record.checks > 0 { record.checks.to_string() } else { String::new() });
    fact("size", if record.image_bytes > 0 { format!("{} bytes, {} of them uploaded", record.image_bytes, record.pushed_bytes) } else { String::new() });
    fact("boot", record.boot.as_ref().map(super::boot).unwrap_or_default());
    fact("attached", record.attachments.iter().map(|one| format!("{} {}", one.kind, one.digest)).collect::<Vec<_>>().join("\n"));
    fact("time", if record.seconds > 0.0 { duration(record.seconds) } else { String::new() });
    fact("phases", record.phases.iter().map(|(phase, seconds)| format!("{phase} {}", duration(*seconds))).collect::<Vec<_>>().join(", "));
    page.push_str("</dl>\n");
    if !record.findings.is_empty() {
        page.push_str("<h3>Findings</h3>\n<ul class=\"findings\">");
        for found in &record.findings {
            finding(page, found);
        }
        page.push_str("</ul>\n");
    }
    if let Some(log) = &entry.boot_log {
        let _ = writeln!(page, "<details><summary>Boot log</summary><pre>{}</pre></details>", escape(log));
    }
    if let Some(log) = &entry.log {
        let _ = writeln!(page, "<details><summary>Log</summary><pre>{}</pre></details>", escape(log));
    }
    page.push_str("</dialog>\n");
}

/// A sentence whose literals stand in backticks.
fn prose(text: &str) -> String {
    let escaped = escape(text);
    let parts: Vec<_> = escaped.split('`').collect();
    // Without its partner, a backtick is one.
    if parts.len() % 2 == 0 {
        return escaped;
    }
    parts.iter().enumerate().map(|(number, part)| if number % 2 == 1 { format!("<code>{part}</code>") } else { (*part).to_owned() }).collect()
}

fn finding(page: &mut String, found: &Finding) {
    let _ = write!(page, "<li class=\"{0}\"><b>{0}</b> <code>{1}</code> {2}", found.severity, escape(&found.check), prose(&found.message));
    for (name, value) in [("file", &found.file), ("found", &found.found), ("expected", &found.expected), ("help", &found.help)] {
        if let Some(value) = value {
            let _ = write!(page, "<br><small>{name} {}</small>", prose(value));
        }
    }
    page.push_str("</li>");
}
