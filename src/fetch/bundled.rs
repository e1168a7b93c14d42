//! Fetching into a bundle, and from one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::NamedTempFile;

use super::error::without_credentials;
use super::transfer::Request;
use super::{FetchError, Fetched, Fetcher, Problem};
use crate::bundle::{Bundle, BundleError, Draft};
use crate::env;

/// Where everything comes from.
#[derive(Clone, Debug, Default)]
pub enum Origin {
    /// The network, or the cache.
    #[default]
    Network,
    /// The network or the cache, and everything goes into a bundle besides.
    Recorded(Arc<Draft>),
    /// A bundle alone: no connection is ever opened.
    Bundle(Arc<Bundle>),
}

/// A file that was fetched to be read once.
#[derive(Debug)]
pub enum Download {
    /// Gone when this is dropped.
    Temporary(NamedTempFile),
    /// In a bundle.
    Kept(PathBuf),
}

impl Download {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(file) => file.path(),
            Self::Kept(path) => path,
        }
    }
}

impl Fetcher {
    /// The bundle that everything is taken from, if there is one.
    #[must_use]
    pub fn bundle(&self) -> Option<&Arc<Bundle>> {
        if let Origin::Bundle(bundle) = &self.options.origin { Some(bundle) } else { None }
    }

    /// Seconds since 1970 by which signatures and indexes are judged: the present, or when the bundle was filled. What had expired by then
    /// would not have been taken into it.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.bundle().map_or_else(|| env::now().as_secs(), |bundle| bundle.contents().fetched)
    }

    /// Whether everything that is used must be fetched, also what is remembered: it goes into a bundle.
    pub(crate) fn is_recording(&self) -> bool {
        matches!(self.options.origin, Origin::Recorded(_))
    }

    /// A file that is known by its digest, where a bundle is filled or taken from.
    pub(super) async fn bundled(&self, request: &Request<'_>, sha256: &str) -> Result<Option<PathBuf>, FetchError> {
        let (digest, url) = (sha256.to_owned(), without_credentials(request.official));
        match &self.options.origin {
            Origin::Network => Ok(None),
            Origin::Bundle(bundle) => {
                let bundle = bundle.clone();
                Ok(Some(blocking(move || bundle.file(&digest, &url)).await?))
            }
            Origin::Recorded(draft) => {
                let held = blocking({
                    let (draft, digest, url) = (draft.clone(), digest.clone(), url.clone());
                    move || Ok(draft.held(&digest, &url))
                });
                if let Some(path) = held.await? {
                    return Ok(Some(path));
                }
                let part = draft.part()?;
                let cached = self.cached_file(sha256);
                if cached.is_file() {
                    tokio::fs::copy(&cached, part.path()).await.map_err(|error| draft.failed(&error))?;
                } else {
                    self.save(request, Some(sha256), part.path()).await.map_err(|error| match error {
                        FetchError::Transfer { problem: Problem::Disk { problem, .. }, .. } => draft.failed_with(problem.to_string()).into(),
                        error => error,
                    })?;
                }
                Ok(Some(draft.keep(part, sha256, &url)?))
            }
        }
    }

    /// What a bundle says about a place.
    pub(super) fn bundled_digest(&self, request: &Request<'_>) -> Result<Option<String>, FetchError> {
        let Some(bundle) = self.bundle() else { return Ok(None) };
        match bundle.place(&without_credentials(request.official))? {
            Some(sha256) => Ok(Some(sha256.to_owned())),
            None => Err(request.failed(Problem::Status(404), 1)),
        }
    }

    /// What a bundle has in place of a server's answer.
    pub(super) fn bundled_answer(&self, request: &Request<'_>) -> Result<Option<Vec<u8>>, FetchError> {
        let (Some(bundle), Some(sha256)) = (self.bundle(), self.bundled_digest(request)?) else { return Ok(None) };
        let path = bundle.file(&sha256, &without_credentials(request.official))?;
        std::fs::read(&path).map(Some).map_err(|error| BundleError::Unreadable { path, reason: error.to_string() }.into())
    }

    /// Takes a server's answer into the bundle that is filled; also that there is nothing.
    pub(super) fn record_answer(&self, request: &Request<'_>, answer: &Result<Fetched, FetchError>) -> Result<(), FetchError> {
        let Origin::Recorded(draft) = &self.options.origin else { return Ok(()) };
        let url = without_credentials(request.official);
        match answer {
            Ok(fetched) => draft.answer(&url, Some(&fetched.bytes))?,
            Err(error) if error.is_missing() => draft.answer(&url, None)?,
            Err(_) => {}
        }
        Ok(())
    }

    /// Takes a file that was not known before into the bundle that is filled.
    pub(super) async fn record_digest(&self, request: &Request<'_>, sha256: &str) -> Result<(), FetchError> {
        let Origin::Recorded(draft) = &self.options.origin else { return Ok(()) };
        self.bundled(request, sha256).await?;
        draft.answer_file(&without_credentials(request.official), sha256);
        Ok(())
    }
}

/// Looks through files in a thread that may wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, BundleError> + Send + 'static) -> Result<T, FetchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        // The work does not panic, and it is not cancelled.
        Err(error) => Err(FetchError::Client(error.to_string())),
    }
}
