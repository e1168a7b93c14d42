//! Artifacts that refer to an image: by the referrers API (OCI distribution specification 1.1, "Listing Referrers"), and where a registry has none, by
//! the tag `sha256-<digest>` that the specification names for it. And tags with lists that several writers add to.

use reqwest::header::HeaderName;
use reqwest::{Method, StatusCode};

use crate::attest::{Artifact, Referrer};
use crate::image::manifest::{Blob, Descriptor, Index};
use crate::reference::{Digest, Reference};

use super::Registry;
use super::error::{Action, Problem, RegistryError};
use super::pull::{parse, target};
use super::push::{Content, Meter, Source, TAG_TRIES};
use super::transport::{Call, Scope, read, within};

/// A registry that handles `subject` itself answers with this.
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Lists of referrers are read into memory.
const LARGEST_LIST: usize = 4 << 20;
/// A list that does not come within so long is given up.
const STALLED: std::time::Duration = std::time::Duration::from_mins(1);

impl Registry {
    /// Attaches an artifact to the image `subject` in `image`'s repository. Attaching the same again changes nothing.
    ///
    /// # Errors
    /// When the registry refuses, fails again and again, or cannot be reached.
    pub async fn attach(&self, image: &Reference, subject: &Digest, referrer: &Referrer) -> Result<(), RegistryError> {
        let scope = Scope::new(image, Action::Push);
        self.put_blobs(&scope, &referrer.artifact).await?;
        let manifest = &referrer.artifact.manifest;
        let response = self.put_manifest(&scope, &format!("manifests/{}", manifest.digest), manifest).await?;
        if response.headers().contains_key(SUBJECT) {
            return Ok(());
        }
        let list = fallback(image, subject);
        let with_referrer = |present: Option<&Blob>| {
            let mut index = present.map_or_else(|| Ok(Index::of(Vec::new())), |document| parse::<Index>(&scope, "list of referrers", &document.bytes))?;
            if index.manifests.iter().any(|known| known.digest == manifest.digest) {
                return Ok(None);
            }
            index.manifests.push(referrer.descriptor.clone());
            index.manifests.sort_by(|a, b| a.digest.cmp(&b.digest));
            Ok(Some(Artifact { manifest: index.to_blob(), blobs: Vec::new() }))
        };
        self.update_tag(&list, with_referrer).await
    }

    /// What refers to an image; nothing when nobody knows.
    ///
    /// # Errors
    /// When the registry cannot be asked, or its answer is no index.
    pub async fn referrers(&self, image: &Reference, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let scope = Scope::new(image, Action::Pull);
        let response = self.inner.transport.send(&scope, &Call::new(Method::GET, format!("referrers/{subject}"))).await?;
        if response.status() == StatusCode::OK {
            let body = within(STALLED, read(response, LARGEST_LIST)).await.map_err(|problem| scope.error(problem))?;
            return Ok(parse::<Index>(&scope, "list of referrers", &body)?.manifests);
        }
        // Registries without the API answer 404, some of them 405 or 400 to a path that they do not know.
        let document = self.document(&scope, &target(&fallback(image, subject))).await?;
        document.map_or(Ok(Vec::new()), |document| Ok(parse::<Index>(&scope, "list of referrers", &document.bytes)?.manifests))
    }

    /// The manifest that a tag or digest names; `None` when there is none.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn manifest(&self, reference: &Reference) -> Result<Option<Blob>, RegistryError> {
        self.document(&Scope::new(reference, Action::Pull), &target(reference)).await
    }

    /// Writes what `change` makes of what a tag holds, if it makes anything; again, when another client wrote the tag at the same time.
    ///
    /// # Errors
    /// When the registry refuses, fails again and again, or others write the tag all the time.
    pub async fn update_tag(&self, tag: &Reference, change: impl Fn(Option<&Blob>) -> Result<Option<Artifact>, RegistryError>) -> Result<(), RegistryError> {
        let scope = Scope::new(tag, Action::Push);
        let lock = self.lock(tag.to_string());
        let _guard = lock.lock().await;
        for _ in 0..TAG_TRIES {
            let present = self.document(&scope, &target(tag)).await?;
            let Some(artifact) = change(present.as_ref())? else { return Ok(()) };
            self.put_blobs(&scope, &artifact).await?;
            self.put_manifest(&scope, &target(tag), &artifact.manifest).await?;
            // As with images: look whether another process won.
            if self.head_manifest(&scope, &target(tag), None).await?.is_none_or(|now| now == artifact.manifest.digest) {
                return Ok(());
            }
        }
        Err(scope.error(Problem::Unexpected(format!("others write the tag of `{tag}` all the time"))))
    }

    async fn put_blobs(&self, scope: &Scope, artifact: &Artifact) -> Result<(), RegistryError> {
        let meter = Meter::silent();
        let sources = artifact.blobs.iter().map(|blob| Source { digest: &blob.digest, size: blob.size(), content: Content::Bytes(&blob.bytes) });
        futures::future::try_join_all(sources.map(|source| self.ensure_blob(scope, source, &meter))).await.map(drop)
    }
}

/// Where the specification puts the list of referrers in a registry that keeps none ("Referrers Tag Schema").
fn fallback(image: &Reference, subject: &Digest) -> Reference {
    Reference { tag: Some(format!("sha256-{}", subject.hex())), digest: None, ..image.clone() }
}
