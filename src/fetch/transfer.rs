//! One transfer: request, retries, body.

use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use http::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::error::{DiskProblem, FetchError, Place, Problem, without_credentials};
use super::logins::Logins;
use super::{Retries, Timeouts};

/// The longest that a server's `Retry-After` is obeyed.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// The client, and how patient it is.
#[derive(Debug)]
pub(super) struct Transfers {
    pub(super) client: Client,
    pub(super) timeouts: Timeouts,
    pub(super) retries: Retries,
    pub(super) logins: Logins,
}

/// What failed, and how long the server asks to wait.
struct Refusal {
    problem: Problem,
    wait: Option<Duration>,
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self { problem, wait: None }
    }
}

/// An answer to a request that may be conditional.
pub(super) enum Answer {
    /// `304 Not Modified`.
    Unchanged,
    /// The headers and the whole body.
    Content(HeaderMap, Vec<u8>),
}

/// The two addresses of something: the official one and the one to ask.
pub(super) struct Request<'a> {
    pub(super) official: &'a str,
    pub(super) asked: &'a str,
}

impl Request<'_> {
    pub(super) fn failed(&self, problem: Problem, attempts: u32) -> FetchError {
        let place = Place { official: without_credentials(self.official), asked: without_credentials(self.asked) };
        FetchError::Transfer { place, problem, attempts }
    }
}

impl Transfers {
    /// Fetches something small into memory.
    pub(super) async fn read(&self, request: &Request<'_>, headers: &HeaderMap, limit: usize) -> Result<Answer, FetchError> {
        let mut attempt = 1;
        loop {
            match self.read_once(request.asked, headers, limit).await {
                Ok(answer) => return Ok(answer),
                Err(refusal) => self.wait(refusal, attempt).await.map_err(|problem| request.failed(problem, attempt))?,
            }
            attempt += 1;
        }
    }

    /// Fetches something of any size into a file, and only if it is what was expected, where something is; gives its SHA-256.
    pub(super) async fn save(&self, request: &Request<'_>, sha256: Option<&str>, path: &Path) -> Result<String, FetchError> {
        match self.save_if(request, &HeaderMap::new(), sha256, path).await? {
            Some((_, found)) => Ok(found),
            None => Err(request.failed(Problem::Status(http::StatusCode::NOT_MODIFIED.as_u16()), 1)),
        }
    }

    /// As [`Self::save`], unless it is what these conditions say; gives what the server says about it besides.
    pub(super) async fn save_if(
        &self,
        request: &Request<'_>,
        conditions: &HeaderMap,
        sha256: Option<&str>,
        path: &Path,
    ) -> Result<Option<(HeaderMap, String)>, FetchError> {
        let mut attempt = 1;
        loop {
            match self.save_once(request.asked, conditions, sha256, path).await {
                Ok(saved) => return Ok(saved),
                Err(refusal) => self.wait(refusal, attempt).await.map_err(|problem| request.failed(problem, attempt))?,
            }
            attempt += 1;
        }
    }

    /// Waits before the next attempt, or gives the problem back when there is none.
    async fn wait(&self, refusal: Refusal, attempt: u32) -> Result<(), Problem> {
        // Silence takes longer than any other problem, and seldom ends.
        let most = if matches!(refusal.problem, Problem::TimedOut(_)) { self.retries.attempts.min(2) } else { self.retries.attempts };
        if attempt >= most || !refusal.problem.may_pass() {
            return Err(refusal.problem);
        }
        let delay = self.retries.first_delay * 2_u32.saturating_pow(attempt - 1);
        tracing::debug!(attempt, problem = %refusal.problem, "fetch again");
        tokio::time::sleep(refusal.wait.map_or(delay, |wait| wait.clamp(delay, LONGEST_WAIT))).await;
        Ok(())
    }

