//! The session of one solve: an HTTP/2 connection inside a stream of the connection to the daemon, in which we are the server.
//!
//! `session/grpchijack` and `session/session.go` of moby/buildkit.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::buildkit::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1 as filesync_proto;
use filesync_proto::auth_server::{Auth, AuthServer};
use filesync_proto::file_send_server::FileSendServer;
use filesync_proto::file_sync_server::FileSyncServer;
use futures::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

use super::context::SharedTree;
use super::filesync::ContextFiles;
use super::output::Receiver;
use super::solve;
use crate::builder::{Secret, SolveError};
use crate::credentials::{Credential, Credentials};

/// Buffer between the two HTTP/2 connections.
const PIPE: usize = 256 << 10;

/// What is read from the inner connection at once.
const CHUNK: usize = 32 << 10;

/// The tar comes through two flow controls; with hyper's own windows the inner one is the slower.
const WINDOW: u32 = 8 << 20;

/// Daemons ask for our health every second (0.8) or every five.
const SIGN_OF_LIFE: Duration = Duration::from_mins(1);

/// What the daemon may ask for.
pub(super) struct Offer {
    pub(super) receiver: Receiver,
    pub(super) credentials: Credentials,
    pub(super) secrets: Vec<Secret>,
    /// The context, if it does not travel inside the request.
    pub(super) context: Option<SharedTree>,
}

/// A running session. It ends when it is dropped.
pub(super) struct Session {
    _tasks: JoinSet<()>,
}

/// What the services of a session have to say to the solve.
#[derive(Default)]
pub(super) struct Ledger {
    failure: Mutex<Option<SolveError>>,
    news: Notify,
    received: AtomicBool,
    heard: Mutex<Option<Instant>>,
}

impl Ledger {
    /// Something went wrong on this side; the first such error counts.
    pub(super) fn fail(&self, error: SolveError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.news.notify_one();
    }

    /// Waits until something goes wrong on this side.
    pub(super) async fn failed(&self) -> SolveError {
        loop {
            if let Some(error) = self.failure() {
                return error;
            }
            self.news.notified().await;
        }
    }

    /// What went wrong on this side, if anything did.
    pub(super) fn failure(&self) -> Option<SolveError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The whole result is written.
    pub(super) fn received(&self) {
        self.received.store(true, Ordering::Release);
    }

    /// Whether the whole result is written.
    pub(super) fn has_received(&self) -> bool {
        self.received.load(Ordering::Acquire)
    }

    fn heard(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// For how long the daemon has been silent, if that is too long.
    pub(super) fn silence(&self) -> Option<Duration> {
        let heard = *self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map(|heard| heard.elapsed()).filter(|silence| *silence > SIGN_OF_LIFE)
    }
}

impl Session {
    /// Opens a session under a name that nobody else uses, and serves it until it is dropped.
    pub(super) fn open(channel: Channel, name: &str, offer: Offer, ledger: &Arc<Ledger>) -> Self {
        let (near, far) = tokio::io::duplex(PIPE);
        let metadata = announce(name, &offer);
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(near, offer, Arc::clone(ledger)));
        tasks.spawn(async move {
            if let Err(error) = carry(channel, metadata, far).await {
                // The daemon tells in the answer to Solve what it misses.
                tracing::debug!(%error, "the session ended");
            }
        });
        Self { _tasks: tasks }
    }
}

/// `session/session.go`: under which name, and with which methods, the session is known.
fn announce(name: &str, offer: &Offer) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    let ascii = |text: &str| MetadataValue::<Ascii>::try_from(text).ok();
    let shared_key = offer.context.as_ref().map_or_else(|| name.to_owned(), |tree| tree.key());
    for (key, value) in
        [("x-docker-expose-session-uuid", name), ("x-docker-expose-session-name", "kmodforge"), ("x-docker-expose-session-sharedkey", &shared_key)]
    {
        metadata.extend_one(key, ascii(value));
    }
    let sync = offer.context.is_some().then_some("/moby.filesync.v1.FileSync/DiffCopy");
    let methods = [
        "/grpc.health.v1.Health/Check",
        "/moby.filesync.v1.Auth/Credentials",
        "/moby.buildkit.secrets.v1.Secrets/GetSecret",
        "/moby.filesync.v1.FileSend/DiffCopy",
    ];
    for method in methods.into_iter().chain(sync) {
        metadata.extend_one("x-docker-expose-session-grpc-method", ascii(method));
    }
    metadata
}

