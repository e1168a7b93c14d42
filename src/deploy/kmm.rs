//! The images that are to reach nodes → resources of Kernel Module Management (KMM). Pure.

mod build;
mod loader;
mod version;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{EnvVar, HostPathVolumeSource, Toleration, Volume, VolumeMount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

pub use build::{InClusterBuild, Recipe};
pub use version::{InvalidVersion, KmmVersion};

use super::fleet::{Fleet, FleetImage};
use super::manifest::{Object, UnwritableObject};
use super::nodes::{cut, label_value};
use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;
use crate::kmm::{
    API_VERSION, Container, DevicePlugin, DevicePluginContainer, KernelMapping, Module, ModuleLoader, ModuleSpec, NAMES_LENGTH, Named, RegistryTls,
};
use crate::rollout;

/// What the resources are to say besides the images.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The version of KMM that reads them.
    pub version: KmmVersion,
    /// Namespace of the Modules.
    pub namespace: String,
    /// Name of the only Module, in place of the driver's.
    pub name: Option<String>,
    /// Labels of the nodes; those of Linux if there are none.
    pub selector: BTreeMap<String, String>,
    /// Taints to tolerate.
    pub tolerations: Vec<Toleration>,
    /// Secret for the registry.
    pub pull_secret: Option<String>,
    /// Registries that are reached by plain HTTP.
    pub plain_http: Vec<String>,
    /// Name images by their tags alone, not by their digests.
    pub tags: bool,
    /// Have nodes wait for a label before they get another version of the driver.
    pub ordered_upgrade: bool,
    /// Images of kernels to come are built in the cluster.
    pub build: Option<InClusterBuild>,
    /// Kernels whose images are asked for before nodes run them.
    pub preflight: Vec<KernelRelease>,
    /// Modules for the spokes of a hub, and the labels of these clusters.
    pub hub: Option<BTreeMap<String, String>>,
}

/// Resources, and what they assume.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// In the order in which they are applied.
    pub objects: Vec<Object>,
    /// What must hold for them to work.
    pub assumptions: Vec<String>,
}

