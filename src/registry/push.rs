//! Publishing: blobs first, then the manifest by its digest, then the index by its tag, so that a tag never points to something incomplete.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Method, Response, StatusCode, Url};
use tokio_util::io::ReaderStream;

use crate::image::manifest::{Blob, INDEX, Index, is_index};
use crate::image::{FileError, Image};
use crate::reference::{Digest, Reference};

use super::Registry;
use super::error::{Action, Problem, RegistryError};
use super::pull::{parse, target};
use super::transport::{Call, Scope};

/// An upload that moves nothing for so long is given up.
const STALLED: Duration = Duration::from_mins(2);
/// How often a tag is written again when another process wrote it at the same time.
pub(super) const TAG_TRIES: usize = 5;

/// What a push did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the image's manifest.
    pub manifest: Digest,
    /// Digest of the index that the tag points to.
    pub index: Digest,
    /// Bytes of blobs that had to be sent.
    pub uploaded_bytes: u64,
    /// Bytes that the registry took from another repository of its own.
    pub mounted_bytes: u64,
    /// Bytes that the repository had.
    pub existing_bytes: u64,
}

/// How a blob came to be in the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Uploaded,
    Mounted,
    Existing,
}

/// A blob to push, and where its bytes are.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) digest: &'a Digest,
    pub(super) size: u64,
    pub(super) content: Content<'a>,
}

#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

/// Counts what is done for an image and tells the caller.
pub(super) struct Meter<'a> {
    done: AtomicU64,
    total: u64,
    tell: &'a (dyn Fn(u64, u64) + Send + Sync),
}

