//! One request to a registry: where it lives, who asks, and another try when that may help.

use std::collections::HashMap;
use std::fs;
use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use reqwest::{Body, Certificate, Client, Method, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use crate::reference::Reference;

use super::auth::{Challenge, Credential, CredentialSource, Token, basic};
use super::error::{Action, Problem, RegistryError};
use super::{RegistryOptions, Retry};

/// How long a registry may be silent before it counts as gone.
const SILENCE: Duration = Duration::from_mins(1);
const CONNECT: Duration = Duration::from_secs(10);
/// More of an error's text is not kept.
const LONGEST_ANSWER: usize = 400;

/// What a request is about: decides which token it needs, and who is named when it fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) host: String,
    pub(super) repository: String,
    pub(super) action: Action,
    /// Another repository of the same registry to read from.
    pub(super) from: Option<String>,
}

impl Scope {
    pub(super) fn new(reference: &Reference, action: Action) -> Self {
        Self { host: reference.registry.clone(), repository: reference.repository.clone(), action, from: None }
    }

    pub(super) fn error(&self, problem: impl Into<Problem>) -> RegistryError {
        RegistryError { action: self.action, host: self.host.clone(), repository: self.repository.clone(), problem: problem.into() }
    }

    /// As token servers want it.
    fn tokens(&self) -> Vec<String> {
        let actions = match self.action {
            Action::Pull => "pull",
            Action::Push => "pull,push",
        };
        let own = format!("repository:{}:{actions}", self.repository);
        [own].into_iter().chain(self.from.iter().map(|from| format!("repository:{from}:pull"))).collect()
    }
}

