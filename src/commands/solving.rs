//! What every solve of a run has in common.

use super::session::{authorities, client_certificate};
use crate::builder::{Network, Secret, SolveOptions};
use crate::cli::{SecretArg, SecretSource, SolveArgs};
use crate::env;
use crate::error::{Exit, Failure};
use crate::render;

/// Secrets that rendered Dockerfiles use.
const SECRETS: [&str; 1] = ["apt-auth"];

/// Options of all solves. `offline`: build steps see no network, unless somebody says otherwise.
///
/// # Errors
/// When a secret cannot be read.
pub fn options(args: &SolveArgs, offline: bool) -> Result<SolveOptions, Failure> {
    let mut secrets = args.secrets.iter().map(read_secret).collect::<Result<Vec<_>, _>>()?;
    secrets.extend(shared_secrets(!args.secrets.is_empty())?);
    let network = if offline && args.network == Network::Sandbox { Network::None } else { args.network };
    Ok(SolveOptions {
        secrets,
        network,
        proxies: proxies(network),
        cache_from: args.cache_from.clone(),
        cache_to: args.cache_to.clone(),
        no_cache: args.no_cache,
    })
}

/// Options where the command line says nothing about solves.
///
/// # Errors
/// When a secret cannot be read.
pub fn usual() -> Result<SolveOptions, Failure> {
    let network = Network::default();
    Ok(SolveOptions { secrets: shared_secrets(false)?, network, proxies: proxies(network), ..SolveOptions::default() })
}

/// What the session shows to servers, or believes of them, the build does as well. `logins`: those of the command line go before.
fn shared_secrets(logins: bool) -> Result<Vec<Secret>, Failure> {
    let mut secrets = Vec::new();
    let files = [
        ("client-certificate", client_certificate(), "KMODFORGE_CLIENT_CERTIFICATE"),
        ("authorities", authorities(), "KMODFORGE_CA"),
        ("apt-auth", super::session::logins().filter(|_| !logins), "KMODFORGE_APT_AUTH"),
    ];
    for (id, file, variable) in files {
        let Some(file) = file else { continue };
        let mut data = std::fs::read(&file).map_err(|error| Failure::new(Exit::Usage, format!("{variable}: `{}` cannot be read: {error}", file.display())))?;
        if id == "authorities" {
            // What is mounted takes the place of what the image trusts.
            let system = env::system_authorities().and_then(|file| std::fs::read(file).ok());
            data.extend(system.into_iter().flat_map(|system| [b"\n".into(), system].concat()));
        }
        secrets.push(Secret { id: id.to_owned(), data: data.into() });
    }
    if secrets.iter().any(|secret| secret.id == "authorities") {
        secrets.push(Secret { id: "apt-authorities".to_owned(), data: render::APT_AUTHORITIES.as_bytes().into() });
    }
    Ok(secrets)
}

/// The proxies of this program are those of build steps, too. One on loopback is another machine's for them, unless they see the builder's network.
fn proxies(network: Network) -> Vec<(String, String)> {
    let is_loopback = |proxy: &str| {
        let host = proxy.rsplit("://").next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        ["localhost", "127.", "[::1]"].iter().any(|start| host.starts_with(start))
    };
    let mut found = Vec::new();
    if network == Network::None {
        return found;
    }
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        let value = env::var(&name.to_lowercase()).or_else(|| env::var(name));
        let reaches = |value: &String| name == "NO_PROXY" || network == Network::Host || !is_loopback(value);
        found.extend(value.filter(reaches).map(|value| (name.to_owned(), value)));
    }
    found
}

fn read_secret(secret: &SecretArg) -> Result<Secret, Failure> {
    if !SECRETS.contains(&secret.id.as_str()) {
        return Err(Failure::new(Exit::Usage, format!("no build step uses a secret `{}`", secret.id))
            .fact("expected", "`apt-auth`: logins for package repositories, as apt_auth.conf(5) describes them"));
    }
    let data = match &secret.source {
        SecretSource::File(file) => {
            std::fs::read(file).map_err(|error| Failure::new(Exit::Usage, format!("the secret's file `{}` cannot be read: {error}", file.display())))?
        }
        SecretSource::Env(name) => env::var(name).ok_or_else(|| Failure::new(Exit::Usage, format!("the secret's variable `{name}` is not set")))?.into_bytes(),
    };
    Ok(Secret { id: secret.id.clone(), data: data.into() })
}
