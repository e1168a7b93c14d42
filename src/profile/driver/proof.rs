//! How far a driver's profile has been proven.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What tests of kmodforge do with a driver, for amd64 kernels of Debian and the versions that these kernels get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// It is compiled and checked, and kernels load it, or give the answer that `load` declares.
    Loaded,
    /// It is compiled and checked.
    Compiled,
    /// Its Dockerfile was rendered and read; nothing more.
    #[default]
    Rendered,
}

impl Proof {
    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loaded => "loaded",
            Self::Compiled => "compiled",
            Self::Rendered => "rendered",
        }
    }
}
