//! `kmodforge deploy kmm`.

use clap::Args;
use k8s_openapi::api::core::v1::Toleration;

use super::FleetArgs;
use crate::deploy::kmm::KmmVersion;
use crate::kernel::KernelRelease;

/// Arguments of `deploy kmm`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge deploy kmm kmodforge-record.json | kubectl apply -f -
  kmodforge deploy kmm kmodforge-record.json --node-selector camera=none --pull-secret registry
  kmodforge deploy kmm -f kmodforge.yaml --in-cluster-build --sign-secrets key,certificate")]
pub struct KmmArgs {
    /// Which images.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Version of Kernel Module Management in the cluster.
    #[arg(long, value_name = "VERSION", default_value_t = KmmVersion::NEWEST, help_heading = "Kernel Module Management")]
    pub kmm_version: KmmVersion,
    /// Namespace of the Modules and everything beside them.
    #[arg(long, value_name = "NAME", default_value = "kmm-drivers", help_heading = "Kernel Module Management")]
    pub namespace: String,
    /// Name of the Module, if there is only one [default: the driver's].
    #[arg(long, value_name = "NAME", help_heading = "Kernel Module Management")]
    pub name: Option<String>,
    /// Label of the nodes; may be repeated [default: nodes that run Linux].
    #[arg(long = "node-selector", value_name = "KEY=VALUE", value_parser = label, help_heading = "Kernel Module Management")]
    pub node_selector: Vec<(String, String)>,
    /// Taint to tolerate; may be repeated.
    #[arg(long = "toleration", value_name = "KEY[=VALUE][:EFFECT]", value_parser = toleration, help_heading = "Kernel Module Management")]
    pub tolerations: Vec<Toleration>,
    /// Secret with the registry's login, in the same namespace.
    #[arg(long, value_name = "NAME", help_heading = "Kernel Module Management")]
    pub pull_secret: Option<String>,
    /// Name images by their tags alone: without it, each is pinned to its digest.
    #[arg(long, help_heading = "Kernel Module Management")]
    pub tags: bool,
    /// Give the Module the driver's version: nodes get it when they are labelled with it.
    #[arg(long, help_heading = "Kernel Module Management")]
    pub ordered_upgrade: bool,
    /// Have images of kernels to come built in the cluster, by a `ConfigMap` with a Dockerfile.
    #[arg(long, help_heading = "Kernel Module Management")]
    pub in_cluster_build: bool,
    /// Label of the nodes that build; may be repeated.
    #[arg(long = "build-selector", value_name = "KEY=VALUE", value_parser = label, requires = "in_cluster_build", help_heading = "Kernel Module Management")]
    pub build_selector: Vec<(String, String)>,
    /// Secrets with key and certificate that sign what is built in the cluster.
    #[arg(long, value_name = "KEY,CERTIFICATE", value_parser = pair, requires = "in_cluster_build", help_heading = "Kernel Module Management")]
    pub sign_secrets: Option<(String, String)>,
    /// Also ask whether there is an image for this kernel, before a node runs it; may be repeated.
    #[arg(long = "preflight", value_name = "RELEASE", help_heading = "Kernel Module Management")]
    pub preflight: Vec<KernelRelease>,
    /// Modules for the spokes of a hub (Open Cluster Management).
    #[arg(long, help_heading = "Kernel Module Management")]
    pub hub: bool,
    /// Label of the spokes; may be repeated.
    #[arg(long = "cluster-selector", value_name = "KEY=VALUE", value_parser = label, requires = "hub", help_heading = "Kernel Module Management")]
    pub cluster_selector: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(key, _)| !key.is_empty());
    parts.map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or_else(|| "expected `KEY=VALUE`, `camera=none` say".into())
}

fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(',').filter(|(key, certificate)| !key.is_empty() && !certificate.is_empty());
    parts.map(|(key, certificate)| (key.to_owned(), certificate.to_owned())).ok_or_else(|| "expected the names of two secrets, `KEY,CERTIFICATE`".into())
}

/// As `kubectl taint` writes taints; without a value, whatever it is.
fn toleration(text: &str) -> Result<Toleration, String> {
    const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    let (rest, effect) = text.split_once(':').map_or((text, None), |(rest, effect)| (rest, Some(effect)));
    let (key, value) = rest.split_once('=').map_or((rest, None), |(key, value)| (key, Some(value)));
    if key.is_empty() || effect.is_some_and(|effect| !EFFECTS.contains(&effect)) {
        return Err(format!("expected `KEY[=VALUE][:EFFECT]`, with an effect of {}", EFFECTS.join(", ")));
    }
    let operator = if value.is_some() { "Equal" } else { "Exists" };
    let owned = |text: &str| Some(text.to_owned());
    Ok(Toleration {
        key: owned(key),
        operator: owned(operator),
        value: value.map(ToOwned::to_owned),
        effect: effect.map(ToOwned::to_owned),
        ..Toleration::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taints_are_written_as_for_kubectl() {
        let parts = |text: &str| {
            let Toleration { key, operator, value, effect, .. } = toleration(text).unwrap();
            [key, operator, value, effect].map(Option::unwrap_or_default)
        };
        assert_eq!(parts("gpu"), ["gpu", "Exists", "", ""]);
        assert_eq!(parts("gpu=yes:NoExecute"), ["gpu", "Equal", "yes", "NoExecute"]);
        assert_eq!(parts("gpu:NoSchedule"), ["gpu", "Exists", "", "NoSchedule"]);
        for text in ["", "=yes", "gpu:never"] {
            assert_eq!(toleration(text).unwrap_err(), "expected `KEY[=VALUE][:EFFECT]`, with an effect of NoSchedule, PreferNoSchedule, NoExecute", "{text}");
        }
        assert_eq!(label("camera"), Err("expected `KEY=VALUE`, `camera=none` say".to_owned()));
        assert_eq!(pair("key,"), Err("expected the names of two secrets, `KEY,CERTIFICATE`".to_owned()));
    }
}
