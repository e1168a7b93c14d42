//! The plan as `plan --format json` prints it.

use serde::{Serialize, Serializer};

use super::{Plan, Skipped, State, Target};
use crate::package::Package;
use crate::record::TargetLabel;

/// Version of the format; grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// A whole plan. Targets are put into words one by one, as they are written: a plan may have many thousands.
#[derive(Serialize)]
pub struct PlanView<'a> {
    /// Version of this format.
    pub schema: u32,
    /// What is to be built or is published already, each as a [`TargetView`].
    #[serde(serialize_with = "each::<TargetView<'_>, _, _>")]
    pub targets: &'a [Target],
    /// What cannot be, each as a [`SkippedView`].
    #[serde(serialize_with = "each::<SkippedView<'_>, _, _>")]
    pub skipped: &'a [Skipped],
}

/// A target with everything that was decided.
#[derive(Serialize)]
pub struct TargetView<'a> {
    /// Its name.
    #[serde(rename = "target")]
    pub label: TargetLabel,
    /// The image with its tag.
    pub image: String,
    /// `build` or `published`.
    pub state: &'static str,
    /// Why it is built; digest of the manifest if it is published.
    pub why: &'a str,
    /// Digest of everything that goes in.
    pub input_digest: Option<&'a str>,
    /// SPDX expression of the modules.
    pub licence: &'a str,
    /// Modules in load order.
    pub modules: Vec<&'a str>,
    /// Base image of the build stages.
    pub base_image: &'a str,
    /// The kernel's compiler.
    pub compiler: &'a str,
    /// Architecture that the compiler runs on.
    pub build_arch: &'static str,
    /// Packages of the toolchain.
    pub toolchain: &'a [String],
    /// The kernel's headers.
    pub headers: &'a [Package],
    /// Packages with the image's programs.
    pub runtime: &'a [Package],
    /// Where the kernel was found.
    pub origin: &'a str,
    /// Repositories that were trusted without a signature.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub unverified: &'a [String],
}

/// Something that is no target.
#[derive(Serialize)]
pub struct SkippedView<'a> {
    /// What it would have been.
    pub target: &'a TargetLabel,
    /// Why it is not.
    pub why: String,
    /// Whether it should have been possible.
    pub failure: bool,
}

impl<'a> From<&'a Target> for TargetView<'a> {
    fn from(target: &'a Target) -> Self {
        let (state, why) = match &target.state {
            State::Build(why) => ("build", why.as_str()),
            State::Published { manifest, .. } => ("published", manifest.as_str()),
        };
        Self {
            label: target.label(),
            image: target.image.to_string(),
            state,
            why,
            input_digest: target.inputs.as_ref().map(|inputs| inputs.digest.as_str()),
            licence: &target.driver.profile.licence,
            modules: target.driver.modules().iter().map(|module| module.name.as_str()).collect(),
            base_image: target.build_image(),
            compiler: &target.toolchain.compiler,
            build_arch: target.toolchain.build_arch.oci(),
            toolchain: &target.toolchain.packages,
            headers: &target.kernel.headers,
            runtime: &target.runtime,
            origin: &target.kernel.origin,
            unverified: &target.unverified,
        }
    }
}

impl<'a> From<&'a Skipped> for SkippedView<'a> {
    fn from(skipped: &'a Skipped) -> Self {
        Self { target: &skipped.target, why: skipped.reason.to_string(), failure: skipped.reason.is_failure() }
    }
}

impl<'a> From<&'a Plan> for PlanView<'a> {
    fn from(plan: &'a Plan) -> Self {
        Self { schema: SCHEMA, targets: &plan.targets, skipped: &plan.skipped }
    }
}

fn each<'a, V, T: 'a, S: Serializer>(items: &&'a [T], serializer: S) -> Result<S::Ok, S::Error>
where
    V: From<&'a T> + Serialize,
{
    serializer.collect_seq(items.iter().map(V::from))
}
