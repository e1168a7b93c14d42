//! The other verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::attach::AttachArgs;
use super::boot::BootArgs;
use super::fetch::OfflineArgs;
use super::select::{ClusterArgs, ProjectArgs, RegistryArgs, SelectArgs, SourceArgs};
use super::sign::{SignArgs, SignCertArgs};
use super::values::{DistroArg, SourceArg};
use crate::arch::Arch;
use crate::reference::Reference;

/// Arguments of `plan`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge plan --driver v4l2loopback --kernel latest:3 --kernel '*-cloud-amd64' --distro debian
  echo \"matrix=$(kmodforge plan --format github)\" >> \"$GITHUB_OUTPUT\"
  uname -r | kmodforge plan --driver zfs --kernels-from - --no-registry")]
pub struct PlanArgs {
    /// `table` for people, `json` for programs, `github` and `gitlab` for a matrix of jobs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: PlanFormat,
    /// Which targets.
    #[command(flatten)]
    pub select: SelectArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// In whose name modules are signed.
    #[command(flatten)]
    pub certificate: SignCertArgs,
    /// Modules are not signed, whatever the project file says.
    #[arg(long, help_heading = "Signing", conflicts_with = "sign_cert")]
    pub no_sign: bool,
    /// What published images must have attached to them.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// Do not ask the registry what is published.
    #[arg(long)]
    pub no_registry: bool,
    /// Whether everything comes from a bundle.
    #[command(flatten)]
    pub air_gap: OfflineArgs,
}

/// How a plan is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PlanFormat {
    /// For people.
    #[default]
    Table,
    /// Everything that was decided.
    Json,
    /// A GitHub Actions matrix.
    Github,
    /// A GitLab CI matrix.
    Gitlab,
}

/// Arguments of `render`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  kmodforge render --driver v4l2loopback --kernel 6.1.0-56-amd64 -o out
  docker build out/v4l2loopback-0.15.4-6.1.0-56-amd64-amd64")]
pub struct RenderArgs {
    /// Folder to write to; one folder per target in it.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
    /// Which targets.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Whether everything comes from a bundle.
    #[command(flatten)]
    pub air_gap: OfflineArgs,
}

/// Arguments of `verify`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge verify registry.example/drivers/v4l2loopback:0.15.3-6.1.0-56-amd64
  kmodforge verify oci:out --arch arm64 --format json
  kmodforge verify registry.example/other/zfs:6.1 --kernel 6.1.0-56-amd64 --driver zfs
  kmodforge verify oci:out --policy policy.yaml --format sarif
  kmodforge verify --module module.yaml --kernel 6.1.0-56-amd64")]
pub struct VerifyArgs {
    /// Registry reference, `oci:DIR` or `oci-archive:FILE`.
    #[arg(value_name = "IMAGE", required_unless_present = "module", conflicts_with = "module", default_value = "", hide_default_value = true)]
    pub image: String,
    /// File with `Module`s of Kernel Module Management (KMM), in place of an image: those that they name for the kernel.
    #[arg(long, value_name = "FILE")]
    pub module: Option<PathBuf>,
    /// Kernel release that the image is for; with --module it may be repeated [default: what the image's labels or paths say].
    #[arg(long = "kernel", value_name = "RELEASE")]
    pub kernels: Vec<String>,
    /// File with one kernel release per line, for --module; `-` is standard input.
    #[arg(long, value_name = "FILE", requires = "module")]
    pub kernels_from: Option<PathBuf>,
    /// Kernels for --module.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Files of the image that must be signed, as shell patterns; every module if there are none.
    #[arg(skip)]
    pub files_to_sign: Vec<String>,
    /// Driver whose profile tells what to expect [default: what its labels say].
    #[arg(long, value_name = "NAME[@VERSION]")]
    pub driver: Option<String>,
    /// Architecture to take from a multi-platform image; may be repeated [default: all of it].
    #[arg(long = "arch", value_name = "ARCH")]
    pub arches: Vec<Arch>,
    /// Distribution whose headers to check against [default: the one that recognises the release].
    #[arg(long, value_name = "ID[:RELEASE]")]
    pub distro: Option<DistroArg>,
    /// Image that has the headers and the compiler of the kernel, in the place of packages.
    #[arg(long, value_name = "IMAGE")]
    pub headers_image: Option<Reference>,
    /// Version of the nodes' operating system, where archives are called after it that have the headers of the kernel: Google COS's build number, say.
    #[arg(long, value_name = "VERSION")]
    pub os_version: Option<String>,
    /// Certificate, PEM or DER, whose owner must have signed every module.
    #[arg(long = "cert", value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Policy that the image must satisfy: severities of checks, signers, licences, signatures and documents, a boot.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Where mirrors are set.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// `table` for people, `json` for programs, `sarif` for services that collect findings.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: VerifyFormat,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Whether kernels are booted.
    #[command(flatten)]
    pub boot: BootArgs,
    /// Folder for logs of boots.
    #[arg(long, value_name = "DIR", default_value = ".kmodforge/logs")]
    pub log_dir: PathBuf,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum VerifyFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// SARIF 2.1.0.
    Sarif,
}

