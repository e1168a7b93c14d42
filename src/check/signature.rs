//! Checks who signed the modules.

use std::collections::BTreeMap;

use super::{Check, Subject};
use crate::finding::Finding;
use crate::pki::Distrust;

/// Who must have signed, and whether they have.
#[derive(Clone, Debug)]
pub struct Signatures {
    /// Subject of the certificate: `CN=driver signing`.
    pub signer: String,
    /// What is wrong with the signatures of modules, by their paths in the image.
    pub faults: BTreeMap<String, Distrust>,
    /// Whom signatures name that nothing proves, by the modules' paths.
    pub unproven: BTreeMap<String, String>,
}

/// Every module was signed with the key of the certificate that was named, and not changed since.
pub(super) fn module_signature(check: &Check, subject: &Subject<'_>) -> Vec<Finding> {
    let Some(signatures) = subject.signatures else { return Vec::new() };
    let wrong = subject.modules.iter().filter_map(|(path, module)| Some((path, module, signatures.faults.get(path)?)));
    let unproven = subject.modules.iter().filter_map(|(path, module)| Some((path, module, signatures.unproven.get(path)?)));
    let unproven = unproven.map(|(path, module, name)| {
        check.note(format!("the signature of `{}` names {name}, which is not proven", module.file)).file(path).help("a certificate proves it")
    });
    let wrong = wrong.map(|(path, module, fault)| {
        let message = match fault {
            Distrust::Unsigned => format!("`{}` is not signed", module.file),
            Distrust::Mismatch => format!("`{}` was changed after it was signed, or signed with another key", module.file),
            _ => format!("`{}` was not signed by {}", module.file, signatures.signer),
        };
        let expected = format!("a signature by {}", signatures.signer);
        check.finding(message).file(path).differs(fault.to_string(), expected).help("sign it: kmodforge sign IMAGE --sign-key KEY --sign-cert FILE")
    });
    wrong.chain(unproven).collect()
}
