//! What nodes must know and do to use an image: from the profiles, through the record, into manifests.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a node does with the image of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rollout {
    /// What nodes call their system.
    pub system: System,
    /// Modules to load, in this order.
    pub loads: Vec<Load>,
    /// Modules of the kernel that must be unloaded first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove_first: Vec<String>,
    /// Modules of the kernel that are loaded first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load_first: Vec<String>,
    /// Whether the image has firmware, in `/firmware`.
    #[serde(default)]
    pub firmware: bool,
    /// Where nodes look for firmware: `/lib/firmware`.
    pub firmware_directory: String,
    /// Whether the modules can be unloaded again.
    pub unload: bool,
    /// What the driver's profile says about deployment.
    #[serde(default)]
    pub hints: Hints,
}

/// A system as its `/etc/os-release` names it (`os-release(5)`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct System {
    /// `ID`: `debian`.
    pub id: String,
    /// `VERSION_ID`: `12`; absent where a system has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A module to load.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Load {
    /// Its name.
    pub module: String,
    /// Parameters to load it with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// Facts about a driver that matter where it is deployed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hints {
    /// Why the container that loads the modules must be privileged. Left out: the capability `SYS_MODULE` is enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileged: Option<String>,
    /// What offers the driver's devices to pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_plugin: Option<DevicePlugin>,
}

/// A Kubernetes device plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DevicePlugin {
    /// Its image, with a tag or a digest.
    pub image: String,
    /// The command, where the image's own is not right.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Directories of the node that it needs, at the same place in the container, beside the kubelet's `/var/lib/kubelet/device-plugins`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub host_paths: Vec<String>,
    /// Whether it must be privileged.
    #[serde(default)]
    pub privileged: bool,
}