/// For people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TextFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// What can be asked about kernels.
#[derive(Clone, Debug, Subcommand)]
pub enum KernelsCommand {
    /// List the kernels that distributions publish.
    List(KernelsListArgs),
    /// Tell which distro profiles recognise a release.
    Match(KernelsMatchArgs),
}

/// Arguments of `kernels list`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge kernels list --distro debian:bookworm --arch amd64 --format text | grep cloud
  kmodforge kernels list --from-cluster")]
pub struct KernelsListArgs {
    /// Distribution; may be repeated [default: all].
    #[arg(long = "distro", value_name = "ID[:RELEASE]", conflicts_with = "from_cluster")]
    pub distros: Vec<DistroArg>,
    /// The kernels of a cluster's nodes instead.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// Architecture; may be repeated [default: this machine's].
    #[arg(long = "arch", value_name = "ARCH")]
    pub arches: Vec<Arch>,
    /// Where mirrors are set.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Whether everything comes from a bundle.
    #[command(flatten)]
    pub air_gap: OfflineArgs,
    /// `table` for people, `json` for programs, `text` for one release per line.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: ListFormat,
}

/// How a list is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// One per line.
    Text,
}

/// Arguments of `kernels match`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  kmodforge kernels match \"$(uname -r)\" 6.12.107+deb12-cloud-amd64")]
pub struct KernelsMatchArgs {
    /// Kernel releases, as `uname -r` prints them.
    #[arg(value_name = "RELEASE", required = true)]
    pub releases: Vec<String>,
    /// `table` for people, `json` for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: TextFormat,
}

/// What can be asked about profiles.
#[derive(Clone, Debug, Subcommand)]
pub enum ProfileCommand {
    /// List the profiles, and where each comes from.
    List(ProfileListArgs),
    /// Print a profile.
    Show(ProfileShowArgs),
    /// Check profile and project files for mistakes; with `--build`, drivers on kernels, too.
    Check(Box<ProfileCheckArgs>),
    /// Write the profile of a driver that has none.
    New(Box<ProfileNewArgs>),
    /// Print a JSON Schema, for editors and programs.
    Schema(ProfileSchemaArgs),
}

/// The two kinds of profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProfileKind {
    /// How headers, compiler and tools of a kernel are obtained.
    Distro,
    /// Where a driver's source is and how it is built.
    Driver,
}

/// Arguments of `profile list`.
#[derive(Args, Clone, Debug)]
pub struct ProfileListArgs {
    /// Only profiles of this kind.
    #[arg(long, value_name = "KIND", value_enum)]
    pub kind: Option<ProfileKind>,
    /// `table` for people, `json` for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: TextFormat,
}

/// Arguments of `profile show`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  kmodforge profile show v4l2loopback > profiles/drivers/v4l2loopback.yaml")]
pub struct ProfileShowArgs {
    /// Id of the profile.
    #[arg(value_name = "ID")]
    pub id: String,
    /// Its kind, when a distro and a driver share the id.
    #[arg(long, value_name = "KIND", value_enum)]
    pub kind: Option<ProfileKind>,
    /// The file as it was written, JSON with every default filled in, or a page for people in Markdown.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: ShowFormat,
}

