//! Getting an HTTP/2 connection to a daemon: straight, or through the Docker Engine's `POST /grpc`.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tonic::transport::Channel;

use super::endpoint::Endpoint;
use super::tls::{self, Alpn};
use crate::error::{Exit, Failure};

/// How long a daemon may take for the handshake. A local one answers in milliseconds, but not where builds leave it no processor: 10 s were seen to be too few.
const PATIENCE: Duration = Duration::from_secs(30);

/// Error texts and details travel in HTTP/2 trailers, and hyper's own limit of 16 KiB is less than one failed step needs.
const HEADER_LIST: u32 = 16 << 20;

/// Both the result and the log come through windows of this size.
const WINDOW: u32 = 8 << 20;

/// Why there is no connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens there, or we may not speak to it.
    #[error("{message}")]
    Unreachable {
        /// The address.
        endpoint: String,
        /// The operating system's words.
        message: String,
        /// Not allowed to open the socket.
        forbidden: bool,
    },
    /// Something listens, but does not answer.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// The address.
        endpoint: String,
    },
    /// Something answers, but there is no `BuildKit` behind it.
    #[error("{message}")]
    NoBuildKit {
        /// The address.
        endpoint: String,
        /// What it answered.
        message: String,
    },
}

/// A connection, and what the way to it has told.
pub(super) struct Line {
    /// HTTP/2, reconnecting by itself when it broke.
    pub(super) channel: Channel,
    /// What `GET /version` says, if a Docker Engine is at the other end.
    pub(super) engine: Option<EngineVersion>,
}

/// The part of the Engine's `GET /version` that matters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EngineVersion {
    #[serde(default)]
    pub(super) version: String,
}

/// How HTTP/2 starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// After an HTTP/1.1 upgrade of `POST /grpc`: Engines that have this route.
    Upgrade,
    /// With the first byte, though HTTP/1.1 is understood: Engines without the route, since 29.2 at the earliest.
    Engine,
    /// With the first byte: `buildkitd`.
    Direct,
}

/// Anything that bytes go through.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}
type Stream = TokioIo<Box<dyn Duplex>>;

/// Connects, and finds out how HTTP/2 starts there.
pub(super) async fn open(endpoint: &Endpoint) -> Result<Line, ConnectError> {
    let attempt = async {
        let (start, first) = discover(endpoint).await?;
        let engine = match start {
            Start::Upgrade => Some(version(endpoint).await.unwrap_or_default()),
            Start::Engine => version(endpoint).await.ok(),
            Start::Direct => None,
        };
        Ok(Line { channel: channel(endpoint.clone(), start, first).await?, engine })
    };
    let result = tokio::time::timeout(PATIENCE, attempt).await;
    result.unwrap_or_else(|_| Err(ConnectError::Silent { endpoint: endpoint.to_string() }))
}

