//! A Debian repository and an archive of sources over HTTP, which can fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Response, StatusCode, Uri};
use futures::StreamExt as _;
use kmodforge::reference::Digest;

/// What a path answers.
#[derive(Clone)]
pub(crate) enum Page {
    Bytes(Vec<u8>),
    Status(u16),
    /// Nothing ever comes.
    Silence,
    /// Announces all, sends half, hangs up.
    Truncated(Vec<u8>),
}

/// The server; it ends with the test's runtime.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self { address: listener.local_addr().unwrap(), pages: Arc::default() };
        let app = axum::Router::new().fallback(answer).with_state(site.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        site
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn put(&self, path: &str, page: Page) {
        self.pages.lock().unwrap().insert(path.to_owned(), page);
    }

    /// From now on nobody answers.
    pub(crate) fn close(&self) {
        self.pages.lock().unwrap().values_mut().for_each(|page| *page = Page::Silence);
    }

    /// What a path answers, if it is a file.
    pub(crate) fn get(&self, path: &str) -> Vec<u8> {
        match self.pages.lock().unwrap().get(path) {
            Some(Page::Bytes(bytes)) => bytes.clone(),
            _ => panic!("{path} is no file"),
        }
    }

    /// Publishes kernels with their headers, and everything else that a release has. Another revision has other packages.
    pub(crate) fn publish(&self, kernels: &[&str], revision: &str) {
        let mut release = String::from("Suite: bookworm\nArchitectures: amd64 arm64\nNo-Support-for-Architecture-all: Packages\nSHA256:\n");
        for arch in ["amd64", "arm64"] {
            let packages = packages(kernels, arch, revision);
            for file in packages.lines().filter_map(|line| line.strip_prefix("Filename: ")) {
                let name = file.trim_start_matches("pool/").trim_end_matches(".deb").replace('_', " ");
                self.put(&format!("/debian/{file}"), Page::Bytes(name.into_bytes()));
            }
            let path = format!("main/binary-{arch}/Packages");
            let _ = writeln!(release, " {} {} {path}", Digest::of(packages.as_bytes()).hex(), packages.len());
            self.put(&format!("/debian/dists/bookworm/{path}"), Page::Bytes(packages.into_bytes()));
        }
        self.put("/debian/dists/bookworm/InRelease", Page::Bytes(crate::signing::clearsign(&release).into_bytes()));
    }
}

fn packages(kernels: &[&str], arch: &str, revision: &str) -> String {
    let mut text = String::new();
    let mut add = |name: &str, version: &str, depends: &str| {
        let sha256 = Digest::of(format!("{name} {version} {arch}").as_bytes());
        let _ = writeln!(
            text,
            "Package: {name}\nVersion: {version}\nArchitecture: {arch}\nDepends: {depends}\nFilename: pool/{name}_{version}_{arch}.deb\nSize: 1\nSHA256: {}\n",
            sha256.hex()
        );
    };
    add("kmod", "30+20221128-1", "");
    add("gcc-12", "12.2.0-14+deb12u1", "");
    add("gcc-12-aarch64-linux-gnu", "12.2.0-14cross1", "");
    add("linux-kbuild-6.1", "6.1.192-2", "");
    for kernel in kernels.iter().filter(|kernel| kernel.ends_with(arch)) {
        let compiler = if kernel.starts_with("6.12") { "gcc-14" } else { "gcc-12" };
        add(&format!("linux-headers-{kernel}"), revision, &format!("linux-kbuild-6.1, {compiler}"));
    }
    text
}

async fn answer(State(site): State<Site>, uri: Uri) -> Response<Body> {
    let page = site.pages.lock().unwrap().get(uri.path()).cloned();
    let reply = |status: u16, body: Body| Response::builder().status(StatusCode::from_u16(status).unwrap()).body(body).unwrap();
    match page {
        None => reply(404, Body::empty()),
        Some(Page::Status(status)) => reply(status, Body::empty()),
        Some(Page::Bytes(bytes)) => reply(200, Body::from(bytes)),
        Some(Page::Silence) => {
            tokio::time::sleep(Duration::from_hours(1)).await;
            reply(500, Body::empty())
        }
        Some(Page::Truncated(bytes)) => {
            let half = Bytes::copy_from_slice(&bytes[..bytes.len() / 2]);
            let end = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(std::io::Error::other("hung up"))
            };
            let chunks = futures::stream::once(async { Ok(half) }).chain(futures::stream::once(end));
            let mut response = reply(200, Body::from_stream(chunks));
            response.headers_mut().insert("content-length", bytes.len().into());
            response
        }
    }
}
