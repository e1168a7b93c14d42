//! `kmodforge deploy`: what all of its kinds take.

use std::path::PathBuf;

use clap::{Args, Subcommand};

mod kmm;

pub use self::kmm::KmmArgs;
use super::select::{RegistryArgs, SelectArgs};

/// What brings images to nodes.
#[derive(Clone, Debug, Subcommand)]
pub enum DeployCommand {
    /// Kubernetes `DaemonSet`s, one per driver, system and kernel.
    Daemonset(DaemonsetArgs),
    /// `Module`s of Kernel Module Management (KMM), one per driver.
    Kmm(Box<KmmArgs>),
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
