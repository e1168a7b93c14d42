//! Tests of what users rely on across modules.

#![expect(clippy::unwrap_used, reason = "a test may stop where it is wrong")]

mod catalogue;
#[path = "../e2e/catalogue/table.rs"]
mod catalogue_table;
mod cli;
mod distros;
mod host;
mod kmm;
mod profile_docs;
mod profile_errors;
mod proofs;
mod properties;
