//! `kmodforge deploy kmm`.

use clap::Args;

use super::FleetArgs;
use crate::deploy::daemonset::{NodeLabel, TolerationArg};
use crate::deploy::kmm::KmmVersion;
use crate::deploy::naming::DnsLabel;
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
    #[arg(long, value_name = "NAME", default_value = "kmodforge", help_heading = "Kernel Module Management")]
    pub namespace: DnsLabel,
    /// Name of the Module, if there is only one [default: the driver's].
    #[arg(long, value_name = "NAME", help_heading = "Kernel Module Management")]
    pub name: Option<DnsLabel>,
    /// Label of the nodes; may be repeated [default: nodes that run Linux].
    #[arg(long = "node-selector", value_name = "KEY=VALUE", help_heading = "Kernel Module Management")]
    pub node_selector: Vec<NodeLabel>,
    /// Taint to tolerate, or `*` for all; may be repeated.
    #[arg(long = "toleration", value_name = "KEY[=VALUE][:EFFECT]", help_heading = "Kernel Module Management")]
    pub tolerations: Vec<TolerationArg>,
    /// Secret with the registry's login, in the same namespace.
    #[arg(long, value_name = "NAME", help_heading = "Kernel Module Management")]
    pub pull_secret: Option<DnsLabel>,
    /// Name images by their tags alone: without it, each is pinned to its digest.
    #[arg(long, help_heading = "Kernel Module Management")]
    pub tags: bool,
    /// Give the Module the driver's version: nodes get it when they are labelled with it.
    #[arg(long, help_heading = "Kernel Module Management")]
    pub ordered_upgrade: bool,
    /// Images that the cluster builds.
    #[command(flatten)]
    pub in_cluster: InClusterArgs,
    /// Also ask whether there is an image for this kernel, before a node runs it; may be repeated.
    #[arg(long = "preflight", value_name = "RELEASE", help_heading = "Kernel Module Management")]
    pub preflight: Vec<KernelRelease>,
    /// Modules for the spokes of a hub (Open Cluster Management).
    #[arg(long, help_heading = "Kernel Module Management")]
    pub hub: bool,
    /// Label of the spokes; may be repeated.
    #[arg(long = "cluster-selector", value_name = "KEY=VALUE", requires = "hub", help_heading = "Kernel Module Management")]
    pub cluster_selector: Vec<NodeLabel>,
}

/// What the cluster builds itself.
#[derive(Args, Clone, Debug)]
pub struct InClusterArgs {
    /// Have images of kernels to come built in the cluster, by a `ConfigMap` with a Dockerfile.
    #[arg(long, help_heading = "Kernel Module Management")]
    pub in_cluster_build: bool,
    /// Label of the nodes that build; may be repeated.
    #[arg(long = "build-selector", value_name = "KEY=VALUE", requires = "in_cluster_build", help_heading = "Kernel Module Management")]
    pub build_selector: Vec<NodeLabel>,
    /// Secrets with key and certificate that sign what is built in the cluster.
    #[arg(long, value_name = "KEY,CERTIFICATE", value_parser = pair, requires = "in_cluster_build", help_heading = "Kernel Module Management")]
    pub sign_secrets: Option<(String, String)>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once(',').filter(|(key, certificate)| !key.is_empty() && !certificate.is_empty());
    parts.map(|(key, certificate)| (key.to_owned(), certificate.to_owned())).ok_or_else(|| "expected the names of two secrets, `KEY,CERTIFICATE`".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_in_pairs() {
        assert_eq!(pair("key,certificate"), Ok(("key".to_owned(), "certificate".to_owned())));
        for text in ["key", "key,", ",certificate"] {
            assert_eq!(pair(text), Err("expected the names of two secrets, `KEY,CERTIFICATE`".to_owned()), "{text}");
        }
    }
}
