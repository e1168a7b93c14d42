//! kmodforge turns a driver and a kernel release into a driver container image that is known to work on that kernel.
//!
//! The modules stand in the rows of `docs/design.md`: a module names only modules of lower rows, which `tests/layers.rs` checks.

// commands
pub mod commands;
// cli, ui
pub mod cli;
pub mod ui;
// pipeline
pub mod pipeline;
pub mod policy;
// outside world
pub mod boot;
pub mod buildkit;
pub mod kernel_index;
pub mod registry;
// proof
pub mod attest;
pub mod deploy;
pub mod provenance;
pub mod report;
pub mod sbom;
// stages
pub mod builder;
pub mod check;
pub mod image;
pub mod kernel_memory;
pub mod render;
pub mod sign;
// plan
pub mod plan;
// catalogue
pub mod catalog;
pub mod inference;
pub mod project;
// profile
pub mod kmm;
pub mod profile;
// tools
pub mod credentials;
pub mod fetch;
pub mod kmod;
pub mod record;
pub mod signer;
pub mod template;
pub mod yaml;
// vocabulary that is built on vocabulary
pub mod bundle;
pub mod kernel_selector;
pub mod openpgp;
pub mod package;
pub mod pki;
// vocabulary
pub mod arch;
pub mod finding;
pub mod kernel;
pub mod mirror;
pub mod parallel;
pub mod pattern;
pub mod reference;
pub mod rollout;
// ground
pub mod env;
pub mod error;

#[cfg(test)]
mod fixture;
