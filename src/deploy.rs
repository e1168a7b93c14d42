//! What is published → what brings it to nodes. Pure: records in, text out.

pub mod daemonset;
pub mod fleet;
pub mod helm;
pub mod kmm;
pub mod loader;
pub mod manifest;
pub mod naming;
pub mod nodes;
pub mod systemd;
