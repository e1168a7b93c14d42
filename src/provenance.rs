//! What an image was made from and by what: an in-toto predicate, SLSA provenance 1 (<https://slsa.dev/spec/v1.0/provenance>).
//!
//! Times and names of runs, which the predicate may have, are left out: the same inputs and builder give the same statement.

use serde_json::{Value, json};

use crate::image::manifest::Blob;
use crate::mirror::Mirrors;
use crate::package::Package;
use crate::plan::Target;
use crate::reference::Digest;
use crate::render::{self, RenderError};

/// Type of the predicate.
pub const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// What the parameters mean: a section of `docs/supply-chain.md`.
const BUILD_TYPE: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/supply-chain.md#provenance");

/// What a run knows beyond its plan.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// `Docker Engine 20.10.24`.
    pub builder: &'a str,
    /// Where the driver's source was taken from, and its SHA-256.
    pub source: (&'a str, &'a str),
    /// Where the firmware was taken from.
    pub firmware: &'a [String],
    /// SHA-256 of the firmware's files together.
    pub firmware_sha256: Option<&'a str>,
    /// Digest of the base image, where a registry told.
    pub base: Option<&'a Digest>,
    /// First line of the compiler's `--version`.
    pub compiler: &'a str,
    /// Time of everything in the image, seconds since 1970.
    pub epoch: u64,
    /// How layers are compressed.
    pub compression: &'a str,
}

/// The predicate about a target's image.
///
/// # Errors
/// When the target's Dockerfile cannot be rendered.
pub fn predicate(target: &Target, run: &Run<'_>) -> Result<Value, RenderError> {
    let label = target.label();
    // With official names, as the input digest takes it: mirrors say where, not what.
    let dockerfile = Blob::new("text/plain", render::dockerfile(target, &Mirrors::default())?.into_bytes());
    let mut internal = json!({
        "inputDigest": target.inputs.as_ref().map(|inputs| inputs.digest.as_str()),
        "compression": run.compression, "sourceDateEpoch": run.epoch, "compiler": run.compiler,
        "toolchain": target.toolchain.packages,
    });
    if !target.unverified.is_empty() {
        internal["unverifiedRepositories"] = target.unverified.to_vec().into();
    }
    Ok(json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "driver": label.driver, "version": label.version, "distro": label.distro, "release": label.distro_release,
                "kernel": label.kernel, "arch": label.arch,
            },
            "internalParameters": internal,
            "resolvedDependencies": dependencies(target, run, &dockerfile),
        },
        "runDetails": {
            "builder": {"id": env!("CARGO_PKG_REPOSITORY"), "version": {"kmodforge": env!("CARGO_PKG_VERSION"), "buildkit": run.builder}},
        },
    }))
}

/// Everything that went in, as in-toto's resource descriptors.
fn dependencies(target: &Target, run: &Run<'_>, dockerfile: &Blob) -> Vec<Value> {
    let (origin, sha256) = run.source;
    let source = json!({"name": "source", "digest": {"sha256": sha256}});
    let mut all = vec![
        with_uri(source, origin),
        json!({"name": "Dockerfile", "digest": {"sha256": dockerfile.digest.hex()}}),
        json!({"name": "driver profile", "uri": format!("drivers/{}.yaml", target.driver.profile.id), "digest": {"sha256": profile_digest(target).hex()}}),
    ];
    let image = target.build_image();
    all.push(match run.base {
        Some(base) => json!({"name": "base image", "uri": image, "digest": {"sha256": base.hex()}}),
        None => json!({"name": "base image", "uri": image}),
    });
    if target.kernel.headers_image.is_some() {
        all.push(json!({"name": "base image of the programs", "uri": target.distro.release.base_image}));
    }
    all.extend(run.firmware.iter().filter(|origin| origin.contains("://")).map(|origin| with_uri(json!({"name": "firmware"}), origin)));
    if let Some(sha256) = run.firmware_sha256 {
        all.push(json!({"name": "firmware files", "digest": {"sha256": sha256}}));
    }
    let package = |what: &'static str| move |package: &Package| json!({"name": format!("{what}: {} {}", package.name, package.version), "uri": package.url, "digest": {"sha256": package.sha256}});
    all.extend(target.kernel.headers.iter().map(package("headers")));
    all.extend(target.runtime.iter().map(package("program")));
    all
}

/// A folder of this machine is no address, and nobody else's business.
fn with_uri(mut descriptor: Value, origin: &str) -> Value {
    if origin.contains("://") {
        descriptor["uri"] = origin.into();
    }
    descriptor
}

/// Digest of the profile as it was understood: comments and spelling do not count.
fn profile_digest(target: &Target) -> Digest {
    Digest::of(&serde_json::to_vec(target.driver.profile.as_ref()).unwrap_or_default())
}

#[cfg(test)]
mod tests;
