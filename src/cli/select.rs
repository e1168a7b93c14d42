//! Options that several verbs share.

use std::path::PathBuf;

use clap::Args;

use super::values::{DistroArg, Fallback, SourceArg};
use crate::arch::Arch;
use crate::reference::Reference;

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
    /// A driver that has no profile: a directory, the address of an archive, or a package of the distribution, `deb:PACKAGE[=VERSION|/SUITE]`.
    #[arg(long, value_name = "DIR|URL|deb:PACKAGE", conflicts_with = "drivers")]
    pub source: Option<SourceArg>,
    /// Kernel release, glob, `/regex/`, `latest` or `latest:N`; may be repeated.
    #[arg(long = "kernel", value_name = "RELEASE")]
    pub kernels: Vec<String>,
    /// File with one kernel release per line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    pub kernels_from: Option<PathBuf>,
    /// The kernels of a cluster's nodes.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// File with `Module`s of Kernel Module Management (KMM): the images that they name for the kernels, under these names.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["repo", "tag_template"])]
    pub module: Option<PathBuf>,
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
    /// Image that has the headers and the compiler of the kernels, in the place of packages: OpenShift's driver-toolkit, say.
    #[arg(long, value_name = "IMAGE")]
    pub headers_image: Option<Reference>,
    /// Version of the nodes' operating system, where archives are called after it that have the headers of the kernels: Google COS's build number, say.
    #[arg(long, value_name = "VERSION")]
    pub os_version: Option<String>,
    /// What is known about the source of `--source`.
    #[command(flatten)]
    pub about_source: SourceArgs,
}

/// What is known about a source without a profile.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Source without a profile")]
pub struct SourceArgs {
    /// SHA-256 that the archive must have.
    #[arg(long, value_name = "HEX")]
    pub source_sha256: Option<String>,
    /// What to call it [default: what its files, its package or its place tell].
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub source_name: Option<String>,
    /// Directory in it with the `dkms.conf`, `Kbuild`, `configure` or `Makefile` [default: the topmost that has one].
    #[arg(long, value_name = "DIR")]
    pub source_directory: Option<String>,
    /// Package that its build needs; may be repeated.
    #[arg(long = "build-package", value_name = "PACKAGE")]
    pub build_packages: Vec<String>,
}

impl SourceArgs {
    /// The first option that was given.
    #[must_use]
    pub fn first(&self) -> Option<&'static str> {
        let given = [
            ("--source-sha256", self.source_sha256.is_some()),
            ("--source-name", self.source_name.is_some()),
            ("--source-directory", self.source_directory.is_some()),
            ("--build-package", !self.build_packages.is_empty()),
        ];
        given.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// The options that name a source again, as what it was found to be.
    #[must_use]
    pub fn options(&self, source: &SourceArg, name: &str, version: &str) -> Vec<String> {
        let mut options = vec![format!("--source={source}"), format!("--source-name={name}@{version}")];
        options.extend(self.source_sha256.iter().map(|sha256| format!("--source-sha256={sha256}")));
        options.extend(self.source_directory.iter().map(|directory| format!("--source-directory={directory}")));
        options.extend(self.build_packages.iter().map(|package| format!("--build-package={package}")));
        options
    }
}

/// Whether a cluster is asked for its kernels, and which.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// Kernels of a cluster's nodes: of the kubeconfig's current context, or of the cluster that this runs in.
    #[arg(long)]
    pub from_cluster: bool,
    /// Kubeconfig that names the cluster [default: `KUBECONFIG`, else ~/.kube/config].
    #[arg(long, value_name = "FILE", requires = "from_cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: its current].
    #[arg(long, value_name = "NAME", requires = "from_cluster")]
    pub context: Option<String>,
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
