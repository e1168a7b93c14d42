//! Docker's `config.json`, as far as it is about credentials.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::{Credential, CredentialError};

/// Credentials and helpers by registry.
#[derive(Default)]
pub(super) struct Config {
    stored: HashMap<String, Credential>,
    helpers: HashMap<String, String>,
    store: Option<String>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: HashMap<String, Auth>,
    #[serde(default, rename = "credHelpers")]
    helpers: HashMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Deserialize)]
struct Auth {
    /// `username:password` in base64.
    #[serde(default, rename = "auth")]
    pair: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
}

impl Config {
    /// Reads the file; a missing one is an empty one.
    pub(super) fn read(path: &Path) -> Result<Self, CredentialError> {
        let fail = |message: String| CredentialError::Config { path: path.to_owned(), message };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(fail(error.to_string())),
        };
        let File { auths, helpers, store } = serde_json::from_slice(&text).map_err(|error| fail(misfit(&error)))?;
        let mut stored = HashMap::new();
        for (server, auth) in auths {
            let credential = auth.credential().map_err(|wrong| fail(format!("`auth` of `{server}` {wrong}")))?;
            stored.extend(credential.map(|credential| (server_key(&server), credential)));
        }
        let helpers = helpers.into_iter().map(|(server, helper)| (server_key(&server), helper)).collect();
        Ok(Self { stored, helpers, store: store.filter(|store| !store.is_empty()) })
    }

    /// The suffix of the helper's name that is to be asked about a registry.
    pub(super) fn helper(&self, key: &str) -> Option<&str> {
        self.helpers.get(&server_key(key)).or(self.store.as_ref()).map(String::as_str)
    }

    /// What the file itself says about a registry.
    pub(super) fn stored(&self, key: &str) -> Option<Credential> {
        self.stored.get(&server_key(key)).cloned()
    }
}

impl Auth {
    /// Nothing if a helper knows more. The error says what is malformed.
    fn credential(self) -> Result<Option<Credential>, &'static str> {
        let Self { pair, username, password, identity_token } = self;
        if !identity_token.is_empty() {
            return Ok(Some(Credential::IdentityToken(identity_token)));
        }
        if pair.is_empty() {
            return Ok((!username.is_empty()).then_some(Credential::Basic { username, password }));
        }
        let (username, password) = decode(&pair).ok_or("is not `user:password` in base64")?;
        Ok(Some(Credential::Basic { username, password }))
    }
}

fn decode(pair: &str) -> Option<(String, String)> {
    let bytes = STANDARD.decode(pair).or_else(|_| STANDARD_NO_PAD.decode(pair)).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
}

/// Where the JSON is wrong; serde's own words may quote a secret.
fn misfit(error: &serde_json::Error) -> String {
    format!("not the JSON that Docker writes: line {}, column {}", error.line(), error.column())
}

/// A registry's host: old versions of Docker wrote URLs with a path.
fn server_key(server: &str) -> String {
    let rest = server.strip_prefix("https://").or_else(|| server.strip_prefix("http://")).unwrap_or(server);
    let host = rest.split('/').next().unwrap_or_default();
    let hub = matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io");
    if hub { "index.docker.io".to_owned() } else { host.to_owned() }
}
