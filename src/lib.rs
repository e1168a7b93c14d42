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
// outside world
pub mod registry;
pub mod kernel_index;
// stages
pub mod builder;
pub mod render;
pub mod check;
pub mod image;
// plan
pub mod plan;
// catalogue
pub mod catalog;
pub mod project;
// profile
pub mod profile;
// tools
pub mod template;
pub mod yaml;
pub mod fetch;
pub mod kmod;
pub mod record;
// vocabulary
pub mod arch;
pub mod finding;
pub mod kernel;
pub mod kernel_selector;
pub mod mirror;
pub mod package;
pub mod reference;
// ground
pub mod env;
pub mod error;

#[cfg(test)]
mod fixture;
