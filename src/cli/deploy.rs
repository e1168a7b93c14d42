//! `kmodforge deploy`: what all of its kinds take.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

mod kmm;

pub use self::kmm::KmmArgs;
use super::select::{RegistryArgs, SelectArgs};
use super::sign::SignCertArgs;
use crate::deploy::daemonset::{AppArmor, NamespacePer, NodeLabel, TolerationArg, Update};
use crate::deploy::helm::{ChartName, ChartVersion};
use crate::deploy::naming::DnsLabel;
use crate::deploy::nodes::LabelKey;
use crate::reference::Reference;

/// What brings images to nodes.
#[derive(Clone, Debug, Subcommand)]
pub enum DeployCommand {
    /// Kubernetes `DaemonSet`s, one per driver, system and kernel.
    Daemonset(Box<DaemonsetArgs>),
    /// `Module`s of Kernel Module Management (KMM), one per driver.
    Kmm(Box<KmmArgs>),
    /// A Helm chart with the same `DaemonSet`s.
    Helm(Box<HelmArgs>),
    /// systemd units and images by kernel, for Flatcar and plain hosts.
    Systemd(Box<SystemdArgs>),
}

/// Arguments of `deploy daemonset`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge deploy daemonset kmodforge-record.json | kubectl apply -f -
  kmodforge deploy daemonset kmodforge-record.json --kustomize deploy/drivers
  kmodforge deploy daemonset -f kmodforge.yaml --namespace drivers --labeller-image registry.example/kubectl:1.35 --catch-all")]
pub struct DaemonsetArgs {
    /// Which images.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Where and how.
    #[command(flatten)]
    pub pods: PodArgs,
    /// Write a tree for kustomize to this folder, in place of a stream to standard output.
    #[arg(long, value_name = "DIR")]
    pub kustomize: Option<PathBuf>,
    /// Label nodes whose modules are loaded, with this image, which must have `kubectl` and a shell.
    #[arg(long, value_name = "IMAGE")]
    pub labeller_image: Option<Reference>,
    /// Also tell nodes whose kernel no image serves: by an Event and a label.
    #[arg(long, requires = "labeller_image")]
    pub catch_all: bool,
}

/// Where pods run, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Kubernetes")]
pub struct PodArgs {
    /// Namespace of the objects; it is made, unless the cluster has it by itself.
    #[arg(long, value_name = "NAME", default_value = "kmodforge")]
    pub namespace: DnsLabel,
    /// `driver` gives each driver a namespace of its own: NAME-DRIVER.
    #[arg(long, value_name = "WHAT", default_value = "none")]
    pub namespace_per: NamespacePer,
    /// Label of nodes with their kernel release, other characters than letters, digits, `-`, `_` and `.` as `_`.
    #[arg(long, value_name = "KEY", default_value = crate::deploy::nodes::NFD_KERNEL)]
    pub kernel_label: LabelKey,
    /// Label that nodes must have besides; may be repeated.
    #[arg(long = "node-selector", value_name = "KEY=VALUE")]
    pub node_selector: Vec<NodeLabel>,
    /// Taint that keeps no pod away, or `*` for all; may be repeated.
    #[arg(long = "toleration", value_name = "KEY[=VALUE][:EFFECT]")]
    pub tolerations: Vec<TolerationArg>,
    /// Secret with the registry's login; may be repeated.
    #[arg(long = "pull-secret", value_name = "NAME")]
    pub pull_secrets: Vec<DnsLabel>,
    /// How pods are replaced: `rolling`, `rolling:N`, `rolling:N%` or `on-delete`.
    #[arg(long, value_name = "STRATEGY", default_value = "rolling")]
    pub update: Update,
    /// How important pods are.
    #[arg(long, value_name = "NAME", default_value = crate::deploy::daemonset::PRIORITY_CLASS)]
    pub priority_class: String,
    /// Type that SELinux confines loaders to.
    #[arg(long, value_name = "TYPE", default_value = crate::deploy::daemonset::SELINUX_TYPE)]
    pub selinux_type: String,
    /// Profile that AppArmor confines loaders to: `runtime-default`, `unconfined` or `localhost:PROFILE` [default: the node's default].
    #[arg(long, value_name = "PROFILE")]
    pub apparmor: Option<AppArmor>,
}

