use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;

use super::testing::{Server, fetcher, options, status, through_mirror};
use super::*;
use crate::error::Failure;

const CONTENT: &[u8] = b"the driver";

fn words(error: FetchError, server: &Server) -> String {
    Failure::from(error).to_string().replace(&server.url, "http://server")
}

fn files_in(dir: &Path) -> usize {
    std::fs::read_dir(dir.join("files")).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_verified_file_is_fetched_once_and_then_needs_no_network() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/x", CONTENT.to_vec())]).await;
    let (client, url, digest) = (fetcher(dir.path()), format!("{}/x", server.url), sha256(CONTENT));
    let all = futures::future::join_all((0..5).map(|_| client.verified(Kind::Source, &url, &digest))).await;
    for path in all {
        assert_eq!(std::fs::read(path.unwrap()).unwrap(), CONTENT);
    }
    assert_eq!(server.asked(), ["/x"]);
    drop(server);
    fetcher(dir.path()).verified(Kind::Source, &url, &digest).await.unwrap();
    assert_eq!(files_in(dir.path()), 1);
}

#[tokio::test]
async fn another_file_than_expected_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/pool/x.deb", CONTENT.to_vec())]).await;
    let client = through_mirror(dir.path(), "http://ftp.debian.org/debian", &server);
    let error = client.verified(Kind::Package, "http://ftp.debian.org/debian/pool/x.deb", &sha256(b"other")).await.unwrap_err();
    assert_eq!(
        words(error, &server),
        "error: `http://server/pool/x.deb` is not the expected file\n  \
         found      sha256:0736b0e16a553b36b8d0b8070af1258d8e0954f1db07d7fe8d4a4ed88c4a78d3\n  \
         expected   sha256:d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa\n  \
         mirror of  http://ftp.debian.org/debian/pool/x.deb\n  \
         help       the file was changed at its place or on the way; nothing of it was used"
    );
    assert_eq!((files_in(dir.path()), server.asked().len()), (0, 1));
}

#[tokio::test]
async fn a_missing_file_is_asked_for_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/x", Vec::new())]).await;
    let error = fetcher(dir.path()).verified(Kind::Source, &format!("{}/y", server.url), &sha256(b"")).await.unwrap_err();
    assert!(error.is_missing());
    assert_eq!(
        words(error, &server),
        "error: `http://server/y` does not exist: 404 Not Found\n  help      check the address; a mirror may not have the file (any more)"
    );
    assert_eq!((files_in(dir.path()), server.asked().len()), (0, 1));
}

#[tokio::test]
async fn a_busy_server_is_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, before| match before {
        0 => status(503),
        1 => status(429),
        _ => CONTENT.into_response(),
    })
    .await;
    fetcher(dir.path()).verified(Kind::Source, &format!("{}/x", server.url), &sha256(CONTENT)).await.unwrap();
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_broken_server_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| status(502)).await;
    let error = fetcher(dir.path()).verified(Kind::Source, &format!("{}/x", server.url), &sha256(CONTENT)).await.unwrap_err();
    assert_eq!(
        words(error, &server),
        "error: `http://server/x` cannot be fetched: 502 Bad Gateway\n  attempts  4\n  help      the server has a problem; try again later, or use a mirror"
    );
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn a_refusal_tells_where_credentials_go() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|request, _| status(if request.headers().contains_key("authorization") { 200 } else { 401 })).await;
    let error = fetcher(dir.path()).verified(Kind::Source, &format!("{}/x", server.url), &sha256(b"")).await.unwrap_err();
    assert_eq!(words(error, &server), "error: `http://server/x` was refused: 401 Unauthorized\n  help      name a file with logins: KMODFORGE_APT_AUTH=FILE");
    let with_password = server.url.replace("http://", "http://ci:secret@");
    fetcher(dir.path()).verified(Kind::Source, &format!("{with_password}/x"), &sha256(b"")).await.unwrap();
    let error = fetcher(dir.path()).verified(Kind::Source, &format!("{with_password}/x"), &sha256(b"y")).await.unwrap_err();
    assert!(!words(error, &server).contains("secret"));
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| {
        // The pause lets the first piece out before the connection is cut.
        let pieces = futures::stream::iter([Ok(CONTENT), Err(std::io::Error::other("gone"))]).then(async |piece| {
            tokio::time::sleep(Duration::from_millis(20)).await;
            piece
        });
        Response::builder().header("content-length", 1000).body(Body::from_stream(pieces)).unwrap()
    })
    .await;
    let error = fetcher(dir.path()).verified(Kind::Source, &format!("{}/x", server.url), &sha256(CONTENT)).await.unwrap_err();
    assert_eq!(
        words(error, &server),
        "error: `http://server/x` broke off before its end\n  found     10 bytes\n  expected  1000 bytes\n  attempts  4\n  \
         help      try again; if it stays so, the server or a proxy cuts the file"
    );
    assert_eq!(files_in(dir.path()), 0);
}

