//! Docker's contexts: named Engines, kept below `contexts` in its configuration folder.
//!
//! Layout: `cli/context/store` of docker/cli; a context's folder is the SHA-256 of its name.

use std::io;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::buildkit::context::hex;
use crate::buildkit::endpoint::{Endpoint, TlsFiles};

#[derive(Deserialize)]
struct Config {
    #[serde(default, rename = "currentContext")]
    current: String,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints")]
    endpoints: Endpoints,
}

#[derive(Deserialize)]
struct Endpoints {
    docker: Option<Engine>,
}

#[derive(Deserialize)]
struct Engine {
    #[serde(default, rename = "Host")]
    host: String,
}

/// The context that `docker context use` has chosen, if it is not the default one.
pub(super) fn current(config_dir: &Path) -> Option<String> {
    let text = std::fs::read(config_dir.join("config.json")).ok()?;
    let Config { current } = serde_json::from_slice(&text).ok()?;
    (!current.is_empty() && current != "default").then_some(current)
}

/// Where a context's Engine is; `None` if there is no such context.
pub(super) fn endpoint(config_dir: &Path, name: &str) -> Result<Option<Endpoint>, String> {
    let id = hex(&Sha256::digest(name));
    let contexts = config_dir.join("contexts");
    let text = match std::fs::read(contexts.join("meta").join(&id).join("meta.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let Meta { endpoints } = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let host = endpoints.docker.map(|engine| engine.host).filter(|host| !host.is_empty()).ok_or("it names no Engine")?;
    let endpoint = host.parse::<Endpoint>().map_err(|error| error.to_string())?;
    let tls = contexts.join("tls").join(&id).join("docker");
    Ok(Some(match endpoint {
        Endpoint::Tcp { host, port, tls: None } if tls.join("ca.pem").exists() => Endpoint::Tcp { host, port, tls: Some(TlsFiles::in_dir(tls)) },
        other => other,
    }))
}
