//! kmodforge turns a driver and a kernel release into a driver container image that is known to work on that kernel.
//!
//! The modules are listed in the order of `docs/design.md`: a module names only modules of lower rows.

// row: pipeline
pub mod pipeline;
// row: buildkit
pub mod buildkit;
// row: plan
pub mod plan;
// row: profile
pub mod profile;
// row: record
pub mod credentials;
pub mod record;
// row: vocabulary
pub mod arch;
pub mod finding;
pub mod kernel;
pub mod mirror;
pub mod package;
pub mod reference;
// row: ground
pub mod env;
pub mod error;
// row: builder
pub mod builder;
