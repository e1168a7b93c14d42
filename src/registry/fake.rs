//! A registry in this process: the distribution API over real sockets, with logins and with faults on order.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use base64::Engine as _;
use futures::StreamExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::reference::{Digest, Reference};

/// What goes wrong, how often, for which requests.
pub(super) struct Fault {
    pub(super) method: Method,
    /// Part of the path.
    pub(super) path: &'static str,
    pub(super) times: usize,
    pub(super) effect: Effect,
}

#[derive(Clone)]
pub(super) enum Effect {
    /// This status, headers and body.
    Answer(u16, Vec<(&'static str, &'static str)>, &'static str),
    /// Takes so many bytes of the body and hangs up.
    HangUp(usize),
}

/// User `ci` with password `secret`.
const CI: &str = "Basic Y2k6c2VjcmV0";

/// Who may do what.
#[derive(Clone, Default)]
pub(super) enum Login {
    #[default]
    Nobody,
    /// Name and password for everything.
    Basic,
    /// Tokens from `/token`, for name and password or the refresh token `identity`.
    Token,
}

#[derive(Default)]
pub(super) struct State {
    /// By repository and digest.
    pub(super) blobs: HashMap<(String, String), Bytes>,
    uploads: usize,
    /// By repository and tag or digest: media type and bytes.
    pub(super) manifests: HashMap<(String, String), (String, Bytes)>,
    /// `PUT /v2/…`, in the order of arrival.
    pub(super) log: Vec<String>,
    pub(super) faults: Vec<Fault>,
    pub(super) login: Login,
    pub(super) no_mounts: bool,
    /// Handles `subject` itself, as the specification has it since 1.1.
    pub(super) has_referrers: bool,
    /// A manifest that another client writes right after the next write of this tag.
    pub(super) rival: Option<(String, Bytes)>,
}

/// A running registry; it ends with the test's runtime.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        Self::serve(None).await
    }

    pub(super) async fn serve(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self { address: listener.local_addr().unwrap(), state: Arc::default() };
        let running = fake.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (fake, tls) = (running.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                fake.connection(stream).await;
                            }
                        }
                        None => fake.connection(stream).await,
                    }
                });
            }
        });
        fake
    }

    async fn connection(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = service_fn(|request: Request<Incoming>| self.clone().answer(request));
        // An error of the service closes the connection without an answer: that is how it hangs up.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn reference(&self, name: &str) -> Reference {
        format!("{}/{name}", self.address).parse().unwrap()
    }

    pub(super) fn fail(&self, method: Method, path: &'static str, times: usize, effect: Effect) {
        self.state().faults.push(Fault { method, path, times, effect });
    }

    /// How many requests were made whose line begins like this.
    pub(super) fn count(&self, line: &str) -> usize {
        self.state().log.iter().filter(|entry| entry.starts_with(line)).count()
    }

    async fn answer(self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (parts, mut body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let effect = {
            let mut state = self.state();
            state.log.push(format!("{} {}", parts.method, parts.uri));
            let fault = state.faults.iter_mut().find(|fault| fault.times > 0 && fault.method == parts.method && path.contains(fault.path));
            fault.map(|fault| {
                fault.times -= 1;
                fault.effect.clone()
            })
        };
        match effect {
            Some(Effect::Answer(status, headers, text)) => {
                let _ = body.collect().await;
                return Ok(answer(status, &headers, text));
            }
            Some(Effect::HangUp(bytes)) => {
                let mut taken = 0;
                while taken < bytes && !body.is_end_stream() {
                    taken += body.frame().await.map_or(bytes, |frame| frame.map_or(bytes, |frame| frame.into_data().map_or(0, |data| data.len())));
                }
                return Err(io::Error::other("hung up"));
            }
            None => {}
        }
        let mut bytes = Vec::new();
        let mut stream = body.into_data_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(io::Error::other)?);
        }
        if path == "/token" {
            return Ok(token(&parts.method, &parts.uri, &parts.headers, &bytes));
        }
        let mut state = self.state();
        if let Some(refusal) = state.refuse(self.address, &parts.method, &parts.uri, &parts.headers) {
            return Ok(refusal);
        }
        Ok(state.handle(&parts.method, &parts.uri, &parts.headers, bytes.into()))
    }
}

