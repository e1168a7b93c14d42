//! kmodforge turns a driver and a kernel release into a driver container image that is known to work on that kernel.
//!
//! The modules are listed in the order of `docs/design.md`: a module names only modules of lower rows.

// row: commands
pub mod commands;
// row: pipeline
pub mod pipeline;
// row: plan
pub mod plan;
// row: catalog project
pub mod catalog;
pub mod project;
// row: profile
pub mod profile;
// row: template yaml fetch kmod record
pub mod record;
pub mod yaml;
// row: vocabulary
pub mod arch;
pub mod finding;
pub mod kernel;
pub mod kernel_selector;
pub mod mirror;
pub mod package;
pub mod reference;
// row: ground
pub mod env;
pub mod error;
// row: builder
pub mod builder;
