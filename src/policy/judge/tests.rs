use std::path::Path;

use super::*;

fn policy(text: &str) -> Policy {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cosign/policy.yaml");
    Policy::parse(Path::new(folder), text).unwrap()
}

fn finding(check: &str, severity: Severity) -> Finding {
    Finding::new(check, severity, "it is so")
}

fn module(file: &str, license: &str) -> (String, Module) {
    let bytes = include_bytes!("../../../tests/fixtures/kmod/6.1.0-56-amd64/kmf_core.ko");
    let mut module = Module::parse(file, bytes).unwrap();
    module.info = crate::kmod::ModInfo::parse(format!("license={license}\0").as_bytes());
    (format!("/opt/lib/modules/6.1.0-56-amd64/extra/{file}"), module)
}

fn told(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| format!("{}: {} ({})", finding.check, finding.message, finding.found.as_deref().unwrap_or("-"))).collect()
}

#[test]
fn rules_change_severities_and_keep_the_reason() {
    let policy = policy(
        "checks:\n  compiler: {severity: ignore, reason: a}\n  firmware: {severity: error, reason: b}\n  depmod: {severity: warning, reason: c}\n  vermagic: {severity: error, reason: d}\n",
    );
    let findings = [("compiler", Severity::Error), ("firmware", Severity::Note), ("depmod", Severity::Error), ("vermagic", Severity::Error)];
    let judgement = Judgement::of(findings.iter().map(|(check, severity)| finding(check, *severity)).collect(), Some(&policy));
    let changed: Vec<_> = judgement
        .findings
        .iter()
        .map(|judged| (judged.finding.check.as_str(), judged.finding.severity, judged.policy.as_ref().map(|change| (change.from, change.reason.as_str()))))
        .collect();
    assert_eq!(
        changed,
        [
            ("firmware", Severity::Error, Some((Severity::Note, "b"))),
            ("vermagic", Severity::Error, None),
            ("depmod", Severity::Warning, Some((Severity::Error, "c"))),
        ]
    );
    assert_eq!(judgement.ignored.len(), 1);
    assert_eq!(judgement.ignored[0].policy, Some(Change { from: Severity::Error, reason: "a".into() }));
    assert_eq!(judgement.errors().count(), 2);
}

#[test]
fn without_a_policy_nothing_changes() {
    let judgement = Judgement::of(vec![finding("compiler", Severity::Note)], None);
    assert_eq!(judgement.findings, [Judged { finding: finding("compiler", Severity::Note), policy: None }]);
}

#[test]
fn the_licence_is_that_of_the_label_or_else_of_the_modules() {
    let policy = policy("licences: [GPL-2.0-only, MIT]\n");
    let modules = [module("a.ko", "GPL"), module("b.ko", "Dual BSD/GPL"), module("c.ko", "Proprietary")];
    assert_eq!(told(&policy.check_modules(Some("GPL-2.0-or-later"), &modules)), [""; 0]);
    assert_eq!(
        told(&policy.check_modules(Some("CDDL-1.0 AND GPL-2.0-or-later"), &modules)),
        ["policy-licence: the image has a licence that the policy does not list: `CDDL-1.0` (`CDDL-1.0 AND GPL-2.0-or-later`)"]
    );
    assert_eq!(
        told(&policy.check_modules(Some("as is"), &modules)),
        ["policy-licence: the licence of the image is not an SPDX expression: unknown term (`as is`)"]
    );
    assert_eq!(told(&policy.check_modules(None, &modules)), ["policy-licence: the licence of `c.ko` has no name in SPDX (`Proprietary`)"]);
}

#[test]
fn proprietary_modules_pass_unless_forbidden() {
    let modules = [module("a.ko", "GPL"), module("c.ko", "Proprietary")];
    assert_eq!(told(&policy("boot: false\n").check_modules(None, &modules)), [""; 0]);
    assert_eq!(
        told(&policy("proprietary: false\n").check_modules(None, &modules)),
        ["policy-proprietary: `c.ko` taints the kernel as proprietary (licence `Proprietary`)"]
    );
}

#[test]
fn a_boot_that_was_left_out_is_told() {
    assert_eq!(policy("boot: true\n").check_boot(true), None);
    assert!(policy("boot: true\n").check_boot(false).is_some_and(|finding| finding.check == "policy-boot"));
}

#[test]
fn signatures_and_documents_must_prove_something_about_this_image() {
    let policy = policy("cosign_key: cosign.pub\ndocuments: [sbom, provenance]\n");
    let mut attached = Attached { in_registry: true, ..Attached::default() };
    assert_eq!(
        told(&policy.check_attached(&attached)),
        [
            "policy-signature: the image is not signed with the policy's cosign key (no signature)",
            "policy-documents: no `sbom` is attached to the image (no sbom)",
            "policy-documents: no `provenance` is attached to the image (no provenance)"
        ]
    );
    attached.signatures = vec![Proof::OtherKey, Proof::OtherSubject, Proof::OtherKey];
    attached.documents = BTreeMap::from([(DocumentKind::Sbom, vec![Proof::OtherSubject]), (DocumentKind::Provenance, vec![Proof::Good])]);
    assert_eq!(
        told(&policy.check_attached(&attached)),
        [
            "policy-signature: the image is not signed with the policy's cosign key (signature: 2 with another key, 1 of another digest)",
            "policy-documents: no `sbom` is attached to the image (sbom: 1 of another digest)"
        ]
    );
    attached.signatures.push(Proof::Good);
    attached.documents.insert(DocumentKind::Sbom, vec![Proof::Unreadable, Proof::Good]);
    assert_eq!(told(&policy.check_attached(&attached)), [""; 0]);
    assert_eq!(policy.check_attached(&Attached::default()).len(), 3, "a layout has nothing attached");
}
