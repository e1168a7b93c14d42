//! Which published images lack something.

use super::CHECKS_TYPE;
use crate::attest::cosign::{is_signed, signatures_of};
use crate::attest::{IN_TOTO, PublicKey, SPDX, has_referrer};
use crate::provenance;
use crate::reference::{Digest, Reference};
use crate::registry::{Registry, RegistryError};
use crate::sbom;

/// What a published image must have.
#[derive(Clone, Debug)]
pub struct Expected {
    /// A bill of materials.
    pub sbom: bool,
    /// Provenance.
    pub provenance: bool,
    /// Signatures by this key.
    pub key: Option<PublicKey>,
}

/// What a published image and the index that its tag points to lack; `None` if they have everything.
///
/// The signatures are the last that a run attaches, so where they are, attestations are.
///
/// # Errors
/// When the registry cannot be asked.
pub async fn missing_of(
    registry: &Registry,
    image: &Reference,
    manifest: &Digest,
    index: &Digest,
    expected: &Expected,
) -> Result<Option<&'static str>, RegistryError> {
    if let Some(key) = &expected.key {
        for digest in [manifest, index] {
            match registry.manifest(&signatures_of(image, digest)).await? {
                None => return Ok(Some("not signed yet")),
                Some(document) if !is_signed(&document.bytes, image, digest, key) => return Ok(Some("not signed with this key")),
                Some(_) => {}
            }
        }
    }
    let referrers = registry.referrers(image, manifest).await?;
    let has = |artifact_type, predicate_type| has_referrer(&referrers, artifact_type, predicate_type);
    Ok(if expected.sbom && !has(SPDX, sbom::PREDICATE_TYPE) {
        Some("has no bill of materials")
    } else if expected.provenance && !has(IN_TOTO, provenance::PREDICATE_TYPE) {
        Some("has no provenance")
    } else if !has(IN_TOTO, CHECKS_TYPE) {
        Some("has no report of checks")
    } else {
        None
    })
}
