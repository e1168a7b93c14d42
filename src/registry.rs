//! Registries: what is published, publishing, fetching; and loading an image into a Docker Engine.
//!
//! Written on the HTTP client itself: skipping what is there, mounting with the right token, waiting as long as a registry asks for and telling its
//! words in an error all need the status and headers that ready-made clients hide.

mod auth;
pub mod engine;
mod error;
#[cfg(test)]
mod fake;
mod pull;
mod push;
mod referrers;
#[cfg(test)]
mod tests;
mod transport;

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::reference::Digest;

pub use auth::{Anonymous, Credential, CredentialSource};
pub use error::{Action, Problem, RegistryError};
pub use pull::{Published, PublishedImage};
pub use push::Pushed;

use transport::Transport;

/// How registries are spoken to.
#[derive(Clone, Debug, Default)]
pub struct RegistryOptions {
    /// Registries (`host:port`, as references name them) that speak plain HTTP. Those on this machine need not be named.
    pub plain_http: Vec<String>,
    /// A PEM file with authorities that are trusted besides the system's.
    pub ca: Option<PathBuf>,
    /// When to try again.
    pub retry: Retry,
}

/// How often, and after how long, a failed request is made again.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries in all.
    pub tries: u32,
    /// The first wait; it doubles every time.
    pub first: Duration,
    /// The longest wait, also when the registry asks for more.
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 5, first: Duration::from_millis(300), longest: Duration::from_secs(30) }
    }
}

/// The client for all registries of a run: one pool of connections, one memory of what is where.
#[derive(Clone)]
pub struct Registry {
    inner: Arc<Inner>,
}

struct Inner {
    transport: Transport,
    /// Registry and blob → repositories that have it.
    known: Mutex<HashMap<(String, Digest), BTreeSet<String>>>,
    /// One task at a time per blob of a registry, and per tag.
    locks: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// What the tags that this client wrote point to, by the whole name.
    tags: Mutex<HashMap<String, Digest>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// A client; nothing is contacted yet.
    ///
    /// # Errors
    /// When the file of authorities cannot be used.
    pub fn new(options: RegistryOptions, credentials: Arc<dyn CredentialSource>) -> Result<Self, RegistryError> {
        let failed = |problem| RegistryError { action: Action::Pull, host: String::new(), repository: String::new(), problem };
        let transport = Transport::new(options, credentials).map_err(failed)?;
        Ok(Self { inner: Arc::new(Inner { transport, known: Mutex::default(), locks: Mutex::default(), tags: Mutex::default() }) })
    }
}
