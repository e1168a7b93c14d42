//! What is attached to an image in a registry, as far as a policy asks for it.

use crate::attest::{Proof, PublicKey, cosign, has_referrer, verify};
use crate::error::{Exit, Failure};
use crate::policy::{Attached, DocumentKind, Policy};
use crate::reference::{Digest, InvalidReference, Reference};
use crate::registry::Registry;

/// As many signatures, attestations and documents are looked at: whoever may push can attach any number.
const MOST: usize = 64;

/// Looks for the signatures and documents of an image.
///
/// # Errors
/// When the registry cannot be asked.
pub(super) async fn attached(policy: &Policy, registry: &Registry, image: &str, manifest: &Digest) -> Result<Attached, Failure> {
    let reference: Reference = image.parse().map_err(|error: InvalidReference| Failure::new(Exit::Usage, error.to_string()))?;
    let search = Search { policy, registry, image: &reference, digests: digests(registry, &reference, manifest).await? };
    let mut attached = Attached { in_registry: true, ..Attached::default() };
    if let Some(key) = &policy.cosign_key {
        attached.signatures = search.signatures(key).await?;
    }
    if !policy.documents.is_empty() {
        match &policy.cosign_key {
            Some(key) => search.attestations(key, &mut attached).await?,
            None => search.documents(&mut attached).await?,
        }
    }
    Ok(attached)
}

/// The image's own digest, and that of the index through which its name leads to it: a signature of that one covers it, too.
async fn digests(registry: &Registry, reference: &Reference, manifest: &Digest) -> Result<Vec<Digest>, Failure> {
    let mut digests = vec![manifest.clone()];
    if let Some(published) = registry.published(reference).await?
        && published.images.iter().any(|image| image.digest == *manifest)
        && published.digest != *manifest
    {
        digests.push(published.digest);
    }
    Ok(digests)
}

struct Search<'a> {
    policy: &'a Policy,
    registry: &'a Registry,
    image: &'a Reference,
    digests: Vec<Digest>,
}

impl Search<'_> {
    async fn signatures(&self, key: &PublicKey) -> Result<Vec<Proof>, Failure> {
        let mut proofs = Vec::new();
        for digest in &self.digests {
            let Some(list) = self.registry.manifest(&cosign::signatures_of(self.image, digest)).await? else { continue };
            for entry in verify::layers(&list.bytes).into_iter().take(MOST) {
                let payload = self.registry.blob(self.image, &entry.digest).await?;
                proofs.push(verify::signature(key, &entry, &payload, &self.digests));
            }
        }
        Ok(proofs)
    }

    async fn attestations(&self, key: &PublicKey, attached: &mut Attached) -> Result<(), Failure> {
        for digest in &self.digests {
            let Some(list) = self.registry.manifest(&cosign::attestations_of(self.image, digest)).await? else { continue };
            for entry in verify::layers(&list.bytes).into_iter().take(MOST) {
                let envelope = self.registry.blob(self.image, &entry.digest).await?;
                let (kind, proof) = verify::attestation(key, &envelope, &self.digests);
                for wanted in self.policy.documents.iter().filter(|wanted| kind.as_deref() == Some(predicate_type(**wanted))) {
                    attached.documents.entry(*wanted).or_default().push(proof);
                }
            }
        }
        Ok(())
    }

    /// Documents that nobody need have signed: statements must be about this image, a bill of materials is attached to it.
    async fn documents(&self, attached: &mut Attached) -> Result<(), Failure> {
        for digest in &self.digests {
            let referrers = self.registry.referrers(self.image, digest).await?;
            for wanted in &self.policy.documents {
                let media_type = if *wanted == DocumentKind::Sbom { crate::attest::SPDX } else { crate::attest::IN_TOTO };
                let fitting = referrers.iter().filter(|referrer| has_referrer(std::slice::from_ref(referrer), media_type, predicate_type(*wanted)));
                for referrer in fitting.take(MOST) {
                    let proof = if *wanted == DocumentKind::Sbom { Proof::Good } else { self.statement(&referrer.digest).await? };
                    attached.documents.entry(*wanted).or_default().push(proof);
                }
            }
        }
        Ok(())
    }

    async fn statement(&self, referrer: &Digest) -> Result<Proof, Failure> {
        let by_digest = Reference { tag: None, digest: Some(referrer.clone()), ..self.image.clone() };
        let Some(manifest) = self.registry.manifest(&by_digest).await? else { return Ok(Proof::Unreadable) };
        let Some(layer) = verify::layers(&manifest.bytes).into_iter().next() else { return Ok(Proof::Unreadable) };
        Ok(verify::unsigned(&self.registry.blob(self.image, &layer.digest).await?, &self.digests))
    }
}

/// The type of the predicate that a kind of document is.
fn predicate_type(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Sbom => crate::sbom::PREDICATE_TYPE,
        DocumentKind::Provenance => crate::provenance::PREDICATE_TYPE,
        DocumentKind::Checks => crate::pipeline::attach::CHECKS_TYPE,
    }
}
