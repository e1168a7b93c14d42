//! What became of targets, for people and for CI systems: one page that needs nothing else, and `JUnit`'s XML.
//!
//! Records come from anywhere, and logs hold what compilers and sources say: nothing of them is markup.

mod html;
mod junit;
pub mod sarif;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::record::{BootRecord, Outcome, Record, TargetLabel, TargetRecord};

pub use html::page;
pub use junit::junit;

/// One target of the report.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What the record says.
    pub record: TargetRecord,
    /// The end of its build log, if it can be read.
    pub log: Option<String>,
    /// The end of what the kernel said, if it was booted.
    pub boot_log: Option<String>,
}

/// Targets of one or several runs, each once.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// By target.
    pub entries: BTreeMap<TargetLabel, Entry>,
    /// When the latest of the runs began, in seconds since 1970.
    pub started: u64,
    /// Programs that wrote the records, each once.
    pub tools: Vec<String>,
}

impl Report {
    /// Puts records together. Where several speak of a target, the run that began last is right. `log` gives the end of a log by the name in the record.
    #[must_use]
    pub fn of(mut records: Vec<Record>, log: &dyn Fn(&str) -> Option<String>) -> Self {
        records.sort_by_key(|record| record.started);
        let mut report = Self::default();
        for record in records {
            report.started = report.started.max(record.started);
            if !report.tools.contains(&record.tool) {
                report.tools.push(record.tool);
            }
            for target in record.targets {
                let of_boot = target.boot.as_ref().and_then(|boot| boot.log.as_deref());
                let (log, boot_log) = (target.log.as_deref().and_then(log), of_boot.and_then(log));
                report.entries.insert(target.target.clone(), Entry { record: target, log, boot_log });
            }
        }
        report
    }

    /// How many targets ended in a way.
    fn count(&self, outcome: Outcome) -> usize {
        self.entries.values().filter(|entry| entry.record.outcome == outcome).count()
    }
}

/// Every way to end, worst first.
const OUTCOMES: [Outcome; 6] = [Outcome::Failed, Outcome::Rejected, Outcome::Cancelled, Outcome::Unsupported, Outcome::Built, Outcome::Published];

/// A word for an outcome: also the page's CSS class.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Built => "built",
        Outcome::Published => "published",
        Outcome::Unsupported => "unsupported",
        Outcome::Rejected => "rejected",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
        Outcome::Fetched => "fetched",
    }
}

/// A text without anything that HTML or XML would read as markup, nor characters that XML 1.0 does not have.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(c),
            c if c.is_control() || ('\u{fffe}'..='\u{ffff}').contains(&c) => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// What a boot has shown: `tcg in 6.2 s: loaded spl, zfs; taint 4097`.
fn boot(boot: &BootRecord) -> String {
    let beside = if boot.together_with.is_empty() { String::new() } else { format!(" together with {}", boot.together_with.join(", ")) };
    let loaded = if boot.loaded.is_empty() { "nothing".to_owned() } else { boot.loaded.join(", ") };
    let mut text = format!("{} in {}{beside}: loaded {loaded}", boot.accelerator, duration(boot.seconds));
    if !boot.bound.is_empty() {
        let _ = write!(text, "; bound {}", boot.bound.join(", "));
    }
    if let Some(taint) = boot.taint {
        let _ = write!(text, "; taint {taint}");
    }
    text
}

/// Seconds as people read them: `9.8 s`, `3 min 20 s`.
fn duration(seconds: f64) -> String {
    if seconds < 60.0 { format!("{seconds:.1} s") } else { format!("{} min {:.0} s", (seconds / 60.0).floor(), (seconds % 60.0).floor()) }
}

#[cfg(test)]
mod tests;
