//! What the command line says about documents and signatures, and which published images lack them.

use std::sync::Arc;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use zeroize::Zeroizing;

use crate::attest::SigningKey;
use crate::cli::AttachArgs;
use crate::env;
use crate::error::{Exit, Failure, io_words};
use crate::pipeline::attach::{Attach, missing_of};
use crate::plan::{Plan, State};
use crate::registry::Registry;

/// How many images are looked at at once.
const QUESTIONS: usize = 16;

/// What is to be attached; `None` if nothing.
///
/// # Errors
/// When images are not pushed, or the key cannot be used.
pub(super) fn choice(args: &AttachArgs, push: bool) -> Result<Option<Attach>, Failure> {
    let (sbom, provenance) = (args.sbom.unwrap_or(args.cosign_key.is_some()), args.provenance.unwrap_or(args.cosign_key.is_some()));
    if !sbom && !provenance && args.cosign_key.is_none() {
        return Ok(None);
    }
    if !push {
        let option = if args.cosign_key.is_some() {
            "--cosign-key"
        } else if sbom {
            "--sbom"
        } else {
            "--provenance"
        };
        return Err(Failure::new(Exit::Usage, format!("`{option}` needs `--push`")).help("documents and signatures are attached to images in a registry"));
    }
    let key = args.cosign_key.as_deref().map(read_key).transpose()?.map(Arc::new);
    Ok(Some(Attach { sbom, provenance, key }))
}

fn read_key(place: &str) -> Result<SigningKey, Failure> {
    let pem = match place.strip_prefix("env://") {
        Some(name) => env::var(name).ok_or_else(|| Failure::new(Exit::Usage, format!("the cosign key's variable `{name}` is not set")))?,
        None => std::fs::read_to_string(place)
            .map_err(|error| Failure::new(Exit::Usage, format!("the cosign key `{place}` cannot be read: {}", io_words(&error))))?,
    };
    let (pem, password) = (Zeroizing::new(pem), env::var("COSIGN_PASSWORD").map(Zeroizing::new));
    SigningKey::from_pem(&pem, password.as_ref().map(|password| password.as_str())).map_err(|error| Failure::from(error).fact("key", place))
}

/// Has those published images built again that lack something: it is made from what the builder sends.
///
/// # Errors
/// When the registry does not answer.
pub(super) async fn settle(plan: &mut Plan, registry: &Registry, attach: Option<&Attach>) -> Result<(), Failure> {
    let Some(attach) = attach else { return Ok(()) };
    let looking = plan.targets.iter().enumerate().filter_map(|(number, target)| match &target.state {
        State::Published { manifest, index } => Some((number, target.image.clone(), manifest.clone(), index.clone())),
        State::Build(_) => None,
    });
    let looking = looking
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(number, image, digest, index)| async move { missing_of(registry, &image, &digest, &index, attach).await.map(|missing| (number, missing)) });
    let answers: Vec<_> =
        futures::stream::iter(looking).buffer_unordered(QUESTIONS).try_collect().await.map_err(|error: crate::registry::RegistryError| Failure::from(error))?;
    for (number, missing) in answers {
        if let Some(reason) = missing {
            plan.targets[number].state = State::Build(reason.into());
        }
    }
    Ok(())
}
