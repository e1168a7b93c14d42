//! Options that several verbs share.

use std::path::PathBuf;

use clap::Args;

use super::values::{DistroArg, Fallback};
use crate::arch::Arch;

/// Which targets: the project file's matrix, or drivers and kernels named on the command line.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Targets")]
pub struct SelectArgs {
    /// Where the project file is.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Driver, with its version or the newest known; may be repeated.
    #[arg(long = "driver", value_name = "NAME[@VERSION]")]
    pub drivers: Vec<String>,
    /// Kernel release, glob, `/regex/`, `latest` or `latest:N`; may be repeated.
    #[arg(long = "kernel", value_name = "RELEASE")]
    pub kernels: Vec<String>,
    /// File with one kernel release per line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub kernels_from: Option<PathBuf>,
    /// Distribution, with its release if need be (`debian:bookworm`); may be left out when one profile recognises the kernels; may be repeated.
    #[arg(long = "distro", value_name = "ID[:RELEASE]")]
    pub distros: Vec<DistroArg>,
    /// Architecture, `amd64` or `arm64`; may be repeated.
    #[arg(long = "arch", value_name = "ARCH")]
    pub arches: Vec<Arch>,
    /// Repository that the images go below: image = REPO/<driver>.
    #[arg(long, value_name = "REPO")]
    pub repo: Option<String>,
    /// Template of the tag; without one it is `VERSION-KERNEL`.
    #[arg(long, value_name = "TEMPLATE")]
    pub tag_template: Option<String>,
    /// Also look for kernels in this fallback of the distro profile (`snapshot`), with its value if it takes one; may be repeated.
    #[arg(long = "fallback", value_name = "NAME[=VALUE]")]
    pub fallbacks: Vec<Fallback>,
}

/// Where the project file is.
#[derive(Args, Clone, Debug, Default)]
pub struct ProjectArgs {
    /// Project file [default: kmodforge.yaml, if there is one].
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

/// How registries are reached.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Registry")]
pub struct RegistryArgs {
    /// Speak plain HTTP to this registry, as with loopback addresses; may be repeated.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub plain_http: Vec<String>,
    /// PEM file with certificates of authorities to trust besides the system's.
    #[arg(long, value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,
}
