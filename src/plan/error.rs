//! Why there is no plan, in words.

use super::{NamingError, Reason, Skipped};
use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;

/// Why there is no plan.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PlanError {
    /// A selector that nothing published matches.
    #[error("no kernel of {distros} matches `{selector}`")]
    NoKernel {
        /// The selector as it was written.
        selector: String,
        /// Distributions that were asked.
        distros: String,
        /// Repositories that were read, with the number of their kernels.
        looked_in: String,
        /// Releases with the most similar names.
        nearest: Vec<KernelRelease>,
        /// `kmodforge kernels list --distro debian`.
        list_command: String,
        /// Fallbacks that the distribution has.
        fallbacks: Vec<String>,
    },
    /// Two targets would have the same tag.
    #[error("`{first}` and `{second}` would both be tagged `{image}`")]
    SameTag {
        /// One target.
        first: String,
        /// Another.
        second: String,
        /// The image.
        image: String,
    },
    /// A name cannot be made.
    #[error(transparent)]
    Naming(#[from] NamingError),
}

/// What should have been possible and is not; of everything else, the reason.
impl TryFrom<&Skipped> for Failure {
    type Error = String;

    fn try_from(skipped: &Skipped) -> Result<Self, String> {
        match &skipped.reason {
            Reason::NoCompiler { package, place } => {
                Ok(Self::new(Exit::Failed, format!("{} cannot be built: its kernel's compiler is missing", skipped.target))
                    .fact("expected", format!("package `{package}`"))
                    .fact("looked in", place)
                    .help("add a repository that has it to the distro profile (--profiles DIR), or leave this kernel out"))
            }
            reason => Err(reason.to_string()),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let headline = error.to_string();
        match error {
            PlanError::NoKernel { looked_in, nearest, list_command, fallbacks, .. } => {
                let mut failure = Self::new(Exit::Failed, headline).fact("looked in", looked_in);
                if !nearest.is_empty() {
                    failure = failure.fact("nearest", nearest.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
                }
                let older = fallbacks.first().map(|id| format!("; older ones: --fallback {id}=TIMESTAMP")).unwrap_or_default();
                failure.help(format!("list them: {list_command}{older}"))
            }
            PlanError::SameTag { .. } => Self::new(Exit::Usage, headline)
                .help("use `{{ kernel.tag }}`, `{{ kernel.os_version }}`, `{{ distro.release }}` or `{{ arch }}` in the tag template to tell them apart"),
            PlanError::Naming(error) => error.into(),
        }
    }
}
