//! Finding a builder: what the user asked for, what the environment says, what usually listens, and at last one of our own.

use std::path::{Path, PathBuf};

use super::BuildKit;
use super::choice::{BuilderChoice, ChoiceError};
use super::connect::ConnectError;
use super::endpoint::{Endpoint, EndpointError, TlsFiles};
use super::private::{self, PrivateError};
use crate::credentials::{self, Credentials};
use crate::env;
use crate::error::{Exit, Failure};

mod docker_context;

/// Where Docker listens unless it is told otherwise.
const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Where `buildkitd` listens unless it is told otherwise.
const BUILDKIT_SOCKET: &str = "/run/buildkit/buildkitd.sock";

/// What selecting a builder needs to know.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    /// A private daemon keeps its state in `builder` below this folder, so that its build cache outlives the run.
    pub cache_dir: &'a Path,
    /// Registries (`127.0.0.1:5000`) that a private daemon may speak to in plain HTTP.
    pub insecure_registries: &'a [String],
    /// What base images are pulled with.
    pub credentials: Credentials,
}

/// A builder, and who named it.
pub struct Connected {
    /// The builder.
    pub builder: BuildKit,
    /// `--builder`, `DOCKER_HOST`, `the usual socket`, `started for this run`.
    pub origin: String,
}

/// Something that was no builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// `unix:///var/run/docker.sock`, `a private buildkitd`.
    pub what: String,
    /// `No such file or directory (os error 2)`.
    pub why: String,
}

/// Why there is no builder.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SelectError {
    /// An environment variable holds no choice of a builder.
    #[error("{variable}: {error}")]
    Choice {
        /// `KMODFORGE_BUILDER`.
        variable: &'static str,
        /// What is wrong with it.
        error: ChoiceError,
    },
    /// An environment variable holds no address.
    #[error("{variable}: {error}")]
    Address {
        /// `DOCKER_HOST`.
        variable: &'static str,
        /// What is wrong with it.
        error: EndpointError,
    },
    /// The Docker context that is asked for cannot be used.
    #[error("docker context `{name}`: {message}")]
    Context {
        /// Its name.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// The builder that was asked for does not answer.
    #[error("{origin}: {error}")]
    Connect {
        /// Who asked for it.
        origin: String,
        /// Why it does not answer.
        error: ConnectError,
    },
    /// A Docker Engine was asked for, and something else answers.
    #[error("`{endpoint}` is `{name}`, not a Docker Engine")]
    NotAnEngine {
        /// The address.
        endpoint: String,
        /// What answers.
        name: String,
    },
    /// Nothing of what could be a builder is one.
    #[error("no builder answers")]
    Nothing {
        /// In the order of trying.
        tried: Vec<Attempt>,
    },
}

/// An address that may be a builder's.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    endpoint: Endpoint,
    origin: String,
    /// Somebody asked for this one: no other will do.
    binding: bool,
    engine: bool,
}

/// Connects to the builder of choice. With [`BuilderChoice::Auto`], starts a private one if none answers.
///
/// A private daemon ends with the [`BuildKit`]; see [`BuildKit::stop`].
pub async fn connect(choice: &BuilderChoice, options: &Options<'_>) -> Result<Connected, SelectError> {
    let world = World { var: &env::var, docker_config: credentials::default_dir() };
    let candidates = world.candidates(choice)?;
    let mut tried = Vec::new();
    for candidate in candidates {
        let Candidate { endpoint, origin, binding, engine } = candidate;
        match BuildKit::connect(&endpoint, options.credentials.clone()).await {
            Ok(builder) if engine && !builder.is_engine() => {
                return Err(SelectError::NotAnEngine { endpoint: endpoint.to_string(), name: builder.info.name });
            }
            Ok(builder) => return Ok(Connected { builder, origin }),
            Err(error) if binding => return Err(SelectError::Connect { origin, error }),
            Err(error) => tried.push(Attempt { what: endpoint.to_string(), why: error.to_string() }),
        }
    }
    if matches!(choice, BuilderChoice::Docker(_)) {
        return Err(SelectError::Nothing { tried });
    }
    match private::start(options).await {
        Ok(builder) => Ok(Connected { builder, origin: "started for this run".to_owned() }),
        Err(errors) => {
            tried.extend(errors.into_iter().map(|PrivateError { program, message }| Attempt { what: format!("a private {program}"), why: message }));
            Err(SelectError::Nothing { tried })
        }
    }
}

/// What the environment says; an argument, so that tests can say something else.
struct World<'a> {
    var: &'a dyn Fn(&str) -> Option<String>,
    docker_config: Option<PathBuf>,
}