#[tokio::test]
async fn a_server_that_falls_silent_times_out() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| {
        let pieces = futures::stream::iter([Ok::<_, std::io::Error>(CONTENT)]).chain(futures::stream::pending());
        Body::from_stream(pieces).into_response()
    })
    .await;
    let mut options = options(dir.path());
    options.retries.attempts = 1;
    let client = Fetcher::new(options).unwrap();
    let error = client.verified(Kind::Source, &format!("{}/x", server.url), &sha256(CONTENT)).await.unwrap_err();
    assert_eq!(
        words(error, &server),
        "error: `http://server/x` timed out: nothing came for 0.4 s\n  help      check the network and the proxy variables, or use a mirror"
    );
    assert_eq!(files_in(dir.path()), 0);
}

#[tokio::test]
async fn nobody_listening_and_unknown_hosts_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ask = async |url: String| Failure::from(fetcher(dir.path()).verified(Kind::Source, &url, &sha256(b"")).await.unwrap_err()).to_string();
    assert_eq!(
        ask(format!("http://{closed}/x")).await,
        format!(
            "error: nobody answers at `http://{closed}/x`: connection refused\n  attempts  4\n  help      check that the server runs, and the proxy variables"
        )
    );
    assert_eq!(
        ask("http://kmodforge.invalid/x".to_owned()).await,
        "error: nobody answers at `http://kmodforge.invalid/x`: the host is unknown\n  attempts  4\n  \
         help      check the address, the network and the proxy variables; without a way out, use `mirrors`"
    );
    assert_eq!(
        ask("ftp//x".to_owned()).await,
        "error: `ftp//x` cannot be fetched: relative URL without a base\n  help      expected an address that begins with `http://` or `https://`"
    );
    assert!(ask(format!("https://{closed}/x")).await.contains("connection refused"));
}

#[tokio::test]
async fn a_digest_that_is_none_cannot_name_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let error = fetcher(dir.path()).verified(Kind::Source, "http://a/x", "../../etc/passwd").await.unwrap_err();
    assert_eq!(Failure::from(error).to_string(), "error: `http://a/x` cannot be fetched: `../../etc/passwd` is not a SHA-256");
}

#[tokio::test]
async fn plain_http_where_tls_is_expected_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/x", Vec::new())]).await;
    let url = server.url.replace("http://", "https://");
    let failure = Failure::from(fetcher(dir.path()).verified(Kind::Source, &format!("{url}/x"), &sha256(b"")).await.unwrap_err());
    assert!(failure.headline.contains("cannot be fetched: no trusted TLS connection: "), "{failure}");
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = fetcher(&file).verified(Kind::Source, "http://a/x", &sha256(b"")).await.unwrap_err();
    assert_eq!(
        Failure::from(error).to_string(),
        format!("error: cannot write `{}/files`: not a directory\n  help      the cache can be put elsewhere: KMODFORGE_CACHE=DIR", file.display())
    );
}

#[tokio::test]
async fn what_a_killed_process_left_goes_away_after_a_day() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("files")).unwrap();
    let [old, new, kept] = [".part-old", ".part-new", "kept"].map(|name| dir.path().join("files").join(name));
    for path in [&old, &new, &kept] {
        let file = std::fs::File::create(path).unwrap();
        if path != &new {
            file.set_modified(UNIX_EPOCH + env::now() - Duration::from_hours(25)).unwrap();
        }
    }
    fetcher(dir.path()).verified(Kind::Source, "ftp//x", &sha256(b"")).await.unwrap_err();
    assert!(!old.exists() && new.exists() && kept.exists());
}

#[test]
fn certificate_authorities_must_be_pem() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, "not a certificate").unwrap();
    let mut options = options(dir.path());
    options.extra_ca = Some(file.clone());
    assert_eq!(
        Failure::from(Fetcher::new(options).unwrap_err()).to_string(),
        format!(
            "error: `{}` cannot be used as certificate authorities\n  found     it holds no certificate in PEM format\n  \
             help      name a file with one or more certificates in PEM format",
            file.display()
        )
    );
}