/// `ManagedClusterModule` of `hub.kmm.sigs.x-k8s.io/v1beta1` (`api-hub/v1beta1/managedclustermodule_types.go`).
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ManagedClusterModule {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    spec: ManagedClusterModuleSpec,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ManagedClusterModuleSpec {
    spoke_namespace: String,
    selector: BTreeMap<String, String>,
    module_spec: ModuleSpec,
}

/// `PreflightValidation` of `kmm.sigs.x-k8s.io` (`api/v1beta2/preflightvalidation_types.go`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PreflightValidation {
    api_version: &'static str,
    kind: &'static str,
    metadata: Name,
    spec: PreflightSpec,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Name {
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PreflightSpec {
    kernel_version: String,
    push_built_image: bool,
}

/// Why images cannot be deployed by KMM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KmmError {
    /// Labels that are made of them would be too long.
    #[error("name and namespace of the Module, `{name}` and `{namespace}`, have {} characters together", name.len() + namespace.len())]
    NamesTooLong {
        /// The Module's name.
        name: String,
        /// Its namespace.
        namespace: String,
    },
    /// One name for several Modules.
    #[error("`{name}` cannot be the name of {count} Modules")]
    OneName {
        /// The name.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// KMM removes a trailing `+` before it compares.
    #[error("KMM cannot tell {first} and {second} apart")]
    SameKernel {
        /// A kernel.
        first: KernelRelease,
        /// Another.
        second: KernelRelease,
    },
    /// Images of a Module are used differently, and a Module says it once for all.
    #[error("images of `{driver}` for {first} and {second} are used differently")]
    Differing {
        /// The driver.
        driver: String,
        /// A kernel.
        first: KernelRelease,
        /// Another.
        second: KernelRelease,
    },
    /// A driver that loads nothing.
    #[error("`{0}` has no module to load")]
    NothingToLoad(String),
    /// The version of KMM does not have it.
    #[error("KMM {version} has no {feature}")]
    TooOld {
        /// The version.
        version: KmmVersion,
        /// What it lacks.
        feature: &'static str,
        /// The first that has it.
        since: KmmVersion,
    },
    /// A tag that says nothing of the kernel cannot name images of kernels to come.
    #[error("the tag of `{0}` does not hold the kernel")]
    TagWithoutKernel(String),
    /// An object cannot be written.
    #[error(transparent)]
    Unwritable(#[from] UnwritableObject),
    /// No recipe was rendered for what is deployed.
    #[error("there is no recipe of {driver} {version} for {distro} {release}")]
    NoRecipe {
        /// The driver.
        driver: String,
        /// Its version.
        version: String,
        /// The distribution.
        distro: String,
        /// Its release.
        release: String,
    },
}

/// The resources for a fleet.
///
/// # Errors
/// When KMM cannot do what the images need.
pub fn resources(fleet: &Fleet, settings: &Settings) -> Result<Resources, KmmError> {
    let modules = group(fleet)?;
    if let Some(name) = settings.name.as_ref().filter(|_| modules.len() > 1) {
        return Err(KmmError::OneName { name: name.clone(), count: modules.len() });
    }
    let mut resources = Resources { assumptions: vec![settings.version.assumption()], ..Resources::default() };
    for (name, images) in &modules {
        let name = settings.name.as_ref().unwrap_or(name);
        resources.add_module(name, images, settings)?;
    }
    for kernel in &settings.preflight {
        resources.objects.push(object(None, "PreflightValidation", &preflight(kernel, settings))?);
    }
    if settings.ordered_upgrade {
        let names = modules.keys().map(|name| settings.name.as_ref().unwrap_or(name).as_str());
        let labels = names.map(|name| format!("kmm.node.kubernetes.io/version-module.{}.{name}", settings.namespace)).collect::<Vec<_>>().join(", ");
        resources.assumptions.push(format!("nodes load the driver when you label them with its version: {labels}"));
    }
    Ok(resources)
}

/// A Module per driver. One for a kernel that ends in `+` is its own: it tells modprobe the name without it.
fn group(fleet: &Fleet) -> Result<BTreeMap<String, Vec<&FleetImage>>, KmmError> {
    let mut modules: BTreeMap<String, Vec<&FleetImage>> = BTreeMap::new();
    let mut kernels: BTreeMap<(&str, &str), &KernelRelease> = BTreeMap::new();
    for image in &fleet.images {
        if let Some(other) = kernels.insert((&image.driver, image.kernel.directory()), &image.kernel)
            && *other != image.kernel
        {
            return Err(KmmError::SameKernel { first: other.clone(), second: image.kernel.clone() });
        }
        let name = if loader::is_renamed(&image.kernel) {
            format!("{}-{}", image.driver, image.kernel.tag()).to_lowercase().replace(['.', '_'], "-")
        } else {
            image.driver.replace(['.', '_'], "-")
        };
        modules.entry(name).or_default().push(image);
    }
    Ok(modules)
}

impl Resources {
    fn add_module(&mut self, name: &str, images: &[&FleetImage], settings: &Settings) -> Result<(), KmmError> {
        let Some(first) = images.first() else { return Ok(()) };
        let driver = Some(first.driver.as_str());
        if name.len() + settings.namespace.len() > NAMES_LENGTH {
            return Err(KmmError::NamesTooLong { name: name.to_owned(), namespace: settings.namespace.clone() });
        }
        if let Some(other) = images.iter().find(|image| !loader::is_used_alike(image, first)) {
            return Err(KmmError::Differing { driver: first.driver.clone(), first: first.kernel.clone(), second: other.kernel.clone() });
        }
        let mut mappings: Vec<KernelMapping> = images.iter().map(|image| literal(image, settings)).collect();
        let mut sign_alone = BTreeSet::new();
        if let Some(build) = &settings.build {
            for (recipe, mapping) in build.mappings(name, images, settings)? {
                self.objects.push(object(driver, "ConfigMap", &recipe)?);
                mappings.push(mapping);
            }
            sign_alone.extend(build.assumptions(settings));
        }
        self.assumptions.extend(sign_alone);
        let in_tree = loader::in_tree_modules(first, settings.version)?;
        let container = Container {
            modprobe: loader::modprobe(first, settings.version)?,
            version: settings.ordered_upgrade.then(|| cut(&label_value(&first.version)).to_owned()),
            registry_tls: is_plain(first, settings).then_some(RegistryTls { insecure: true, insecure_skip_tls_verify: false }),
            kernel_mappings: mappings,
            ..in_tree
        };
        if !settings.tolerations.is_empty() {
            settings.version.must_have("tolerations", KmmVersion::TOLERATIONS)?;
        }
        let spec = ModuleSpec {
            module_loader: Some(ModuleLoader { container, service_account_name: None }),
            device_plugin: first.rollout.hints.device_plugin.as_ref().map(device_plugin),
            image_repo_secret: settings.pull_secret.as_ref().map(Named::new),
            selector: selector(images, settings),
            tolerations: settings.tolerations.clone(),
            ..ModuleSpec::default()
        };
        self.assumptions.extend(loader::assumptions(name, images, settings.version));
        self.objects.push(match &settings.hub {
            None => object(
                driver,
                "Module",
                &Module { api_version: API_VERSION.into(), kind: "Module".into(), metadata: metadata(name, Some(&settings.namespace)), spec, status: None },
            )?,
            Some(clusters) => object(
                driver,
                "ManagedClusterModule",
                &ManagedClusterModule {
                    api_version: "hub.kmm.sigs.x-k8s.io/v1beta1",
                    kind: "ManagedClusterModule",
                    metadata: metadata(name, None),
                    spec: ManagedClusterModuleSpec { spoke_namespace: settings.namespace.clone(), selector: clusters.clone(), module_spec: spec },
                },
            )?,
        });
        Ok(())
    }
}

/// KMM's resources are no types of the crate that has those of Kubernetes.
fn object<T: Serialize>(driver: Option<&str>, kind: &str, resource: &T) -> Result<Object, UnwritableObject> {
    let value = serde_json::to_value(resource).map_err(|error| UnwritableObject { kind: kind.to_owned(), message: error.to_string() })?;
    Ok(Object { driver: driver.map(ToOwned::to_owned), value })
}

fn metadata(name: &str, namespace: Option<&str>) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: namespace.map(ToOwned::to_owned), ..ObjectMeta::default() }
}

/// An image for exactly its kernel. A literal never ends in `+`: KMM removes it before it compares.
fn literal(image: &FleetImage, settings: &Settings) -> KernelMapping {
    let reference = if settings.tags { crate::reference::Reference { digest: None, ..image.image.clone() } } else { image.image.clone() };
    KernelMapping { literal: Some(image.kernel.directory().to_owned()), container_image: reference.to_string(), ..KernelMapping::default() }
}

/// Those that were named, and the architecture where there are images of one alone: KMM does not look at architectures.
fn selector(images: &[&FleetImage], settings: &Settings) -> BTreeMap<String, String> {
    let mut selector = settings.selector.clone();
    let arches: BTreeSet<_> = images.iter().flat_map(|image| &image.arches).collect();
    if let Some(arch) = arches.first().filter(|_| arches.len() == 1) {
        selector.entry("kubernetes.io/arch".into()).or_insert_with(|| arch.oci().to_owned());
    }
    if selector.is_empty() {
        selector.insert("kubernetes.io/os".into(), "linux".into());
    }
    selector
}

fn is_plain(image: &FleetImage, settings: &Settings) -> bool {
    settings.plain_http.contains(&image.image.registry) || image.image.is_loopback()
}

/// KMM mounts the kubelet's directory for device plugins itself, and runs the container privileged.
fn device_plugin(plugin: &rollout::DevicePlugin) -> DevicePlugin {
    let name = |number: usize| format!("host-{number}");
    let volume = |(number, path): (usize, &String)| Volume {
        name: name(number),
        host_path: Some(HostPathVolumeSource { path: path.clone(), type_: None }),
        ..Volume::default()
    };
    let mount = |(number, path): (usize, &String)| VolumeMount { name: name(number), mount_path: path.clone(), ..VolumeMount::default() };
    let env = |(name, value): (&String, &String)| EnvVar { name: name.clone(), value: Some(value.clone()), ..EnvVar::default() };
    DevicePlugin {
        container: DevicePluginContainer {
            image: plugin.image.clone(),
            command: plugin.command.clone(),
            args: plugin.args.clone(),
            env: plugin.env.iter().map(env).collect(),
            volume_mounts: plugin.host_paths.iter().enumerate().map(mount).collect(),
            ..DevicePluginContainer::default()
        },
        volumes: plugin.host_paths.iter().enumerate().map(volume).collect(),
        ..DevicePlugin::default()
    }
}

/// KMM takes the release of a preflight as it is typed, and compares it with mappings that have no trailing `+`.
fn preflight(kernel: &KernelRelease, settings: &Settings) -> PreflightValidation {
    PreflightValidation {
        api_version: settings.version.preflight(),
        kind: "PreflightValidation",
        metadata: Name { name: kernel.tag().to_lowercase().replace('_', "-") },
        spec: PreflightSpec { kernel_version: kernel.directory().to_owned(), push_built_image: settings.build.is_some() },
    }
}

impl From<KmmError> for Failure {
    fn from(error: KmmError) -> Self {
        let failure = Self::new(Exit::Usage, error.to_string());
        match error {
            KmmError::NamesTooLong { .. } => {
                failure.fact("expected", format!("{NAMES_LENGTH} at most: they are part of labels")).help("choose shorter ones: --name NAME, --namespace NAME")
            }
            KmmError::OneName { .. } => failure.help("leave --name out, or deploy one driver at a time: --driver NAME"),
            KmmError::SameKernel { .. } => failure
                .help("it removes a trailing `+` from releases, so one of them would get the other's image: deploy one of the two, or use `deploy daemonset`"),
            KmmError::Differing { .. } => failure.help(
                "a Module says once for all of its images which modules are loaded, with which parameters and firmware: deploy one version of the driver",
            ),
            KmmError::NothingToLoad(_) => failure.help("its profile says `load: false` for every module"),
            KmmError::TooOld { since, .. } => failure.help(format!("it is there since {since}; say which version the cluster has: --kmm-version")),
            KmmError::TagWithoutKernel(_) => failure.help("use a tag template with `{{ kernel.tag }}`; KMM replaces `${KERNEL_FULL_VERSION}` in it"),
            KmmError::Unwritable(error) => error.into(),
            KmmError::NoRecipe { .. } => failure.help("the driver's profile has changed since: build again, or name its profiles: --profiles DIR"),
        }
    }
}

#[cfg(test)]
#[path = "kmm/tests.rs"]
mod tests;