    async fn read_once(&self, url: &str, headers: &HeaderMap, limit: usize) -> Result<Answer, Refusal> {
        let response = self.answer(url, headers).await?;
        if response.status() == http::StatusCode::NOT_MODIFIED {
            return Ok(Answer::Unchanged);
        }
        let headers = response.headers().clone();
        let mut body = Body::new(response, self.timeouts.read);
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await? {
            if bytes.len() + chunk.len() > limit {
                return Err(Problem::TooLarge { limit }.into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Answer::Content(headers, bytes))
    }

    async fn save_once(&self, url: &str, conditions: &HeaderMap, sha256: Option<&str>, path: &Path) -> Result<Option<(HeaderMap, String)>, Refusal> {
        let response = self.answer(url, conditions).await?;
        if response.status() == http::StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let headers = response.headers().clone();
        let body = Body::new(response, self.timeouts.read);
        let disk = |error: &std::io::Error| Problem::Disk { path: path.to_owned(), problem: DiskProblem::of(error) };
        let mut file = tokio::fs::File::create(path).await.map_err(|error| disk(&error))?;
        let found = copy(body, &mut file, path).await?;
        if let Some(sha256) = sha256.filter(|sha256| *sha256 != found) {
            return Err(Problem::Digest { found, expected: sha256.to_owned() }.into());
        }
        // A cache that says "this is the file" must be right after a power cut, too.
        file.sync_data().await.map_err(|error| disk(&error))?;
        Ok(Some((headers, found)))
    }

    /// Sends the request; every status but success and `304` is a problem.
    async fn answer(&self, url: &str, headers: &HeaderMap) -> Result<Response, Refusal> {
        let request = self.client.get(url).headers(headers.clone());
        let request = match self.logins.of(url) {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        };
        let sent = request.send().await;
        let response = sent.map_err(|error| Problem::of(&error, if error.is_connect() { self.timeouts.connect } else { self.timeouts.read }))?;
        let status = response.status();
        if status.is_success() || status == http::StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(Refusal { problem: Problem::Status(status.as_u16()), wait: seconds.map(Duration::from_secs) })
    }
}

/// Writes a body and gives its SHA-256.
async fn copy(mut body: Body, to: &mut (impl AsyncWrite + Unpin), path: &Path) -> Result<String, Problem> {
    let disk = |error: &std::io::Error| Problem::Disk { path: path.to_owned(), problem: DiskProblem::of(error) };
    let mut hash = Sha256::new();
    while let Some(chunk) = body.next().await? {
        hash.update(&chunk);
        to.write_all(&chunk).await.map_err(|error| disk(&error))?;
    }
    to.flush().await.map_err(|error| disk(&error))?;
    Ok(super::hex(&hash.finalize()))
}

/// A response's body; knows how much of it has come.
struct Body {
    chunks: futures::stream::BoxStream<'static, Result<Vec<u8>, reqwest::Error>>,
    found: u64,
    expected: Option<u64>,
    patience: Duration,
}

impl Body {
    fn new(response: Response, patience: Duration) -> Self {
        let expected = response.content_length();
        let chunks = response.bytes_stream().map(|chunk| chunk.map(Vec::from)).boxed();
        Self { chunks, found: 0, expected, patience }
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, Problem> {
        match self.chunks.next().await {
            Some(Ok(chunk)) => {
                self.found += chunk.len() as u64;
                Ok(Some(chunk))
            }
            Some(Err(error)) if error.is_timeout() => Err(Problem::TimedOut(self.patience)),
            Some(Err(_)) => Err(Problem::Truncated { found: self.found, expected: self.expected }),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_told_apart() {
        let response = Response::from(http::Response::new("x".repeat(100_000)));
        let mut full = tokio::fs::File::options().write(true).open("/dev/full").await.unwrap();
        let problem = copy(Body::new(response, Duration::from_secs(1)), &mut full, Path::new("/cache/files/x")).await.unwrap_err();
        let request = Request { official: "http://a/x", asked: "http://a/x" };
        assert_eq!(
            crate::error::Failure::from(request.failed(problem, 1)).to_string(),
            "error: cannot write `/cache/files/x`: no space left on the disk\n  help      make room, or put the cache elsewhere: KMODFORGE_CACHE=DIR"
        );
    }
}
