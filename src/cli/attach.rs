//! Options for what is attached to images, and for what may be published at all.

use clap::Args;

/// What is attached to published images.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Supply chain")]
pub struct AttachArgs {
    /// Attach a bill of materials (SPDX) to pushed images [default: true with --cosign-key].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub sbom: Option<bool>,
    /// Attach provenance (in-toto, SLSA) to pushed images [default: true with --cosign-key].
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub provenance: Option<bool>,
    /// Sign pushed images and what is attached to them: cosign's private key, a PEM key on P-256, or `env://VARIABLE`; `COSIGN_PASSWORD` opens it. `plan`
    /// needs the public half only.
    #[arg(long, value_name = "FILE")]
    pub cosign_key: Option<String>,
    /// Attach nothing, whatever the project file says.
    #[arg(long, conflicts_with_all = ["sbom", "provenance", "cosign_key"])]
    pub no_attach: bool,
}

/// What may be pushed.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Supply chain")]
pub struct LicenceArgs {
    /// Push what its licence does not simply let anybody pass on; ID is the licence as the driver's profile has it; may be repeated.
    #[arg(long = "accept-licence", value_name = "ID")]
    pub accepted_licences: Vec<String>,
}
