//! The story of one solve: session, `Solve` and `Status` side by side, and whatever ends it first.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::moby::buildkit::v1 as control;
use control::control_client::ControlClient;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::BuildKit;
use super::context::Tree;
use super::failure::{self, SPURIOUS};
use super::output::{Draft, Receiver};
use super::progress::Progress;
use super::request::{self, Delivery, Names};
use super::session::{Ledger, Offer, Session};
use crate::builder::{BuildEvent, SolveError, SolveRequest};

/// The daemon cuts logs at 1 MiB a message, but not the list of steps.
const MESSAGE_LIMIT: usize = 64 << 20;

/// For how long news of the steps may stay away after the end of `Solve`.
const LAST_NEWS: Duration = Duration::from_secs(1);

/// How long a cancelled build is watched until it has stopped.
const STOPPING: Duration = Duration::from_secs(2);

/// How long news may go on after the end of `Solve` in all.
const ALL_NEWS: Duration = Duration::from_secs(5);

/// After `Solve` has returned, the last bytes of the result are on this machine.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// A client with the limits that `BuildKit` needs.
pub(super) fn client(channel: Channel) -> ControlClient<Channel> {
    ControlClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT)
}

/// Solves a request; see [`crate::builder::Builder::solve`].
pub(super) async fn run(
    builder: &BuildKit,
    request: SolveRequest,
    output: &Path,
    events: UnboundedSender<BuildEvent>,
    cancel: CancellationToken,
) -> Result<(), SolveError> {
    let tree = Arc::new(Tree::new(&request.context).await?);
    let attempt = || attempt(builder, &request, &tree, output, &events, &cancel);
    match attempt().await {
        Err(SolveError::Step { message, .. } | SolveError::Refused { message, .. }) if message.contains(SPURIOUS) => attempt().await,
        result => result,
    }
}

/// How `Solve` ended.
enum Ending {
    Answered(Result<Response<control::SolveResponse>, Status>),
    /// Broken off on this side.
    Broken(SolveError),
}

async fn attempt(
    builder: &BuildKit,
    request: &SolveRequest,
    tree: &Arc<Tree>,
    output: &Path,
    events: &UnboundedSender<BuildEvent>,
    cancel: &CancellationToken,
) -> Result<(), SolveError> {
    let names = (unique_name(), unique_name());
    let sent = request::compose(request, tree, &builder.facts, Names { solve: &names.0, session: &names.1 }).await?;
    let (draft, file) = Draft::create(output)?;
    let ledger = Arc::new(Ledger::default());
    let offer = Offer {
        receiver: Receiver::new(file, output, Arc::clone(&ledger), events.clone()),
        credentials: builder.credentials.clone(),
        secrets: request.options.secrets.clone(),
        context: (request::delivery(request, tree) == Delivery::FileSync).then(|| Arc::clone(tree)),
    };
    let session = Session::open(builder.channel.clone(), &names.1, offer, &ledger);
    let mut progress = Progress::new(events.clone());
    let mut news = News::of(builder.channel.clone(), names.0);
    let ending = watch(builder, sent, &ledger, &mut news, &mut progress, cancel).await;
    match &ending {
        Ending::Answered(_) => news.drain(&mut progress, LAST_NEWS, ALL_NEWS).await,
        Ending::Broken(_) => news.drain(&mut progress, STOPPING, STOPPING).await,
    }
    progress.finish();
    let result = match ending {
        Ending::Broken(error) => Err(error),
        Ending::Answered(Err(_)) if cancel.is_cancelled() => Err(SolveError::Cancelled),
        Ending::Answered(Err(status)) => Err(ledger.failure().unwrap_or_else(|| failure::explain(&status, &progress))),
        Ending::Answered(Ok(_)) => complete(&ledger).await,
    };
    drop(session);
    result.and_then(|()| draft.keep())
}

/// Runs `Solve` until it ends or is broken off. Dropping it is what cancels the build in the daemon.
async fn watch(
    builder: &BuildKit,
    request: control::SolveRequest,
    ledger: &Ledger,
    news: &mut News,
    progress: &mut Progress,
    cancel: &CancellationToken,
) -> Ending {
    let mut client = client(builder.channel.clone());
    let mut solve = std::pin::pin!(client.solve(request));
    let mut pulse = tokio::time::interval(Duration::from_secs(5));
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return Ending::Broken(SolveError::Cancelled),
            error = ledger.failed() => return Ending::Broken(error),
            answer = &mut solve => return Ending::Answered(answer),
            message = news.next() => progress.take(message),
            _ = pulse.tick() => {
                if let Some(silence) = ledger.silence() {
                    return Ending::Broken(SolveError::Lost(format!("no sign of life for {} s", silence.as_secs())));
                }
            }
        }
    }
}

/// `Solve` returns when the daemon has sent everything; the end of the stream may still be on its way.
async fn complete(ledger: &Ledger) -> Result<(), SolveError> {
    let written = async {
        while !ledger.has_received() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        biased;
        error = ledger.failed() => Err(error),
        written = timeout(LAST_BYTES, written) => {
            written.map_err(|_| SolveError::Refused { message: "the builder did not send its result".to_owned(), help: None })
        }
    }
}

/// The status stream of a solve.
struct News {
    channel: Channel,
    name: String,
    stream: BoxStream<'static, Result<control::StatusResponse, Status>>,
    begun: bool,
    ended: bool,
}

impl News {
    fn of(channel: Channel, name: String) -> Self {
        let stream = subscribe(channel.clone(), name.clone(), Duration::ZERO);
        Self { channel, name, stream, begun: false, ended: false }
    }

    /// The next message; never returns after the last one.
    ///
    /// The daemon waits only some seconds for the solve to appear, which a busy one may miss: then it is asked again.
    async fn next(&mut self) -> control::StatusResponse {
        loop {
            if self.ended {
                std::future::pending::<()>().await;
            }
            match self.stream.next().await {
                Some(Ok(message)) => {
                    self.begun = true;
                    return message;
                }
                _ if self.begun => self.ended = true,
                _ => self.stream = subscribe(self.channel.clone(), self.name.clone(), Duration::from_millis(250)),
            }
        }
    }

    /// Takes what still comes, until the stream ends, or nothing comes for `silence`, or `limit` is over.
    async fn drain(&mut self, progress: &mut Progress, silence: Duration, limit: Duration) {
        let end = Instant::now() + limit;
        while !self.ended {
            let until = end.min(Instant::now() + silence);
            match timeout_at(until, self.stream.next()).await {
                Ok(Some(Ok(message))) => progress.take(message),
                _ => self.ended = true,
            }
        }
    }
}

fn subscribe(channel: Channel, name: String, delay: Duration) -> BoxStream<'static, Result<control::StatusResponse, Status>> {
    let call = async move {
        sleep(delay).await;
        client(channel).status(control::StatusRequest { r#ref: name }).await.map(Response::into_inner)
    };
    stream::once(call).try_flatten().boxed()
}

/// 32 hexadecimal digits that nobody else has; the standard library's hash keys come from the operating system.
fn unique_name() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

#[cfg(test)]
mod tests;
