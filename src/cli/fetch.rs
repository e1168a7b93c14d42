//! `kmodforge fetch`, and `--offline` of the verbs that take from what it has fetched.

use std::path::PathBuf;

use clap::Args;

use super::build::{RunArgs, SolveArgs};
use super::select::{RegistryArgs, SelectArgs};

/// Arguments of `fetch`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge fetch -f kmodforge.yaml --output bundle
  kmodforge build -f kmodforge.yaml --offline bundle --push")]
pub struct FetchArgs {
    /// Folder of the bundle. One that is there is brought up to date: what is good in it stays, what nobody needs any more goes.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Also what boot checks need: the kernels themselves; this is the default where the project file says `boot`.
    #[arg(long)]
    pub boot: bool,
    /// Folder for the logs of installations.
    #[arg(long, value_name = "DIR", default_value = ".kmodforge/logs/fetch")]
    pub log_dir: PathBuf,
    /// Which targets.
    #[command(flatten)]
    pub select: SelectArgs,
    /// How registries with base images are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Where toolchains are installed; with `--no-cache` also those that the bundle has already.
    #[command(flatten)]
    pub solve: SolveArgs,
    /// How the run goes.
    #[command(flatten)]
    pub run: RunArgs,
}

/// Whether everything comes from a bundle.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Air gap")]
pub struct OfflineArgs {
    /// Take everything from a bundle that `kmodforge fetch` has filled, and open no connection but to the registry that is pushed to.
    #[arg(long, value_name = "BUNDLE")]
    pub offline: Option<PathBuf>,
}