/// How a profile is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// As it was written, comments included.
    #[default]
    Yaml,
    /// For programs, with every default filled in.
    Json,
    /// A page of the catalogue.
    Markdown,
}

/// Arguments of `profile check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge profile check profiles/drivers/*.yaml kmodforge.yaml
  kmodforge profile check --build --kernel latest --distro debian:bookworm --boot profiles/drivers/camera.yaml")]
pub struct ProfileCheckArgs {
    /// Files, or folders with `distros/` and `drivers/` [default: every profile and the project file].
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Also build the drivers, with every check that an image has to pass; the images go nowhere.
    #[arg(long, requires = "kernels")]
    pub build: bool,
    /// Kernel to build for, as in `build`; may be repeated.
    #[arg(long = "kernel", value_name = "RELEASE", requires = "build")]
    pub kernels: Vec<String>,
    /// Distribution of the kernels, as in `build`; may be repeated.
    #[arg(long = "distro", value_name = "ID[:RELEASE]", requires = "build")]
    pub distros: Vec<DistroArg>,
    /// Architecture of the kernels, as in `build`; may be repeated.
    #[arg(long = "arch", value_name = "ARCH", requires = "build")]
    pub arches: Vec<Arch>,
    /// The builder, as in `build` [default: auto].
    #[arg(long, value_name = "BUILDER", requires = "build")]
    pub builder: Option<String>,
    /// Whether kernels are booted.
    #[command(flatten)]
    pub boot: BootArgs,
}

/// Arguments of `profile new`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge profile new --from-source deb:v4l2loopback-dkms --distro debian:bookworm > profiles/drivers/v4l2loopback.yaml
  kmodforge profile new --from-source ./camera --source-name camera@1.2 > profiles/drivers/camera.yaml")]
pub struct ProfileNewArgs {
    /// A directory, the address of an archive, or a package of the distribution.
    #[arg(long, value_name = "DIR|URL|deb:PACKAGE[=VERSION|/SUITE]")]
    pub from_source: SourceArg,
    /// Distribution that has the package; may be repeated [default: all].
    #[arg(long = "distro", value_name = "ID[:RELEASE]")]
    pub distros: Vec<DistroArg>,
    /// Architecture of the package [default: this machine's].
    #[arg(long = "arch", value_name = "ARCH")]
    pub arches: Vec<Arch>,
    /// Where mirrors are set.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// What is known about the source.
    #[command(flatten)]
    pub about_source: SourceArgs,
}

/// Arguments of `profile schema`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  kmodforge profile schema driver > driver.schema.json
  # yaml-language-server: $schema=driver.schema.json")]
pub struct ProfileSchemaArgs {
    /// Of what.
    #[arg(value_name = "KIND", value_enum)]
    pub kind: SchemaKind,
}

/// What there are JSON Schemas of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaKind {
    /// `distros/<id>.yaml`.
    Distro,
    /// `drivers/<id>.yaml`.
    Driver,
    /// `kmodforge.yaml`.
    Project,
    /// What `verify --policy` takes.
    Policy,
    /// `kmodforge-record.json`.
    Record,
    /// The lines of `--progress json`.
    Progress,
}

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// The builder to ask, as in `build`.
    #[arg(long, value_name = "BUILDER", default_value = "auto")]
    pub builder: String,
    /// The repository to ask whether a push is allowed [default: the project file's].
    #[arg(long, value_name = "REPO")]
    pub repo: Option<String>,
    /// Where mirrors and the repository are set.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// `table` for people, `json` for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub format: TextFormat,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Who is to sign modules.
    #[command(flatten)]
    pub sign: SignArgs,
}

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge completions bash > ~/.local/share/bash-completion/completions/kmodforge
  kmodforge completions zsh > \"${fpath[1]}/_kmodforge\"
  kmodforge completions fish > ~/.config/fish/completions/kmodforge.fish")]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge man | man -l -
  kmodforge man ~/.local/share/man/man1")]
pub struct ManArgs {
    /// Folder for one page per verb; it is made if need be.
    #[arg(value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
