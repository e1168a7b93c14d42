//! Options about booting kernels with images.

use clap::Args;

/// Whether and how kernels are booted.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Boot check")]
pub struct BootArgs {
    /// Load the modules into their own kernel in QEMU, as a node does; nothing is published that does not load.
    #[arg(long)]
    pub boot: bool,
    /// Do not boot, whatever the project file says.
    #[arg(long, conflicts_with = "boot")]
    pub no_boot: bool,
    /// How long one boot may take [default: 120].
    #[arg(long, value_name = "SECONDS", conflicts_with = "no_boot", value_parser = clap::value_parser!(u16).range(1..))]
    pub boot_timeout: Option<u16>,
    /// Boot kernels so that they refuse modules without a signature that they know, as with Secure Boot.
    #[arg(long, conflicts_with = "no_boot")]
    pub boot_enforce_signatures: bool,
}
