//! The images that are to reach nodes, one entry per driver, system and kernel.

use std::collections::BTreeMap;

use crate::arch::Arch;
use crate::kernel::KernelRelease;
use crate::profile::Id;
use crate::record::{Outcome, TargetLabel, TargetRecord};
use crate::reference::{Digest, Reference};
use crate::rollout::Rollout;

/// Everything that can be deployed, and what cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Published images, ordered by driver, system and kernel, newest kernel first.
    pub images: Vec<FleetImage>,
    /// Targets without a published image.
    pub missing: Vec<Missing>,
}

/// One tag: the image of a driver for a kernel, for all architectures that it was built for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetImage {
    /// `v4l2loopback`.
    pub driver: String,
    /// `0.15.4`.
    pub version: String,
    /// `debian`.
    pub distro: String,
    /// `bookworm`.
    pub distro_release: String,
    /// The raw kernel release.
    pub kernel: KernelRelease,
    /// Architectures under the tag.
    pub arches: Vec<Arch>,
    /// Name, tag, and the digest of the index that the tag points to.
    pub image: Reference,
    /// What nodes do with it.
    pub rollout: Rollout,
}

/// A target that nothing can be deployed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which target.
    pub target: TargetLabel,
    /// Why there is no image.
    pub why: String,
}

/// Why records cannot be deployed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// The record was written before records told what nodes must know.
    #[error("the record of {0} does not say what nodes must know")]
    NoRollout(TargetLabel),
    /// A text of the record is not what it should be.
    #[error("the record of {target}: {reason}")]
    Unreadable {
        /// Which target.
        target: TargetLabel,
        /// What is wrong with its record.
        reason: String,
    },
    /// Two drivers bring a module of the same name to the same kernel.
    #[error("`{module}` for {kernel} comes from two drivers: {first} and {second}")]
    SharedModule {
        /// The module.
        module: String,
        /// The kernel.
        kernel: KernelRelease,
        /// `driver version`.
        first: String,
        /// `driver version`.
        second: String,
    },
}

impl Fleet {
    /// What the records of targets say. Where several speak of a target, the last is right.
    ///
    /// # Errors
    /// When a record cannot be used, or two drivers would fight over a module.
    pub fn of<'r>(records: impl IntoIterator<Item = &'r TargetRecord>) -> Result<Self, FleetError> {
        let mut latest: BTreeMap<&TargetLabel, &TargetRecord> = BTreeMap::new();
        let mut tags: BTreeMap<&str, &str> = BTreeMap::new();
        for record in records {
            latest.insert(&record.target, record);
            // Whichever architecture was pushed last: its index has all of them.
            tags.extend(record.image.as_deref().zip(record.index_digest.as_deref()));
        }
        let mut fleet = Self::default();
        for (target, record) in latest {
            match published(record, &tags)? {
                Some(image) => fleet.add(image),
                None => fleet.missing.push(Missing { target: target.clone(), why: why_missing(record) }),
            }
        }
        fleet.images.sort_by(|a, b| a.key().cmp(&b.key()).then_with(|| b.kernel.cmp(&a.kernel)));
        fleet.refuse_shared_modules()?;
        Ok(fleet)
    }

    /// Architectures share a tag, so they share an entry.
    fn add(&mut self, image: FleetImage) {
        let same = |other: &&mut FleetImage| other.key() == image.key() && other.kernel == image.kernel && other.image.tag == image.image.tag;
        match self.images.iter_mut().find(same) {
            Some(other) => other.arches.extend(image.arches),
            None => self.images.push(image),
        }
    }

    fn refuse_shared_modules(&self) -> Result<(), FleetError> {
        let mut owners: BTreeMap<(String, &KernelRelease, &str), &FleetImage> = BTreeMap::new();
        for image in &self.images {
            for load in &image.rollout.loads {
                let module = load.module.replace('-', "_");
                if let Some(other) = owners.insert((module, &image.kernel, image.distro_release.as_str()), image) {
                    let name = |image: &FleetImage| format!("{} {}", image.driver, image.version);
                    return Err(FleetError::SharedModule {
                        module: load.module.clone(),
                        kernel: image.kernel.clone(),
                        first: name(other),
                        second: name(image),
                    });
                }
            }
        }
        Ok(())
    }
}

impl FleetImage {
    fn key(&self) -> (&str, &str, &str, &str) {
        (&self.driver, &self.version, &self.distro, &self.distro_release)
    }
}

/// The image of a target, in the index that its tag has now; `None` if it is not in a registry.
fn published(record: &TargetRecord, tags: &BTreeMap<&str, &str>) -> Result<Option<FleetImage>, FleetError> {
    if !matches!(record.outcome, Outcome::Built | Outcome::Published) || record.index_digest.is_none() {
        return Ok(None);
    }
    let Some((image, index)) = record.image.as_deref().and_then(|image| Some((image, tags.get(image)?))) else { return Ok(None) };
    let unreadable = |reason: String| FleetError::Unreadable { target: record.target.clone(), reason };
    let digest: Digest = index.parse().map_err(|error: crate::reference::InvalidReference| unreadable(error.to_string()))?;
    let image: Reference = image.parse().map_err(|error: crate::reference::InvalidReference| unreadable(error.to_string()))?;
    let target = &record.target;
    let driver: Id = target.driver.parse().map_err(unreadable)?;
    Ok(Some(FleetImage {
        driver: driver.to_string(),
        version: target.version.clone(),
        distro: target.distro.clone(),
        distro_release: target.distro_release.clone(),
        kernel: target.kernel.parse().map_err(|error: crate::kernel::InvalidRelease| unreadable(error.to_string()))?,
        arches: vec![target.arch.parse().map_err(|error: crate::arch::UnknownArch| unreadable(error.to_string()))?],
        image: Reference { digest: Some(digest), ..image },
        rollout: record.rollout.clone().ok_or_else(|| FleetError::NoRollout(target.clone()))?,
    }))
}

fn why_missing(record: &TargetRecord) -> String {
    match record.outcome {
        Outcome::Built | Outcome::Published => "built, but not pushed".to_owned(),
        _ => record.why.clone(),
    }
}

#[cfg(test)]
#[path = "fleet/tests.rs"]
mod tests;
