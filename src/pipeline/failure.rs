//! Why a target did not become an image, in words.

use crate::boot::BootError;
use crate::builder::SolveError;
use crate::error::{Exit, Failure};
use crate::fetch::FetchError;
use crate::fetch::source::SourceError;
use crate::finding::Finding;
use crate::image::artifacts::ArtifactsError;
use crate::image::assemble::AssembleError;
use crate::kmod::KmodError;
use crate::plan::Target;
use crate::record::{Attachment, Outcome};
use crate::registry::RegistryError;
use crate::render::RenderError;
use crate::sign::SignError;

/// Why a target did not become an image.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The kernel cannot have the driver.
    #[error("{0}")]
    Unsupported(String),
    /// The Dockerfile could not be rendered.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The driver's source or firmware is not to be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Something else that it is built from is not to be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The builder did not do it.
    #[error("{error}")]
    Solve {
        /// Why.
        error: SolveError,
        /// Where the log is, and how long.
        log: String,
    },
    /// What the builder sent is no result.
    #[error(transparent)]
    Artifacts(#[from] ArtifactsError),
    /// A module in the result cannot be read.
    #[error(transparent)]
    Module(#[from] KmodError),
    /// Something that every result has is not in this one.
    #[error("the builder's result has no usable `{file}`: {message}")]
    Evidence {
        /// Which file.
        file: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// The build has left modules that do not go into one image.
    #[error("{0}")]
    Found(String),
    /// The modules could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A file that is to be signed is not there.
    #[error("there is no `{0}` to sign")]
    NothingToSign(String),
    /// Checks have rejected the modules.
    #[error("a check failed")]
    Rejected(Vec<Finding>),
    /// The kernel was booted, and does not get along with the modules.
    #[error("the boot check failed")]
    NotLoaded {
        /// What it has against them.
        findings: Vec<Finding>,
        /// Where everything is that the kernel said.
        log: String,
    },
    /// The kernel could not be booted.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The image could not be made.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The image could not be pushed.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The image is published, and not everything could be attached to it.
    #[error("published, but {} could not be attached", missing.join(", "))]
    Attach {
        /// Kinds that are not attached.
        missing: Vec<&'static str>,
        /// What is.
        attached: Vec<Attachment>,
        /// Why.
        error: RegistryError,
    },
    /// A thread of the program's own broke down.
    #[error("internal error: {0}")]
    Internal(String),
    /// The run was stopped.
    #[error("cancelled")]
    Cancelled,
}

impl TargetError {
    /// How the target ended.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unsupported(_) => Outcome::Unsupported,
            Self::Rejected(_) | Self::NotLoaded { .. } => Outcome::Rejected,
            Self::Cancelled | Self::Boot(BootError::Cancelled) | Self::Solve { error: SolveError::Cancelled, .. } => Outcome::Cancelled,
            _ => Outcome::Failed,
        }
    }

    /// A few words for tables.
    pub fn summary(&self) -> String {
        match self {
            Self::Solve { error: SolveError::Step { step, .. }, .. } => step_verb(step).to_owned(),
            Self::Rejected(findings) | Self::NotLoaded { findings, .. } => {
                format!("check `{}` failed", findings.first().map(|finding| finding.check.as_str()).unwrap_or_default())
            }
            other => other.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// What the user is told where nothing else is told about the target.
    pub fn into_failure(self, target: &Target) -> Failure {
        let summary = self.summary();
        self.explain(target).unwrap_or_else(|| Failure::new(Exit::Failed, summary))
    }

    /// What the user is told; nothing for targets that were only stopped or are not possible.
    pub fn explain(self, target: &Target) -> Option<Failure> {
        let label = target.label();
        match self {
            Self::Unsupported(_) | Self::Cancelled | Self::Boot(BootError::Cancelled) | Self::Solve { error: SolveError::Cancelled, .. } => None,
            Self::Solve { error: SolveError::Step { step, message, exit_code, log: lines }, log } => {
                let mut text = vec![log];
                text.extend(super::log::explain(&lines));
                let mut failure = Failure::new(Exit::Failed, format!("{label} {}", step_verb(&step)))
                    .fact("step", super::log::short_name(&step))
                    .fact("log", text.join("\n"));
                if exit_code.is_none() {
                    failure = failure.fact("builder", message);
                }
                Some(match other_version(target) {
                    Some(version) if step.starts_with("[build") => {
                        failure.help(format!("another version may support this kernel: --driver {}@{version}", target.driver.profile.id))
                    }
                    _ => failure,
                })
            }
            Self::Solve { error: error @ (SolveError::Refused { .. } | SolveError::Unsupported(_)), log } => {
                let told = explain_solve(error);
                let failure = Failure::new(Exit::Failed, format!("{label} could not be built")).fact("builder", told.headline).fact("log", log);
                Some(Failure { help: told.help, ..failure })
            }
            Self::Solve { error, log } => Some(Failure { facts: vec![("target".into(), label.to_string()), ("log".into(), log)], ..explain_solve(error) }),
            Self::Rejected(findings) => crate::check::failure(&findings, &target.image.to_string(), Some("nothing was pushed")),
            Self::NotLoaded { findings, log } => {
                let failure = crate::check::failure(&findings, &target.image.to_string(), Some("nothing was pushed"));
                failure.map(|failure| failure.fact("log", log))
            }
            Self::Found(problem) => {
                let failure = Failure::new(Exit::Failed, format!("{label}: {problem}"));
                Some(failure.help("write a profile that lists the modules: kmodforge profile new --from-source …"))
            }
            Self::Boot(error) => Some(Failure::from(error).fact("target", label.to_string())),
            Self::Render(error) => Some(Failure::from(error).fact("target", label.to_string())),
            Self::Source(error) => Some(Failure::from(error).fact("target", label.to_string())),
            Self::Fetch(error) => Some(Failure::from(error).fact("target", label.to_string())),
            Self::Artifacts(error) => {
                let mut failure = Failure::from(error).fact("target", label.to_string());
                // It goes away with the run.
                failure.facts.retain(|(name, _)| name != "tar");
                Some(failure)
            }
            Self::Assemble(error) => Some(Failure::from(error).fact("target", label.to_string())),
            Self::Registry(error) => Some(Failure::from(error).fact("target", label.to_string())),
            Self::Attach { missing, attached, error } => {
                let why = Failure::from(error);
                let done: Vec<_> = attached.iter().map(|attachment| attachment.kind.as_str()).collect();
                let failure = Failure::new(Exit::Failed, format!("{label} is published, but not everything is attached to it"))
                    .fact("image", target.image.to_string())
                    .fact("attached", if done.is_empty() { "nothing".to_owned() } else { done.join(", ") })
                    .fact("missing", missing.join(", "))
                    .fact("reason", why.headline);
                let failure = why.facts.into_iter().fold(failure, |failure, (name, value)| failure.fact(name, value));
                Some(failure.help("run again: what is attached stays, and the rest is added"))
            }
            Self::Sign(error) => Some(Failure::from(error).fact("target", label.to_string())),
            Self::Module(error) => Some(Failure::from(error).fact("target", label.to_string())),
            Self::NothingToSign(_) => {
                let failure = Failure::new(Exit::Failed, format!("{label} was not signed: {self}")).fact("looked in", target.module_paths().join("\n"));
                Some(failure.help("correct `filesToSign` of the Module"))
            }
            Self::Evidence { .. } | Self::Internal(_) => {
                Some(Failure::new(Exit::Failed, self.to_string()).fact("target", label.to_string()).help("this is a fault of kmodforge; please report it"))
            }
        }
    }
}

/// What a failed step means for the target.
fn step_verb(step: &str) -> &'static str {
    match step.trim_start_matches('[').split([' ', ']']).next().unwrap_or_default() {
        "source" => "could not be built: its dkms.conf cannot be followed",
        "build" => "did not compile",
        "headers" => "could not be built: its kernel's headers could not be unpacked",
        "tools" => "could not be built: the image's programs could not be unpacked",
        "kernel" => "could not be built: not even an empty module compiles",
        "toolchain" | "driver-toolchain" => "could not be built: the toolchain could not be installed",
        _ => "could not be built",
    }
}

/// A solve that went wrong outside any step of the Dockerfile.
pub fn explain_solve(error: SolveError) -> Failure {
    let headline = match &error {
        SolveError::Local { path, message } => format!("`{}` cannot be used: {message}", path.display()),
        other => other.to_string(),
    };
    let failure = Failure::new(Exit::Failed, headline);
    match error {
        SolveError::Refused { help: Some(help), .. } => failure.help(help),
        SolveError::Lost(_) => {
            failure.help("see whether the builder still runs (kmodforge doctor), then run the same command again: finished targets are skipped")
        }
        SolveError::Local { .. } => failure.help("make room, or set KMODFORGE_CACHE and TMPDIR to folders with more"),
        _ => failure,
    }
}

/// The newest other version of the driver whose range of kernels fits.
fn other_version(target: &Target) -> Option<String> {
    let kernel = target.kernel.release.version();
    let fits = |range: &crate::profile::driver::KernelRange| range.min.is_none_or(|min| kernel >= min) && range.below.is_none_or(|below| kernel < below);
    let others = target.driver.profile.versions.iter().enumerate().filter(|(index, _)| *index != target.driver.index);
    others.map(|(_, version)| version).find(|version| fits(&version.requires.kernel)).map(|version| version.version.to_string())
}
