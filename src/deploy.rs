//! What is published → what brings it to nodes. Pure: records in, text out.

pub mod fleet;
pub mod systemd;
