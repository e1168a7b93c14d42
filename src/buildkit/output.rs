//! Taking the result: the daemon streams a tar, which goes to a file that gets its name only when the solve is known to be good.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bollard_buildkit_proto::moby::filesync::v1::BytesMessage;
use bollard_buildkit_proto::moby::filesync::v1::file_send_server::FileSend;
use futures::stream;
use tempfile::TempPath;
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedSender;
use tonic::{Request, Response, Status, Streaming};

use super::context::local;
use super::session::Ledger;
use crate::builder::{BuildEvent, SolveError};

/// How much is written at once.
const BLOCK: usize = 1 << 20;

/// A file beside the final one; it is removed unless it is kept.
pub(super) struct Draft {
    path: TempPath,
    target: PathBuf,
}

impl Draft {
    /// Creates the file.
    pub(super) fn create(target: &Path) -> Result<(Self, File), SolveError> {
        let fail = |error: io::Error| {
            // tempfile adds the name of the draft, which nobody asked for.
            let message = error.to_string().split(" at path ").next().unwrap_or_default().to_owned();
            SolveError::Local { path: target.to_owned(), message }
        };
        let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let draft = tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder).map_err(fail)?;
        let (file, path) = draft.into_parts();
        Ok((Self { path, target: target.to_owned() }, File::from_std(file)))
    }

    /// Gives it its name.
    pub(super) fn keep(self) -> Result<(), SolveError> {
        let Self { path, target } = self;
        path.persist(&target).map_err(|error| local(&target, &error.error))
    }
}

/// The service to which the daemon sends the tar.
pub(super) struct Receiver {
    file: Mutex<Option<File>>,
    target: PathBuf,
    ledger: Arc<Ledger>,
    events: UnboundedSender<BuildEvent>,
}

impl Receiver {
    /// Writes to `file`; errors name `target`.
    pub(super) fn new(file: File, target: &Path, ledger: Arc<Ledger>, events: UnboundedSender<BuildEvent>) -> Self {
        Self { file: Mutex::new(Some(file)), target: target.to_owned(), ledger, events }
    }

    async fn write(&self, file: File, mut incoming: Streaming<BytesMessage>) -> Result<(), Status> {
        let mut file = BufWriter::with_capacity(BLOCK, file);
        let mut bytes = 0;
        let mut told = 0;
        while let Some(message) = incoming.message().await? {
            file.write_all(&message.data).await.map_err(|error| self.fail(&error))?;
            bytes += message.data.len() as u64;
            if bytes - told >= BLOCK as u64 {
                told = bytes;
                self.tell(bytes);
            }
        }
        file.flush().await.map_err(|error| self.fail(&error))?;
        self.tell(bytes);
        Ok(())
    }

    fn tell(&self, bytes: u64) {
        // Nobody listening is no reason to stop.
        let _ = self.events.send(BuildEvent::Transfer { what: "receiving the result".to_owned(), bytes });
    }

    fn fail(&self, error: &io::Error) -> Status {
        self.ledger.fail(local(&self.target, error));
        Status::data_loss(format!("the client cannot write the result: {error}"))
    }
}

#[tonic::async_trait]
impl FileSend for Receiver {
    type DiffCopyStream = stream::Empty<Result<BytesMessage, Status>>;

    /// The end of this stream does not mean success: the daemon closes it in the same way when it fails while writing.
    async fn diff_copy(&self, request: Request<Streaming<BytesMessage>>) -> Result<Response<Self::DiffCopyStream>, Status> {
        let file = self.file.lock().await.take().ok_or_else(|| Status::already_exists("the result was sent before"))?;
        self.write(file, request.into_inner()).await?;
        self.ledger.received();
        Ok(Response::new(stream::empty()))
    }
}
