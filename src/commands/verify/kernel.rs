//! Which kernels an image is checked against, and what their headers tell.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use super::image::Files;
use crate::arch::Arch;
use crate::builder::{Builder, SolveRequest};
use crate::buildkit::BuilderChoice;
use crate::check::KernelFacts;
use crate::cli::VerifyArgs;
use crate::commands::builder::connect_unless_cancelled;
use crate::commands::local_image::LocalImage;
use crate::commands::selection;
use crate::commands::selection::unlisted::{self, Whereabouts};
use crate::commands::session::{Session, host_arch};
use crate::commands::solving;
use crate::error::{Exit, Failure};
use crate::image::artifacts::Artifacts;
use crate::kernel::KernelRelease;
use crate::kernel_selector::KernelSelector;
use crate::kmod::Module;
use crate::pipeline::{Instructions, explain_solve, kernel_facts};
use crate::plan::{ChosenDriver, Group, Known, Naming, Plan, Target};
use crate::profile::driver::{DriverProfile, Requirements};
use crate::render::{self, ANNOTATION};

/// The kernels to check an image against: the one that was named, else the label's, else every one that its directories name.
///
/// # Errors
/// When none of them says anything.
pub(super) fn releases(args: &VerifyArgs, image: &LocalImage, files: &Files) -> Result<Vec<KernelRelease>, Failure> {
    let named = args.kernels.first().map(String::as_str).or_else(|| label(image));
    let texts: Vec<&str> = named.map_or_else(|| files.releases().into_iter().collect(), |named| vec![named]);
    if texts.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("`{}` does not tell which kernel it is for", args.image))
            .fact("found", format!("no `lib/modules/<release>`, but `/{}`", files.first()))
            .help("name it: --kernel RELEASE"));
    }
    let parse = |text: &&str| text.parse().map_err(|error: crate::kernel::InvalidRelease| Failure::new(Exit::Usage, error.to_string()));
    texts.iter().map(parse).collect()
}

fn label(image: &LocalImage) -> Option<&str> {
    image.label(&format!("{ANNOTATION}kernel"))
}

/// The kernel that an image was made for, as it says itself: by its label, its only directory, or the version magic of a module.
pub(super) fn meant(image: &LocalImage, files: &Files, modules: &[(String, Module)]) -> Option<KernelRelease> {
    let releases = files.releases();
    let directory = releases.first().filter(|_| releases.len() == 1).copied();
    let magic = || modules.iter().find_map(|(_, module)| module.info.vermagic()?.split(' ').next());
    label(image).or(directory).or_else(magic)?.parse().ok()
}

/// What is known of kernels, and the builder that finds out what is not.
pub(super) struct Kernels<'a> {
    session: &'a Session,
    args: &'a VerifyArgs,
    cancel: &'a CancellationToken,
    builder: OnceCell<Arc<dyn Builder>>,
}

impl<'a> Kernels<'a> {
    pub(super) fn new(session: &'a Session, args: &'a VerifyArgs, cancel: &'a CancellationToken) -> Self {
        Self { session, args, cancel, builder: OnceCell::new() }
    }

