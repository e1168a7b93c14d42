//! The program and its `BuildKit` client on real daemons, with real kernels and real drivers; `make test` provides them.
//!
//! Nothing here is skipped: without a stack (`scripts/stack.sh run … -- cargo test --features e2e --test e2e`) every test fails and says so.
#![allow(clippy::unwrap_used, reason = "clippy knows the tests themselves, but not what they are made of")]

mod airgap;
mod bad_drivers;
mod boot;
mod builders;
mod buildkit;
mod catalogue;
mod daemonset;
mod defects;
mod dkms;
mod families;
mod files;
mod forge;
mod heavy;
mod helm;
mod in_archive;
mod in_image;
mod kernels;
mod kmm;
mod kubernetes;
mod light;
mod multi_arch;
mod node;
mod own_driver;
mod private_mirror;
mod rendered;
mod report;
mod secure_boot;
mod sign;
mod stack;
mod supply;
mod systemd;
mod verify;
