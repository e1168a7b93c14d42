//! Which nodes run a kernel, by their labels.
//!
//! A label's value cannot hold every release: Node Feature Discovery writes every character outside `[-A-Za-z0-9_.]` as `_` and takes `-_.` off both
//! ends (its `source/kernel/version.go`), so nodes with `5.10.109` and with `5.10.109+` look the same. A value of more than 63 characters it drops.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;

use super::fleet::FleetImage;
use crate::arch::Arch;
use crate::kernel::KernelRelease;

/// The label that Node Feature Discovery gives every node.
pub const NFD_KERNEL: &str = "feature.node.kubernetes.io/kernel-version.full";
/// Beginning of its labels with the numbers of a release.
const NFD_NUMBERS: &str = "feature.node.kubernetes.io/kernel-version.";
/// Beginning of its labels with what `/etc/os-release` says.
const NFD_SYSTEM: &str = "feature.node.kubernetes.io/system-os_release.";
/// The label that the kubelet gives every node.
pub const ARCH: &str = "kubernetes.io/arch";
/// The longest value of a label.
pub const VALUE_LENGTH: usize = 63;

/// The key of a label: `NAME` or `DOMAIN/NAME`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LabelKey(String);

/// Why a text is no key of a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `NAME` or `DOMAIN/NAME` of letters, digits, `-`, `_` and `.`, the name of at most 63 characters")]
pub struct InvalidLabelKey;

impl LabelKey {
    /// Node Feature Discovery's.
    #[must_use]
    pub fn nfd() -> Self {
        Self(NFD_KERNEL.to_owned())
    }

    /// The key itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What a node with this kernel has.
    fn of_node(&self, kernel: &KernelRelease) -> BTreeMap<String, String> {
        let value = label_value(kernel.as_str());
        if self.0 != NFD_KERNEL {
            return BTreeMap::from([(self.0.clone(), cut(&value).to_owned())]);
        }
        let mut labels = numbers(&value);
        if value.len() <= VALUE_LENGTH {
            labels.insert(self.0.clone(), value);
        }
        labels
    }

    /// What tells nodes with this kernel from others, as far as labels can.
    fn selecting(&self, kernel: &KernelRelease) -> Option<BTreeMap<String, String>> {
        let mut labels = self.of_node(kernel);
        if let Some(value) = labels.remove(&self.0) {
            return Some(BTreeMap::from([(self.0.clone(), value)]));
        }
        (!labels.is_empty()).then_some(labels)
    }
}

impl FromStr for LabelKey {
    type Err = InvalidLabelKey;

    fn from_str(text: &str) -> Result<Self, InvalidLabelKey> {
        let (domain, name) = text.rsplit_once('/').map_or((None, text), |(domain, name)| (Some(domain), name));
        let right = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let ends = |text: &str| text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.ends_with(|c: char| c.is_ascii_alphanumeric());
        let name_fits = name.len() <= VALUE_LENGTH && ends(name) && name.chars().all(right);
        let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        let domain_fits = domain.is_none_or(|domain| domain.len() <= 253 && ends(domain) && domain.chars().all(lower));
        if name_fits && domain_fits { Ok(Self(text.to_owned())) } else { Err(InvalidLabelKey) }
    }
}

impl fmt::Display for LabelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text as the value of a label, of whatever length.
#[must_use]
pub fn label_value(text: &str) -> String {
    let safe: String = text.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    safe.trim_matches(['-', '_', '.']).to_owned()
}

/// The beginning of a value that fits.
pub(super) fn cut(value: &str) -> &str {
    value.get(..VALUE_LENGTH).unwrap_or(value).trim_end_matches(['-', '_', '.'])
}

/// Node Feature Discovery's `major`, `minor` and `revision`, where it can tell them.
fn numbers(value: &str) -> BTreeMap<String, String> {
    static NUMBERS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-.*)?$").ok());
    let Some(found) = NUMBERS.as_ref().and_then(|numbers| numbers.captures(value)) else { return BTreeMap::new() };
    let names = ["major", "minor", "revision"].into_iter().zip(1..);
    names.filter_map(|(name, group)| Some((format!("{NFD_NUMBERS}{name}"), found.get(group)?.as_str().to_owned()))).collect()
}

/// What nodes must have for an image, and which others have it as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Labels and their values.
    pub labels: BTreeMap<String, String>,
    /// One of these architectures.
    pub arches: Vec<Arch>,
    /// Kernels whose nodes are selected too; the same driver has an image for each.
    pub neighbours: Vec<KernelRelease>,
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value) in &self.labels {
            write!(f, "{key}={value}, ")?;
        }
        let arches: Vec<_> = self.arches.iter().map(ToString::to_string).collect();
        write!(f, "{ARCH}={}", arches.join("|"))
    }
}

/// Why nodes cannot be selected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// There is no label for a release of this length.
    #[error("no label tells nodes with {kernel}: its {} characters are more than the {VALUE_LENGTH} that a label holds", kernel.as_str().len())]
    NoLabel {
        /// The kernel.
        kernel: KernelRelease,
    },
    /// Two images are for the same nodes.
    #[error("two images of {driver} are for the same nodes with {kernel}")]
    Same {
        /// The driver.
        driver: String,
        /// The kernel.
        kernel: KernelRelease,
        /// The images' versions and systems.
        images: [String; 2],
    },
}

/// Selects nodes for each image, in the order of the images.
///
/// # Errors
/// When labels cannot do it.
pub fn select(images: &[FleetImage], label: &LabelKey) -> Result<Vec<Selection>, SelectionError> {
    images.iter().map(|image| selection(image, images, label)).collect()
}

fn selection(image: &FleetImage, all: &[FleetImage], label: &LabelKey) -> Result<Selection, SelectionError> {
    let mut labels = label.selecting(&image.kernel).ok_or_else(|| SelectionError::NoLabel { kernel: image.kernel.clone() })?;
    let rivals = || {
        let shares = |other: &&FleetImage| other.driver == image.driver && other.arches.iter().any(|arch| image.arches.contains(arch));
        all.iter().filter(|other| !std::ptr::eq(*other, image)).filter(shares)
    };
    let other_system = |other: &&FleetImage| other.rollout.system != image.rollout.system;
    if let Some(same) = rivals().filter(|other| other.kernel == image.kernel).find(|other| !other_system(other)) {
        let name = |image: &FleetImage| format!("{} ({} {})", image.version, image.distro, image.distro_release);
        return Err(SelectionError::Same { driver: image.driver.clone(), kernel: image.kernel.clone(), images: [name(image), name(same)] });
    }
    if rivals().any(|other| other.kernel == image.kernel) {
        let system = &image.rollout.system;
        labels.insert(format!("{NFD_SYSTEM}ID"), label_value(&system.id));
        labels.extend(system.version.iter().map(|version| (format!("{NFD_SYSTEM}VERSION_ID"), label_value(version))));
    }
    let looks_alike = |other: &&FleetImage| {
        let node = label.of_node(&other.kernel);
        other.kernel != image.kernel && labels.iter().all(|(key, value)| key.starts_with(NFD_SYSTEM) || node.get(key) == Some(value))
    };
    let mut neighbours: Vec<_> = rivals().filter(looks_alike).map(|other| other.kernel.clone()).collect();
    neighbours.dedup();
    Ok(Selection { labels, arches: image.arches.clone(), neighbours })
}

#[cfg(test)]
#[path = "nodes/tests.rs"]
mod tests;
