//! One file per verb.

pub mod profile;
