//! What command line and project file say about documents and signatures, and which published images lack them.

use std::path::Path;
use std::sync::Arc;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use zeroize::Zeroizing;

use crate::attest::{PublicKey, SigningKey};
use crate::cli::AttachArgs;
use crate::env;
use crate::error::{Exit, Failure, io_words};
use crate::pipeline::attach::{Attach, Expected, missing_of};
use crate::plan::{Plan, State};
use crate::project::{Attachments, Project};
use crate::registry::Registry;

/// How many images are looked at at once.
const QUESTIONS: usize = 16;

/// What is asked for: the command line counts, then the project file.
struct Wishes {
    sbom: bool,
    provenance: bool,
    key: Option<String>,
}

impl Wishes {
    /// `None` if nothing is asked for.
    fn of(project: Option<&Project>, args: &AttachArgs) -> Option<Self> {
        let said = project.and_then(|project| project.content.attach.clone()).filter(|_| !args.no_attach);
        let Attachments { sbom, provenance, cosign_key } = said.unwrap_or_default();
        let beside = |key: String| match project {
            Some(project) if !key.starts_with("env://") => project.beside(Path::new(&key)).display().to_string(),
            _ => key,
        };
        let key = args.cosign_key.clone().or_else(|| cosign_key.map(beside));
        let of = |said: Option<bool>, written: Option<bool>| said.or(written).unwrap_or(key.is_some());
        let (sbom, provenance) = (of(args.sbom, sbom), of(args.provenance, provenance));
        (sbom || provenance || key.is_some()).then_some(Self { sbom, provenance, key })
    }
}

/// What is to be attached; `None` if nothing.
///
/// # Errors
/// When the command line asks for it and images are not pushed, or the key cannot be used.
pub(super) fn choice(project: Option<&Project>, args: &AttachArgs, push: bool) -> Result<Option<Attach>, Failure> {
    if !push {
        // What a project file says is about images that are pushed.
        let options = [("--cosign-key", args.cosign_key.is_some()), ("--sbom", args.sbom == Some(true)), ("--provenance", args.provenance == Some(true))];
        return match options.into_iter().find(|(_, given)| *given) {
            Some((option, _)) => {
                let failure = Failure::new(Exit::Usage, format!("`{option}` needs `--push`"));
                Err(failure.help("documents and signatures are attached to images in a registry"))
            }
            None => Ok(None),
        };
    }
    let Some(Wishes { sbom, provenance, key }) = Wishes::of(project, args) else { return Ok(None) };
    let key = key.as_deref().map(|place| read(place, SigningKey::from_pem)).transpose()?.map(Arc::new);
    Ok(Some(Attach { sbom, provenance, key }))
}

/// What published images must have for a run that attaches to leave them alone; `None` if nothing. The public half of the key is enough to tell.
///
/// # Errors
/// When the key cannot be used.
pub(super) fn expected(project: Option<&Project>, args: &AttachArgs) -> Result<Option<Expected>, Failure> {
    let Some(Wishes { sbom, provenance, key }) = Wishes::of(project, args) else { return Ok(None) };
    let key = key.as_deref().map(|place| read(place, PublicKey::of_pair)).transpose()?;
    Ok(Some(Expected { sbom, provenance, key }))
}

fn read<K>(place: &str, parse: impl Fn(&str, Option<&str>) -> Result<K, crate::attest::KeyError>) -> Result<K, Failure> {
    let pem = match place.strip_prefix("env://") {
        Some(name) => env::var(name).ok_or_else(|| Failure::new(Exit::Usage, format!("the cosign key's variable `{name}` is not set")))?,
        None => std::fs::read_to_string(place)
            .map_err(|error| Failure::new(Exit::Usage, format!("the cosign key `{place}` cannot be read: {}", io_words(&error))))?,
    };
    let (pem, password) = (Zeroizing::new(pem), env::var("COSIGN_PASSWORD").map(Zeroizing::new));
    parse(&pem, password.as_ref().map(|password| password.as_str())).map_err(|error| Failure::from(error).fact("key", place))
}

/// Has those published images built again that lack something: it is made from what the builder sends.
///
/// # Errors
/// When the registry does not answer.
pub(super) async fn settle(plan: &mut Plan, registry: &Registry, expected: Option<&Expected>) -> Result<(), Failure> {
    let Some(expected) = expected else { return Ok(()) };
    let looking = plan.targets.iter().enumerate().filter_map(|(number, target)| match &target.state {
        State::Published { manifest, index } => Some((number, target.image.clone(), manifest.clone(), index.clone())),
        State::Build(_) => None,
    });
    let looking = looking
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(number, image, digest, index)| async move { missing_of(registry, &image, &digest, &index, expected).await.map(|missing| (number, missing)) });
    let answers: Vec<_> =
        futures::stream::iter(looking).buffer_unordered(QUESTIONS).try_collect().await.map_err(|error: crate::registry::RegistryError| Failure::from(error))?;
    for (number, missing) in answers {
        if let Some(reason) = missing {
            plan.targets[number].state = State::Build(reason.into());
        }
    }
    Ok(())
}
