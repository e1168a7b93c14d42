//! Tests of what users rely on across modules.

mod profile_docs;
mod profile_errors;
