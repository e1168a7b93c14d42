//! Against an Engine's socket in this process.

use std::sync::{Arc, Mutex};

use http::Response;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tempfile::TempDir;
use tokio::net::UnixListener;

use super::*;
use crate::arch::Arch;
use crate::image::fixture::image;

/// An Engine that answers like this, and keeps what it got.
fn engine(dir: &Path, status: u16, text: &'static str) -> (PathBuf, Arc<Mutex<Vec<u8>>>) {
    let socket = dir.join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let got = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&got);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = service_fn(|request: Request<Incoming>| {
            let kept = Arc::clone(&kept);
            async move {
                assert_eq!(request.uri(), "/images/load?quiet=1");
                let mut body = request.into_body();
                while let Some(frame) = body.frame().await {
                    kept.lock().unwrap().extend_from_slice(&frame?.into_data().unwrap());
                }
                Ok::<_, hyper::Error>(Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap())
            }
        });
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    });
    (socket, got)
}

fn small() -> (TempDir, Image, Reference) {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), Arch::Amd64, "m");
    (dir, image, "127.0.0.1:5000/drivers/x:1".parse().unwrap())
}

fn shown(error: EngineError, dir: &TempDir) -> String {
    Failure::from(error).to_string().replace(&dir.path().display().to_string(), "DIR")
}

#[tokio::test]
async fn streams_an_archive() {
    let (dir, image, name) = small();
    let (socket, got) = engine(dir.path(), 200, "{\"stream\":\"Loaded image: x\\n\"}\r\n");
    load(&socket, &name, &image).await.unwrap();
    assert_eq!(*got.lock().unwrap(), docker::write_archive(&image, &name, Vec::new()).unwrap());
}

#[tokio::test]
async fn says_what_the_engine_says() {
    for (status, text) in [
        (500, r#"{"message":"archive/tar: invalid tar header"}"#),
        (200, "{\"stream\":\"\"}\n{\"errorDetail\":{\"message\":\"archive/tar: invalid tar header\"},\"error\":\"archive/tar: invalid tar header\"}"),
    ] {
        let (dir, image, name) = small();
        let (socket, _) = engine(dir.path(), status, text);
        let error = load(&socket, &name, &image).await.unwrap_err();
        assert_eq!(shown(error, &dir), "error: the Docker Engine refuses the image: archive/tar: invalid tar header");
    }
}

#[tokio::test]
async fn says_when_no_engine_is_there() {
    let (dir, image, name) = small();
    let error = load(&dir.path().join("docker.sock"), &name, &image).await.unwrap_err();
    assert_eq!(
        shown(error, &dir),
        "error: cannot reach the Docker Engine at `DIR/docker.sock`: No such file or directory (os error 2)\n  help      is it running, and may you use it (group `docker`)?"
    );
}

#[tokio::test]
async fn a_layer_that_is_gone_is_no_success() {
    let (dir, image, name) = small();
    std::fs::remove_file(&image.layers[1].path).unwrap();
    let (socket, _) = engine(dir.path(), 200, "");
    let error = load(&socket, &name, &image).await.unwrap_err();
    assert_eq!(shown(error, &dir), "error: cannot read a layer: No such file or directory (os error 2)");
}
