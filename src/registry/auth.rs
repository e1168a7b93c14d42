//! Who asks: Basic, and bearer tokens as registries hand them out (distribution project, "Token Authentication Specification").

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::time::Instant;

pub use crate::credentials::Credential;
use crate::credentials::Credentials;
use crate::error::Failure;

/// Where credentials come from.
pub trait CredentialSource: Send + Sync {
    /// The credential for a registry, named as in references (`docker.io`, `127.0.0.1:5000`); `None` when there is none.
    fn credential<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Option<Credential>, Failure>>;
}

impl CredentialSource for Credentials {
    fn credential<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Option<Credential>, Failure>> {
        Box::pin(async move { Ok(self.for_host(host).await?) })
    }
}

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub struct Anonymous;

impl CredentialSource for Anonymous {
    fn credential<'a>(&'a self, _host: &'a str) -> BoxFuture<'a, Result<Option<Credential>, Failure>> {
        Box::pin(async { Ok(None) })
    }
}

/// What a registry wants to see (`WWW-Authenticate`, RFC 7235).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: String, service: Option<String> },
}

impl Challenge {
    /// Reads the header; `None` for schemes that no registry uses.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        Some(Self::Bearer { realm: parameters.remove("realm")?, service: parameters.remove("service") })
    }
}

/// `key="value"` pairs; values may have commas inside their quotes.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut parameters = HashMap::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        parameters.insert(key.trim_matches([' ', ',']).to_ascii_lowercase(), value.to_owned());
        rest = after;
    }
    parameters
}

/// What a token server answers.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

/// A bearer token and how long it may be used.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) header: String,
    expires: Instant,
}

impl Token {
    /// Reads the token server's JSON; `None` when it holds no token.
    pub(super) fn parse(answer: &[u8]) -> Option<Self> {
        let TokenAnswer { token, access_token, expires_in } = serde_json::from_slice(answer).ok()?;
        let token = token.or(access_token)?;
        // 60 seconds is the specification's default; a tenth less, so that none expires on its way.
        let lifetime = Duration::from_secs(expires_in.unwrap_or(60).clamp(1, 24 * 3600)) * 9 / 10;
        Some(Self { header: format!("Bearer {token}"), expires: Instant::now() + lifetime })
    }

    pub(super) fn is_valid(&self, now: Instant) -> bool {
        now < self.expires
    }
}

pub(super) fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_challenges() {
        let bearer = |realm: &str, service: Option<&str>| Some(Challenge::Bearer { realm: realm.into(), service: service.map(Into::into) });
        for (header, challenge) in [
            (
                r#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push""#,
                bearer("https://auth.example/token", Some("registry")),
            ),
            (r#"bearer Realm="https://x/t" , Service=y"#, bearer("https://x/t", Some("y"))),
            (r#"Bearer scope="a,b",realm="https://x/t""#, bearer("https://x/t", None)),
            (r#"Basic realm="private""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            ("Negotiate", None),
            ("Bearer", None),
        ] {
            assert_eq!(Challenge::parse(header), challenge, "{header}");
        }
    }

    #[test]
    fn renews_tokens_before_they_expire() {
        let token = Token::parse(br#"{"access_token":"t","expires_in":100}"#).unwrap();
        assert_eq!(token.header, "Bearer t");
        let after = |seconds| Instant::now() + Duration::from_secs(seconds);
        assert!(token.is_valid(after(88)) && !token.is_valid(after(91)));
        assert!(Token::parse(br#"{"details":"no"}"#).is_none());
    }
}
