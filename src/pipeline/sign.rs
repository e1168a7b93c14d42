//! Signs the modules of a target, after they have passed the checks and before anything is made of them.

use std::sync::Arc;

use super::TargetError;
use crate::finding::{Finding, Severity};
use crate::image::artifacts::{Artifacts, MODULES};
use crate::image::scan::Kind;
use crate::kmm::glob_fits;
use crate::kmod::config::KernelConfig;
use crate::kmod::is_module_file;
use crate::pki::{Hash, KeyKind};
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

/// What signing leaves.
pub(super) struct Signed {
    /// The artifacts, with every module signed.
    pub(super) artifacts: Artifacts,
    /// The hash that was used.
    pub(super) hash: Hash,
    /// Says that the kernel cannot verify such signatures.
    pub(super) warning: Option<Finding>,
}

/// Signs every module, or those that `only` names by shell patterns over paths in the image. One at a time is in memory.
///
/// # Errors
/// When the kernel's hash is not supported, a module cannot be signed, or a pattern names none.
pub(super) fn sign(artifacts: &Artifacts, signing: &Signing, only: Option<&[String]>) -> Result<Signed, TargetError> {
    let config = KernelConfig::parse(&String::from_utf8_lossy(&artifacts.read("evidence/config")?));
    let hash = match signing.hash {
        Some(hash) => hash,
        None => hash_of(&config)?,
    };
    let mut signed = artifacts.clone();
    let mut unused: Vec<&String> = only.into_iter().flatten().collect();
    // Hard links are one file: signed twice, it would have two signatures by ECDSA.
    let mut places = std::collections::BTreeSet::new();
    let mut is_wanted = |path: &str| {
        unused.retain(|glob| !glob_fits(glob, path));
        only.is_none_or(|globs| globs.iter().any(|glob| glob_fits(glob, path)))
    };
    for (path, kind) in artifacts.paths(MODULES) {
        if let Kind::File { offset, .. } = kind
            && is_module_file(path)
            && is_wanted(&path[MODULES.len()..])
            && places.insert(*offset)
        {
            let bytes = sign_module(&path[MODULES.len()..], &artifacts.read(path)?, &signing.signer, Some(hash))?;
            signed.replace(path, &bytes)?;
        }
    }
    if let Some(glob) = unused.first() {
        return Err(TargetError::NothingToSign((*glob).clone()));
    }
    Ok(Signed { artifacts: signed, hash, warning: unverifiable(&config, signing.signer.certificate().key.kind) })
}

/// Kernels that insist on signatures refuse those that they have no algorithm for.
fn unverifiable(config: &KernelConfig, kind: KeyKind) -> Option<Finding> {
    if kind == KeyKind::Rsa || config.is_on("CONFIG_CRYPTO_ECDSA") {
        return None;
    }
    let finding = Finding::new("module-signature", Severity::Warning, "the kernel cannot verify the modules' signatures");
    Some(finding.differs(kind.to_string(), "`CONFIG_CRYPTO_ECDSA` in the kernel, or an RSA key").help("sign with an RSA key"))
}