trait ExtendOne {
    fn extend_one(&mut self, key: &'static str, value: Option<MetadataValue<Ascii>>);
}

impl ExtendOne for MetadataMap {
    fn extend_one(&mut self, key: &'static str, value: Option<MetadataValue<Ascii>>) {
        if let Some(value) = value {
            self.append(key, value);
        }
    }
}

async fn serve(near: DuplexStream, offer: Offer, ledger: Arc<Ledger>) {
    // The stream of connections must not end: tonic would tell the daemon to go away.
    let connections = stream::iter([Ok::<_, std::io::Error>(near)]).chain(stream::pending());
    let sync = offer.context.map(|tree| FileSyncServer::new(ContextFiles::new(tree, Arc::clone(&ledger))));
    let served = Server::builder()
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .http2_max_header_list_size(1 << 20)
        .add_service(HealthServer::new(Alive(ledger)))
        .add_service(AuthServer::new(Logins(offer.credentials)))
        .add_service(SecretsServer::new(Offered(offer.secrets)))
        .add_service(FileSendServer::new(offer.receiver).max_decoding_message_size(64 << 20))
        .add_optional_service(sync)
        .serve_with_incoming(connections)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "the session's server ended");
    }
}

/// Carries bytes between the inner connection and the daemon.
async fn carry(channel: Channel, metadata: MetadataMap, far: DuplexStream) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (mut from_us, mut to_us) = tokio::io::split(far);
    let (sender, outgoing) = mpsc::channel(16);
    let outward = async {
        loop {
            let mut data = vec![0; CHUNK];
            let length = from_us.read(&mut data).await?;
            data.truncate(length);
            if length == 0 || sender.send(BytesMessage { data }).await.is_err() {
                return Ok(());
            }
        }
    };
    let inward = async {
        let mut request = Request::new(ReceiverStream::new(outgoing));
        *request.metadata_mut() = metadata;
        let mut incoming = solve::client(channel).session(request).await?.into_inner();
        while let Some(message) = incoming.message().await? {
            to_us.write_all(&message.data).await?;
        }
        Ok(())
    };
    tokio::select! {
        end = outward => end,
        end = inward => end,
    }
}

/// Without this service the daemon closes the session.
struct Alive(Arc<Ledger>);

#[tonic::async_trait]
impl Health for Alive {
    async fn check(&self, _: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.0.heard();
        Ok(Response::new(serving()))
    }

    async fn list(&self, _: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Ok(Response::new(HealthListResponse { statuses: [(String::new(), serving())].into() }))
    }

    type WatchStream = stream::Once<std::future::Ready<Result<HealthCheckResponse, Status>>>;

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(stream::once(std::future::ready(Ok(serving())))))
    }
}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: bollard_buildkit_proto::health::health_check_response::ServingStatus::Serving.into() }
}

/// Answers the daemon's questions for registry credentials.
struct Logins(Credentials);

#[tonic::async_trait]
impl Auth for Logins {
    async fn credentials(&self, request: Request<filesync_proto::CredentialsRequest>) -> Result<Response<filesync_proto::CredentialsResponse>, Status> {
        let found = self.0.for_host(&request.into_inner().host).await;
        let (username, secret) = match found.map_err(|error| Status::unknown(error.to_string()))? {
            Some(Credential::Basic { username, password }) => (username, password),
            Some(Credential::IdentityToken(token)) => (String::new(), token),
            None => (String::new(), String::new()),
        };
        Ok(Response::new(filesync_proto::CredentialsResponse { username, secret }))
    }

    async fn fetch_token(&self, _: Request<filesync_proto::FetchTokenRequest>) -> Result<Response<filesync_proto::FetchTokenResponse>, Status> {
        Err(Status::unimplemented("the builder fetches tokens itself"))
    }

    async fn get_token_authority(
        &self,
        _: Request<filesync_proto::GetTokenAuthorityRequest>,
    ) -> Result<Response<filesync_proto::GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the builder fetches tokens itself"))
    }

    async fn verify_token_authority(
        &self,
        _: Request<filesync_proto::VerifyTokenAuthorityRequest>,
    ) -> Result<Response<filesync_proto::VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the builder fetches tokens itself"))
    }
}

/// Hands out the secrets of the request.
struct Offered(Vec<Secret>);

#[tonic::async_trait]
impl Secrets for Offered {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        let secret = self.0.iter().find(|secret| secret.id == id);
        let secret = secret.ok_or_else(|| Status::not_found(format!("no secret `{id}` was given")))?;
        Ok(Response::new(GetSecretResponse { data: secret.data.to_vec() }))
    }
}