impl Meter<'_> {
    /// For what is too small to be counted.
    pub(super) fn silent() -> Self {
        Self { done: AtomicU64::new(0), total: 0, tell: &|_, _| {} }
    }

    fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        (self.tell)(done.min(self.total), self.total);
    }

    /// A transfer that broke is begun again.
    fn take_back(&self, bytes: u64) {
        self.done.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Registry {
    /// Publishes an image under the tag of `reference`, beside images of other architectures that the tag has already.
    ///
    /// Blobs that the repository has are not sent, those of sibling repositories (pushed by this client) are mounted. `progress` gets bytes done and in
    /// all. When it fails, or is dropped, at any point, the tag is what it was before; running it again sends only what is missing.
    ///
    /// # Errors
    /// When the registry refuses, fails again and again, or cannot be reached; or a layer cannot be read.
    pub async fn push(&self, reference: &Reference, image: &Image, progress: &(dyn Fn(u64, u64) + Send + Sync)) -> Result<Pushed, RegistryError> {
        let scope = Scope::new(reference, Action::Push);
        let layers = image.layers.iter().map(|layer| Source { digest: &layer.digest, size: layer.size, content: Content::File(&layer.path) });
        let config = Source { digest: &image.config.digest, size: image.config.size(), content: Content::Bytes(&image.config.bytes) };
        let sources: Vec<_> = layers.chain([config]).collect();
        let meter = Meter { done: AtomicU64::new(0), total: sources.iter().map(|source| source.size).sum(), tell: progress };
        let ways = futures::future::try_join_all(sources.iter().map(|source| self.ensure_blob(&scope, *source, &meter))).await?;
        let bytes = |wanted| sources.iter().zip(&ways).filter(|(_, way)| **way == wanted).map(|(source, _)| source.size).sum();
        self.put_manifest(&scope, &format!("manifests/{}", image.manifest.digest), &image.manifest).await?;
        let index = self.put_index(&scope, reference, image).await?;
        Ok(Pushed {
            manifest: image.manifest.digest.clone(),
            index,
            uploaded_bytes: bytes(Way::Uploaded),
            mounted_bytes: bytes(Way::Mounted),
            existing_bytes: bytes(Way::Existing),
        })
    }

    /// The index that a tag points to since this client wrote it last: each architecture makes another one.
    #[must_use]
    pub fn index_of(&self, reference: &Reference) -> Option<Digest> {
        self.inner.tags.lock().unwrap_or_else(PoisonError::into_inner).get(&reference.to_string()).cloned()
    }

    /// Whether `reference`'s repository can be written to, and as whom: begins an upload and takes it back.
    ///
    /// # Errors
    /// As a push would.
    pub async fn check_push(&self, reference: &Reference) -> Result<Option<String>, RegistryError> {
        let scope = Scope::new(reference, Action::Push);
        let response = self.inner.transport.send(&scope, &Call::new(Method::POST, "blobs/uploads/")).await?;
        let location = upload_location(&scope, &self.expect(&scope, response, &[StatusCode::ACCEPTED]).await?)?;
        // An upload that cannot be taken back expires.
        let _ = self.inner.transport.send_once(&scope, &Call::new(Method::DELETE, location)).await;
        Ok(self.inner.transport.user(&scope).await)
    }

    /// Sees to it that the repository has a blob. One task at a time works on a blob, so that of many targets with the same layer one uploads it.
    pub(super) async fn ensure_blob(&self, scope: &Scope, source: Source<'_>, meter: &Meter<'_>) -> Result<Way, RegistryError> {
        let lock = self.lock(format!("{} {}", scope.host, source.digest));
        let _guard = lock.lock().await;
        let key = (scope.host.clone(), source.digest.clone());
        let siblings = self.inner.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned().unwrap_or_default();
        let way = if siblings.contains(&scope.repository) {
            Way::Existing
        } else {
            let sibling = siblings.into_iter().next();
            self.inner.transport.again(|| self.bring_blob(scope, source, sibling.as_deref(), meter)).await?
        };
        if way != Way::Uploaded {
            meter.add(source.size);
        }
        self.inner.known.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().insert(scope.repository.clone());
        Ok(way)
    }

    /// One try: look, mount, upload.
    async fn bring_blob(&self, scope: &Scope, source: Source<'_>, sibling: Option<&str>, meter: &Meter<'_>) -> Result<Way, RegistryError> {
        let transport = &self.inner.transport;
        let response = transport.send_once(scope, &Call::new(Method::HEAD, format!("blobs/{}", source.digest))).await?;
        match response.status() {
            StatusCode::OK => return Ok(Way::Existing),
            // A refusal of HEAD has no words; that of the upload has.
            StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {}
            _ => return Err(transport.failure(scope, response).await),
        }
        let mut begun = None;
        if let Some(sibling) = sibling {
            match self.mount(scope, source.digest, sibling).await {
                Some(response) if response.status() == StatusCode::CREATED => return Ok(Way::Mounted),
                // "I would rather have the bytes": the answer to an ordinary upload.
                Some(response) if response.status() == StatusCode::ACCEPTED => begun = Some(response),
                _ => {}
            }
        }
        let begun = if let Some(begun) = begun {
            begun
        } else {
            let response = transport.send_once(scope, &Call::new(Method::POST, "blobs/uploads/")).await?;
            self.expect(scope, response, &[StatusCode::ACCEPTED]).await?
        };
        self.upload(scope, source, &upload_location(scope, &begun)?, meter).await.map(|()| Way::Uploaded)
    }

    /// Asks for a blob of another repository. Whatever goes wrong, an upload can take its place.
    async fn mount(&self, scope: &Scope, digest: &Digest, sibling: &str) -> Option<Response> {
        let scope = Scope { from: Some(sibling.to_owned()), ..scope.clone() };
        let call = Call::new(Method::POST, format!("blobs/uploads/?mount={digest}&from={sibling}"));
        self.inner.transport.send_once(&scope, &call).await.inspect_err(|error| tracing::debug!(%error, "registry: cannot mount")).ok()
    }

    /// Sends a blob's bytes in one request.
    async fn upload(&self, scope: &Scope, source: Source<'_>, location: &str, meter: &Meter<'_>) -> Result<(), RegistryError> {
        let invalid = |_| scope.error(Problem::Unexpected(format!("`{location}` is no address")));
        // The base is only for addresses without a host, and is taken off again.
        let base = Url::parse("relative://registry").map_err(invalid)?;
        let mut url = base.join(location).map_err(invalid)?;
        url.query_pairs_mut().append_pair("digest", source.digest.as_str());
        let target = url.as_str().strip_prefix("relative://registry").unwrap_or(url.as_str()).to_owned();
        let call = Call::new(Method::PUT, target).header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_LENGTH, &source.size.to_string());
        let sent = Arc::new(AtomicU64::new(0));
        let body = body(scope, source, Arc::clone(&sent)).await?;
        let request = self.inner.transport.send_stream(scope, &call, body);
        let result = watch(scope, request, &sent, meter).await;
        let result = match result {
            Ok(response) if response.status() == StatusCode::CREATED => Ok(()),
            // The registry forgot the upload, or the login expired on the way: begin again.
            Ok(response) if [StatusCode::UNAUTHORIZED, StatusCode::NOT_FOUND, StatusCode::RANGE_NOT_SATISFIABLE].contains(&response.status()) => {
                Err(scope.error(Problem::Broken(format!("the upload was cut off with status {}", response.status().as_u16()))))
            }
            Ok(response) => Err(self.inner.transport.failure(scope, response).await),
            Err(error) => Err(error),
        };
        if result.is_err() {
            meter.take_back(sent.load(Ordering::Relaxed));
        }
        result
    }

    /// Writes a manifest; the registry's answer.
    pub(super) async fn put_manifest(&self, scope: &Scope, target: &str, manifest: &Blob) -> Result<Response, RegistryError> {
        let call = Call::new(Method::PUT, target).header(CONTENT_TYPE, &manifest.media_type).body(manifest.bytes.clone());
        let response = self.inner.transport.send(scope, &call).await?;
        let response = self.expect(scope, response, &[StatusCode::CREATED, StatusCode::OK]).await?;
        let stored = response.headers().get("docker-content-digest").and_then(|value| value.to_str().ok());
        if stored.is_some_and(|stored| stored != manifest.digest.as_str()) {
            return Err(scope.error(Problem::Unexpected(format!("it stored {} under another digest", manifest.digest))));
        }
        Ok(response)
    }

    /// Points the tag to an index with this image and those of other architectures that the tag has.
    async fn put_index(&self, scope: &Scope, reference: &Reference, image: &Image) -> Result<Digest, RegistryError> {
        let target = target(&Reference { digest: None, ..reference.clone() });
        let lock = self.lock(format!("{reference}"));
        let _guard = lock.lock().await;
        for _ in 0..TAG_TRIES {
            let present = self.document(scope, &target).await?;
            let index = match &present {
                Some(document) if is_index(&document.media_type, &document.bytes) => parse(scope, "index", &document.bytes)?,
                _ => Index::of(Vec::new()),
            };
            let index = index.with(image.descriptor()).to_blob();
            if present.as_ref().is_some_and(|document| document.digest == index.digest && document.media_type == INDEX) {
                return Ok(self.written(reference, index.digest));
            }
            self.put_manifest(scope, &target, &index).await?;
            // Nothing locks a tag against another process, which may push another architecture: look whether it won.
            if self.head_manifest(scope, &target, None).await?.is_none_or(|now| now == index.digest) {
                return Ok(self.written(reference, index.digest));
            }
        }
        Err(scope.error(Problem::Unexpected(format!("others write the tag of `{reference}` all the time"))))
    }

    fn written(&self, reference: &Reference, index: Digest) -> Digest {
        self.inner.tags.lock().unwrap_or_else(PoisonError::into_inner).insert(reference.to_string(), index.clone());
        index
    }

    pub(super) fn lock(&self, name: String) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.inner.locks.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default())
    }
}

