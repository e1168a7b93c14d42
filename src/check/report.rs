//! Findings as the one failure that a user sees.

use std::collections::BTreeMap;

use crate::error::{Exit, Failure};
use crate::finding::{Finding, Severity};

/// The failure that findings amount to: the first error in full, the others by name. `None` if there is no error.
///
/// `image` names what was checked; `consequence` is what follows for it (`nothing was pushed`).
#[must_use]
pub fn failure(findings: &[Finding], image: &str, consequence: Option<&str>) -> Option<Failure> {
    let mut errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
    let first = errors.next()?;
    let mut failure = Failure::new(Exit::CheckFailed, &first.message).id(&first.check).fact("image", image);
    for (label, value) in [("file", &first.file), ("found", &first.found), ("expected", &first.expected)] {
        if let Some(value) = value {
            failure = failure.fact(label, value);
        }
    }
    let others: Vec<_> = errors.collect();
    if !others.is_empty() {
        failure = failure.fact("also", summary(&others));
    }
    let help: Vec<_> = first.help.as_deref().into_iter().chain(consequence).collect();
    Some(if help.is_empty() { failure } else { failure.help(help.join("; ")) })
}

/// One line for each check: its first message, and how many more it has.
fn summary(findings: &[&Finding]) -> String {
    let mut checks = BTreeMap::<&str, usize>::new();
    for finding in findings {
        *checks.entry(&finding.check).or_default() += 1;
    }
    let mut lines = Vec::new();
    for finding in findings {
        if let Some(count) = checks.remove(&*finding.check) {
            let more = if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() };
            lines.push(format!("{}: {}{more}", finding.check, finding.message));
        }
    }
    lines.join("\n")
}
