//! `kmodforge build`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{Args, ValueEnum};

use super::attach::{AttachArgs, LicenceArgs};
use super::boot::BootArgs;
use super::fetch::OfflineArgs;
use super::select::{RegistryArgs, SelectArgs};
use super::sign::SignArgs;
use super::values::{Output, SecretArg, parse_cache};
use crate::builder::{CacheEntry, Network};

const EXAMPLES: &str = "\
Examples:
  kmodforge build --driver v4l2loopback --kernel 'latest:2' --distro debian --output oci:out
  kmodforge build -f kmodforge.yaml --push --cache-to type=registry,ref=registry.example/cache
  kmodforge build --driver zfs@2.3.4 --kernel \"$(uname -r)\" --output docker -v";

/// Arguments of `build`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct BuildArgs {
    /// Which targets.
    #[command(flatten)]
    pub select: SelectArgs,
    /// Where the images go.
    #[command(flatten)]
    pub result: ResultArgs,
    /// What is attached to the images.
    #[command(flatten)]
    pub attach: AttachArgs,
    /// What may be pushed.
    #[command(flatten)]
    pub licences: LicenceArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// How they are built.
    #[command(flatten)]
    pub solve: SolveArgs,
    /// Who signs the modules.
    #[command(flatten)]
    pub sign: SignArgs,
    /// Do not sign modules, whatever the project file says.
    #[arg(long, help_heading = "Signing", conflicts_with_all = ["sign_key", "sign_cert"])]
    pub no_sign: bool,
    /// Whether kernels are booted.
    #[command(flatten)]
    pub boot: BootArgs,
    /// Drivers for the same kernel share a boot; what it has against one is made sure of in a boot of its own.
    #[arg(long, conflicts_with = "no_boot", help_heading = "Boot check")]
    pub boot_together: bool,
    /// Whether everything comes from a bundle.
    #[command(flatten)]
    pub air_gap: OfflineArgs,
    /// How the run goes.
    #[command(flatten)]
    pub run: RunArgs,
}

impl BuildArgs {
    /// Arguments of a build that proves something and leaves nothing but its record and logs.
    #[must_use]
    pub fn proof(select: SelectArgs, builder: String, boot: BootArgs) -> Self {
        Self {
            select,
            result: ResultArgs {
                push: false,
                outputs: Vec::new(),
                force: false,
                compression: Compression::default(),
                record: RECORD.into(),
                log_dir: LOGS.into(),
            },
            attach: AttachArgs::default(),
            licences: LicenceArgs::default(),
            registry: RegistryArgs::default(),
            solve: SolveArgs { builder, cache_from: Vec::new(), cache_to: Vec::new(), secrets: Vec::new(), no_cache: false, network: Network::default() },
            sign: SignArgs::default(),
            no_sign: false,
            boot,
            boot_together: false,
            air_gap: OfflineArgs::default(),
            run: RunArgs { jobs: None, keep_going: false, fail_fast: false, progress: Progress::default() },
        }
    }
}

/// Where the record goes if nobody says.
const RECORD: &str = "kmodforge-record.json";

/// Where logs go if nobody says.
const LOGS: &str = ".kmodforge/logs";

/// Where the images of a build go.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Result")]
pub struct ResultArgs {
    /// Push the images to the repository; needs one, from `--repo` or the project file.
    #[arg(long)]
    pub push: bool,
    /// `oci:DIR`, `oci-archive:FILE` or `docker` (load into the Engine); may be repeated.
    #[arg(long = "output", value_name = "KIND")]
    pub outputs: Vec<Output>,
    /// Build targets even when their image is published with the same inputs.
    #[arg(long)]
    pub force: bool,
    /// Compression of layers.
    #[arg(long, value_enum, default_value_t, value_name = "KIND")]
    pub compression: Compression,
    /// Where the record of the run is written.
    #[arg(long, value_name = "FILE", default_value = RECORD)]
    pub record: PathBuf,
    /// Folder for build logs.
    #[arg(long, value_name = "DIR", default_value = LOGS)]
    pub log_dir: PathBuf,
}

/// How targets are built.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Builder")]
pub struct SolveArgs {
    /// `auto`, `docker[:SOCKET]`, `unix://SOCKET` or `tcp://HOST:PORT`; `auto` asks `KMODFORGE_BUILDER`, `BUILDKIT_HOST`, `DOCKER_HOST` and the usual sockets.
    #[arg(long, value_name = "BUILDER", default_value = "auto")]
    pub builder: String,
    /// Import build cache, as buildx writes it: `type=registry,ref=…`; may be repeated.
    #[arg(long, value_name = "CACHE", value_parser = parse_cache)]
    pub cache_from: Vec<CacheEntry>,
    /// Export build cache, as buildx writes it: `type=registry,ref=…,mode=max`; may be repeated.
    #[arg(long, value_name = "CACHE", value_parser = parse_cache)]
    pub cache_to: Vec<CacheEntry>,
    /// Secret for the build: `id=ID,src=FILE` or `id=ID,env=VARIABLE`; may be repeated.
    #[arg(long = "secret", value_name = "SECRET")]
    pub secrets: Vec<SecretArg>,
    /// Ignore the builder's cache.
    #[arg(long)]
    pub no_cache: bool,
    /// Network that build steps see.
    #[arg(long, value_name = "NETWORK", default_value = "default", value_parser = PossibleValuesParser::new(["default", "host", "none"]).map(|name| network(&name)))]
    pub network: Network,
}

fn network(name: &str) -> Network {
    match name {
        "host" => Network::Host,
        "none" => Network::None,
        _ => Network::Sandbox,
    }
}

/// How the run goes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Run")]
pub struct RunArgs {
    /// How many targets to work on at once [default: as many as the builder takes].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub jobs: Option<u16>,
    /// Go on with other targets when one fails; this is the default.
    #[arg(long, conflicts_with = "fail_fast")]
    pub keep_going: bool,
    /// Stop at the first target that fails.
    #[arg(long)]
    pub fail_fast: bool,
    /// How progress is shown; `auto` is `tty` on a terminal, else `plain`.
    #[arg(long, value_name = "KIND", value_enum, default_value_t)]
    pub progress: Progress,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// `tty` on a terminal, else `plain`.
    #[default]
    Auto,
    /// Live lines.
    Tty,
    /// One line per event.
    Plain,
    /// One JSON object per line.
    Json,
}

/// Compression of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    /// Smaller and faster; every containerd, CRI-O and Docker since 2021 reads it.
    #[default]
    Zstd,
    /// For older runtimes.
    Gzip,
}