impl State {
    /// A 401, unless the request shows what its action needs.
    fn refuse(&self, address: SocketAddr, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<Response<Full<Bytes>>> {
        let shown = headers.get("authorization").map(|value| value.to_str().unwrap()).unwrap_or_default();
        let denied = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        match self.login {
            Login::Nobody => None,
            Login::Basic if shown == CI => None,
            Login::Basic => Some(answer(401, &[("www-authenticate", r#"Basic realm="test""#)], denied)),
            Login::Token => {
                let actions = if matches!(*method, Method::GET | Method::HEAD) { "pull" } else { "push" };
                let repository = uri.path().trim_start_matches("/v2/").split(['/']).take(2).collect::<Vec<_>>().join("/");
                let mut granted = shown.trim_start_matches("Bearer ").split_whitespace();
                let from = query(uri.query()).remove("from");
                let may = |repository: &str, action: &str, scope: &str| {
                    scope.strip_prefix(&format!("repository:{repository}:")).is_some_and(|actions| actions.split(',').any(|granted| granted == action))
                };
                let all: Vec<&str> = granted.by_ref().collect();
                let is_allowed =
                    all.iter().any(|scope| may(&repository, actions, scope)) && from.is_none_or(|from| all.iter().any(|scope| may(&from, "pull", scope)));
                let challenge = format!(r#"Bearer realm="http://{address}/token",service="test""#);
                (!is_allowed).then(|| answer(401, &[("www-authenticate", &challenge)], denied))
            }
        }
    }

    fn handle(&mut self, method: &Method, uri: &Uri, headers: &HeaderMap, body: Bytes) -> Response<Full<Bytes>> {
        let path = uri.path().trim_start_matches("/v2/");
        let unknown = || answer(404, &[], r#"{"errors":[{"code":"NOT_FOUND","message":"not known"}]}"#);
        if path.is_empty() {
            return answer(200, &[], "{}");
        }
        if let Some((repository, upload)) = path.split_once("/blobs/uploads/") {
            return self.upload(method, repository, upload, &query(uri.query()), body);
        }
        if let Some((repository, digest)) = path.split_once("/blobs/") {
            return self.blobs.get(&(repository.to_owned(), digest.to_owned())).map_or_else(unknown, |bytes| reply(200, &[], bytes.clone()));
        }
        if let Some(repository) = path.strip_suffix("/tags/list") {
            return self.tags(repository, &query(uri.query()));
        }
        if let Some((repository, subject)) = path.split_once("/referrers/").filter(|_| self.has_referrers) {
            return self.referrers(repository, subject);
        }
        let Some((repository, name)) = path.split_once("/manifests/") else { return unknown() };
        let key = (repository.to_owned(), name.to_owned());
        if *method == Method::PUT {
            let media_type = headers["content-type"].to_str().unwrap().to_owned();
            let digest = Digest::of(&body).to_string();
            self.manifests.insert((repository.to_owned(), digest.clone()), (media_type.clone(), body.clone()));
            self.manifests.insert(key.clone(), self.rival.take_if(|_| !name.starts_with("sha256:")).unwrap_or((media_type, body)));
            let subject = serde_json::from_slice::<serde_json::Value>(&self.manifests[&(repository.to_owned(), digest.clone())].1).unwrap();
            return match subject["subject"]["digest"].as_str().filter(|_| self.has_referrers) {
                Some(subject) => answer(201, &[("docker-content-digest", &digest), ("oci-subject", subject)], ""),
                None => answer(201, &[("docker-content-digest", &digest)], ""),
            };
        }
        let Some((media_type, bytes)) = self.manifests.get(&key) else { return unknown() };
        let digest = Digest::of(bytes).to_string();
        let body = if *method == Method::HEAD { Bytes::new() } else { bytes.clone() };
        reply(200, &[("content-type", media_type), ("docker-content-digest", &digest)], body)
    }

    fn upload(&mut self, method: &Method, repository: &str, upload: &str, query: &HashMap<String, String>, body: Bytes) -> Response<Full<Bytes>> {
        match *method {
            Method::POST => {
                if let (Some(digest), Some(from), false) = (query.get("mount"), query.get("from"), self.no_mounts)
                    && let Some(bytes) = self.blobs.get(&(from.clone(), digest.clone())).cloned()
                {
                    self.blobs.insert((repository.to_owned(), digest.clone()), bytes);
                    return answer(201, &[], "");
                }
                self.uploads += 1;
                answer(202, &[("location", &format!("/v2/{repository}/blobs/uploads/{}?state=1", self.uploads))], "")
            }
            Method::PUT => {
                assert_eq!(query["state"], "1", "the location's own query is kept");
                let digest = &query["digest"];
                if Digest::of(&body).as_str() != digest {
                    return answer(400, &[], r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match uploaded content"}]}"#);
                }
                self.blobs.insert((repository.to_owned(), digest.clone()), body);
                answer(201, &[], "")
            }
            _ => answer(204, &[("upload", upload)], ""),
        }
    }

    fn referrers(&self, repository: &str, subject: &str) -> Response<Full<Bytes>> {
        let manifests = self.manifests.iter().filter(|((of, name), _)| of == repository && name.contains(':'));
        let described = manifests.filter_map(|((_, digest), (media_type, bytes))| {
            let manifest: serde_json::Value = serde_json::from_slice(bytes).unwrap();
            (manifest["subject"]["digest"] == subject).then(|| {
                serde_json::json!({
                    "mediaType": media_type, "digest": digest, "size": bytes.len(),
                    "artifactType": manifest["artifactType"], "annotations": manifest["annotations"],
                })
            })
        });
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "manifests": described.collect::<Vec<_>>()});
        answer(200, &[("content-type", media_type)], &index.to_string())
    }

    fn tags(&self, repository: &str, query: &HashMap<String, String>) -> Response<Full<Bytes>> {
        let mut tags: Vec<&str> = self.manifests.keys().filter(|(of, name)| of == repository && !name.contains(':')).map(|(_, name)| name.as_str()).collect();
        tags.sort_unstable();
        let tags: Vec<&str> = tags.into_iter().filter(|tag| query.get("last").is_none_or(|last| *tag > last.as_str())).collect();
        if tags.is_empty() && !query.contains_key("last") {
            return answer(404, &[], r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known"}]}"#);
        }
        // Pages of two, whatever was asked for.
        let page = &tags[..tags.len().min(2)];
        let next = format!("</v2/{repository}/tags/list?last={}>; rel=\"next\"", page.last().unwrap_or(&""));
        let headers = if tags.len() > 2 { vec![("link", next.as_str())] } else { Vec::new() };
        answer(200, &headers, &serde_json::json!({ "name": repository, "tags": page }).to_string())
    }
}

/// The token says what it allows, which a real one does, too, only signed.
fn token(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
    let query_text = if *method == Method::POST { std::str::from_utf8(body).unwrap() } else { uri.query().unwrap() };
    let url = reqwest::Url::parse(&format!("x://x?{query_text}")).unwrap();
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let is_identity = pairs.contains(&("refresh_token".into(), "identity".into()));
    let shown = headers.get("authorization").map(|value| value.to_str().unwrap().trim_start_matches("Basic "));
    let user = shown.map(|shown| String::from_utf8(base64::engine::general_purpose::STANDARD.decode(shown).unwrap()).unwrap());
    assert!(pairs.contains(&("service".into(), "test".into())));
    match user.as_deref() {
        Some("ci:secret") => {}
        None if is_identity => {}
        // Anybody may read.
        None => return answer(200, &[], &format!(r#"{{"token":"{}"}}"#, scopes(&pairs).replace("pull,push", "pull"))),
        Some(_) => return answer(401, &[], r#"{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}"#),
    }
    answer(200, &[], &format!(r#"{{"access_token":"{}","expires_in":300}}"#, scopes(&pairs)))
}

fn scopes(pairs: &[(String, String)]) -> String {
    pairs.iter().filter(|(key, _)| key == "scope").map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
}

fn query(query: Option<&str>) -> HashMap<String, String> {
    let url = reqwest::Url::parse(&format!("x://x?{}", query.unwrap_or_default())).unwrap();
    url.query_pairs().into_owned().collect()
}

fn answer(status: u16, headers: &[(&str, &str)], text: &str) -> Response<Full<Bytes>> {
    reply(status, headers, Bytes::copy_from_slice(text.as_bytes()))
}

fn reply(status: u16, headers: &[(&str, &str)], body: Bytes) -> Response<Full<Bytes>> {
    let builder = Response::builder().status(StatusCode::from_u16(status).unwrap());
    headers.iter().fold(builder, |builder, (name, value)| builder.header(*name, *value)).body(Full::new(body)).unwrap()
}
