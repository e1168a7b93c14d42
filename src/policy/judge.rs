//! What a policy makes of findings, and what it finds itself.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{DocumentKind, Policy, licence};
use crate::attest::Proof;
use crate::finding::{Finding, Severity};
use crate::kmod::Module;

/// A finding, after the policy has been asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// The finding, as severe as the policy has it.
    #[serde(flatten)]
    pub finding: Finding,
    /// What the policy has changed about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Change>,
}

/// What a policy has changed about a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// How severe it was.
    pub from: Severity,
    /// Why it is so no more, in the policy's words.
    pub reason: String,
}

/// Findings, and those that the policy does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What counts, the most severe first.
    pub findings: Vec<Judged>,
    /// What does not count.
    pub ignored: Vec<Judged>,
}

impl Judgement {
    /// Judges findings; without a policy they stay as they are.
    #[must_use]
    pub fn of(findings: Vec<Finding>, policy: Option<&Policy>) -> Self {
        let mut judgement = Self::default();
        for finding in findings {
            let rule = policy.and_then(|policy| policy.checks.get(&finding.check));
            let from = finding.severity;
            let changed = |reason: &str| Some(Change { from, reason: reason.to_owned() });
            match rule.map(|rule| (rule.severity.severity(), rule.reason.as_str())) {
                Some((None, reason)) => judgement.ignored.push(Judged { finding, policy: changed(reason) }),
                Some((Some(severity), reason)) if severity != from => {
                    judgement.findings.push(Judged { finding: Finding { severity, ..finding }, policy: changed(reason) });
                }
                _ => judgement.findings.push(Judged { finding, policy: None }),
            }
        }
        judgement.findings.sort_by_key(|judged| std::cmp::Reverse(judged.finding.severity));
        judgement
    }

    /// The findings that keep the image from passing.
    pub fn errors(&self) -> impl Iterator<Item = &Judged> {
        self.findings.iter().filter(|judged| judged.finding.severity == Severity::Error)
    }
}

/// What is attached to an image, as far as a policy asks for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attached {
    /// Whether the image is in a registry, where something can be attached to it.
    pub in_registry: bool,
    /// What each signature proves.
    pub signatures: Vec<Proof>,
    /// What each document proves, by its kind.
    pub documents: BTreeMap<DocumentKind, Vec<Proof>>,
}

fn error(check: &str, message: impl Into<String>) -> Finding {
    Finding::new(check, Severity::Error, message)
}

impl Policy {
    /// Whether something must be known that only a registry tells.
    #[must_use]
    pub fn asks_registry(&self) -> bool {
        self.cosign_key.is_some() || !self.documents.is_empty()
    }

    /// What is wrong with the licences of an image. `label` is what the image says about all of its modules.
    #[must_use]
    pub fn check_modules(&self, label: Option<&str>, modules: &[(String, Module)]) -> Vec<Finding> {
        let mut findings: Vec<_> = match label {
            Some(expression) => self.licence(expression, "the image").into_iter().collect(),
            None => modules.iter().filter_map(|(path, module)| Some(self.licence_of(module)?.file(path))).collect(),
        };
        if !self.proprietary {
            let proprietary = modules.iter().filter(|(_, module)| !module.info.is_gpl_compatible());
            findings.extend(proprietary.map(|(path, module)| {
                let license = module.info.license().unwrap_or("none");
                let finding = error("policy-proprietary", format!("`{}` taints the kernel as proprietary", module.file));
                finding.file(path).differs(format!("licence `{license}`"), "one that is compatible with the GPL")
            }));
        }
        findings
    }

    fn licence_of(&self, module: &Module) -> Option<Finding> {
        let allowed = self.licences.as_ref()?;
        let license = module.info.license().unwrap_or("none");
        match licence::of_module(license) {
            Some(expression) => self.licence(expression, &format!("`{}`", module.file)),
            None => Some(
                error("policy-licence", format!("the licence of `{}` has no name in SPDX", module.file))
                    .differs(format!("`{license}`"), names(allowed))
                    .help("label the image: org.opencontainers.image.licenses=LicenseRef-NAME"),
            ),
        }
    }

    fn licence(&self, expression: &str, what: &str) -> Option<Finding> {
        let allowed = self.licences.as_ref()?;
        match licence::missing(expression, allowed) {
            Ok(missing) if missing.is_empty() => None,
            Ok(missing) => {
                let missing: Vec<_> = missing.iter().map(|licence| format!("`{licence}`")).collect();
                let finding = error("policy-licence", format!("{what} has a licence that the policy does not list: {}", missing.join(", ")));
                Some(finding.differs(format!("`{expression}`"), names(allowed)))
            }
            Err(reason) => {
                let finding = error("policy-licence", format!("the licence of {what} is not an SPDX expression: {reason}"));
                Some(finding.differs(format!("`{}`", expression.escape_debug()), names(allowed)))
            }
        }
    }

    /// What is wrong if the kernel was not booted.
    #[must_use]
    pub fn check_boot(&self, booted: bool) -> Option<Finding> {
        (self.boot && !booted).then(|| error("policy-boot", "the kernel was not booted with the image, which the policy demands").help("leave out --no-boot"))
    }

    /// What is wrong with the signatures and documents of an image.
    #[must_use]
    pub fn check_attached(&self, attached: &Attached) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.cosign_key.is_some() && !attached.signatures.contains(&Proof::Good) {
            let finding = error("policy-signature", "the image is not signed with the policy's cosign key");
            let help = "sign it: kmodforge build --cosign-key KEY, or cosign sign --key KEY IMAGE@DIGEST";
            findings.push(finding.differs(found(attached.in_registry, &attached.signatures, "signature"), "one with this key, of this digest").help(help));
        }
        for kind in &self.documents {
            let proofs = attached.documents.get(kind).map(Vec::as_slice).unwrap_or_default();
            if !proofs.contains(&Proof::Good) {
                let finding = error("policy-documents", format!("no `{kind}` is attached to the image"));
                let expected = if self.cosign_key.is_some() { "one that is signed with this key, about this digest" } else { "one about this digest" };
                findings.push(finding.differs(found(attached.in_registry, proofs, kind.to_string().as_str()), expected));
            }
        }
        findings
    }
}

fn names(allowed: &[licence::Licence]) -> String {
    allowed.iter().map(|licence| format!("`{licence}`")).collect::<Vec<_>>().join(", ")
}

/// `1 signature with another key, 2 of another digest`.
fn found(in_registry: bool, proofs: &[Proof], what: &str) -> String {
    if !in_registry {
        return "the image is a file, to which nothing can be attached: name it in a registry".to_owned();
    }
    let kinds = [(Proof::OtherKey, "with another key"), (Proof::OtherSubject, "of another digest"), (Proof::Unreadable, "that cannot be read")];
    let counts: Vec<_> = kinds
        .iter()
        .filter_map(|(kind, words)| match proofs.iter().filter(|proof| *proof == kind).count() {
            0 => None,
            count => Some(format!("{count} {words}")),
        })
        .collect();
    if counts.is_empty() { format!("no {what}") } else { format!("{what}: {}", counts.join(", ")) }
}

#[cfg(test)]
#[path = "judge/tests.rs"]
mod tests;