/// A request that can be made again: its body is in memory.
#[derive(Clone, Debug)]
pub(super) struct Call {
    method: Method,
    /// Absolute, or below `/v2/<repository>/`.
    target: String,
    headers: HeaderMap,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

impl Call {
    pub(super) fn new(method: Method, target: impl Into<String>) -> Self {
        Self { method, target: target.into(), headers: HeaderMap::new(), body: Vec::new(), timeout: None }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(super) fn body(mut self, body: Vec<u8>) -> Self {
        self.body = body;
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// What is known about a registry.
#[derive(Debug, Default)]
struct Host {
    /// `https://registry.example`; learned by the first request.
    base: OnceCell<Url>,
    challenge: Mutex<Option<Challenge>>,
    credential: OnceCell<Option<Credential>>,
    /// Held while a token is fetched, so that parallel requests fetch one.
    tokens: tokio::sync::Mutex<HashMap<Vec<String>, Token>>,
}

/// Speaks HTTP with registries; shared by all tasks of a run.
pub(super) struct Transport {
    client: Client,
    /// For this machine: never through a proxy.
    direct: Client,
    plain_http: Vec<String>,
    pub(super) retry: Retry,
    credentials: Arc<dyn CredentialSource>,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

impl Transport {
    pub(super) fn new(options: RegistryOptions, credentials: Arc<dyn CredentialSource>) -> Result<Self, Problem> {
        let RegistryOptions { plain_http, ca, retry } = options;
        let mut authorities = Vec::new();
        if let Some(path) = ca {
            let pem = fs::read(&path).map_err(|error| Problem::Authorities(format!("`{}`: {error}", path.display())))?;
            authorities = Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if authorities.is_empty() {
                return Err(Problem::Authorities(format!("`{}` holds no PEM certificate", path.display())));
            }
        }
        let builder = || {
            let builder = Client::builder().user_agent(concat!("kmodforge/", env!("CARGO_PKG_VERSION"))).connect_timeout(CONNECT).pool_max_idle_per_host(64);
            if authorities.is_empty() { builder } else { builder.tls_certs_merge(authorities.clone()) }
        };
        let built = |client: reqwest::Result<Client>| client.map_err(|error| Problem::Authorities(Problem::of(&error).to_string()));
        let (client, direct) = (built(builder().build())?, built(builder().no_proxy().build())?);
        Ok(Self { client, direct, plain_http, retry, credentials, hosts: Mutex::default() })
    }

    /// Sends a request, with a login when the registry wants one, and again when that may help. Any answer that is no failure of the server's is returned.
    pub(super) async fn send(&self, scope: &Scope, call: &Call) -> Result<Response, RegistryError> {
        self.again(|| self.send_once(scope, call)).await
    }

    /// As [`Transport::send`], without further tries after failures.
    pub(super) async fn send_once(&self, scope: &Scope, call: &Call) -> Result<Response, RegistryError> {
        let host = self.host(&scope.host);
        let base = self.base(&host, scope, call.timeout).await?;
        let url = Self::url(base, scope, &call.target)?;
        let mut challenged = false;
        loop {
            let authorization = self.authorization(&host, scope, base, &url).await?;
            let mut request = self.client(scope).request(call.method.clone(), url.clone()).headers(call.headers.clone());
            if let Some(authorization) = &authorization {
                request = request.header(AUTHORIZATION, authorization);
            }
            if !call.body.is_empty() {
                request = request.body(call.body.clone());
            }
            let response = within(call.timeout.unwrap_or(SILENCE), request.send()).await.map_err(|problem| scope.error(problem))?;
            if response.status() == StatusCode::UNAUTHORIZED && !challenged && self.learn(&host, scope, response.headers()).await {
                challenged = true;
                continue;
            }
            let is_failing = response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS;
            return if is_failing { Err(self.failure(scope, response).await) } else { Ok(response) };
        }
    }

    /// Sends a body that cannot be sent twice; `call` has everything else. A login must have been made by an earlier request.
    pub(super) async fn send_stream(&self, scope: &Scope, call: &Call, body: Body) -> Result<Response, RegistryError> {
        let host = self.host(&scope.host);
        let base = self.base(&host, scope, None).await?;
        let url = Self::url(base, scope, &call.target)?;
        let mut request = self.client(scope).request(call.method.clone(), url.clone()).headers(call.headers.clone()).body(body);
        if let Some(authorization) = self.authorization(&host, scope, base, &url).await? {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.send().await.map_err(|error| scope.error(Problem::of(&error)))
    }

    /// Calls until there is a result, a failure that stays, or too many tries.
    pub(super) async fn again<T, F: Future<Output = Result<T, RegistryError>>>(&self, mut call: impl FnMut() -> F) -> Result<T, RegistryError> {
        let mut tries = 1;
        loop {
            let error = match call().await {
                Err(error) if tries < self.retry.tries => error,
                result => return result,
            };
            let Some(wait) = error.problem.wait(self.retry.wait(tries)) else { return Err(error) };
            let wait = wait.min(self.retry.longest);
            tracing::debug!(%error, ?wait, tries, "registry: trying again");
            tokio::time::sleep(wait).await;
            tries += 1;
        }
    }

    /// What an unwelcome answer means.
    pub(super) async fn failure(&self, scope: &Scope, response: Response) -> RegistryError {
        let status = response.status();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok()).map(Duration::from_secs);
        let body = within(SILENCE, read(response, 1 << 16)).await.unwrap_or_default();
        let (answer, is_full) = explain(&body);
        scope.error(match status.as_u16() {
            401 => Problem::Unauthorized { user: self.user(scope).await, answer },
            403 => Problem::Forbidden { answer },
            404 => Problem::NotFound { answer },
            413 => Problem::TooLarge { answer },
            507 => Problem::Full { answer },
            500.. if is_full => Problem::Full { answer },
            501 => Problem::Refused { status: 501, answer },
            status @ (429 | 500..) => Problem::Failing { status, answer, retry_after },
            status => Problem::Refused { status, answer },
        })
    }

    /// Who the registry thinks we are.
    pub(super) async fn user(&self, scope: &Scope) -> Option<String> {
        match self.credential(&self.host(&scope.host), scope).await.ok()?? {
            Credential::Basic { username, .. } => Some(username.clone()),
            Credential::IdentityToken(_) => Some("token".into()),
        }
    }

    fn client(&self, scope: &Scope) -> &Client {
        if is_loopback(&scope.host) { &self.direct } else { &self.client }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        Arc::clone(self.hosts.lock().unwrap_or_else(PoisonError::into_inner).entry(name.to_owned()).or_default())
    }

    /// Finds out how the registry is spoken to, once.
    async fn base<'a>(&self, host: &'a Host, scope: &Scope, timeout: Option<Duration>) -> Result<&'a Url, RegistryError> {
        host.base.get_or_try_init(|| self.discover(host, scope, timeout.unwrap_or(SILENCE))).await
    }

    async fn discover(&self, host: &Host, scope: &Scope, timeout: Duration) -> Result<Url, RegistryError> {
        let is_local = is_loopback(&scope.host);
        let is_plain = is_local || self.plain_http.contains(&scope.host);
        let answer = self.ping(host, scope, if is_plain { "http" } else { "https" }, timeout).await;
        match answer {
            // Something listens on this machine, but not for HTTP.
            Err(RegistryError { problem: Problem::Broken(_) | Problem::NotARegistry(400), .. }) if is_local && !self.plain_http.contains(&scope.host) => {
                self.ping(host, scope, "https", timeout).await
            }
            answer => answer,
        }
    }

    /// `GET /v2/`: 200, or 401 with a challenge, says that this is a registry.
    async fn ping(&self, host: &Host, scope: &Scope, scheme: &str, timeout: Duration) -> Result<Url, RegistryError> {
        // Docker Hub's references name a host that has no registry.
        let name = if scope.host == "docker.io" { "registry-1.docker.io" } else { &scope.host };
        let base = Url::parse(&format!("{scheme}://{name}/v2/")).map_err(|error| scope.error(Problem::Unreachable(error.to_string())))?;
        let response = within(timeout, self.client(scope).get(base.clone()).send()).await.map_err(|problem| scope.error(problem))?;
        match response.status().as_u16() {
            200 | 403 => Ok(base),
            401 => {
                *host.challenge.lock().unwrap_or_else(PoisonError::into_inner) = challenge(response.headers());
                Ok(base)
            }
            429 | 500.. => Err(self.failure(scope, response).await),
            status => Err(scope.error(Problem::NotARegistry(status))),
        }
    }

    /// The request's address. A registry behind a proxy that ends TLS may call itself `http`: where the host is the same, so is the scheme.
    fn url(base: &Url, scope: &Scope, target: &str) -> Result<Url, RegistryError> {
        let invalid = |_| scope.error(Problem::Unexpected(format!("`{target}` is no address")));
        let repository = base.join(&format!("{}/", scope.repository)).map_err(invalid)?;
        let mut url = repository.join(target).map_err(invalid)?;
        if url.host() == base.host() && url.scheme() != base.scheme() && url.port() == base.port() {
            let _ = url.set_scheme(base.scheme());
        }
        Ok(url)
    }

    /// The header that says who asks; nothing for storage on other hosts, which has its own ways.
    async fn authorization(&self, host: &Host, scope: &Scope, base: &Url, url: &Url) -> Result<Option<String>, RegistryError> {
        let challenge = host.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(challenge) = challenge.filter(|_| url.origin() == base.origin()) else { return Ok(None) };
        let credential = self.credential(host, scope).await?;
        match (challenge, credential) {
            (Challenge::Basic, Some(Credential::Basic { username, password })) => Ok(Some(basic(username, password))),
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service }, credential) => {
                let scopes = scope.tokens();
                let mut tokens = host.tokens.lock().await;
                if let Some(token) = tokens.get(&scopes).filter(|token| token.is_valid(Instant::now())) {
                    return Ok(Some(token.header.clone()));
                }
                let token = self.token(scope, &realm, service.as_deref(), &scopes, credential).await?;
                let header = token.header.clone();
                tokens.insert(scopes, token);
                Ok(Some(header))
            }
        }
    }

