//! Reading: what a tag holds, what an image is made of, and its layers.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, LINK};
use reqwest::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::arch::Arch;
use crate::image::contents::StoredImage;
use crate::image::manifest::{Blob, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, INDEX, Index, MANIFEST, Manifest, is_index};
use crate::image::{FileError, INPUT_DIGEST};
use crate::reference::{Digest, Hashing, Reference};

use super::Registry;
use super::error::{Action, Problem, RegistryError};
use super::transport::{Call, Scope, read, within};

/// Manifests and configurations are read into memory; registries refuse larger ones, too.
const LARGEST_DOCUMENT: usize = 4 << 20;
/// So are documents that are attached to images; bills of materials can be long.
const LARGEST_BLOB: usize = 16 << 20;
/// A download that gets nothing for so long is given up.
const STALLED: Duration = Duration::from_mins(1);
/// How long the digest of a base image may take: it is welcome, not needed.
const RESOLVE: Duration = Duration::from_secs(5);

/// What a tag holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Digest that the tag points to: of an index, or of the only manifest.
    pub digest: Digest,
    /// One entry per image.
    pub images: Vec<PublishedImage>,
}

/// One image under a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedImage {
    /// What it runs on; `None` for architectures that kmodforge does not build for, and for images without an index.
    pub arch: Option<Arch>,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of what it was made from, if kmodforge made it.
    pub input_digest: Option<String>,
    /// Everything that the index says about it.
    pub annotations: BTreeMap<String, String>,
}

impl Published {
    /// The image for an architecture; a tag without an index is taken as it is.
    #[must_use]
    pub fn image(&self, arch: Arch) -> Option<&PublishedImage> {
        self.images.iter().find(|image| image.arch == Some(arch))
    }

    fn new(document: &Blob) -> Result<Self, serde_json::Error> {
        let image = |arch, digest: &Digest, annotations: BTreeMap<String, String>| PublishedImage {
            arch,
            digest: digest.clone(),
            input_digest: annotations.get(INPUT_DIGEST).cloned(),
            annotations,
        };
        let images = if is_index(&document.media_type, &document.bytes) {
            let index: Index = serde_json::from_slice(&document.bytes)?;
            let arch = |descriptor: &Descriptor| Arch::ALL.into_iter().find(|arch| descriptor.platform.as_ref().is_some_and(|platform| platform.is(*arch)));
            index.manifests.into_iter().map(|descriptor| image(arch(&descriptor), &descriptor.digest, descriptor.annotations)).collect()
        } else {
            let manifest: Manifest = serde_json::from_slice(&document.bytes)?;
            vec![image(None, &document.digest, manifest.annotations)]
        };
        Ok(Self { digest: document.digest.clone(), images })
    }
}

impl Registry {
    /// What `reference` holds, in one request; `None` when there is no such tag.
    ///
    /// # Errors
    /// When the registry cannot be asked or its answer is no manifest.
    pub async fn published(&self, reference: &Reference) -> Result<Option<Published>, RegistryError> {
        let scope = Scope::new(reference, Action::Pull);
        let Some(document) = self.document(&scope, &target(reference)).await? else { return Ok(None) };
        Published::new(&document).map(Some).map_err(|error| scope.error(Problem::Unexpected(format!("`{reference}` is no manifest: {error}"))))
    }

    /// The digest that `reference` points to, asked once and for a short time; `None` when there is no such tag.
    ///
    /// # Errors
    /// When the registry does not answer within 5 seconds, or not with a digest.
    pub async fn resolve(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        let scope = Scope::new(reference, Action::Pull);
        self.head_manifest(&scope, &target(reference), Some(RESOLVE)).await
    }

    /// Manifest and configuration of the image for `arch`; `None` when there is no such tag or no image for that architecture under it.
    ///
    /// # Errors
    /// When the registry cannot be asked, or a document is missing or damaged.
    pub async fn image(&self, reference: &Reference, arch: Arch) -> Result<Option<StoredImage>, RegistryError> {
        let scope = Scope::new(reference, Action::Pull);
        let Some(mut document) = self.document(&scope, &target(reference)).await? else { return Ok(None) };
        if is_index(&document.media_type, &document.bytes) {
            let index: Index = parse(&scope, "index", &document.bytes)?;
            let Some(descriptor) = index.find(arch) else { return Ok(None) };
            let missing = || scope.error(Problem::NotFound { answer: format!("manifest {}", descriptor.digest) });
            document = self.document(&scope, &format!("manifests/{}", descriptor.digest)).await?.ok_or_else(missing)?;
        }
        let manifest: Manifest = parse(&scope, "manifest", &document.bytes)?;
        let response = self.get_blob(&scope, &manifest.config.digest).await?;
        let bytes = within(STALLED, read(response, LARGEST_DOCUMENT)).await.map_err(|problem| scope.error(problem))?;
        check(&scope, &manifest.config.digest, Digest::of(&bytes))?;
        let config: crate::image::manifest::Config = parse(&scope, "configuration", &bytes)?;
        let Blob { digest, bytes: manifest_json, .. } = document;
        Ok((config.architecture == arch.oci()).then_some(StoredImage { digest, manifest, config, manifest_json, config_json: bytes }))
    }

    /// Fetches a blob into a file and checks its digest; a broken transfer is begun again.
    ///
    /// # Errors
    /// When the registry does not have it, sends something else, or the file cannot be written.
    pub async fn download(&self, reference: &Reference, blob: &Descriptor, to: &Path) -> Result<(), RegistryError> {
        let scope = Scope::new(reference, Action::Pull);
        self.inner.transport.again(|| self.download_once(&scope, blob, to)).await
    }

