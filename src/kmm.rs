//! The resources of Kernel Module Management (KMM), and what KMM makes of them: its own rules, followed exactly.
//!
//! Sources: KMM's `api/v1beta1/module_types.go`, `internal/module/kernelmapper.go`, `internal/webhook/module.go`,
//! `internal/utils/replaceStrings.go`. `tests/kmm` compares with the answers of KMM's own code.

mod check;
mod file;
mod mapping;
mod pattern;
mod types;
mod variables;

pub use check::{NAMES_LENGTH, Problem};
pub use file::{Found, ModuleFile, ModuleFileError};
pub use mapping::{NoImage, Resolution, glob_fits};
pub use types::{
    API_VERSION, Build, BuildArg, Container, DevicePlugin, DevicePluginContainer, KernelMapping, Modprobe, ModprobeArgs, Module, ModuleLoader, ModuleSpec,
    Named, RegistryTls, Sign,
};

#[cfg(test)]
#[path = "kmm/tests.rs"]
mod tests;
