//! `Module` of `kmm.sigs.x-k8s.io/v1beta1`, the only version that there is (`api/v1beta1/module_types.go`).
//!
//! Everything that decides about images is strict: an unknown field would be dropped by the API server, and change what the Module means.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{EnvVar, ResourceRequirements, Toleration, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

/// The group and version of `Module`.
pub const API_VERSION: &str = "kmm.sigs.x-k8s.io/v1beta1";

/// Where modules lie in an image unless `dirName` says otherwise (the CRD's default).
pub(super) const DIR_NAME: &str = "/opt";

/// A kernel module and the images that bring it to nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Module {
    /// [`API_VERSION`].
    pub api_version: String,
    /// `Module`.
    pub kind: String,
    /// Name and namespace.
    pub metadata: ObjectMeta,
    /// What is wanted.
    pub spec: ModuleSpec,
    /// What the operator reports.
    #[serde(default, skip_serializing)]
    pub status: Option<IgnoredAny>,
}

/// What is wanted of a Module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleSpec {
    /// What loads the module; a Module may be a device plugin alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_loader: Option<ModuleLoader>,
    /// What offers the driver's devices to pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_plugin: Option<DevicePlugin>,
    /// Dynamic resource allocation, after KMM 2.6; not about images of modules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dra: Option<serde_json::Value>,
    /// Secret for the registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_repo_secret: Option<Named>,
    /// A change has KMM 2.6 ask again whether images exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_rebuild_trigger_generation: Option<i64>,
    /// Labels of the nodes.
    pub selector: BTreeMap<String, String>,
    /// Taints to tolerate, since KMM 2.3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
}

/// An object of the same namespace, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// The name.
    pub name: String,
}

impl Named {
    /// A reference to an object.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into() }
    }
}

/// What loads the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModuleLoader {
    /// Images and how they are used.
    pub container: Container,
    /// Account of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
}

/// Images, by kernel, and how they are used.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Container {
    /// What `modprobe` is told.
    pub modprobe: Modprobe,
    /// The image of mappings that name none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container_image: String,
    /// When images are pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Turns ordered upgrades on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Build in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// Signatures made in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<Sign>,
    /// How the registry is reached.
    #[serde(default, rename = "registryTLS", skip_serializing_if = "Option::is_none")]
    pub registry_tls: Option<RegistryTls>,
    /// Files of the kernel's own modules that are unloaded first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_tree_modules_to_remove: Option<Vec<String>>,
    /// The same for one; deprecated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_tree_module_to_remove: Option<String>,
    /// Which kernels get which image; the first that matches counts.
    pub kernel_mappings: Vec<KernelMapping>,
}

/// An image for some kernels. What it leaves out comes from [`Container`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelMapping {
    /// The release, without a trailing `+`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// A regular expression (RE2) that is searched for in the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regexp: Option<String>,
    /// The image; the key is required, its text may be empty.
    pub container_image: String,
    /// Build in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// Signatures made in the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign: Option<Sign>,
    /// How the registry is reached.
    #[serde(default, rename = "registryTLS", skip_serializing_if = "Option::is_none")]
    pub registry_tls: Option<RegistryTls>,
    /// Files of the kernel's own modules that are unloaded first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_tree_modules_to_remove: Option<Vec<String>>,
    /// The same for one; deprecated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_tree_module_to_remove: Option<String>,
}

/// What `modprobe` is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Modprobe {
    /// The module to load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_name: Option<String>,
    /// Where `lib/modules` lies in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir_name: Option<String>,
    /// Where firmware lies in the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firmware_path: Option<String>,
    /// Parameters, `name=value`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<String>,
    /// Options beside KMM's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<ModprobeArgs>,
    /// The whole command line, in place of everything else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw_args: Option<ModprobeArgs>,
    /// Modules that need each other, though no symbol says so: the first is `moduleName` and is loaded last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub modules_loading_order: Vec<String>,
}

impl Modprobe {
    /// Where `lib/modules` lies in the image.
    #[must_use]
    pub fn dir_name(&self) -> &str {
        self.dir_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(DIR_NAME)
    }
}

/// Arguments for `modprobe`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModprobeArgs {
    /// When the module is loaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub load: Vec<String>,
    /// When it is unloaded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unload: Vec<String>,
}

/// A build in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Build {
    /// Build arguments; four are set by KMM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub build_args: Vec<BuildArg>,
    /// The `ConfigMap` whose key `dockerfile` holds the recipe.
    pub dockerfile_config_map: Named,
    /// How the base image's registry is reached.
    #[serde(default, rename = "baseImageRegistryTLS", skip_serializing_if = "Option::is_none")]
    pub base_image_registry_tls: Option<RegistryTls>,
    /// Secrets, as files below `/run/secrets`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Named>,
    /// Options for kaniko.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kaniko_params: Option<serde_json::Value>,
    /// Labels of the nodes that build.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub selector: BTreeMap<String, String>,
}

/// A build argument.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildArg {
    /// Its name.
    pub name: String,
    /// Its value, which nothing is replaced in.
    pub value: String,
}

/// Signatures made in the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sign {
    /// The image that is signed where nothing is built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unsigned_image: Option<String>,
    /// How its registry is reached.
    #[serde(default, rename = "unsignedImageRegistryTLS", skip_serializing_if = "Option::is_none")]
    pub unsigned_image_registry_tls: Option<RegistryTls>,
    /// Secret whose key `key` holds the private key.
    pub key_secret: Named,
    /// Secret whose key `cert` holds the certificate.
    pub cert_secret: Named,
    /// Files in the image; patterns since KMM 2.6.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files_to_sign: Vec<String>,
}

/// How a registry is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RegistryTls {
    /// By plain HTTP.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Without looking at its certificate.
    #[serde(default, rename = "insecureSkipTLSVerify", skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_tls_verify: bool,
}

/// What offers the driver's devices to pods. KMM runs it privileged, with the kubelet's directory for plugins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DevicePlugin {
    /// The container.
    pub container: DevicePluginContainer,
    /// What runs before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_container: Option<serde_json::Value>,
    /// Account of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Whether the account's token is mounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automount_service_account_token: Option<bool>,
    /// Volumes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

/// The container of a device plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DevicePluginContainer {
    /// The image.
    pub image: String,
    /// The command, in place of the image's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// When the image is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// What it may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Where volumes are mounted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_mounts: Vec<VolumeMount>,
}
