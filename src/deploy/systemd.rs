//! Hosts without Kubernetes: which image a kernel gets, a script that brings it there, and the systemd units that run it.
//!
//! ```text
//! etc/kmodforge/drivers/<driver>/<system>/<release>   image by digest, and what is done with it
//! opt/kmodforge/bin/kmodforge-node                    POSIX shell: fetches, loads, unloads
//! etc/systemd/system/kmodforge@.service               one instance per driver
//! etc/systemd/system/kmodforge-fetch.{service,path,timer}   images of kernels that wait for a reboot
//! ```
//!
//! Read-only systems have all of it in a system extension, below `usr/lib` ([`extension`]).

pub mod extension;
pub mod formats;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use super::fleet::{Fleet, FleetImage};
use super::manifest::UnwritableObject;
use crate::kmod::{kernel_name, parameter};
use crate::reference::Reference;
use crate::rollout::{Rollout, System};
use crate::template::{self, TemplateError};

/// A file of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFile {
    /// Its path, without a slash before it.
    pub path: String,
    /// Whether it is a program.
    pub executable: bool,
    /// What is in it.
    pub text: String,
}

/// A unit of systemd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// `kmodforge@.service`.
    pub name: &'static str,
    /// What is in it.
    pub text: String,
}

/// Why nothing can be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemdError {
    /// A text would leave its line or its folder.
    #[error("the {what} of {driver} is `{}`", text.escape_debug())]
    Text {
        /// `parameter of v4l2loopback`.
        what: String,
        /// The driver.
        driver: String,
        /// The text.
        text: String,
    },
    /// A template of kmodforge is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A configuration cannot be written.
    #[error(transparent)]
    Unwritable(#[from] UnwritableObject),
}

/// Where programs and units are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On a host, in folders that image-based systems leave writable too.
    Host,
    /// In an extension, which has nothing but `usr`.
    Extension,
}

impl Place {
    /// The runner, with its path from `/`.
    #[must_use]
    pub fn runner(self) -> &'static str {
        match self {
            Self::Host => "/opt/kmodforge/bin/kmodforge-node",
            Self::Extension => "/usr/lib/kmodforge/bin/kmodforge-node",
        }
    }

    fn units(self) -> &'static str {
        match self {
            Self::Host => "etc/systemd/system",
            Self::Extension => "usr/lib/systemd/system",
        }
    }

    fn descriptions(self) -> &'static str {
        match self {
            Self::Host => "etc/kmodforge/drivers",
            Self::Extension => "usr/lib/kmodforge/drivers",
        }
    }
}

/// Names that [`template`] knows.
#[derive(Serialize)]
struct UnitContext {
    runner: &'static str,
}

/// Units that a host starts by itself, besides one [`instance`] per driver.
pub const ENABLED: [&str; 2] = ["kmodforge-fetch.path", "kmodforge-fetch.timer"];

/// The unit of a driver.
#[must_use]
pub fn instance(driver: &str) -> String {
    format!("kmodforge@{driver}.service")
}

/// The drivers of a fleet, in order.
#[must_use]
pub fn drivers(fleet: &Fleet) -> BTreeSet<&str> {
    fleet.images.iter().map(|image| image.driver.as_str()).collect()
}

/// The units.
///
/// # Errors
/// When a template is wrong.
pub fn units(place: Place) -> Result<Vec<Unit>, SystemdError> {
    let context = UnitContext { runner: place.runner() };
    Ok(vec![
        Unit { name: "kmodforge@.service", text: template::render("systemd/kmodforge@.service.tera", &context)? },
        Unit { name: "kmodforge-fetch.service", text: template::render("systemd/kmodforge-fetch.service.tera", &context)? },
        Unit { name: "kmodforge-fetch.path", text: template::text("systemd/kmodforge-fetch.path")? },
        Unit { name: "kmodforge-fetch.timer", text: template::text("systemd/kmodforge-fetch.timer")? },
    ])
}

/// The runner and the descriptions of all images: everything but the units.
///
/// # Errors
/// When a record holds what cannot be written down.
pub fn files(fleet: &Fleet, place: Place) -> Result<Vec<HostFile>, SystemdError> {
    let runner = HostFile { path: place.runner()[1..].to_owned(), executable: true, text: template::text("systemd/kmodforge-node")? };
    let mut files = vec![runner];
    for image in &fleet.images {
        files.push(description(image, place)?);
    }
    Ok(files)
}

/// Everything, as it lies below `/`.
///
/// # Errors
/// When a record holds what cannot be written down.
pub fn tree(fleet: &Fleet) -> Result<Vec<HostFile>, SystemdError> {
    let mut files = files(fleet, Place::Host)?;
    files.extend(unit_files(Place::Host)?);
    Ok(files)
}

fn unit_files(place: Place) -> Result<impl Iterator<Item = HostFile>, SystemdError> {
    let file = move |unit: Unit| HostFile { path: format!("{}/{}", place.units(), unit.name), executable: false, text: unit.text };
    Ok(units(place)?.into_iter().map(file))
}

/// A reference that every tool takes: some refuse a tag beside a digest.
#[must_use]
pub fn pinned(image: &Reference) -> Reference {
    Reference { tag: None, ..image.clone() }
}

/// The file that says which image a kernel gets; the runner looks for it by driver, system and raw release.
fn description(image: &FleetImage, place: Place) -> Result<HostFile, SystemdError> {
    let system = system_name(&image.rollout.system);
    let name = |what: &str, text: &str| {
        let harmless = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        let wrong = || SystemdError::Text { what: what.to_owned(), driver: image.driver.clone(), text: text.to_owned() };
        if !text.is_empty() && !text.starts_with('.') && text.chars().all(harmless) { Ok(()) } else { Err(wrong()) }
    };
    name("name", &image.driver)?;
    name("system", &system)?;
    Ok(HostFile { path: format!("{}/{}/{system}/{}", place.descriptions(), image.driver, image.kernel), executable: false, text: instructions(image)? })
}

/// `debian-12`, as the runner makes it from `os-release(5)`.
fn system_name(system: &System) -> String {
    system.version.as_ref().map_or_else(|| system.id.clone(), |version| format!("{}-{version}", system.id))
}

/// One keyword and its value per line, so that a shell reads it without evaluating anything.
fn instructions(image: &FleetImage) -> Result<String, SystemdError> {
    let Rollout { system: _, loads, remove_first, load_first, firmware: _, firmware_directory: _, unload, hints: _ } = &image.rollout;
    let mut text = format!("# {} {}\n", image.driver, image.version);
    let mut line = |key: &str, value: &str| {
        if value.is_empty() || value.trim() != value || value.chars().any(char::is_control) {
            return Err(SystemdError::Text { what: key.to_owned(), driver: image.driver.clone(), text: value.to_owned() });
        }
        let _ = writeln!(text, "{key} {value}");
        Ok(())
    };
    line("image", &pinned(&image.image).to_string())?;
    for arch in &image.arches {
        line("arch", arch.oci())?;
    }
    for module in remove_first {
        line("remove", &kernel_name(module))?;
    }
    for module in load_first {
        line("first", module)?;
    }
    for load in loads {
        line("load", &load.module)?;
        for (name, value) in &load.parameters {
            line("parameter", &parameter(name, value))?;
        }
    }
    if !unload {
        line("unload", "no")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
