//! `kmodforge deploy helm`: a chart in a folder, in a package, in a registry.

use std::collections::BTreeSet;

use super::files::{write, write_folder};
use super::fleet;
use crate::attest::Artifact;
use crate::cli::{GlobalArgs, HelmArgs};
use crate::commands::session::Session;
use crate::deploy::fleet::Fleet;
use crate::deploy::helm::{CONFIG, CONTENT, Chart, ChartError, Fixed};
use crate::error::{Exit, Failure, counted};
use crate::image::manifest::{Blob, MANIFEST, Manifest};
use crate::reference::Reference;
use crate::ui::Ui;

/// The title that Helm gives a chart's manifest.
const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";

/// Writes, packages and pushes the chart.
///
/// # Errors
/// When images are missing, or the chart cannot be written or pushed.
pub(super) async fn run(global: &GlobalArgs, args: &HelmArgs, ui: &Ui) -> Result<(), Failure> {
    if args.output.is_none() && args.push.is_none() {
        return Err(Failure::new(Exit::Usage, "there is no place for the chart").help("name a folder: --output DIR").help("or push it: --push"));
    }
    let fleet = fleet::gather(global, &args.fleet, ui).await?;
    let chart = Chart::new(&fleet.images, fixed(args), args.name.clone(), args.chart_version.clone())?;
    let package = chart.package().map_err(|error| Failure::new(Exit::Failed, format!("the chart cannot be packaged: {error}")))?;
    if let Some(folder) = &args.output {
        let path = if args.package { folder.join(chart.package_name()) } else { folder.join(chart.name.to_string()) };
        if args.package {
            write(&path, false, &package)?;
        } else {
            write_folder(&path, |part| chart.files.iter().try_for_each(|(file, text)| write(&part.join(file), false, text.as_bytes())))?;
        }
        ui.data(&format!("{}\n", path.display()));
    }
    if let Some(place) = &args.push {
        let name = push(global, args, &chart, package, &place_of(place, &fleet)?).await?;
        ui.data(&format!("{name}\n"));
    }
    ui.note(&format!("{}; nodes must have `{}`", counted(fleet.images.len(), "image"), args.kernel_label));
    ui.note("the namespace must allow privileged pods: pod-security.kubernetes.io/enforce=privileged");
    Ok(())
}

/// What the chart's values cannot change. The rest is what they say by default.
fn fixed(args: &HelmArgs) -> Fixed {
    Fixed { kernel_label: args.kernel_label.clone(), selinux_type: args.selinux_type.clone(), apparmor: args.apparmor.clone() }
}

/// What is named, else where the images are.
fn place_of(named: &str, fleet: &Fleet) -> Result<Reference, Failure> {
    if !named.is_empty() {
        let named = named.strip_prefix("oci://").unwrap_or(named);
        return named
            .parse()
            .map_err(|error: crate::reference::InvalidReference| Failure::new(Exit::Usage, error.to_string()).help("expected oci://REGISTRY/PATH"));
    }
    let places: BTreeSet<_> = fleet.images.iter().map(|image| above(&image.image)).collect();
    let found: Vec<_> = places.iter().flatten().map(ToString::to_string).collect();
    match (places.len(), places.first().cloned().flatten()) {
        (1, Some(place)) => Ok(place),
        _ => Err(Failure::new(Exit::Usage, "the images are in several places, and the chart can be beside one of them only")
            .fact("found", found.join(", "))
            .help("name the place: --push=oci://REGISTRY/PATH")),
    }
}

/// The repository that a repository is in.
fn above(image: &Reference) -> Option<Reference> {
    let (above, _) = image.repository.rsplit_once('/')?;
    Some(Reference { repository: above.to_owned(), tag: None, digest: None, ..image.clone() })
}

/// Pushes the chart as `helm push` does, and returns its name with its digest. A version that is taken by another chart is left alone.
async fn push(global: &GlobalArgs, args: &HelmArgs, chart: &Chart, package: Vec<u8>, place: &Reference) -> Result<Reference, Failure> {
    let session = Session::open(global, &args.fleet.select.project)?;
    let registry = session.registry(&args.fleet.registry)?;
    let name = Reference { repository: format!("{}/{}", place.repository, chart.name), tag: Some(chart.version.tag()), digest: None, ..place.clone() };
    let artifact = artifact(chart, package);
    let digest = artifact.manifest.digest.clone();
    if let Some(present) = registry.manifest(&name).await?
        && present.digest != digest
    {
        return Err(Failure::new(Exit::Failed, format!("`{name}` is another chart"))
            .fact("found", present.digest.to_string())
            .fact("expected", digest.to_string())
            .help("give this one a version of its own: --chart-version VERSION"));
    }
    registry.update_tag(&name, |present| Ok(present.is_none_or(|present| present.digest != digest).then(|| artifact.clone()))).await?;
    Ok(Reference { digest: Some(digest), ..name })
}

fn artifact(chart: &Chart, package: Vec<u8>) -> Artifact {
    let (config, content) = (Blob::new(CONFIG, chart.config()), Blob::new(CONTENT, package));
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST.into()),
        config: config.descriptor(),
        layers: vec![content.descriptor()],
        annotations: [(TITLE.to_owned(), chart.name.to_string()), (VERSION.to_owned(), chart.version.to_string())].into(),
    };
    Artifact { manifest: Blob::json(MANIFEST, &manifest), blobs: vec![config, content] }
}

impl From<ChartError> for Failure {
    fn from(error: ChartError) -> Self {
        match error {
            ChartError::Deploy(error) => error.into(),
            ChartError::Template(_) | ChartError::Internal(_) => Self::new(Exit::Failed, error.to_string()).help("this is a fault of kmodforge"),
        }
    }
}
