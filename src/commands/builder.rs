//! The builder of a run.

use std::path::Path;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use crate::builder::{BuildEvent, Builder, BuilderInfo, SolveError, SolveRequest};
use crate::buildkit::{self, BuilderChoice, Connected};
use crate::error::{Exit, Failure};

/// A connected builder, and why it was chosen; a private one ends when it is dropped.
///
/// # Errors
/// When there is none.
pub async fn connect(session: &Session, choice: &BuilderChoice) -> Result<Connected, Failure> {
    let hosts = session.image_hosts();
    let options = buildkit::Options { cache_dir: &session.cache, insecure_registries: &hosts, credentials: session.credentials()? };
    Ok(buildkit::connect(choice, &options).await?)
}

/// A connected builder, unless the user stops waiting for it.
///
/// # Errors
/// When there is none.
pub async fn connect_unless_cancelled(session: &Session, choice: &BuilderChoice, cancel: &CancellationToken) -> Result<Arc<dyn Builder>, Failure> {
    tokio::select! {
        connected = connect(session, choice) => Ok(Arc::new(connected?.builder)),
        () = cancel.cancelled() => Err(interrupted()),
    }
}

/// What ends a run that was stopped while it was still being prepared.
pub fn interrupted() -> Failure {
    Failure::new(Exit::Interrupted, "interrupted before anything was built")
}

/// Stands in where nothing is to be built, so that a run that skips everything needs no builder.
#[derive(Default)]
pub struct NoBuilder(BuilderInfo);

impl Builder for NoBuilder {
    fn info(&self) -> &BuilderInfo {
        &self.0
    }

    fn solve<'a>(&'a self, _: SolveRequest, _: &'a Path, _: UnboundedSender<BuildEvent>, _: CancellationToken) -> BoxFuture<'a, Result<(), SolveError>> {
        Box::pin(async { Err(SolveError::Unsupported("there is nothing to build".into())) })
    }
}
