//! Tests against real daemons; `scripts/stack.sh run -- cargo test --test e2e` provides them.
#![allow(clippy::unwrap_used, reason = "clippy knows the tests themselves, but not what they are made of")]

mod buildkit;
