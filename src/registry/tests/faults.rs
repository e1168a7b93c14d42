use http::Method;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::reference::Reference;
use crate::registry::fake::Effect;

const RERUN: &str = "run again: what is uploaded stays, and no tag points to anything incomplete";

fn answer(status: u16, body: &'static str) -> Effect {
    Effect::Answer(status, Vec::new(), body)
}

/// What a push says when the upload of a blob is answered like this.
async fn refusal(status: u16, body: &'static str) -> String {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    fake.fail(Method::PUT, "/blobs/uploads/", usize::MAX, answer(status, body));
    let error = push(&registry(), &fake, "drivers/x:1", &image).await.unwrap_err();
    assert!(fake.state().manifests.is_empty(), "nothing is published");
    shown(error, &fake)
}

#[tokio::test]
async fn tells_refusals_in_the_registrys_words() {
    assert_eq!(
        refusal(403, r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#).await,
        "error: not allowed to push to `HOST/drivers/x`\n  answer    DENIED: requested access to the resource is denied\n  help      ask for the right to push to it, or choose another repository"
    );
    assert_eq!(
        refusal(413, "<html>413 Request Entity Too Large</html>").await,
        "error: the registry `HOST` refuses a blob as too large\n  help      raise the limit there, or in the proxy before it (nginx: client_max_body_size)"
    );
    let full = format!("\n  help      free some space there\n  help      {RERUN}");
    assert_eq!(refusal(507, "disk quota").await, format!("error: the registry `HOST` has no space left\n  answer    disk quota{full}"));
    for enospc in [
        r#"{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"Op":"write","Path":"/x","Err":28}}]}"#,
        r#"{"errors":[{"code":"UNKNOWN","message":"unknown error","detail":{"DriverName":"filesystem","Enclosed":{"Op":"mkdir","Path":"/x","Err":28}}}]}"#,
    ] {
        assert_eq!(refusal(500, enospc).await, format!("error: the registry `HOST` has no space left\n  answer    UNKNOWN: unknown error{full}"));
    }
    assert_eq!(refusal(400, "what?").await, "error: the registry `HOST` refuses to push to `drivers/x` with status 400\n  answer    what?");
    assert_eq!(
        refusal(500, "").await,
        format!("error: the registry `HOST` fails with status 500, again and again\n  help      look at its log\n  help      {RERUN}")
    );
    assert_eq!(refusal(429, "").await, format!("error: the registry `HOST` wants fewer requests\n  help      wait, or use fewer --jobs\n  help      {RERUN}"));
}

#[tokio::test]
async fn says_when_a_repository_does_not_exist() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    fake.fail(Method::POST, "/blobs/uploads/", usize::MAX, answer(404, r#"{"errors":[{"code":"NAME_UNKNOWN","message":"no such repository"}]}"#));
    let error = push(&registry(), &fake, "drivers/x:1", &image).await.unwrap_err();
    assert_eq!(
        shown(error, &fake),
        "error: the registry `HOST` has no such thing in `drivers/x`\n  answer    NAME_UNKNOWN: no such repository\n  help      some registries want a repository to be made before the first push"
    );
}

#[tokio::test]
async fn tries_again_when_that_helps() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    fake.fail(Method::GET, "/v2/", 1, answer(503, ""));
    fake.fail(Method::HEAD, "/blobs/", 1, Effect::Answer(429, vec![("retry-after", "1")], ""));
    fake.fail(Method::POST, "/blobs/uploads/", 1, answer(500, ""));
    fake.fail(Method::PUT, "/blobs/uploads/", 1, answer(404, r#"{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}"#));
    fake.fail(Method::PUT, "/manifests/sha256", 2, answer(502, ""));
    fake.fail(Method::PUT, "/manifests/1", 2, Effect::HangUp(10));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    assert_whole(&fake, "drivers/x", "1");
}

#[tokio::test]
async fn does_not_try_again_what_stays_wrong() {
    let fake = Fake::start().await;
    for status in [403, 501, 507] {
        fake.state().log.clear();
        fake.fail(Method::GET, "/manifests/", 1, answer(status, ""));
        registry().published(&fake.reference("drivers/x:1")).await.unwrap_err();
        assert_eq!(fake.count("GET /v2/drivers"), 1, "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_dies_at_any_point_of_a_push_never_has_a_partial_tag() {
    let (_dir, image) = small(Arch::Amd64, "m");
    for (method, path) in [
        (Method::HEAD, "/blobs/"),
        (Method::POST, "/uploads/"),
        (Method::PUT, "/uploads/"),
        (Method::PUT, "/manifests/sha"),
        (Method::GET, "/manifests/1"),
        (Method::PUT, "/manifests/1"),
    ] {
        let fake = Fake::start().await;
        fake.fail(method.clone(), path, usize::MAX, Effect::HangUp(1));
        let error = push(&registry(), &fake, "drivers/x:1", &image).await.unwrap_err();
        let text = shown(error, &fake);
        assert!(text.starts_with("error: the connection to the registry `HOST` broke: ") && text.ends_with(RERUN), "{method} {path}: {text}");
        assert!(!fake.state().manifests.contains_key(&("drivers/x".into(), "1".into())), "{method} {path}");
        fake.state().faults.clear();
        let rerun = push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
        assert_whole(&fake, "drivers/x", "1");
        assert_eq!(rerun.uploaded_bytes + rerun.existing_bytes + image.manifest.size(), image.total_size);
    }
}

#[tokio::test]
async fn says_when_nobody_listens() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let reference: Reference = format!("{free}/drivers/x:1").parse().unwrap();
    let error = registry().published(&reference).await.unwrap_err();
    let text = Failure::from(error).to_string().replace(&free.to_string(), "HOST");
    assert_eq!(
        text,
        format!("error: cannot reach the registry `HOST`: connection refused\n  help      is it running, and is its name right?\n  help      {RERUN}")
    );
}

#[tokio::test]
async fn says_when_something_else_listens() {
    let fake = Fake::start().await;
    fake.fail(Method::GET, "/v2/", usize::MAX, answer(404, "<html>"));
    let error = registry().published(&fake.reference("drivers/x:1")).await.unwrap_err();
    assert_eq!(shown(error, &fake), "error: `HOST` is no registry\n  found     `/v2/` answers 404\n  expected  200 or 401");
}

#[tokio::test]
async fn refuses_damaged_documents_and_blobs() {
    let (fake, (dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
    let layer = &image.layers[0];
    fake.state().blobs.insert(("drivers/x".into(), layer.digest.to_string()), (&b"rot"[..]).into());
    let error = registry().download(&fake.reference("drivers/x:1"), &layer.descriptor(), &dir.path().join("l")).await.unwrap_err();
    let found = crate::reference::Digest::of(b"rot");
    assert_eq!(shown(error, &fake), format!("error: `HOST/drivers/x` sent a damaged blob\n  found     {found}\n  expected  {}", layer.digest));
    fake.state().blobs.insert(("drivers/x".into(), layer.digest.to_string()), vec![0; 1 << 20].into());
    let error = registry().download(&fake.reference("drivers/x:1"), &layer.descriptor(), &dir.path().join("l")).await.unwrap_err();
    let more = format!("error: the registry `HOST` gave an answer that makes no sense: a blob of {} bytes has more", layer.size);
    assert_eq!(shown(error, &fake), more);
    fake.state().manifests.insert(("drivers/x".into(), "1".into()), ("text/plain".into(), (&b"hello"[..]).into()));
    let error = registry().published(&fake.reference("drivers/x:1")).await.unwrap_err();
    assert_eq!(
        shown(error, &fake),
        "error: the registry `HOST` gave an answer that makes no sense: `HOST/drivers/x:1` is no manifest: expected value at line 1 column 1"
    );
}

#[tokio::test]
async fn says_when_a_layer_is_gone() {
    let (fake, (_dir, image)) = (Fake::start().await, small(Arch::Amd64, "m"));
    let layer = &image.layers[1].path;
    std::fs::remove_file(layer).unwrap();
    let error = push(&registry(), &fake, "drivers/x:1", &image).await.unwrap_err();
    assert_eq!(shown(error, &fake), format!("error: cannot use `{}`: No such file or directory (os error 2)", layer.display()));
}

#[tokio::test]
async fn a_base_images_digest_is_asked_for_once_and_briefly() {
    let fake = Fake::start().await;
    fake.fail(Method::HEAD, "/manifests/", 1, answer(500, ""));
    assert!(registry().resolve(&fake.reference("library/debian:bookworm")).await.is_err());
    assert_eq!(fake.count("HEAD"), 1);
}

/// A registry with TLS and the PEM of the authority behind it.
async fn with_tls() -> (Fake, String) {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = authority.self_signed(&authority_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into())).unwrap();
    (Fake::serve(Some(TlsAcceptor::from(Arc::new(config)))).await, pem)
}

#[tokio::test]
async fn trusts_a_private_authority_only_when_told() {
    let (fake, pem) = with_tls().await;
    let (dir, image) = small(Arch::Amd64, "m");
    let error = push(&registry(), &fake, "drivers/x:1", &image).await.unwrap_err();
    assert_eq!(
        shown(error, &fake),
        "error: the registry `HOST` cannot be trusted: no authority known here signed its certificate\n  help      name the file with its authority: --registry-ca FILE"
    );
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let registry = Registry::new(RegistryOptions { ca: Some(file), ..options() }, Arc::new(Anonymous)).unwrap();
    push(&registry, &fake, "drivers/x:1", &image).await.unwrap();
    assert_whole(&fake, "drivers/x", "1");
}

#[tokio::test]
async fn says_when_https_meets_plain_http() {
    let fake = Fake::start().await;
    // A name that is not on this machine by custom, but leads here.
    let host = format!("0.0.0.0:{}", fake.address.port());
    let reference: Reference = format!("{host}/drivers/x:1").parse().unwrap();
    let error = registry().published(&reference).await.unwrap_err();
    assert_eq!(
        Failure::from(error).to_string().replace(&host, "HOST"),
        "error: the registry `HOST` speaks plain HTTP where HTTPS was expected\n  help      if that is meant: --plain-http HOST"
    );
    let told = Registry::new(RegistryOptions { plain_http: vec![host], ..options() }, Arc::new(Anonymous)).unwrap();
    assert_eq!(told.published(&reference).await.unwrap(), None);
}

#[test]
fn says_what_is_wrong_with_a_file_of_authorities() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let say = || {
        let error = Registry::new(RegistryOptions { ca: Some(file.clone()), ..options() }, Arc::new(Anonymous)).unwrap_err();
        Failure::from(error).to_string().replace(&file.display().to_string(), "FILE")
    };
    assert_eq!(say(), "error: cannot use the certificate authorities for registries: `FILE`: No such file or directory (os error 2)");
    std::fs::write(&file, "x").unwrap();
    assert_eq!(say(), "error: cannot use the certificate authorities for registries: `FILE` holds no PEM certificate");
}

#[tokio::test]
async fn a_push_that_is_given_up_at_any_moment_leaves_no_partial_tag() {
    let (_dir, image) = small(Arch::Amd64, "m");
    for microseconds in (0..20_000).step_by(1_000) {
        let fake = Fake::start().await;
        let given_up = tokio::time::timeout(Duration::from_micros(microseconds), push(&registry(), &fake, "drivers/x:1", &image)).await;
        assert_whole(&fake, "drivers/x", "1");
        if given_up.is_err() {
            push(&registry(), &fake, "drivers/x:1", &image).await.unwrap();
            assert_whole(&fake, "drivers/x", "1");
        }
    }
}
