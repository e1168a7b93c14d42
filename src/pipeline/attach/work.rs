//! Attaching, step by step.

use std::collections::{BTreeMap, VecDeque};

use super::CHECKS_TYPE;
use crate::attest::cosign::{Entry, attestations_of, envelopes, signatures_of, with_entries};
use crate::attest::{Document, SigningKey, Statement, Subject};
use crate::image::assemble::Image;
use crate::image::manifest::{Index, is_index};
use crate::provenance;
use crate::record::Attachment;
use crate::reference::{Digest, Reference};
use crate::registry::{Registry, RegistryError};
use crate::sbom;

/// What an index says about the images in it.
const OF_INDEX: [&str; 3] = [sbom::PREDICATE_TYPE, provenance::PREDICATE_TYPE, CHECKS_TYPE];

/// Attaching, and how far it has come.
pub(super) struct Work<'a> {
    registry: &'a Registry,
    image: &'a Reference,
    key: Option<&'a SigningKey>,
    pub(super) done: Vec<Attachment>,
    /// Steps that are still to be done.
    pub(super) missing: VecDeque<&'static str>,
    /// The index that was signed.
    pub(super) index: Option<Digest>,
}

impl<'a> Work<'a> {
    pub(super) fn new(registry: &'a Registry, image: &'a Reference, key: Option<&'a SigningKey>, statements: &[(Document, Option<Statement>)]) -> Self {
        let signed = key.iter().flat_map(|_| ["attestations", "attestations of the index", "signatures"]);
        let missing = statements.iter().map(|(document, _)| document.kind).chain(signed).collect();
        Self { registry, image, key, done: Vec::new(), missing, index: None }
    }

    /// The image's own signature is the very last: it says that the index, too, has everything that it is to have for this image.
    pub(super) async fn all(&mut self, image: &Image, statements: &[(Document, Option<Statement>)]) -> Result<(), RegistryError> {
        let manifest = &image.manifest.digest;
        for (document, _) in statements {
            let referrer = document.referrer(&image.manifest.descriptor());
            self.registry.attach(self.image, manifest, &referrer).await?;
            self.done(document.kind, &document.blob.media_type, &referrer.descriptor.digest);
            self.missing.pop_front();
        }
        let Some(key) = self.key else { return Ok(()) };
        let own: Vec<_> = statements.iter().filter_map(|(_, statement)| statement.clone()).collect();
        self.attest(manifest, &own, key).await?;
        self.missing.pop_front();
        let index = self.attest_index(manifest, &own, key).await?;
        self.missing.pop_front();
        for digest in index.iter().chain([manifest]) {
            let signature = Entry::signature(self.image, digest, key);
            self.add(&signatures_of(self.image, digest), std::slice::from_ref(&signature)).await?;
            self.done("signature", signature.media_type(), signature.digest());
        }
        self.index = index;
        self.missing.pop_front();
        Ok(())
    }

    /// Says of the index that the tag points to what was said of each image in it; its digest, unless this image has left it.
    ///
    /// What this key has signed about the other images is signed again for the index; what others have signed is theirs to say.
    async fn attest_index(&mut self, manifest: &Digest, own: &[Statement], key: &SigningKey) -> Result<Option<Digest>, RegistryError> {
        let tag = Reference { digest: None, ..self.image.clone() };
        let Some(document) = self.registry.manifest(&tag).await?.filter(|document| is_index(&document.media_type, &document.bytes)) else {
            return Ok(None);
        };
        let images = serde_json::from_slice::<Index>(&document.bytes).map(|index| index.manifests).unwrap_or_default();
        if !images.iter().any(|image| image.digest == *manifest) {
            return Ok(None);
        }
        let mut about = Vec::new();
        for image in images {
            let statements = if image.digest == *manifest { own.to_vec() } else { self.statements_of(&image.digest, key).await? };
            about.extend(statements.into_iter().map(|statement| {
                let subject = |digest: &Digest| Subject { name: self.image.name(), digest: digest.clone() };
                Statement { subjects: vec![subject(&document.digest), subject(&image.digest)], ..statement }
            }));
        }
        self.attest(&document.digest, &about, key).await?;
        Ok(Some(document.digest))
    }

    /// What this key has signed about an image, the newest of each kind.
    async fn statements_of(&self, digest: &Digest, key: &SigningKey) -> Result<Vec<Statement>, RegistryError> {
        let place = attestations_of(self.image, digest);
        let Some(document) = self.registry.manifest(&place).await? else { return Ok(Vec::new()) };
        let mut newest = BTreeMap::new();
        for envelope in envelopes(&document.bytes) {
            let bytes = self.registry.blob(self.image, &envelope.digest).await?;
            if let Some(statement) = Statement::opened(&bytes, &key.public()).filter(|statement| statement.is_about(digest)) {
                newest.insert(statement.predicate_type.clone(), statement);
            }
        }
        Ok(OF_INDEX.iter().filter_map(|kind| newest.remove(*kind)).collect())
    }

    async fn attest(&mut self, digest: &Digest, statements: &[Statement], key: &SigningKey) -> Result<(), RegistryError> {
        let entries: Vec<_> = statements.iter().map(|statement| Entry::attestation(statement, key)).collect();
        self.add(&attestations_of(self.image, digest), &entries).await?;
        for entry in &entries {
            self.done("attestation", entry.media_type(), entry.digest());
        }
        Ok(())
    }

    async fn add(&self, tag: &Reference, entries: &[Entry]) -> Result<(), RegistryError> {
        self.registry.update_tag(tag, |present| Ok(with_entries(present.map(|document| document.bytes.as_slice()), entries))).await
    }

    fn done(&mut self, kind: &str, media_type: &str, digest: &Digest) {
        self.done.push(Attachment { kind: kind.to_owned(), media_type: media_type.to_owned(), digest: digest.to_string() });
    }
}
