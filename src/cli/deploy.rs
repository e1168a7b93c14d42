//! `kmodforge deploy`: what all of its kinds take.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::select::{RegistryArgs, SelectArgs};

/// What brings images to nodes.
#[derive(Clone, Debug, Subcommand)]
pub enum DeployCommand {
    /// Kubernetes `DaemonSet`s, one per driver, system and kernel.
    Daemonset(DaemonsetArgs),
    /// systemd units and images by kernel, for Flatcar and plain hosts.
    Systemd(SystemdArgs),
}

/// Arguments of `deploy daemonset`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge deploy daemonset kmodforge-record.json | kubectl apply -f -
  kmodforge deploy daemonset -f kmodforge.yaml --namespace drivers")]
pub struct DaemonsetArgs {
    /// Which images.
    #[command(flatten)]
    pub fleet: FleetArgs,
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
    /// Butane, for Flatcar and Fedora CoreOS.
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
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
