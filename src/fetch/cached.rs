//! Indexes: fetched again only when they have changed.

use http::header::{ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use serde::{Deserialize, Serialize};

use super::transfer::{Answer, Request};
use super::{FetchError, Fetcher, Kind, sha256};
use crate::env;

/// The largest index that is taken, in bytes. Debian's `InRelease` has 0.2 MB.
const LIMIT: usize = 16 << 20;

/// An index, and how it was got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// What it says.
    pub bytes: Vec<u8>,
    /// The server said it has not changed, or was not asked.
    pub from_cache: bool,
}

/// The first line of a copy in the cache, as JSON; the index itself follows.
#[derive(Debug, Serialize, Deserialize)]
struct Copy {
    url: String,
    #[serde(flatten)]
    validators: Validators,
    /// Seconds since 1970 when the server was asked last.
    asked: u64,
    /// SHA-256 of the index, so that a damaged copy is not believed.
    sha256: String,
}

/// What a server has told about a file, by which it can be asked whether the file has changed (RFC 9110, section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Validators {
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
}

impl Validators {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }
}

/// The question whether a file has changed.
pub(super) fn conditions(validators: &Validators) -> HeaderMap {
    let pairs = [(IF_NONE_MATCH, &validators.etag), (IF_MODIFIED_SINCE, &validators.last_modified)];
    pairs.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::from_str(value.as_ref()?).ok()?))).collect()
}

impl Fetcher {
    /// An index that changes at its place. The server is asked whether the copy from before is still good
    /// (`ETag`, `If-Modified-Since`), unless the copy is younger than [`super::FetchOptions::max_age`].
    pub async fn cached(&self, kind: Kind, url: &str) -> Result<Fetched, FetchError> {
        let asked = self.asked(kind, url);
        let request = Request { official: url, asked: &asked };
        if let Some(bytes) = self.bundled_answer(&request)? {
            return Ok(Fetched { bytes, from_cache: true });
        }
        let answer = self.ask(&request).await;
        self.record_answer(&request, &answer)?;
        answer
    }

    async fn ask(&self, request: &Request<'_>) -> Result<Fetched, FetchError> {
        let Request { official: url, asked } = *request;
        let name = sha256(asked.as_bytes());
        let _turn = self.turns.take(&name).await;
        let copy = self.read_copy(&name);
        if let Some((about, bytes)) = &copy
            && env::now().as_secs().saturating_sub(about.asked) < self.options.max_age.as_secs()
        {
            return Ok(Fetched { bytes: bytes.clone(), from_cache: true });
        }
        let conditions = copy.as_ref().map(|(about, _)| conditions(&about.validators)).unwrap_or_default();
        let _permit = self.permit().await;
        match (self.transfers.read(request, &conditions, LIMIT).await, copy) {
            (Ok(Answer::Content(headers, bytes)), _) => {
                self.write_copy(&name, &Copy::new(url, &headers, &bytes), &bytes)?;
                Ok(Fetched { bytes, from_cache: false })
            }
            (Ok(Answer::Unchanged), Some((about, bytes))) => {
                if !self.options.max_age.is_zero() {
                    self.write_copy(&name, &Copy { asked: env::now().as_secs(), ..about }, &bytes)?;
                }
                Ok(Fetched { bytes, from_cache: true })
            }
            (Ok(Answer::Unchanged), None) => Err(request.failed(super::Problem::Status(304), 1)),
            (Err(error), Some((_, bytes))) if self.options.stale_if_unreachable && error.is_unreachable() => Ok(Fetched { bytes, from_cache: true }),
            (Err(error), _) => Err(error),
        }
    }

    fn read_copy(&self, name: &str) -> Option<(Copy, Vec<u8>)> {
        let mut bytes = std::fs::read(self.cache_dir().join("http").join(name)).ok()?;
        let end = bytes.iter().position(|b| *b == b'\n')?;
        let about: Copy = serde_json::from_slice(&bytes[..end]).ok()?;
        bytes.drain(..=end);
        (sha256(&bytes) == about.sha256).then_some((about, bytes))
    }

    fn write_copy(&self, name: &str, about: &Copy, bytes: &[u8]) -> Result<(), FetchError> {
        let mut copy = serde_json::to_vec(about).unwrap_or_default();
        copy.push(b'\n');
        copy.extend_from_slice(bytes);
        self.write("http", name, &copy)
    }
}

impl Copy {
    fn new(url: &str, headers: &HeaderMap, bytes: &[u8]) -> Self {
        Self { url: super::error::without_credentials(url), validators: Validators::of(headers), asked: env::now().as_secs(), sha256: sha256(bytes) }
    }
}
