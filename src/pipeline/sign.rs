//! Signs the modules of a target, after they have passed the checks and before anything is made of them.

use std::sync::Arc;

use super::TargetError;
use crate::image::artifacts::{Artifacts, MODULES};
use crate::image::scan::Kind;
use crate::kmod::config::KernelConfig;
use crate::kmod::is_module_file;
use crate::pki::Hash;
use crate::record::SignerRecord;
use crate::sign::{hash_of, sign_module};
use crate::signer::Signer;

/// Who signs, and with which hash if not the kernel's own.
#[derive(Clone, Debug)]
pub struct Signing {
    /// Who signs.
    pub signer: Arc<Signer>,
    /// In place of what the kernel's configuration names.
    pub hash: Option<Hash>,
}

impl Signing {
    /// What the record and the image say about the signer.
    #[must_use]
    pub fn describe(&self, hash: Hash) -> SignerRecord {
        let certificate = self.signer.certificate();
        SignerRecord {
            subject: certificate.subject.clone(),
            serial: certificate.serial_text(),
            key_id: certificate.key_id.as_deref().map(crate::pki::colons),
            certificate: certificate.fingerprint.to_string(),
            hash: hash.to_string(),
        }
    }
}

/// The artifacts with every module signed, and the hash that was used. One module at a time is in memory.
///
/// # Errors
/// When the kernel's hash is not supported, or a module cannot be signed.
pub(super) fn sign(artifacts: &Artifacts, signing: &Signing) -> Result<(Artifacts, Hash), TargetError> {
    let hash = match signing.hash {
        Some(hash) => hash,
        None => hash_of(&KernelConfig::parse(&String::from_utf8_lossy(&artifacts.read("evidence/config")?)))?,
    };
    let mut signed = artifacts.clone();
    // Hard links are one file: signed twice, it would have two signatures by ECDSA.
    let mut places = std::collections::BTreeSet::new();
    for (path, kind) in artifacts.paths(MODULES) {
        if let Kind::File { offset, .. } = kind
            && is_module_file(path)
            && places.insert(*offset)
        {
            let bytes = sign_module(&path[MODULES.len()..], &artifacts.read(path)?, &signing.signer, Some(hash))?;
            signed.replace(path, &bytes)?;
        }
    }
    Ok((signed, hash))
}
