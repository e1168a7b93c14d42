//! The builder that does the work: `BuildKit`, inside a Docker Engine or as a `buildkitd`, over its gRPC API.
//!
//! One HTTP/2 connection per daemon carries everything. Each solve opens a session, in which the daemon is the client and asks us
//! for credentials, secrets and files, and hands over the result; it starts `Solve` and `Status`, and drops `Solve` to cancel.
//! The API is `api/services/control/control.proto` of <https://github.com/moby/buildkit>.

use std::path::Path;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::builder::{BuildEvent, Builder, BuilderInfo, SolveError, SolveRequest};
use crate::credentials::Credentials;

mod cache;
mod choice;
mod connect;
mod context;
mod endpoint;
mod facts;
mod failure;
#[cfg(test)]
mod fake;
mod filesync;
mod output;
mod private;
mod progress;
mod request;
mod select;
mod session;
mod solve;
mod tls;

pub use choice::{BuilderChoice, ChoiceError};
pub use connect::ConnectError;
pub use endpoint::{Endpoint, EndpointError, TlsFiles};
pub use select::{Attempt, Connected, Options, SelectError, connect};

/// A connected builder.
pub struct BuildKit {
    channel: Channel,
    facts: facts::Facts,
    info: BuilderInfo,
    credentials: Credentials,
    /// Stopped when the last user of the builder is gone.
    private: Option<private::PrivateDaemon>,
}

impl BuildKit {
    /// Connects to what listens at `endpoint`, a Docker Engine or a `buildkitd`, and learns what it is.
    pub async fn connect(endpoint: &Endpoint, credentials: Credentials) -> Result<Self, ConnectError> {
        let line = connect::open(endpoint).await?;
        let facts = facts::learn(&line).await.map_err(|message| ConnectError::NoBuildKit { endpoint: endpoint.to_string(), message })?;
        let info = facts.info(endpoint);
        Ok(Self { channel: line.channel, facts, info, credentials, private: None })
    }

    /// Whether it is the `BuildKit` inside a Docker Engine.
    pub fn is_engine(&self) -> bool {
        self.facts.engine.is_some()
    }

    /// Disconnects, and stops the daemon if it is a private one. Dropping does the same, but blocks the thread meanwhile.
    pub async fn stop(self) {
        let Self { channel, private, .. } = self;
        drop(channel);
        if let Some(daemon) = private {
            // A panic in there is as good as a stop.
            let _ = tokio::task::spawn_blocking(move || drop(daemon)).await;
        }
    }

    /// Whether it was started for this run, and ends with it.
    pub fn is_private(&self) -> bool {
        self.private.is_some()
    }
}

impl Builder for BuildKit {
    fn info(&self) -> &BuilderInfo {
        &self.info
    }

    fn solve<'a>(
        &'a self,
        request: SolveRequest,
        output: &'a Path,
        events: UnboundedSender<BuildEvent>,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<(), SolveError>> {
        solve::run(self, request, output, events, cancel).boxed()
    }
}
