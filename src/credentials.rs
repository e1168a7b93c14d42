//! Registry credentials, from where `docker login` keeps them: `config.json` and the credential helpers that it names.
//!
//! File format: <https://docs.docker.com/reference/cli/docker/#docker-cli-configuration-file-configjson-properties>;
//! helper protocol: <https://github.com/docker/docker-credential-helpers>.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::env;
use crate::error::{Exit, Failure};

mod config;
mod helper;

/// The name under which Docker stores the credentials of Docker Hub, whatever host its registry has.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// What a registry is told about who we are.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A user with a password or an access token.
    Basic {
        /// The user's name.
        username: String,
        /// The password; never shown.
        password: String,
    },
    /// An `OAuth2` refresh token, to be exchanged at the registry's token server; never shown.
    IdentityToken(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Basic { username, .. } => write!(f, "Basic({username}, …)"),
            Self::IdentityToken(_) => f.write_str("IdentityToken(…)"),
        }
    }
}

/// Why credentials cannot be told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialError {
    /// The configuration file cannot be read, or does not hold what Docker writes.
    #[error("{path}: {message}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A credential helper is configured, but there is no such program.
    #[error("credential helper `{helper}` is not on PATH")]
    NoHelper {
        /// `docker-credential-pass`.
        helper: String,
        /// The registry.
        host: String,
    },
    /// A credential helper failed, or answered something else than credentials.
    #[error("credential helper `{helper}` failed for `{host}`: {message}")]
    Helper {
        /// `docker-credential-pass`.
        helper: String,
        /// The registry.
        host: String,
        /// What it said, or how it ended.
        message: String,
    },
}

/// The credentials that are configured. Cheap to clone; clones share what helpers have answered.
#[derive(Clone, Default)]
pub struct Credentials {
    store: Arc<Store>,
}

#[derive(Default)]
struct Store {
    config: config::Config,
    /// Folders with helper programs; those in `PATH`.
    programs: Vec<PathBuf>,
    answers: Mutex<HashMap<String, Option<Credential>>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// Reads `config.json` from `config_dir`, else from `$DOCKER_CONFIG`, else from `~/.docker`. No such file means no credentials.
    pub fn load(config_dir: Option<&Path>) -> Result<Self, CredentialError> {
        let dir = config_dir.map(Path::to_owned).or_else(default_dir);
        let config = dir.map_or_else(|| Ok(config::Config::default()), |dir| config::Config::read(&dir.join("config.json")))?;
        let path = env::var("PATH").unwrap_or_default();
        Ok(Self::new(config, std::env::split_paths(&path).collect()))
    }

    fn new(config: config::Config, programs: Vec<PathBuf>) -> Self {
        Self { store: Arc::new(Store { config, programs, answers: Mutex::default() }) }
    }

    /// What to tell the registry at `host` (`registry.example:5000`; Docker Hub under any of its names), if anything is configured for it.
    ///
    /// A helper is asked once for each host.
    pub async fn for_host(&self, host: &str) -> Result<Option<Credential>, CredentialError> {
        let key = key_of(host);
        let mut answers = self.store.answers.lock().await;
        if let Some(answer) = answers.get(key) {
            return Ok(answer.clone());
        }
        let answer = self.look_up(key).await?;
        answers.insert(key.to_owned(), answer.clone());
        Ok(answer)
    }

    async fn look_up(&self, key: &str) -> Result<Option<Credential>, CredentialError> {
        let from_helper = match self.store.config.helper(key) {
            Some(helper) => helper::ask(&format!("docker-credential-{helper}"), &self.store.programs, key).await?,
            None => None,
        };
        Ok(from_helper.or_else(|| self.store.config.stored(key)))
    }
}

/// The folder with Docker's configuration: `$DOCKER_CONFIG`, else `~/.docker`.
pub fn default_dir() -> Option<PathBuf> {
    env::var("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(env::home()?.join(".docker")))
}

/// The name under which Docker files a registry's credentials.
fn key_of(host: &str) -> &str {
    match host {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => DOCKER_HUB,
        other => other,
    }
}

impl From<CredentialError> for Failure {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Config { path, message } => Self::new(Exit::Failed, "the registry credentials cannot be read")
                .fact("file", path.display().to_string())
                .fact("found", message)
                .help("`docker login REGISTRY` writes this file; `DOCKER_CONFIG` names another folder"),
            CredentialError::NoHelper { helper, host } => Self::new(Exit::Failed, format!("the credentials for `{host}` cannot be read"))
                .fact("found", format!("no program `{helper}` on PATH"))
                .help(format!("install `{helper}`, or remove it from `credsStore` and `credHelpers` in Docker's config.json")),
            CredentialError::Helper { helper, host, message } => {
                let direct = format!("echo {host} | {helper} get");
                Self::new(Exit::Failed, format!("the credentials for `{host}` cannot be read"))
                    .fact("helper", helper)
                    .fact("found", message)
                    .help(format!("see what it says itself: {direct}"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
