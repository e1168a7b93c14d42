//! An HTTP server inside the test's process.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};

use super::{FetchOptions, Fetcher};
use crate::mirror::Mirrors;

/// Answers requests and remembers their paths; stops when it is dropped.
pub(crate) struct Server {
    /// `http://127.0.0.1:41234`.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// `answer` gets every request, and how many came before it.
    pub(crate) async fn start(answer: impl Fn(&Request, usize) -> Response + Clone + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::clone(&asked);
        let handler = move |request: Request| {
            let mut log = log.lock().unwrap();
            log.push(request.uri().path().to_owned());
            let response = answer(&request, log.len() - 1);
            async move { response }
        };
        let task = tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(handler)).await.unwrap() });
        Self { url, asked, task }
    }

    /// Serves files by their paths (`/x`).
    pub(crate) async fn files<P: Into<String>>(files: impl IntoIterator<Item = (P, Vec<u8>)>) -> Self {
        let files: std::collections::HashMap<String, Vec<u8>> = files.into_iter().map(|(path, bytes)| (path.into(), bytes)).collect();
        Self::start(move |request, _| files.get(request.uri().path()).map_or_else(|| status(404), |bytes| bytes.clone().into_response())).await
    }

    /// Paths that were asked for, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer without a body.
pub(crate) fn status(code: u16) -> Response {
    Response::builder().status(code).body(Body::empty()).unwrap()
}

/// A client that loses patience soon, with a cache in `dir`.
pub(crate) fn fetcher(dir: &Path) -> Fetcher {
    Fetcher::new(options(dir)).unwrap()
}

/// How that client works.
pub(crate) fn options(dir: &Path) -> FetchOptions {
    let mut options = FetchOptions::new(Mirrors::default(), dir.to_owned());
    options.timeouts.read = Duration::from_millis(400);
    options.retries.first_delay = Duration::from_millis(5);
    options
}

/// A fetcher that finds official addresses at a test's server.
pub(crate) fn through_mirror(dir: &Path, official: &str, server: &Server) -> Fetcher {
    let mut options = options(dir);
    options.mirrors.packages.insert(official.to_owned(), server.url.as_str().into());
    Fetcher::new(options).unwrap()
}

/// An entry of an archive made for a test.
pub(crate) enum Entry<'a> {
    /// A file's path and contents.
    File(&'a str, &'a [u8]),
    /// A file that may be executed.
    Program(&'a str, &'a [u8]),
    /// A directory.
    Directory(&'a str),
    /// A symbolic link and its target.
    Link(&'a str, &'a str),
    /// A hard link and its target.
    HardLink(&'a str, &'a str),
    /// A character device.
    Device(&'a str),
}

/// A tar archive with exactly these entries, however unwise; owners, dates and modes depend on `salt`.
pub(crate) fn archive(entries: &[Entry<'_>], salt: u64) -> Vec<u8> {
    use tar::EntryType;
    let mut bytes = Vec::new();
    for entry in entries {
        let (path, kind, mode, content, target) = match entry {
            Entry::File(path, content) => (path, EntryType::Regular, 0o600, *content, ""),
            Entry::Program(path, content) => (path, EntryType::Regular, 0o711, *content, ""),
            Entry::Directory(path) => (path, EntryType::Directory, 0o700, &[][..], ""),
            Entry::Link(path, target) => (path, EntryType::Symlink, 0o777, &[][..], *target),
            Entry::HardLink(path, target) => (path, EntryType::Link, 0o644, &[][..], *target),
            Entry::Device(path) => (path, EntryType::Char, 0o644, &[][..], ""),
        };
        let mut header = tar::Header::new_ustar();
        // `tar` would refuse the very names that are to be tested.
        let raw = header.as_ustar_mut().unwrap();
        raw.name[..path.len()].copy_from_slice(path.as_bytes());
        raw.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        header.set_mtime(salt);
        header.set_uid(salt);
        header.set_gid(salt);
        header.set_cksum();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

/// A Debian binary package with this member for its files.
pub(crate) fn deb(data_name: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in [("debian-binary", b"2.0\n".as_slice()), ("control.tar", b"odd"), (data_name, data)] {
        bytes.extend_from_slice(format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).as_bytes());
        bytes.extend_from_slice(content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Compressed with xz.
pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut packed = Vec::new();
    liblzma::read::XzEncoder::new(bytes, 1).read_to_end(&mut packed).unwrap();
    packed
}

/// Compressed with bzip2.
pub(crate) fn bz2(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut packed = Vec::new();
    bzip2::read::BzEncoder::new(bytes, bzip2::Compression::fast()).read_to_end(&mut packed).unwrap();
    packed
}

/// Compressed with gzip.
pub(crate) fn gz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
