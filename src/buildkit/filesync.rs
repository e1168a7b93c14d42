//! Sending the context through the session, for contexts that are too large to travel inside the request.
//!
//! The protocol is that of `send.go` in tonistiigi/fsutil: a list of entries, then whatever files the daemon asks for by their position.

use std::sync::Arc;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use sha2::{Digest, Sha256};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::context::{Entry, File, SharedTree, TIME, changed, hex, local};
use super::session::Ledger;
use crate::builder::{Content, SolveError};

/// Bytes of a file in one packet.
const CHUNK: usize = 64 << 10;

/// Go's `fs.ModeDir`: modes are Go's, not those of `stat(2)`.
const GO_DIRECTORY: u32 = 1 << 31;

/// Serves the files of one context.
#[derive(Clone)]
pub(super) struct ContextFiles {
    tree: SharedTree,
    ledger: Arc<Ledger>,
}

type Packets = mpsc::Sender<Result<Packet, Status>>;

/// The daemon went away, or said why it stops; either way it answers to Solve.
struct Stopped;

impl ContextFiles {
    pub(super) fn new(tree: SharedTree, ledger: Arc<Ledger>) -> Self {
        Self { tree, ledger }
    }

    async fn talk(self, wanted: Wanted, mut requests: Streaming<Packet>, packets: Packets) -> Result<(), Stopped> {
        let entries: Vec<&Entry> = self.tree.entries().iter().filter(|entry| wanted.includes(entry)).collect();
        for entry in &entries {
            send(&packets, PacketType::PacketStat, Packet { stat: Some(stat(entry)), ..Packet::default() }).await?;
        }
        send(&packets, PacketType::PacketStat, Packet::default()).await?;
        while let Ok(Some(request)) = requests.message().await {
            match PacketType::try_from(request.r#type) {
                Ok(PacketType::PacketReq) => {
                    let file = entries.get(request.id as usize).and_then(|entry| entry.file.as_ref());
                    let Some(file) = file else {
                        return give_up(&packets, format!("there is no file number {}", request.id)).await;
                    };
                    if let Err(error) = send_file(&packets, request.id, file).await? {
                        let text = error.to_string();
                        self.ledger.fail(error);
                        return give_up(&packets, text).await;
                    }
                }
                Ok(PacketType::PacketFin) => return send(&packets, PacketType::PacketFin, Packet::default()).await,
                Ok(PacketType::PacketErr) => return Err(Stopped),
                _ => return give_up(&packets, format!("unexpected packet of type {}", request.r#type)).await,
            }
        }
        Err(Stopped)
    }
}

async fn send(packets: &Packets, kind: PacketType, packet: Packet) -> Result<(), Stopped> {
    packets.send(Ok(Packet { r#type: kind.into(), ..packet })).await.map_err(|_| Stopped)
}

/// Without this packet the daemon would take what it has for the whole.
async fn give_up(packets: &Packets, why: String) -> Result<(), Stopped> {
    send(packets, PacketType::PacketErr, Packet { data: why.into_bytes(), ..Packet::default() }).await
}

/// Sends the bytes, then an empty packet for the end. The inner error is one of this side.
async fn send_file(packets: &Packets, id: u32, file: &File) -> Result<Result<(), SolveError>, Stopped> {
    match &file.content {
        Content::Bytes(bytes) => {
            for chunk in bytes.chunks(CHUNK) {
                send(packets, PacketType::PacketData, Packet { id, data: chunk.to_vec(), ..Packet::default() }).await?;
            }
        }
        Content::File { path, sha256 } => {
            let mut source = match tokio::fs::File::open(path).await {
                Ok(source) => source,
                Err(error) => return Ok(Err(local(path, &error))),
            };
            source.set_max_buf_size(CHUNK);
            let mut hash = Sha256::new();
            loop {
                let mut data = Vec::with_capacity(CHUNK);
                match source.read_buf(&mut data).await {
                    Ok(0) => break,
                    Ok(_) => hash.update(&data),
                    Err(error) => return Ok(Err(local(path, &error))),
                }
                send(packets, PacketType::PacketData, Packet { id, data, ..Packet::default() }).await?;
            }
            if hex(&hash.finalize()) != *sha256 {
                return Ok(Err(changed(path)));
            }
        }
    }
    send(packets, PacketType::PacketData, Packet { id, ..Packet::default() }).await?;
    Ok(Ok(()))
}

fn stat(Entry { path, file }: &Entry) -> Stat {
    let mode = if file.is_some() { 0o644 } else { GO_DIRECTORY | 0o755 };
    let size = file.as_ref().map_or(0, |file| i64::try_from(file.size).unwrap_or(i64::MAX));
    let mod_time = file.as_ref().map_or(TIME, File::time);
    Stat { path: path.clone(), mode, size, mod_time, ..Stat::default() }
}

/// Which entries one call is about.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    Everything,
    /// These, what is below them, and the directories above them.
    Only(Vec<String>),
}

impl Wanted {
    /// Sending more than asked for is allowed, so patterns with wildcards mean everything.
    fn read(metadata: &MetadataMap) -> Self {
        let mut paths = values(metadata, "include-patterns");
        paths.extend(values(metadata, "followpaths"));
        let wild = paths.iter().any(|path| path.contains(['*', '?', '[', '\\', '!']) || matches!(path.as_str(), "" | "." | "/"));
        if paths.is_empty() || wild { Self::Everything } else { Self::Only(paths) }
    }

    /// The daemon does not get to see a `.dockerignore` when it asks for it: the context is exactly the given files, however they are sent.
    fn includes(&self, entry: &Entry) -> bool {
        let below = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        match self {
            Self::Everything => true,
            Self::Only(_) if entry.path == ".dockerignore" => false,
            Self::Only(paths) => paths.iter().map(|path| path.trim_matches('/')).any(|path| below(&entry.path, path) || below(path, &entry.path)),
        }
    }
}

/// All values of a key. Since 0.12 values with unusual characters are percent-encoded, and a second key says so.
fn values(metadata: &MetadataMap, key: &str) -> Vec<String> {
    let encoded = metadata.contains_key(format!("{key}-encoded"));
    let text = |bytes: &[u8]| if encoded { decode(bytes) } else { bytes.to_vec() };
    metadata.get_all(key).iter().map(|value| String::from_utf8_lossy(&text(value.as_encoded_bytes())).into_owned()).collect()
}

/// Go's `url.QueryUnescape`.
fn decode(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, tail)) = rest.split_first() {
        let hex = tail.get(..2).filter(|_| first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            decoded.push(byte);
            rest = &tail[2..];
        } else {
            decoded.push(if first == b'+' { b' ' } else { first });
            rest = tail;
        }
    }
    decoded
}

#[tonic::async_trait]
impl FileSync for ContextFiles {
    type DiffCopyStream = ReceiverStream<Result<Packet, Status>>;

    async fn diff_copy(&self, request: Request<Streaming<Packet>>) -> Result<Response<Self::DiffCopyStream>, Status> {
        let wanted = Wanted::read(request.metadata());
        let (packets, outgoing) = mpsc::channel(8);
        let talk = self.clone().talk(wanted, request.into_inner(), packets);
        // Ends with the stream: once nobody takes packets, sending fails.
        tokio::spawn(async move { talk.await.unwrap_or(()) });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    type TarStreamStream = ReceiverStream<Result<Packet, Status>>;

    async fn tar_stream(&self, _: Request<Streaming<Packet>>) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("directories are sent by DiffCopy"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&'static str, &str)]) -> MetadataMap {
        let mut map = MetadataMap::new();
        for (key, value) in pairs {
            map.append(*key, value.parse().unwrap());
        }
        map
    }

    fn entry(path: &str) -> Entry {
        Entry { path: path.to_owned(), file: None }
    }

    #[test]
    fn sends_what_is_asked_for_with_its_surroundings() {
        let wanted = Wanted::read(&metadata(&[("followpaths", "src/driver"), ("include-patterns", "a.txt")]));
        for (path, included) in [("src", true), ("src/driver", true), ("src/driver/main.c", true), ("src/driver2", false), ("a.txt", true), ("b", false)] {
            assert_eq!(wanted.includes(&entry(path)), included, "{path}");
        }
        assert_eq!(Wanted::read(&metadata(&[("include-patterns", "*.c")])), Wanted::Everything);
        assert_eq!(Wanted::read(&metadata(&[("dir-name", "context")])), Wanted::Everything);
    }

    #[test]
    fn a_dockerignore_is_a_file_like_others() {
        assert!(!Wanted::read(&metadata(&[("followpaths", ".dockerignore")])).includes(&entry(".dockerignore")));
        assert!(Wanted::Everything.includes(&entry(".dockerignore")));
    }

    #[test]
    fn reads_encoded_values() {
        let map = metadata(&[("followpaths", "a%C3%A9+b%2F"), ("followpaths", "%zz%"), ("followpaths-encoded", "1")]);
        assert_eq!(values(&map, "followpaths"), ["aé b/", "%zz%"]);
        assert_eq!(values(&metadata(&[("followpaths", "a+b")]), "followpaths"), ["a+b"]);
    }
}
