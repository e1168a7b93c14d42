//! Tests of what users rely on across modules.

#![expect(clippy::unwrap_used, reason = "a test may stop where it is wrong")]

mod cli;
mod catalogue;
mod distros;
mod host;
mod kmm;
mod profile_docs;
mod profile_errors;
mod properties;