    async fn token(
        &self,
        scope: &Scope,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
        credential: Option<&Credential>,
    ) -> Result<Token, RegistryError> {
        let unexpected = |text: &str| scope.error(Problem::Unexpected(text.to_owned()));
        let mut url = Url::parse(realm).map_err(|_| unexpected("its token server has no valid address"))?;
        let mut query: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
        let request = if let Some(Credential::IdentityToken(token)) = credential {
            let scopes = scopes.join(" ");
            query.extend([("grant_type", "refresh_token"), ("client_id", "kmodforge"), ("refresh_token", token), ("scope", &scopes)]);
            let form = Url::parse_with_params("form:", &query).ok().and_then(|form| form.query().map(str::to_owned)).unwrap_or_default();
            self.client(scope).post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
        } else {
            query.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
            url.query_pairs_mut().extend_pairs(query);
            let request = self.client(scope).get(url);
            if let Some(Credential::Basic { username, password }) = credential { request.header(AUTHORIZATION, basic(username, password)) } else { request }
        };
        let response = within(SILENCE, request.send()).await.map_err(|problem| scope.error(problem))?;
        if response.status() != StatusCode::OK {
            return Err(self.failure(scope, response).await);
        }
        let body = within(SILENCE, read(response, 1 << 20)).await.map_err(|problem| scope.error(problem))?;
        Token::parse(&body).ok_or_else(|| unexpected("its token server sent no token"))
    }