fn upload_location(scope: &Scope, response: &Response) -> Result<String, RegistryError> {
    let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
    location.map(str::to_owned).ok_or_else(|| scope.error(Problem::Unexpected("an upload without `Location`".into())))
}

/// A body that counts what is taken from it.
async fn body(scope: &Scope, source: Source<'_>, sent: Arc<AtomicU64>) -> Result<Body, RegistryError> {
    match source.content {
        Content::Bytes(bytes) => {
            sent.store(source.size, Ordering::Relaxed);
            Ok(bytes.to_vec().into())
        }
        Content::File(path) => {
            let file = tokio::fs::File::open(path).await.map_err(|error| scope.error(FileError { path: path.to_owned(), source: error }))?;
            let chunks = ReaderStream::with_capacity(file, 1 << 16);
            Ok(Body::wrap_stream(chunks.inspect(move |chunk| {
                sent.fetch_add(chunk.as_ref().map_or(0, |bytes| bytes.len() as u64), Ordering::Relaxed);
            })))
        }
    }
}

/// Waits for the answer to an upload, tells about its progress, and gives up when nothing moves any more.
async fn watch(
    scope: &Scope,
    request: impl Future<Output = Result<Response, RegistryError>>,
    sent: &AtomicU64,
    meter: &Meter<'_>,
) -> Result<Response, RegistryError> {
    let mut request = std::pin::pin!(request);
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let (mut told, mut moved) = (0, tokio::time::Instant::now());
    loop {
        let answer = tokio::select! {
            answer = &mut request => Some(answer),
            _ = ticks.tick() => None,
        };
        let now = sent.load(Ordering::Relaxed);
        if now > told {
            meter.add(now - told);
            (told, moved) = (now, tokio::time::Instant::now());
        }
        match answer {
            Some(answer) => return answer,
            None if moved.elapsed() > STALLED => {
                return Err(scope.error(Problem::Broken(format!("nothing moved for {} s", STALLED.as_secs()))));
            }
            None => {}
        }
    }
}