#[tokio::test]
async fn an_index_is_fetched_again_only_when_it_changed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|request, before| {
        let tag = if before < 2 { "\"1\"" } else { "\"2\"" };
        if request.headers().get("if-none-match").is_some_and(|given| given == tag) {
            return status(304);
        }
        ([("etag", tag)], format!("version {tag}")).into_response()
    })
    .await;
    let url = format!("{}/InRelease", server.url);
    let ask = async || fetcher(dir.path()).cached(Kind::Package, &url).await.unwrap();
    assert_eq!(ask().await, Fetched { bytes: b"version \"1\"".to_vec(), from_cache: false });
    assert_eq!(ask().await, Fetched { bytes: b"version \"1\"".to_vec(), from_cache: true });
    assert_eq!(ask().await, Fetched { bytes: b"version \"2\"".to_vec(), from_cache: false });
}

#[tokio::test]
async fn an_index_from_before_is_taken_only_when_that_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/InRelease", CONTENT.to_vec())]).await;
    let url = format!("{}/InRelease", server.url);
    fetcher(dir.path()).cached(Kind::Package, &url).await.unwrap();
    let mut young = options(dir.path());
    young.max_age = Duration::from_mins(1);
    assert!(Fetcher::new(young).unwrap().cached(Kind::Package, &url).await.unwrap().from_cache);
    assert_eq!(server.asked().len(), 1);
    drop(server);
    assert!(fetcher(dir.path()).cached(Kind::Package, &url).await.is_err());
    let mut stale = options(dir.path());
    stale.stale_if_unreachable = true;
    assert_eq!(Fetcher::new(stale).unwrap().cached(Kind::Package, &url).await.unwrap().bytes, CONTENT);
}

#[tokio::test]
async fn a_damaged_copy_of_an_index_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/InRelease", CONTENT.to_vec())]).await;
    let url = format!("{}/InRelease", server.url);
    let mut options = options(dir.path());
    options.max_age = Duration::from_mins(1);
    let client = Fetcher::new(options).unwrap();
    client.cached(Kind::Package, &url).await.unwrap();
    let copy = dir.path().join("http").join(sha256(url.as_bytes()));
    let mut bytes = std::fs::read(&copy).unwrap();
    bytes.pop();
    std::fs::write(&copy, bytes).unwrap();
    assert_eq!(client.cached(Kind::Package, &url).await.unwrap().bytes, CONTENT);
}

#[tokio::test]
async fn an_endless_index_is_cut() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|_, _| Body::from_stream(futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![b'x'; 1 << 20]))).into_response()).await;
    let error = fetcher(dir.path()).cached(Kind::Package, &format!("{}/InRelease", server.url)).await.unwrap_err();
    assert_eq!(words(error, &server), "error: `http://server/InRelease` cannot be fetched: more than 16777216 bytes");
}

#[tokio::test]
async fn a_file_of_which_no_index_tells_is_fetched_again_when_it_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(|request, before| {
        let tag = if before < 2 { "\"1\"" } else { "\"2\"" };
        if request.headers().get("if-none-match").is_some_and(|known| known == tag) {
            return status(304);
        }
        ([("etag", tag)], format!("version {tag}")).into_response()
    })
    .await;
    let url = format!("{}/headers.tgz", server.url);
    let ask = async || fetcher(dir.path()).unlisted(Kind::Package, &url).await.unwrap();
    let first = ask().await;
    assert_eq!((first.sha256.as_str(), first.size), (sha256(b"version \"1\"").as_str(), 11));
    assert_eq!((ask().await, files_in(dir.path())), (first, 1));
    assert_eq!((ask().await.sha256, files_in(dir.path())), (sha256(b"version \"2\""), 2));
}

#[tokio::test]
async fn a_file_of_a_server_that_does_not_tell_when_it_changes_is_fetched_once() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/headers.tgz", CONTENT.to_vec())]).await;
    let url = format!("{}/headers.tgz", server.url);
    for _ in 0..2 {
        assert_eq!(fetcher(dir.path()).unlisted(Kind::Package, &url).await.unwrap().sha256, sha256(CONTENT));
    }
    assert_eq!(server.asked().len(), 1);
}
