//! What a driver does on a machine without its hardware, for checks that boot the kernel.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is expected when the modules are loaded into their kernel on a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// What the kernel answers where the hardware is missing: `loads`, the name of the error that the driver gives (`ENODEV`), or `unknown`.
    pub without_hardware: Answer,
    /// Parameters that are needed to load a module at all, by module; beside those that nodes get.
    pub parameters: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the modules can be unloaded.
    pub unload: bool,
    /// QEMU devices on PCI (`-device`) that the virtual machine gets; the driver must then load, and have bound as many: `edu`, `e1000e`, `virtio-net`.
    pub devices: Vec<String>,
}

impl Default for Load {
    fn default() -> Self {
        Self { without_hardware: Answer::Loads, parameters: BTreeMap::new(), unload: true, devices: Vec::new() }
    }
}

/// The kernel's answer to loading a module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Answer {
    /// It is loaded.
    #[default]
    #[serde(rename = "loads")]
    Loads,
    /// No such device.
    #[serde(rename = "ENODEV")]
    NoDevice,
    /// No such device or address.
    #[serde(rename = "ENXIO")]
    NoAddress,
    /// Invalid argument.
    #[serde(rename = "EINVAL")]
    Invalid,
    /// Input/output error.
    #[serde(rename = "EIO")]
    Io,
    /// Nobody has said: it may load, or miss its hardware (`ENODEV`, `ENXIO`). Other answers are none.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Answer {
    /// As profiles write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Loads => "loads",
            Self::NoDevice => "ENODEV",
            Self::NoAddress => "ENXIO",
            Self::Invalid => "EINVAL",
            Self::Io => "EIO",
            Self::Unknown => "unknown",
        }
    }

    /// What modprobe says about the error: glibc's and musl's words, and kmod's own for `EINVAL`.
    #[must_use]
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Self::Loads => &[],
            Self::NoDevice | Self::Unknown => &["No such device"],
            Self::NoAddress => &["No such device or address"],
            Self::Invalid => &["Invalid argument", "Invalid parameters"],
            Self::Io => &["Input/output error", "I/O error"],
        }
    }
}
