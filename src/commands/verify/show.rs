//! What is said about an image: for people, for programs, and for services that collect findings.

use serde_json::{Value, json};

use super::Report;
use crate::check;
use crate::cli::VerifyArgs;
use crate::error::{Exit, Failure, counted};
use crate::finding::{Finding, Severity};
use crate::pipeline::attach::CHECKS_PAGE;
use crate::policy::{self, Judged};
use crate::report::sarif::{Image, Outcome, Rule, sarif as log};
use crate::ui::Ui;

/// As many findings of one check are shown in full: a kernel has thousands of modules.
const SHOWN: usize = 3;
/// As many modules are named where all is well.
const NAMED: usize = 5;

/// What holds when a boot has no finding, by the checks' ids.
const BOOT_CHECKS: [(&str, &str); crate::boot::CHECKS.len()] = [
    ("boot-load", "the kernel takes every module, or gives the answer that the driver's profile declares"),
    ("boot-firmware", "the kernel finds the firmware that modules ask for"),
    ("boot-device", "the driver binds the devices that its profile declares"),
    ("boot-unload", "every module can be unloaded"),
    ("boot-kernel-log", "the kernel does not complain"),
    ("boot-kernel", "the kernel starts and runs the image's programs"),
];

pub(super) fn table(report: &Report, ui: &Ui) {
    let image = &report.image;
    let findings = &report.judgement.findings;
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let of_severity: Vec<_> = findings.iter().filter(|judged| judged.finding.severity == severity).collect();
        for (position, judged) in of_severity.iter().enumerate() {
            let before = of_severity[..position].iter().filter(|other| other.finding.check == judged.finding.check).count();
            if before < SHOWN {
                ui.finding(&with_reason(judged));
            } else if before == SHOWN {
                let all = of_severity.iter().filter(|other| other.finding.check == judged.finding.check).count();
                ui.note(&format!("{severity}[{}]: {} more; --format json has them all", judged.finding.check, all - SHOWN));
            }
        }
    }
    for judged in &report.judgement.ignored {
        let reason = judged.policy.as_ref().map(|change| change.reason.as_str()).unwrap_or_default();
        ui.note(&format!("ignored[{}]: {}; policy: {reason}", judged.finding.check, judged.finding.message));
    }
    let mut failed: Vec<&str> = report.judgement.errors().map(|judged| judged.finding.check.as_str()).collect();
    failed.dedup();
    if failed.is_empty() {
        let modules = if report.modules.len() > NAMED { format!("{} modules", report.modules.len()) } else { report.modules.join(", ") };
        let booted = report.boot.as_ref().map(|boot| format!(", booted {:.1}s", boot.seconds)).unwrap_or_default();
        ui.data(&format!("{image} ({}): {} checks passed against {}{booted} ({modules})\n", report.arch, check::CHECKS.len(), report.headers));
    } else {
        let checks = counted(failed.len(), "check");
        let mut failure = Failure::new(Exit::CheckFailed, format!("`{image}` ({}) does not pass {checks} for {}", report.arch, report.kernel));
        failure = failure.fact("failed", failed.join(", ")).fact("against", &report.headers);
        if let Some(log) = report.boot.as_ref().and_then(|boot| boot.log.as_ref()) {
            failure = failure.fact("log", log);
        }
        ui.failure(&failure);
    }
}

/// The finding, with what the policy has changed about it.
fn with_reason(judged: &Judged) -> Finding {
    let mut finding = judged.finding.clone();
    if let Some(change) = &judged.policy {
        let reason = format!("the policy has made this {} of {}: {}", article(finding.severity), article(change.from), change.reason);
        finding.help = Some(finding.help.map_or_else(|| reason.clone(), |help| format!("{help}\n{reason}")));
    }
    finding
}

fn article(severity: Severity) -> String {
    let article = if severity == Severity::Error { "an" } else { "a" };
    format!("{article} {severity}")
}

pub(super) fn json(args: &VerifyArgs, report: &Report) -> Value {
    json!({
        "image": report.image, "digest": report.digest, "arch": report.arch, "kernel": report.kernel, "headers": report.headers,
        "modules": report.modules, "checks": check::CHECKS.len(), "findings": report.judgement.findings,
        "policy": args.policy, "ignored": report.judgement.ignored, "boot": report.boot,
    })
}

/// Everything as one SARIF log.
pub(super) fn sarif(reports: &[Report]) -> Value {
    let of_checks = check::CHECKS.iter().map(|check| Rule { id: check.id, summary: check.summary, severity: check.severity });
    let others = BOOT_CHECKS.iter().chain(&policy::CHECKS).map(|(id, summary)| Rule { id, summary, severity: Severity::Error });
    let rules: Vec<_> = of_checks.chain(others).collect();
    let images: Vec<_> = reports
        .iter()
        .map(|report| {
            let counted = report.judgement.findings.iter().map(|judged| Outcome { finding: &judged.finding, accepted: None });
            let accepted = |judged: &Judged| judged.policy.as_ref().map(|change| change.reason.clone());
            let ignored = report.judgement.ignored.iter().map(|judged| Outcome { finding: &judged.finding, accepted: accepted(judged) });
            Image { name: &report.image, digest: &report.digest, arch: report.arch, kernel: report.kernel.as_str(), outcomes: counted.chain(ignored).collect() }
        })
        .collect();
    log(CHECKS_PAGE, &rules, &images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_of_a_boot_is_a_rule() {
        assert_eq!(BOOT_CHECKS.map(|(id, _)| id), crate::boot::CHECKS);
    }
}
