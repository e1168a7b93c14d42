//! What every solve of a run has in common.

use std::path::Path;

use super::session::client_certificate;
use crate::builder::{Network, Secret, SolveOptions};
use crate::cli::{SecretArg, SecretSource, SolveArgs};
use crate::env;
use crate::error::{Exit, Failure};

/// Secrets that rendered Dockerfiles use.
const SECRETS: [&str; 1] = ["apt-auth"];

/// Options of all solves. `offline`: build steps see no network, unless somebody says otherwise.
///
/// # Errors
/// When a secret cannot be read.
pub fn options(args: &SolveArgs, offline: bool) -> Result<SolveOptions, Failure> {
    let certificate = client_certificate().map(|file| certificate_secret(&file));
    Ok(SolveOptions {
        secrets: args.secrets.iter().map(read_secret).chain(certificate).collect::<Result<_, _>>()?,
        network: if offline && args.network == Network::Sandbox { Network::None } else { args.network },
        cache_from: args.cache_from.clone(),
        cache_to: args.cache_to.clone(),
        no_cache: args.no_cache,
    })
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

/// What the session shows to package repositories, the build shows as well.
fn certificate_secret(file: &Path) -> Result<Secret, Failure> {
    let data = std::fs::read(file)
        .map_err(|error| Failure::new(Exit::Usage, format!("KMODFORGE_CLIENT_CERTIFICATE: `{}` cannot be read: {error}", file.display())))?;
    Ok(Secret { id: "client-certificate".to_owned(), data: data.into() })
}