/// Arguments of `deploy helm`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge deploy helm kmodforge-record.json --output charts
  kmodforge deploy helm kmodforge-record.json --chart-version 1.4.0 --push
  helm install drivers oci://registry.example/drivers/kmodforge-drivers --version 1.4.0 --namespace drivers")]
pub struct HelmArgs {
    /// Folder that the chart's own folder, or its package, is written to.
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Write the chart as one file, as `helm package` does.
    #[arg(long, requires = "output")]
    pub package: bool,
    /// Push the chart to a registry: beside the images, if no place is named.
    #[arg(long, value_name = "oci://REGISTRY/PATH", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub push: Option<String>,
    /// Name of the chart.
    #[arg(long, value_name = "NAME", default_value = "kmodforge-drivers")]
    pub name: ChartName,
    /// Version of the chart; another chart needs another one.
    #[arg(long, value_name = "VERSION", default_value = "0.1.0")]
    pub chart_version: ChartVersion,
    /// Which images.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// Label of nodes with their kernel release, other characters than letters, digits, `-`, `_` and `.` as `_`.
    #[arg(long, value_name = "KEY", default_value = crate::deploy::nodes::NFD_KERNEL, help_heading = "Kubernetes")]
    pub kernel_label: LabelKey,
    /// Type that SELinux confines loaders to.
    #[arg(long, value_name = "TYPE", default_value = crate::deploy::daemonset::SELINUX_TYPE, help_heading = "Kubernetes")]
    pub selinux_type: String,
    /// Profile that AppArmor confines loaders to: `runtime-default`, `unconfined` or `localhost:PROFILE` [default: the node's default].
    #[arg(long, value_name = "PROFILE", help_heading = "Kubernetes")]
    pub apparmor: Option<AppArmor>,
}

/// Arguments of `deploy systemd`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge deploy systemd kmodforge-record.json --output tree
  kmodforge deploy systemd -f kmodforge.yaml --format butane >kmodforge.bu
  kmodforge deploy systemd kmodforge-record.json --sysext --output extensions")]
pub struct SystemdArgs {
    /// What to write: files for `/`, or the configuration of a first boot.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: SystemdFormat,
    /// Write system extensions instead, one per image: for hosts whose `/usr` cannot be written.
    #[arg(long, value_name = "KIND", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "squashfs", conflicts_with = "format")]
    pub sysext: Option<ExtensionKind>,
    /// Folder for files and extensions; file for a configuration, which is printed otherwise.
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Which images.
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// What hosts get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SystemdFormat {
    /// Files, as they lie below `/`.
    #[default]
    Tree,
    /// Butane, for Flatcar and Fedora `CoreOS`.
    Butane,
    /// Ignition, which Butane is turned into.
    Ignition,
    /// User data for cloud-init.
    CloudInit,
}

/// How a system extension is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExtensionKind {
    /// One file.
    Squashfs,
    /// A folder.
    Directory,
}

/// Which images are deployed: those of records, or those that the registry has of the selected targets.
#[derive(Args, Clone, Debug)]
pub struct FleetArgs {
    /// Records of `build`; without one, the registry is asked for the images of the selected targets.
    #[arg(value_name = "RECORD")]
    pub records: Vec<PathBuf>,
    /// Deploy what is there, and list targets without a published image instead of refusing them.
    #[arg(long)]
    pub allow_missing: bool,
    /// Which targets.
    #[command(flatten)]
    pub select: SelectArgs,
    /// In whose name modules are signed.
    #[command(flatten)]
    pub certificate: SignCertArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
