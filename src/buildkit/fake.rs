//! A `BuildKit` inside the test: the real protocol on a real socket, with a script in place of a solver.

use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1 as control;
use bollard_buildkit_proto::moby::buildkit::v1::types::{BuildkitVersion, WorkerRecord};
use bollard_buildkit_proto::pb::Platform;
use control::control_server::{Control, ControlServer};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, UnboundedReceiverStream};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint, Server, Uri};
use tonic::{Request, Response, Status, Streaming};

/// What the fake is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A `buildkitd` 0.32.2.
    Buildkitd,
    /// The `BuildKit` of Docker 20.10: behind `POST /grpc`, without `Info`.
    OldEngine,
    /// An Engine without the route, speaking HTTP/2 at once when it is spoken to in it.
    NewEngine,
}

/// One solve, as the script sees it.
pub(super) struct Job {
    pub(super) request: control::SolveRequest,
    /// How the session introduced itself.
    pub(super) metadata: MetadataMap,
    /// The client's services.
    pub(super) session: Channel,
    /// The status stream; it ends when the job is dropped.
    pub(super) status: mpsc::UnboundedSender<control::StatusResponse>,
}

impl Job {
    /// Says that a step has started, or has ended with an error (which may be empty).
    pub(super) fn step(&self, name: &str, end: Option<&str>) {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let vertex = control::Vertex {
            digest: name.to_owned(),
            name: name.to_owned(),
            started: time(1),
            completed: end.and_then(|_| time(2)),
            error: end.unwrap_or_default().to_owned(),
            ..control::Vertex::default()
        };
        let _ = self.status.send(control::StatusResponse { vertexes: vec![vertex], ..Default::default() });
    }

    /// Lets a step print something.
    pub(super) fn print(&self, step: &str, text: &str) {
        let log = control::VertexLog { vertex: step.to_owned(), stream: 1, msg: text.as_bytes().to_vec(), timestamp: None };
        let _ = self.status.send(control::StatusResponse { logs: vec![log], ..Default::default() });
    }

    /// Sends the result in pieces, and waits until the client has it.
    pub(super) async fn send_tar(&self, pieces: Vec<Vec<u8>>) -> Result<(), Status> {
        use bollard_buildkit_proto::moby::filesync::v1::{BytesMessage, file_send_client::FileSendClient};
        let messages = stream::iter(pieces.into_iter().map(|data| BytesMessage { data }));
        let mut answer = FileSendClient::new(self.session.clone()).diff_copy(messages).await?.into_inner();
        while answer.message().await?.is_some() {}
        Ok(())
    }
}

type Script = Arc<dyn Fn(Job) -> BoxFuture<'static, Result<(), Status>> + Send + Sync>;

/// A running fake; its socket goes away with it.
pub(super) struct Fake {
    dir: TempDir,
    server: JoinHandle<()>,
    /// Solves that were started and neither ended nor were cancelled.
    pub(super) running: watch::Receiver<usize>,
}

impl Fake {
    /// Starts it; `script` plays every solve.
    pub(super) fn start<F, R>(kind: Kind, script: F) -> Self
    where
        F: Fn(Job) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), Status>> + Send + 'static,
    {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("b.sock")).unwrap();
        let (count, running) = watch::channel(0);
        let daemon = Daemon { kind, script: Arc::new(move |job| script(job).boxed()), sessions: Arc::default(), statuses: Arc::default(), count };
        let server = tokio::spawn(accept(listener, kind, daemon));
        Self { dir, server, running }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("b.sock")
    }

    pub(super) fn endpoint(&self) -> super::Endpoint {
        super::Endpoint::Unix(self.socket())
    }

    pub(super) async fn connect(&self) -> super::BuildKit {
        super::BuildKit::connect(&self.endpoint(), super::Credentials::default()).await.unwrap()
    }

    /// Where a test may write.
    pub(super) fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Waits until no solve is running.
    pub(super) async fn idle(&mut self) {
        let idle = self.running.wait_for(|running| *running == 0);
        tokio::time::timeout(Duration::from_secs(2), idle).await.expect("the builder is still busy").unwrap();
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Every connection has a task of its own, and all of them end with this one.
async fn accept(listener: UnixListener, kind: Kind, daemon: Daemon) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(converse(stream, kind, daemon.clone()));
    }
}