    async fn credential<'a>(&self, host: &'a Host, scope: &Scope) -> Result<Option<&'a Credential>, RegistryError> {
        let find = || async { self.credentials.credential(&scope.host).await.map_err(|failure| scope.error(Problem::Credentials(Box::new(failure)))) };
        host.credential.get_or_try_init(find).await.map(Option::as_ref)
    }

    /// Remembers what a 401 asks for, and forgets the token that it refused; whether another try makes sense.
    async fn learn(&self, host: &Host, scope: &Scope, headers: &HeaderMap) -> bool {
        host.tokens.lock().await.remove(&scope.tokens());
        let Some(wanted) = challenge(headers) else { return false };
        let mut known = host.challenge.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = known.replace(wanted.clone()).as_ref() != Some(&wanted);
        // A token may have expired; a password does not change within a run.
        is_news || wanted != Challenge::Basic
    }
}

impl Retry {
    /// Doubles every time; half of it is chance, so that parallel requests do not come back together.
    fn wait(&self, tries: u32) -> Duration {
        let full = self.first.saturating_mul(1 << tries.saturating_sub(1).min(16)).min(self.longest);
        let chance = u32::try_from(RandomState::new().hash_one(tries) % 1000).unwrap_or_default();
        full / 2 + full / 2 * chance / 1000
    }
}

fn is_loopback(host: &str) -> bool {
    Reference { registry: host.to_owned(), repository: String::new(), tag: None, digest: None }.is_loopback()
}

fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    headers.get_all(WWW_AUTHENTICATE).iter().find_map(|header| Challenge::parse(header.to_str().ok()?))
}

/// A limit for the time that an answer takes.
pub(super) async fn within<T, E: Into<Problem>>(limit: Duration, answer: impl Future<Output = Result<T, E>>) -> Result<T, Problem> {
    match tokio::time::timeout(limit, answer).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(Problem::Broken(format!("no answer within {} s", limit.as_secs()))),
    }
}

impl From<reqwest::Error> for Problem {
    fn from(error: reqwest::Error) -> Self {
        Self::of(&error)
    }
}

/// Reads a body that must not be longer than `limit`.
pub(super) async fn read(mut response: Response, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(Problem::Unexpected(format!("a document has more than {limit} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// An error document (OCI distribution specification, "Error Codes").
#[derive(Deserialize)]
struct Errors {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: serde_json::Value,
}

/// The registry's words in one line, and whether they mean a full disk (`ENOSPC` is 28; distribution passes it on as it is).
fn explain(body: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(body);
    let (answer, is_full) = match serde_json::from_slice::<Errors>(body) {
        Ok(Errors { errors }) => {
            let number =
                |error: &ErrorEntry| error.detail.pointer("/Err").or_else(|| error.detail.pointer("/Enclosed/Err")).and_then(serde_json::Value::as_i64);
            let is_full = errors.iter().any(|error| number(error) == Some(28));
            let lines = errors
                .into_iter()
                .map(|ErrorEntry { code, message, .. }| [code, message].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": "));
            (lines.collect::<Vec<_>>().join("\n"), is_full)
        }
        // Proxies send pages; tags tell nobody anything.
        Err(_) if text.trim_start().starts_with('<') => (String::new(), false),
        Err(_) => (text.trim().to_owned(), false),
    };
    (answer.chars().filter(|c| *c == '\n' || !c.is_control()).take(LONGEST_ANSWER).collect(), is_full || text.contains("no space left"))
}
