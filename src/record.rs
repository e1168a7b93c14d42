//! `kmodforge-record.json`: what was built from what.
//!
//! Holds texts and findings only, so that old records stay readable whatever becomes of the code.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::finding::Finding;
use crate::rollout::Rollout;

/// Version of the record's format; grows when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// The record of one run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `kmodforge 0.1.0`.
    pub tool: String,
    /// Seconds since 1970 when the run began.
    pub started: u64,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The builder: `Docker Engine 20.10.24`.
    pub builder: String,
    /// One entry per target of the plan, in the plan's order.
    pub targets: Vec<TargetRecord>,
}

/// Names a target for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TargetLabel {
    /// `v4l2loopback`.
    pub driver: String,
    /// `0.15.3`.
    pub version: String,
    /// `debian`.
    pub distro: String,
    /// `bookworm`; empty where a distribution has no releases.
    pub distro_release: String,
    /// `6.1.0-56-amd64`.
    pub kernel: String,
    /// `amd64`.
    pub arch: String,
}

impl std::fmt::Display for TargetLabel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { driver, version, distro, distro_release, kernel, arch } = self;
        write!(f, "{driver} {version} for {kernel} ({distro} {distro_release}, {arch})")
    }
}

/// How a target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Built, checked and, if that was asked, published.
    Built,
    /// Published before with the same input digest.
    Published,
    /// Not possible on this kernel.
    Unsupported,
    /// Built, but a check rejected it; nothing was published.
    Rejected,
    /// Did not compile, or something else went wrong.
    Failed,
    /// Not begun, or broken off, because the run was stopped.
    Cancelled,
    /// Everything that it is built from is in a bundle; `kmodforge fetch` says so, records do not.
    Fetched,
}

/// A document or signature that was attached to an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attachment {
    /// `sbom`, `provenance`, `checks`, `boot-log`, `attestation`, `signature`.
    pub kind: String,
    /// Its media type: `application/spdx+json`.
    pub media_type: String,
    /// Digest of its manifest, or of the layer that holds it where several share a manifest.
    pub digest: String,
}

/// Who signed the modules of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignerRecord {
    /// Subject of the certificate: `CN=driver signing, O=Example`.
    pub subject: String,
    /// Its serial number, in hexadecimal: `0c:83:ce`.
    pub serial: String,
    /// Its subject key identifier, which kernels name it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Digest of the certificate.
    pub certificate: String,
    /// The hash: `sha256`.
    pub hash: String,
}

/// What became of one target.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TargetRecord {
    /// Which target.
    pub target: TargetLabel,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, in a few words: `built`, `already published`, `kernel has no CONFIG_VIDEO_DEV`.
    pub why: String,
    /// The image, with its tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Digest of the image's manifest for this architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Digest of the index that the tag points to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index_digest: Option<String>,
    /// Digest of everything that went in.
    pub input_digest: String,
    /// The source that was used, and its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Packages of the kernel: `linux-headers-6.1.0-56-amd64 6.1.192-1`.
    pub headers: Vec<String>,
    /// Repositories whose word was taken without a signature, and where they were fetched from: `bookworm of http://mirror.internal/debian`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<String>,
    /// First line of the compiler's `--version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
    /// Modules in the image, in load order.
    pub modules: Vec<String>,
    /// How many checks were made.
    pub checks: usize,
    /// What they found.
    pub findings: Vec<Finding>,
    /// What a boot of the kernel has shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootRecord>,
    /// Compressed size of the whole image in bytes.
    pub image_bytes: u64,
    /// Bytes that had to be uploaded.
    pub pushed_bytes: u64,
    /// What was attached to the image, in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Seconds spent on the whole target.
    pub seconds: f64,
    /// Seconds by phase: `headers`, `compile`, `check`, `sign`, `boot`, `assemble`, `publish`, `attach`.
    pub phases: BTreeMap<String, f64>,
    /// Who signed the modules, if anybody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerRecord>,
    /// What nodes must know and do to use the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// Where the full build log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}

/// What a boot of the kernel with the image's modules has shown.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BootRecord {
    /// What ran the kernel: `kvm` or `tcg`.
    pub accelerator: String,
    /// Seconds that the virtual machine ran.
    pub seconds: f64,
    /// Modules that were loaded, by the kernel's spelling. Those of a driver that needs its hardware are not among them.
    pub loaded: Vec<String>,
    /// Devices that the driver was bound to.
    pub bound: Vec<String>,
    /// The kernel's taint flags with everything loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taint: Option<u64>,
    /// Drivers that shared the boot: `jool 4.1.15`. The seconds are those of all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together_with: Vec<String>,
    /// Where everything is that the kernel said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
}
