//! What kmodforge asks of a builder: solve a Dockerfile stage, hand over its files as a tar, and tell what happens meanwhile.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

/// A file of the build context.
#[derive(Clone, Debug)]
pub struct ContextFile {
    /// Path in the context, relative, `/`-separated.
    pub path: String,
    /// Its bytes, or where they are.
    pub content: Content,
}

/// Where the bytes of a context file are.
#[derive(Clone, Debug)]
pub enum Content {
    /// In memory: sent inside the request.
    Bytes(Arc<[u8]>),
    /// On disk, with the SHA-256 (64 hexadecimal digits) of the bytes: sent by file sync when it is large.
    File {
        /// The file.
        path: PathBuf,
        /// Digest of its content.
        sha256: String,
    },
}

/// Network that `RUN` steps see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The builder's default.
    #[default]
    Sandbox,
    /// The builder's own network; needs the `network.host` entitlement.
    Host,
    /// None at all.
    None,
}

/// A cache source or target as buildx writes it: `type=registry,ref=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// `registry`, `s3`, `gha`, `inline`, `local`, `azblob`.
    pub kind: String,
    /// Everything else.
    pub attributes: Vec<(String, String)>,
}

/// A secret for `RUN --mount=type=secret,id=…`.
#[derive(Clone)]
pub struct Secret {
    /// Its id.
    pub id: String,
    /// Its bytes; never logged.
    pub data: Arc<[u8]>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({})", self.id)
    }
}

/// What every request of a run has in common.
#[derive(Clone, Debug, Default)]
pub struct SolveOptions {
    /// Secrets offered to the build.
    pub secrets: Vec<Secret>,
    /// Network of `RUN` steps.
    pub network: Network,
    /// Proxies for `RUN` steps: `HTTPS_PROXY` and its like. They are no part of what a step is known by.
    pub proxies: Vec<(String, String)>,
    /// Where to import build cache from.
    pub cache_from: Vec<CacheEntry>,
    /// Where to export build cache to.
    pub cache_to: Vec<CacheEntry>,
    /// Ignore the builder's cache.
    pub no_cache: bool,
}

/// One stage of one Dockerfile, to be solved and exported as a tar.
#[derive(Clone, Debug)]
pub struct SolveRequest {
    /// For people: `v4l2loopback 0.15.3 6.1.0-56-amd64`.
    pub name: String,
    /// The Dockerfile's text.
    pub dockerfile: Arc<str>,
    /// The stage to export.
    pub stage: String,
    /// Values for the Dockerfile's `ARG`s.
    pub build_args: Vec<(String, String)>,
    /// The context; may be empty.
    pub context: Vec<ContextFile>,
    /// The platform to build on, `linux/amd64`; the builder's own if not given.
    pub platform: Option<String>,
    /// Everything that is the same for the whole run.
    pub options: Arc<SolveOptions>,
}

/// What happens while a request is solved.
#[derive(Clone, Debug, PartialEq)]
pub enum BuildEvent {
    /// A step began. Steps of the builder's own (`[internal] …`, `[auth] …`) are not reported.
    ///
    /// A step that is done may begin again, when the builder evaluates it once more; one that fails is never [`Self::StepDone`].
    StepStarted {
        /// Stable within the solve.
        step: String,
        /// `[build 2/5] RUN make …`.
        name: String,
    },
    /// A step is done.
    StepDone {
        /// The step.
        step: String,
        /// `[build 2/5] RUN make …`.
        name: String,
        /// Taken from the builder's cache.
        cached: bool,
        /// How long it ran.
        time: Duration,
    },
    /// A whole line that a step printed.
    Log {
        /// The step.
        step: String,
        /// The line, without its end.
        line: String,
    },
    /// A file transfer moved on: base image layers, context, result.
    Transfer {
        /// What is moved: `transferring context`, `exporting to client`.
        what: String,
        /// Bytes so far.
        bytes: u64,
    },
    /// The builder warns about the Dockerfile.
    Warning(String),
}

/// Why a request was not solved.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SolveError {
    /// A step ended with an error.
    #[error("step `{step}` failed: {message}")]
    Step {
        /// `[build 4/7] RUN ./configure …`.
        step: String,
        /// What the builder says: `process "/bin/sh -c …" did not complete successfully: exit code: 2`.
        message: String,
        /// Exit status of the process, when there was one.
        exit_code: Option<i32>,
        /// The last lines that the step printed.
        log: Vec<String>,
    },
    /// The builder refused the request: Dockerfile error, unknown exporter, missing entitlement, base image not found…
    #[error("{message}")]
    Refused {
        /// The builder's words.
        message: String,
        /// What to do, when that is known.
        help: Option<String>,
    },
    /// What was asked is beyond this builder (a cache backend, an entitlement…).
    #[error("{0}")]
    Unsupported(String),
    /// The builder went away.
    #[error("the connection to the builder was lost: {0}")]
    Lost(String),
    /// The result could not be written, or a context file not read, on this side.
    #[error("{path}: {message}")]
    Local {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        message: String,
    },
    /// The token was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// What is known about a builder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BuilderInfo {
    /// `Docker Engine 28.5.2, BuildKit 0.25.2`, or `buildkitd 0.32.2`.
    pub name: String,
    /// `unix:///var/run/docker.sock`.
    pub endpoint: String,
    /// Platforms that it can run, `linux/amd64` first if that is its own.
    pub platforms: Vec<String>,
    /// How many solves it takes at once without trouble; `None` for no limit known.
    pub max_parallel: Option<usize>,
}

/// Somewhere to build.
pub trait Builder: Send + Sync {
    /// Facts about it, learned when it was connected.
    fn info(&self) -> &BuilderInfo;

    /// Solves a request and writes the exported tar to `output`, which is complete only if the result is `Ok`.
    ///
    /// Dropping the future or cancelling the token cancels the solve in the builder.
    fn solve<'a>(
        &'a self,
        request: SolveRequest,
        output: &'a Path,
        events: UnboundedSender<BuildEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), SolveError>>;
}
