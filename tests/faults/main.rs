//! Bad input and faults, told by the real program: every message in full, every exit status, and nothing lost.
//!
//! Package repository, builder and registry are in this process and speak their real protocols, so that they can fail in any way.

#![expect(clippy::unwrap_used, reason = "a test may stop where it is wrong")]

/// `BuildKit`'s protocol, as the unit tests have it.
#[expect(dead_code, reason = "the unit tests use all of it")]
#[path = "../../src/buildkit/fake.rs"]
mod buildkit;
/// The distribution API, as the unit tests have it.
#[expect(dead_code, reason = "the unit tests use all of it")]
#[path = "../../src/registry/fake.rs"]
mod registry;

/// Signs what the repository serves, as the unit tests do.
#[expect(dead_code, reason = "the unit tests use all of it")]
#[path = "../../src/openpgp/testing.rs"]
mod signing;

mod bench;
mod results;
mod site;
mod world;

mod attaching;
mod building;
mod bundling;
mod deploying;
mod given;
mod happy;
mod hosting;
mod interrupts;
mod kmm;
mod layouts;
mod local;
mod publishing;
mod selecting;
mod signing_modules;
mod sources;
mod trusting;
mod usage;
mod verifying;

// What the two fakes find in the crate that they come from.
use kmodforge::buildkit::{BuildKit, Endpoint};
use kmodforge::credentials::Credentials;
use kmodforge::openpgp::{Keyring, Keyrings};
use kmodforge::reference;