    /// A target for the kernel: what names its headers and compiler. The driver's requirements do not matter here.
    ///
    /// # Errors
    /// When nobody publishes the kernel's headers.
    pub(super) async fn target(&self, kernel: &KernelRelease, arch: Arch, driver: Option<&ChosenDriver>) -> Result<Target, Failure> {
        let (session, kernels) = (self.session, vec![KernelSelector::Exact(kernel.clone())]);
        let distros = match &self.args.distro {
            Some(distro) => vec![selection::distro(session, distro)?],
            None => selection::recognising(session, &kernels)?,
        };
        let mut profile = match driver {
            Some((profile, _)) => profile.as_ref().clone(),
            None => unknown_driver()?,
        };
        profile.requires = Requirements::default();
        profile.in_tree = None;
        for version in &mut profile.versions {
            version.requires = Requirements::default();
        }
        let whereabouts = Whereabouts { image: self.args.headers_image.as_ref(), os_version: self.args.os_version.as_deref() };
        let unlisted = unlisted::kernels(session, whereabouts, &distros, &kernels, &[arch]).await?;
        let group = Group {
            unlisted,
            drivers: vec![(Arc::new(profile), driver.and_then(|(_, version)| version.clone()))],
            distros,
            kernels,
            arches: vec![arch],
            excludes: Vec::new(),
        };
        let groups = [group];
        let indexes = selection::read_indexes(session, &groups, &[]).await?;
        let naming = Naming::new(selection::UNNAMED, None, None)?;
        let plan = Plan::new(&groups, &naming, &Known { indexes: &indexes, unsupported: &|_, _| None, build_arch: host_arch() })?;
        match (plan.targets.into_iter().next(), plan.skipped.into_iter().next()) {
            (Some(target), _) => Ok(target),
            (None, Some(skipped)) => Err(Failure::new(Exit::Failed, format!("the headers of {kernel} cannot be used: {}", skipped.reason))),
            (None, None) => Err(Failure::new(Exit::Failed, format!("no headers of {kernel} were found"))),
        }
    }

    /// What the kernel's headers tell: remembered, or fetched and compiled as for a build. `folder` gets what is large.
    ///
    /// # Errors
    /// When there is no builder, or the headers cannot be used.
    pub(super) async fn facts(&self, target: &Target, folder: &Path) -> Result<KernelFacts, Failure> {
        let evidence = folder.join(format!("evidence-{}.tar", target.kernel.release.tag()));
        let cannot_write = |error: std::io::Error| Failure::new(Exit::Failed, format!("`{}`: {error}", evidence.display()));
        let memory = &self.session.memory;
        if memory.evidence(&target.kernel, &evidence).map_err(cannot_write)?
            && let Ok(facts) = read_facts(target, &evidence)
        {
            return Ok(facts);
        }
        self.solve(target, &evidence).await?;
        let facts = read_facts(target, &evidence)?;
        if let Err(error) = memory.remember_evidence(&target.kernel, &evidence) {
            tracing::debug!("the evidence of {} is not kept: {error}", target.kernel.release);
        }
        Ok(facts)
    }

    async fn solve(&self, target: &Target, output: &Path) -> Result<(), Failure> {
        let builder = self.builder.get_or_try_init(|| connect_unless_cancelled(self.session, &BuilderChoice::Auto, self.cancel)).await?;
        let instructions = Instructions::of(target, &self.session.fetcher, &BTreeMap::new()).await;
        let Instructions { dockerfile, files } = instructions.map_err(|error| error.into_failure(target))?;
        let request = SolveRequest {
            name: format!("headers of {}", target.kernel.release),
            dockerfile,
            stage: "evidence".into(),
            build_args: Vec::new(),
            context: files,
            platform: Some(render::platform(target).to_owned()),
            options: Arc::new(solving::usual()?),
        };
        let (sender, _) = tokio::sync::mpsc::unbounded_channel();
        builder.solve(request, output, sender, self.cancel.clone()).await.map_err(explain_solve)
    }
}

fn read_facts(target: &Target, evidence: &Path) -> Result<KernelFacts, Failure> {
    kernel_facts(target, &Artifacts::open(evidence)?).map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// Stands for the driver of an image that no profile describes: it is not built.
fn unknown_driver() -> Result<DriverProfile, Failure> {
    let text = "{id: unknown, name: unknown, summary: unknown, homepage: 'https://example.org/', licence: NOASSERTION, \
        versions: [{version: '0', sources: [{path: {directory: .}}]}], build: {steps: [{kbuild: {}}]}, modules: [{name: unknown}]}";
    Ok(DriverProfile::load("unknown.yaml", text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_driver_has_a_profile() {
        assert_eq!(unknown_driver().unwrap().id.as_str(), "unknown");
    }
}
