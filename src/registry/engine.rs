//! `docker load` through the Engine's API.

#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use http::Request;
use http::header::{CONTENT_TYPE, HOST};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::error::{Exit, Failure};
use crate::image::{Image, docker};
use crate::reference::Reference;

/// Chunks of this size wait for the Engine, a few at a time.
const CHUNK: usize = 1 << 16;

/// Loads an image under a name into the Docker Engine behind a unix socket; nothing is kept in memory or on disk on the way.
///
/// # Errors
/// When the Engine cannot be reached or refuses the image, or a layer cannot be read.
pub async fn load(socket: &Path, name: &Reference, image: &Image) -> Result<(), EngineError> {
    let unreachable = |error: io::Error| EngineError::Unreachable { socket: socket.to_owned(), reason: error.to_string() };
    let broken = |error: hyper::Error| EngineError::Broken { socket: socket.to_owned(), reason: error.to_string() };
    let stream = UnixStream::connect(socket).await.map_err(unreachable)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let connection = tokio::spawn(connection);

    let (chunks, body) = mpsc::channel(4);
    let (name, image) = (name.clone(), image.clone());
    let writer = tokio::task::spawn_blocking(move || {
        let out = ChannelWriter { chunks: chunks.clone(), buffer: Vec::with_capacity(CHUNK) };
        let result = docker::write_archive(&image, &name, out).and_then(|mut out| out.flush());
        if result.is_err() {
            // Without an error the Engine would take what it has for everything.
            let _ = chunks.blocking_send(Err(io::Error::other("a layer could not be read")));
        }
        result
    });
    let body = StreamBody::new(ReceiverStream::new(body).map(|chunk: io::Result<Bytes>| chunk.map(Frame::data)));
    let request = Request::post("/images/load?quiet=1").header(HOST, "docker").header(CONTENT_TYPE, "application/x-tar").body(body);
    let request = request.map_err(|error| unreachable(io::Error::other(error)))?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), 1 << 20)
            .collect()
            .await
            .map_err(|error| EngineError::Broken { socket: socket.to_owned(), reason: error.to_string() })?;
        Ok((status, body.to_bytes()))
    }
    .await;
    // Once the request is gone the writer's channel is closed, so this ends.
    let written = writer.await.map_err(io::Error::other).and_then(|result| result);
    connection.abort();
    match (answer, written) {
        (Ok((status, body)), _) if !status.is_success() => Err(EngineError::Refused(message(&body).unwrap_or_else(|| format!("status {status}")))),
        (Ok((_, body)), _) if message(&body).is_some() => Err(EngineError::Refused(message(&body).unwrap_or_default())),
        (_, Err(error)) if error.kind() != io::ErrorKind::BrokenPipe => Err(EngineError::Layer(error)),
        (Err(error), _) => Err(error),
        (Ok(_), _) => Ok(()),
    }
}

/// An error in the Engine's answer: one JSON object, or one per line of progress.
fn message(body: &[u8]) -> Option<String> {
    let mut lines = body.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    lines.find_map(|line| line.get("error").or_else(|| line.get("message")).and_then(|text| text.as_str().map(str::to_owned)))
}

/// Hands what is written to the task that talks with the Engine.
struct ChannelWriter {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.chunks.blocking_send(Ok(chunk.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// Why an image could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nothing answers.
    #[error("cannot reach the Docker Engine at `{socket}`: {reason}")]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The connection ended too early.
    #[error("the connection to the Docker Engine at `{socket}` broke: {reason}")]
    Broken {
        /// The socket.
        socket: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It does not want the image.
    #[error("the Docker Engine refuses the image: {0}")]
    Refused(String),
    /// A layer could not be read.
    #[error("cannot read a layer: {0}")]
    Layer(io::Error),
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let failure = Self::new(Exit::Failed, error.to_string());
        match error {
            EngineError::Unreachable { .. } => failure.help("is it running, and may you use it (group `docker`)?"),
            EngineError::Broken { .. } => failure.help("look at its log: journalctl -u docker"),
            EngineError::Refused(_) | EngineError::Layer(_) => failure,
        }
    }
}
