//! The command line: types and help texts, nothing that acts. `docs/cli.md` describes it for people.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

mod attach;
mod boot;
mod build;
mod deploy;
mod fetch;
mod report;
mod select;
mod sign;
mod values;
mod verbs;

pub use attach::{AttachArgs, LicenceArgs};
pub use boot::BootArgs;
pub use build::{BuildArgs, Compression, Progress, RunArgs, SolveArgs};
pub use deploy::{DaemonsetArgs, DeployCommand, ExtensionKind, FleetArgs, HelmArgs, KmmArgs, PodArgs, SystemdArgs, SystemdFormat};
pub use fetch::{FetchArgs, OfflineArgs};
pub use report::ReportArgs;
pub use select::{ClusterArgs, ProjectArgs, RegistryArgs, SelectArgs, SourceArgs};
pub use sign::{KeyArg, SignArgs, SignCertArgs, SignImageArgs};
pub use values::{DistroArg, Fallback, Output, SecretArg, SecretSource, SourceArg};
pub use verbs::{
    CompletionsArgs, DoctorArgs, KernelsCommand, KernelsListArgs, KernelsMatchArgs, ListFormat, ManArgs, PlanArgs, PlanFormat, ProfileCheckArgs,
    ProfileCommand, ProfileKind, ProfileListArgs, ProfileNewArgs, ProfileSchemaArgs, ProfileShowArgs, RenderArgs, SchemaKind, ShowFormat, TextFormat,
    VerifyArgs, VerifyFormat,
};

const EXAMPLES: &str = "\
Examples:
  kmodforge plan --driver v4l2loopback --kernel latest:3 --distro debian
  kmodforge build --driver zfs --kernel '6.1.0-5*-amd64' --repo registry.example/drivers --push
  kmodforge verify registry.example/drivers/v4l2loopback:0.15.3-6.1.0-56-amd64

Exit status:
  0    everything asked for is done
  1    a target failed, or the job could not be done
  2    the command line, a profile or the project file is wrong
  3    a check rejected modules that were built
  4    there are only targets that their kernels cannot have
  130  interrupted";

/// Builds driver containers: out-of-tree kernel modules, compiled, checked and published for every kernel release.
#[derive(Clone, Debug, Parser)]
#[command(name = "kmodforge", version, max_term_width = 100, after_help = EXAMPLES, arg_required_else_help = true)]
#[command(disable_help_flag = true, disable_help_subcommand = true, subcommand_value_name = "VERB", subcommand_help_heading = "Verbs")]
pub struct Cli {
    /// What every verb takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every verb takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Print help.
    #[arg(short, long, global = true, action = clap::ArgAction::HelpShort)]
    help: Option<bool>,
    /// Say more: `-v` shows build logs, `-vv` also what the program does.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say nothing but failures.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Colour the output; `auto` obeys `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`.
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Color,
    /// Folder with `distros/` and `drivers/` that add to the built-in profiles or replace them.
    #[arg(long, global = true, value_name = "DIR")]
    pub profiles: Option<PathBuf>,
    /// Where downloads and kernel indexes are kept [default: `KMODFORGE_CACHE`, else ~/.cache/kmodforge].
    #[arg(long, global = true, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// The verbs.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Build, check and (`--push`) publish targets.
    Build(Box<BuildArgs>),
    /// Show what build would do, and why what is skipped is skipped.
    Plan(Box<PlanArgs>),
    /// Write Dockerfile and context per target; needs no builder.
    Render(Box<RenderArgs>),
    /// Bring everything that targets are built from into one folder, for `--offline` where there is no network.
    Fetch(Box<FetchArgs>),
    /// Check an image against its kernel.
    Verify(Box<VerifyArgs>),
    /// Show what became of targets: one HTML page, or `JUnit` XML.
    Report(ReportArgs),
    /// Sign the modules of an image that exists.
    Sign(Box<SignImageArgs>),
    /// Print what brings published images to nodes.
    #[command(subcommand)]
    Deploy(DeployCommand),
    /// List kernels, or tell which profiles recognise a release.
    #[command(subcommand)]
    Kernels(KernelsCommand),
    /// List, show and check profiles; print their JSON Schemas.
    #[command(subcommand)]
    Profile(ProfileCommand),
    /// Tell what works here: builder, registry, packages, QEMU; each with its remedy.
    Doctor(DoctorArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Print the manual page, or write one page per verb to a folder.
    Man(ManArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn usage_mistakes_exit_with_2() {
        for line in ["kmodforge frobnicate", "kmodforge build --jobs 0", "kmodforge -v -q doctor", "kmodforge verify"] {
            assert_eq!(Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn global_options_may_follow_the_verb() {
        let cli = Cli::try_parse_from(["kmodforge", "doctor", "-vv", "--color", "never", "--profiles", "p"]).unwrap();
        assert_eq!((cli.global.verbose, cli.global.color, cli.global.profiles), (2, Color::Never, Some("p".into())));
    }
}