/// Asks for the upgrade. What does not understand HTTP/1.1 is a `buildkitd`.
async fn discover(endpoint: &Endpoint) -> Result<(Start, Option<Stream>), ConnectError> {
    let stream = dial(endpoint, Alpn::Silent).await.map_err(|error| unreachable(endpoint, &error))?;
    match ask(stream, Method::POST, "/grpc").await {
        Ok(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => match upgraded(response).await {
            Ok(stream) => Ok((Start::Upgrade, Some(stream))),
            Err(error) => Err(unreachable(endpoint, &error)),
        },
        Ok(response) if response.status() == StatusCode::NOT_FOUND => Ok((Start::Engine, None)),
        Ok(response) => Err(refused(endpoint, response).await),
        // The alert of a TLS server that wants another certificate comes with the first answer, and HTTP/2 would hide it.
        Err(error) if chain(&error).contains("alert") => {
            Err(ConnectError::Unreachable { endpoint: endpoint.to_string(), message: chain(&error), forbidden: false })
        }
        Err(_) => Ok((Start::Direct, None)),
    }
}

async fn refused(endpoint: &Endpoint, response: Response<Incoming>) -> ConnectError {
    let status = response.status();
    let body = Limited::new(response.into_body(), 4096).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message = format!("HTTP {status}: {}", String::from_utf8_lossy(&body).trim());
    ConnectError::NoBuildKit { endpoint: endpoint.to_string(), message }
}

/// The Engine's version; an error if it is not an Engine.
async fn version(endpoint: &Endpoint) -> io::Result<EngineVersion> {
    let response = ask(dial(endpoint, Alpn::Silent).await?, Method::GET, "/version").await?;
    if response.status() != StatusCode::OK {
        return Err(io::Error::other(response.status().to_string()));
    }
    let body = Limited::new(response.into_body(), 1 << 20).collect().await.map_err(io::Error::other)?.to_bytes();
    Ok(serde_json::from_slice(&body)?)
}

async fn ask(stream: Box<dyn Duplex>, method: Method, path: &str) -> io::Result<Response<Incoming>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::builder().method(&method).uri(path).header("host", "localhost");
    if method == Method::POST {
        request = request.header("connection", "Upgrade").header("upgrade", "h2c");
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    sender.send_request(request).await.map_err(io::Error::other)
}

async fn upgraded(response: Response<Incoming>) -> io::Result<Stream> {
    let stream = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
    let stream: Box<dyn Duplex> = Box::new(TokioIo::new(stream));
    Ok(TokioIo::new(stream))
}

/// One HTTP/2 connection, begun on `first` if there is one.
///
/// No keep-alive pings (`buildkitd` drops whoever sends them) and no time limit for requests (a kernel module may take hours).
async fn channel(endpoint: Endpoint, start: Start, first: Option<Stream>) -> Result<Channel, ConnectError> {
    let name = endpoint.to_string();
    let first = Arc::new(Mutex::new(first));
    let connector = tower::service_fn(move |_: http::Uri| {
        let ready = first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let endpoint = endpoint.clone();
        async move {
            match ready {
                Some(stream) => Ok(stream),
                None => start_stream(&endpoint, start).await,
            }
        }
    });
    let channel = tonic::transport::Endpoint::from_static("http://localhost")
        .http2_max_header_list_size(HEADER_LIST)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .connect_with_connector(connector)
        .await;
    channel.map_err(|error| ConnectError::Unreachable { endpoint: name, message: chain(&error), forbidden: false })
}

async fn start_stream(endpoint: &Endpoint, start: Start) -> io::Result<Stream> {
    match start {
        Start::Engine | Start::Direct => Ok(TokioIo::new(dial(endpoint, Alpn::Http2).await?)),
        Start::Upgrade => {
            let response = ask(dial(endpoint, Alpn::Silent).await?, Method::POST, "/grpc").await?;
            upgraded(response).await
        }
    }
}

async fn dial(endpoint: &Endpoint, alpn: Alpn) -> io::Result<Box<dyn Duplex>> {
    match endpoint {
        Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Endpoint::Tcp { host, port, tls } => {
            let stream = dial_tcp(host, *port).await?;
            match tls {
                Some(files) => Ok(Box::new(tls::wrap(stream, host, files, alpn).await?)),
                None => Ok(Box::new(stream)),
            }
        }
        Endpoint::Ssh { login, port } => Ok(Box::new(SshStream::open(login, *port)?)),
    }
}

async fn dial_tcp(host: &str, port: u16) -> io::Result<tokio::net::TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, format!("`{host}` has no address"));
    for address in tokio::net::lookup_host((host, port)).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_keepalive(true)?;
        socket.set_nodelay(true)?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The Engine of another machine, as the Docker command line reaches it.
struct SshStream {
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// Killed when the stream is dropped.
    _child: Child,
}

