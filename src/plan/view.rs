//! The plan as `plan --format json` prints it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Plan, Skipped, State, Target};
use crate::package::Package;
use crate::record::TargetLabel;

/// Version of the format; grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// A whole plan.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PlanView {
    /// Version of this format.
    pub schema: u32,
    /// What is to be built or is published already.
    pub targets: Vec<TargetView>,
    /// What cannot be.
    pub skipped: Vec<SkippedView>,
}

/// A target with everything that was decided.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TargetView {
    /// Its name.
    #[serde(rename = "target")]
    pub label: TargetLabel,
    /// The image with its tag.
    pub image: String,
    /// `build` or `published`.
    pub state: String,
    /// Why it is built; digest of the manifest if it is published.
    pub why: String,
    /// Digest of everything that goes in.
    pub input_digest: Option<String>,
    /// SPDX expression of the modules.
    pub licence: String,
    /// Modules in load order.
    pub modules: Vec<String>,
    /// Base image of the build stages.
    pub base_image: String,
    /// The kernel's compiler.
    pub compiler: String,
    /// Architecture that the compiler runs on.
    pub build_arch: String,
    /// Packages of the toolchain.
    pub toolchain: Vec<String>,
    /// The kernel's headers.
    pub headers: Vec<Package>,
    /// Packages with the image's programs.
    pub runtime: Vec<Package>,
    /// Where the kernel was found.
    pub origin: String,
}

/// Something that is no target.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SkippedView {
    /// What it would have been.
    pub target: TargetLabel,
    /// Why it is not.
    pub why: String,
    /// Whether it should have been possible.
    pub failure: bool,
}

impl From<&Target> for TargetView {
    fn from(target: &Target) -> Self {
        let (state, why) = match &target.state {
            State::Build(why) => ("build", why.clone()),
            State::Published(digest) => ("published", digest.to_string()),
        };
        Self {
            label: target.label(),
            image: target.image.to_string(),
            state: state.into(),
            why,
            input_digest: target.inputs.as_ref().map(|inputs| inputs.digest.to_string()),
            licence: target.driver.profile.licence.clone(),
            modules: target.driver.modules().iter().map(|module| module.name.clone()).collect(),
            base_image: target.distro.release.base_image.clone(),
            compiler: target.toolchain.compiler.clone(),
            build_arch: target.toolchain.build_arch.to_string(),
            toolchain: target.toolchain.packages.clone(),
            headers: target.kernel.headers.clone(),
            runtime: target.runtime.to_vec(),
            origin: target.kernel.origin.clone(),
        }
    }
}

impl From<&Skipped> for SkippedView {
    fn from(skipped: &Skipped) -> Self {
        Self { target: skipped.target.clone(), why: skipped.reason.to_string(), failure: skipped.reason.is_failure() }
    }
}

impl From<&Plan> for PlanView {
    fn from(plan: &Plan) -> Self {
        Self { schema: SCHEMA, targets: plan.targets.iter().map(Into::into).collect(), skipped: plan.skipped.iter().map(Into::into).collect() }
    }
}