async fn converse(mut stream: UnixStream, kind: Kind, daemon: Daemon) {
    let mut start = [0; 4];
    if stream.read_exact(&mut start).await.is_err() {
        return;
    }
    let (near, mut far) = tokio::io::duplex(1 << 20);
    if &start == b"PRI " {
        far.write_all(&start).await.unwrap();
    } else if kind == Kind::Buildkitd {
        return;
    } else {
        let head = String::from_utf8(start.to_vec()).unwrap() + &read_head(&mut stream).await;
        match (head.split(' ').nth(1).unwrap(), kind) {
            ("/grpc", Kind::OldEngine) => {
                assert!(head.contains("upgrade: h2c") && head.contains("connection: Upgrade"), "{head}");
                stream.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await.unwrap();
            }
            ("/version", Kind::OldEngine) => return answer(&mut stream, "200 OK", r#"{"Version":"20.10.24","ApiVersion":"1.41"}"#).await,
            ("/version", _) => return answer(&mut stream, "200 OK", r#"{"Version":"31.0.0"}"#).await,
            _ => return answer(&mut stream, "404 Not Found", r#"{"message":"page not found"}"#).await,
        }
    }
    let one = stream::iter([Ok::<_, std::io::Error>(near)]).chain(stream::pending());
    let service = ControlServer::new(daemon).max_decoding_message_size(4 << 20);
    tokio::select! {
        _ = Server::builder().add_service(service).serve_with_incoming(one) => {}
        _ = tokio::io::copy_bidirectional(&mut stream, &mut far) => {}
    }
}

async fn read_head(stream: &mut UnixStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn answer(stream: &mut UnixStream, status: &str, body: &str) {
    let text = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// What is there once for every name, whoever comes first: the session and its user, the status stream and its reader.
struct Meeting<T>(watch::Sender<HashMap<String, T>>);

impl<T> Default for Meeting<T> {
    fn default() -> Self {
        Self(watch::channel(HashMap::new()).0)
    }
}

impl<T> Meeting<T> {
    fn bring(&self, name: String, thing: T) {
        self.0.send_modify(|things| _ = things.insert(name, thing));
    }

    /// Waits as long as a daemon does.
    async fn fetch(&self, name: &str) -> Result<T, Status> {
        let mut things = self.0.subscribe();
        let there = tokio::time::timeout(Duration::from_secs(3), things.wait_for(|things| things.contains_key(name)));
        there.await.map_err(|_| Status::not_found(format!("no such job {name}")))?.map_err(|error| Status::internal(error.to_string()))?;
        let mut taken = None;
        self.0.send_if_modified(|things| {
            taken = things.remove(name);
            false
        });
        taken.ok_or_else(|| Status::internal("taken twice"))
    }
}

#[derive(Clone)]
struct Daemon {
    kind: Kind,
    script: Script,
    sessions: Arc<Meeting<(MetadataMap, Channel)>>,
    statuses: Arc<Meeting<mpsc::UnboundedReceiver<control::StatusResponse>>>,
    count: watch::Sender<usize>,
}

/// Counts a solve, until it is dropped.
struct Running(watch::Sender<usize>);

impl Running {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|running| *running += 1);
        Self(count.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}

#[tonic::async_trait]
impl Control for Daemon {
    async fn solve(&self, request: Request<control::SolveRequest>) -> Result<Response<control::SolveResponse>, Status> {
        let request = request.into_inner();
        let _running = Running::begin(&self.count);
        let (status, receiver) = mpsc::unbounded_channel();
        self.statuses.bring(request.r#ref.clone(), receiver);
        let (metadata, session) = self.sessions.fetch(&request.session).await?;
        (self.script)(Job { request, metadata, session, status }).await?;
        Ok(Response::new(control::SolveResponse::default()))
    }

    type StatusStream = BoxStream<'static, Result<control::StatusResponse, Status>>;

    async fn status(&self, request: Request<control::StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        let receiver = self.statuses.fetch(&request.into_inner().r#ref).await?;
        Ok(Response::new(UnboundedReceiverStream::new(receiver).map(Ok).boxed()))
    }

    type SessionStream = BoxStream<'static, Result<control::BytesMessage, Status>>;

    async fn session(&self, request: Request<Streaming<control::BytesMessage>>) -> Result<Response<Self::SessionStream>, Status> {
        let (metadata, _, mut incoming) = request.into_parts();
        let (near, far) = tokio::io::duplex(1 << 20);
        let (mut read, mut write) = tokio::io::split(far);
        let (sender, outgoing) = mpsc::channel(4);
        tokio::spawn(async move {
            while let Ok(Some(message)) = incoming.message().await {
                if write.write_all(&message.data).await.is_err() {
                    break;
                }
            }
        });
        tokio::spawn(async move {
            let mut data = vec![0; 32 << 10];
            while let Ok(length @ 1..) = read.read(&mut data).await {
                if sender.send(Ok(control::BytesMessage { data: data[..length].to_vec() })).await.is_err() {
                    break;
                }
            }
        });
        let name = metadata.get("x-docker-expose-session-uuid").unwrap().to_str().unwrap().to_owned();
        let mut near = Some(near);
        let connector = tower::service_fn(move |_: Uri| {
            let stream = near.take();
            async move { stream.map(TokioIo::new).ok_or_else(|| std::io::Error::other("only one connection allowed")) }
        });
        let sessions = Arc::clone(&self.sessions);
        tokio::spawn(async move {
            let channel = Endpoint::from_static("http://localhost").connect_with_connector(connector).await.unwrap();
            sessions.bring(name, (metadata, channel));
        });
        Ok(Response::new(ReceiverStream::new(outgoing).boxed()))
    }

    async fn info(&self, _: Request<control::InfoRequest>) -> Result<Response<control::InfoResponse>, Status> {
        if self.kind == Kind::OldEngine {
            return Err(Status::unimplemented("unknown method Info for service moby.buildkit.v1.Control"));
        }
        let version = BuildkitVersion { version: "v0.32.2".to_owned(), ..BuildkitVersion::default() };
        Ok(Response::new(control::InfoResponse { buildkit_version: Some(version) }))
    }

    async fn list_workers(&self, _: Request<control::ListWorkersRequest>) -> Result<Response<control::ListWorkersResponse>, Status> {
        let platform = Platform { os: "linux".to_owned(), architecture: "amd64".to_owned(), ..Platform::default() };
        let worker = WorkerRecord { platforms: vec![platform], ..WorkerRecord::default() };
        Ok(Response::new(control::ListWorkersResponse { record: vec![worker] }))
    }

    async fn disk_usage(&self, _: Request<control::DiskUsageRequest>) -> Result<Response<control::DiskUsageResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type PruneStream = BoxStream<'static, Result<control::UsageRecord, Status>>;

    async fn prune(&self, _: Request<control::PruneRequest>) -> Result<Response<Self::PruneStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    type ListenBuildHistoryStream = BoxStream<'static, Result<control::BuildHistoryEvent, Status>>;

    async fn listen_build_history(&self, _: Request<control::BuildHistoryRequest>) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn update_build_history(&self, _: Request<control::UpdateBuildHistoryRequest>) -> Result<Response<control::UpdateBuildHistoryResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }
}