impl SshStream {
    fn open(login: &str, port: Option<u16>) -> io::Result<Self> {
        let mut command = Command::new("ssh");
        command.args(["-o", "ConnectTimeout=10", "-o", "BatchMode=yes", "-T"]);
        if let Some(port) = port {
            command.arg("-p").arg(port.to_string());
        }
        command.args(["--", login, "docker", "system", "dial-stdio"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn()?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(stdin), Some(stdout)) => Ok(Self { stdin, stdout, _child: child }),
            _ => Err(io::Error::other("ssh has no pipes")),
        }
    }
}

impl AsyncRead for SshStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stdout).poll_read(cx, buf)
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stdin).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stdin).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stdin).poll_shutdown(cx)
    }
}

fn unreachable(endpoint: &Endpoint, error: &io::Error) -> ConnectError {
    let forbidden = error.kind() == io::ErrorKind::PermissionDenied;
    ConnectError::Unreachable { endpoint: endpoint.to_string(), message: error.to_string(), forbidden }
}

/// How a server that speaks TLS answers to one that does not.
const SPEAKS_TLS: [&str; 3] = ["HTTPS server", "broken pipe", "closed"];

/// An error with its causes, each said once.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

impl ConnectError {
    /// The address that was tried.
    pub fn endpoint(&self) -> &str {
        match self {
            Self::Unreachable { endpoint, .. } | Self::Silent { endpoint } | Self::NoBuildKit { endpoint, .. } => endpoint,
        }
    }

    /// What the user can do about it, when that is known.
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { forbidden: true, .. } => Some("run as a user who may use the socket: as root, or as a member of its group"),
            Self::Unreachable { message, .. } if message.contains("fatal alert") => Some(
                "the daemon does not accept this certificate: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or add `?cacert=…&cert=…&key=…` to the address",
            ),
            Self::Unreachable { endpoint, message, .. } | Self::NoBuildKit { endpoint, message }
                if endpoint.starts_with("tcp:") && SPEAKS_TLS.iter().any(|sign| message.contains(sign)) =>
            {
                Some("if the daemon wants TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or add `?cacert=…&cert=…&key=…` to the address")
            }
            _ => None,
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let failure = Self::new(Exit::Failed, format!("no builder answers at `{}`", error.endpoint())).fact("found", error.to_string());
        match error.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;

    /// Something that answers every request with the same bytes.
    async fn against(answer: &'static [u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer).await;
            }
        });
        let endpoint = Endpoint::Unix(path.clone());
        let Err(error) = crate::buildkit::BuildKit::connect(&endpoint, crate::credentials::Credentials::default()).await else { panic!("it is no builder") };
        server.abort();
        Failure::from(error).to_string().replace(&path.display().to_string(), "/s.sock")
    }

    #[tokio::test]
    async fn says_what_else_is_there() {
        let refusal = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 48\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
        assert_eq!(
            against(refusal).await,
            "error: no builder answers at `unix:///s.sock`\n  found     HTTP 400 Bad Request: Client sent an HTTP request to an HTTPS server."
        );
        assert!(against(b"220 mail.example ESMTP\r\n").await.starts_with("error: no builder answers at `unix:///s.sock`\n  found     "));
    }

    #[test]
    fn helps_where_it_can() {
        let unreachable = |endpoint: &str, message: &str, forbidden| {
            let error = ConnectError::Unreachable { endpoint: endpoint.to_owned(), message: message.to_owned(), forbidden };
            error.help().unwrap_or_default()
        };
        assert!(unreachable("unix:///s", "Permission denied (os error 13)", true).starts_with("run as a user who may use the socket"));
        assert!(unreachable("tcp://h:1", "received fatal alert: CertificateRequired", false).starts_with("the daemon does not accept this certificate"));
        assert!(unreachable("tcp://h:1", "connection closed", false).starts_with("if the daemon wants TLS"));
        assert_eq!(unreachable("tcp://h:1", "Connection refused (os error 111)", false), "");
    }
}