    async fn download_once(&self, scope: &Scope, blob: &Descriptor, to: &Path) -> Result<(), RegistryError> {
        let mut response = self.get_blob(scope, &blob.digest).await?;
        let at = |error| scope.error(FileError { path: to.to_owned(), source: error });
        let mut file = Hashing::new(std::fs::File::create(to).map_err(at)?);
        while let Some(chunk) = within(STALLED, response.chunk()).await.map_err(|problem| scope.error(problem))? {
            file.write_all(&chunk).map_err(at)?;
            if file.length > blob.size {
                return Err(scope.error(Problem::Unexpected(format!("a blob of {} bytes has more", blob.size))));
            }
        }
        check(scope, &blob.digest, file.digest())
    }

    /// The bytes of a small blob of `reference`'s repository, checked against its digest.
    ///
    /// # Errors
    /// When the registry does not have it, or sends something else or more than 16 MiB.
    pub async fn blob(&self, reference: &Reference, blob: &Digest) -> Result<Vec<u8>, RegistryError> {
        let scope = Scope::new(reference, Action::Pull);
        let response = self.get_blob(&scope, blob).await?;
        let bytes = within(STALLED, read(response, LARGEST_BLOB)).await.map_err(|problem| scope.error(problem))?;
        check(&scope, blob, Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Every tag of a repository, in the registry's order; none when there is no such repository.
    ///
    /// # Errors
    /// When the registry cannot be asked.
    pub async fn tags(&self, reference: &Reference) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let scope = Scope::new(reference, Action::Pull);
        let (mut tags, mut next) = (Vec::new(), Some("tags/list?n=1000".to_owned()));
        while let Some(page) = next {
            let response = self.inner.transport.send(&scope, &Call::new(Method::GET, page)).await?;
            if response.status() == StatusCode::NOT_FOUND {
                break;
            }
            let response = self.expect(&scope, response, &[StatusCode::OK]).await?;
            next = next_page(&response);
            let body = within(STALLED, read(response, LARGEST_DOCUMENT)).await.map_err(|problem| scope.error(problem))?;
            tags.extend(parse::<Page>(&scope, "list of tags", &body)?.tags.unwrap_or_default());
        }
        Ok(tags)
    }

    /// A manifest or index with its media type; `None` on 404.
    pub(super) async fn document(&self, scope: &Scope, target: &str) -> Result<Option<Blob>, RegistryError> {
        let response = self.inner.transport.send(scope, &accepting(Call::new(Method::GET, target))).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.expect(scope, response, &[StatusCode::OK]).await?;
        let media_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim().to_owned();
        let bytes = within(STALLED, read(response, LARGEST_DOCUMENT)).await.map_err(|problem| scope.error(problem))?;
        let document = Blob::new(&media_type, bytes);
        if let Some(digest) = target.rsplit('/').next().and_then(|name| name.parse().ok()) {
            check(scope, &digest, document.digest.clone())?;
        }
        Ok(Some(document))
    }

    /// The digest of a manifest; `None` on 404. With a time limit there is one try.
    pub(super) async fn head_manifest(&self, scope: &Scope, target: &str, limit: Option<Duration>) -> Result<Option<Digest>, RegistryError> {
        let transport = &self.inner.transport;
        let call = accepting(Call::new(Method::HEAD, target));
        let response = match limit {
            Some(limit) => within(limit, transport.send_once(scope, &call.timeout(limit))).await.map_err(|problem| scope.error(problem))?,
            None => transport.send(scope, &call).await?,
        };
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = self.expect(scope, response, &[StatusCode::OK]).await?;
        let digest = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok()?.parse().ok());
        digest.map(Some).ok_or_else(|| scope.error(Problem::Unexpected("a manifest without `Docker-Content-Digest`".into())))
    }

    async fn get_blob(&self, scope: &Scope, digest: &Digest) -> Result<Response, RegistryError> {
        let response = self.inner.transport.send(scope, &Call::new(Method::GET, format!("blobs/{digest}"))).await?;
        self.expect(scope, response, &[StatusCode::OK]).await
    }

    /// The answer, if its status is one of these.
    pub(super) async fn expect(&self, scope: &Scope, response: Response, wanted: &[StatusCode]) -> Result<Response, RegistryError> {
        if wanted.contains(&response.status()) { Ok(response) } else { Err(self.inner.transport.failure(scope, response).await) }
    }
}

impl From<RegistryError> for Problem {
    /// For time limits around whole requests: keeps the reason, and the caller names the registry again.
    fn from(error: RegistryError) -> Self {
        error.problem
    }
}

fn accepting(call: Call) -> Call {
    call.header(ACCEPT, &[INDEX, MANIFEST, DOCKER_LIST, DOCKER_MANIFEST].join(", "))
}

/// Where a reference's manifest is; without tag and digest it is Docker's `latest`.
pub(super) fn target(reference: &Reference) -> String {
    match (&reference.digest, &reference.tag) {
        (Some(digest), _) => format!("manifests/{digest}"),
        (None, tag) => format!("manifests/{}", tag.as_deref().unwrap_or("latest")),
    }
}

/// `<address>; rel="next"` (RFC 5988).
fn next_page(response: &Response) -> Option<String> {
    let link = response.headers().get(LINK)?.to_str().ok()?;
    let (address, relation) = link.split_once(';')?;
    relation.contains("next").then(|| address.trim().trim_start_matches('<').trim_end_matches('>').to_owned())
}

fn check(scope: &Scope, expected: &Digest, found: Digest) -> Result<(), RegistryError> {
    if *expected == found { Ok(()) } else { Err(scope.error(Problem::WrongDigest { expected: expected.clone(), found })) }
}

pub(super) fn parse<T: DeserializeOwned>(scope: &Scope, what: &str, bytes: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|error| scope.error(Problem::Unexpected(format!("{what}: {error}"))))
}