impl World<'_> {
    fn candidates(&self, choice: &BuilderChoice) -> Result<Vec<Candidate>, SelectError> {
        match choice {
            BuilderChoice::Auto => self.automatic(),
            BuilderChoice::Private => Ok(Vec::new()),
            BuilderChoice::Docker(Some(socket)) => Ok(vec![asked_for(Endpoint::Unix(socket.clone()), "--builder", true)]),
            BuilderChoice::Docker(None) => match self.docker_host()? {
                Some(candidate) => Ok(vec![Candidate { engine: true, ..candidate }]),
                None => Ok(self.docker_sockets()?.into_iter().map(|candidate| Candidate { engine: true, ..candidate }).collect()),
            },
            BuilderChoice::Endpoint(endpoint) => Ok(vec![asked_for(self.with_tls(endpoint.clone()), "--builder", false)]),
        }
    }

    fn automatic(&self) -> Result<Vec<Candidate>, SelectError> {
        if let Some(text) = (self.var)("KMODFORGE_BUILDER") {
            let choice = text.parse().map_err(|error| SelectError::Choice { variable: "KMODFORGE_BUILDER", error })?;
            if choice != BuilderChoice::Auto {
                let named = |candidate| Candidate { origin: "KMODFORGE_BUILDER".to_owned(), ..candidate };
                return Ok(self.candidates(&choice)?.into_iter().map(named).collect());
            }
        }
        if let Some(text) = (self.var)("BUILDKIT_HOST") {
            let endpoint = text.parse().map_err(|error| SelectError::Address { variable: "BUILDKIT_HOST", error })?;
            return Ok(vec![asked_for(endpoint, "BUILDKIT_HOST", false)]);
        }
        if let Some(candidate) = self.docker_host()? {
            return Ok(vec![candidate]);
        }
        let mut candidates = self.docker_sockets()?;
        candidates.push(usual(BUILDKIT_SOCKET.into()));
        candidates.extend(self.runtime_socket("buildkit/buildkitd.sock"));
        Ok(candidates)
    }

    /// The Engine that `docker` would speak to, if it was told which.
    fn docker_host(&self) -> Result<Option<Candidate>, SelectError> {
        if let Some(text) = (self.var)("DOCKER_HOST") {
            let endpoint = text.parse().map_err(|error| SelectError::Address { variable: "DOCKER_HOST", error })?;
            return Ok(Some(asked_for(self.with_tls(endpoint), "DOCKER_HOST", false)));
        }
        let Some(name) = (self.var)("DOCKER_CONTEXT").filter(|name| name != "default") else { return Ok(None) };
        let endpoint = self.docker_config.as_deref().map_or(Ok(None), |dir| docker_context::endpoint(dir, &name));
        match endpoint {
            Ok(Some(endpoint)) => Ok(Some(asked_for(endpoint, "DOCKER_CONTEXT", false))),
            Ok(None) => Err(SelectError::Context { name, message: "there is no such context".to_owned() }),
            Err(message) => Err(SelectError::Context { name, message }),
        }
    }

    /// The current context of `docker`, and its usual sockets.
    fn docker_sockets(&self) -> Result<Vec<Candidate>, SelectError> {
        let mut candidates = Vec::new();
        if let Some(dir) = &self.docker_config
            && let Some(name) = docker_context::current(dir)
        {
            let endpoint = docker_context::endpoint(dir, &name).map_err(|message| SelectError::Context { name: name.clone(), message })?;
            candidates.extend(endpoint.map(|endpoint| Candidate { endpoint, origin: format!("docker context `{name}`"), binding: false, engine: false }));
        }
        let socket = usual(DOCKER_SOCKET.into());
        if candidates.iter().all(|candidate| candidate.endpoint != socket.endpoint) {
            candidates.push(socket);
        }
        candidates.extend(self.runtime_socket("docker.sock"));
        Ok(candidates)
    }

    fn runtime_socket(&self, name: &str) -> Option<Candidate> {
        Some(usual(Path::new(&(self.var)("XDG_RUNTIME_DIR")?).join(name)))
    }

    /// Docker's variables for TLS, for an address that brings no certificates.
    fn with_tls(&self, endpoint: Endpoint) -> Endpoint {
        match endpoint {
            Endpoint::Tcp { host, port, tls: None } if (self.var)("DOCKER_TLS_VERIFY").is_some() => {
                let dir = (self.var)("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| self.docker_config.clone());
                Endpoint::Tcp { host, port, tls: dir.map(TlsFiles::in_dir) }
            }
            other => other,
        }
    }
}

fn asked_for(endpoint: Endpoint, origin: &str, engine: bool) -> Candidate {
    Candidate { endpoint, origin: origin.to_owned(), binding: true, engine }
}

fn usual(socket: PathBuf) -> Candidate {
    Candidate { endpoint: Endpoint::Unix(socket), origin: "the usual socket".to_owned(), binding: false, engine: false }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        match error {
            SelectError::Choice { variable, error } => Self::from(error).fact("set by", variable),
            SelectError::Address { variable, error } => Self::from(error).fact("set by", variable),
            SelectError::Context { name, message } => Self::new(Exit::Failed, format!("the docker context `{name}` cannot be used"))
                .fact("found", message)
                .help("see `docker context ls`, or name the builder with `--builder`"),
            SelectError::Connect { origin, error } => {
                let failure = Self::from(error).fact("asked by", origin);
                if failure.help.is_empty() {
                    failure.help("start it, or name another one with `--builder`; `kmodforge doctor` shows what there is")
                } else {
                    failure
                }
            }
            SelectError::NotAnEngine { endpoint, name } => Self::new(Exit::Failed, format!("`{endpoint}` is no Docker Engine"))
                .fact("found", name)
                .help(format!("ask for it by its address: --builder {endpoint}")),
            SelectError::Nothing { tried } => {
                let lines: Vec<String> = tried.iter().map(|Attempt { what, why }| format!("{what}: {why}")).collect();
                Self::new(Exit::Failed, "no builder answers")
                    .fact("tried", lines.join("\n"))
                    .help("start Docker or `buildkitd`, or name one with `--builder` or `KMODFORGE_BUILDER`")
                    .help("with `buildkitd` and `runc`, or `dockerd`, on PATH, kmodforge run as root starts one by itself")
            }
        }
    }
}

#[cfg(test)]
mod tests;
