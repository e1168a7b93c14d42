//! Which version of a driver fits a kernel.

use super::{Build, DriverProfile, DriverVersion, KernelRange, Module, Requirements};
use crate::arch::Arch;
use crate::kernel::KernelVersion;

/// Why a driver, or a version of it, is not for a kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// The kernel has the driver itself.
    #[error("in the kernel since {since}")]
    InTree {
        /// The first kernel that has it.
        since: KernelVersion,
        /// The kernel's module.
        module: String,
    },
    /// Another architecture.
    #[error("not for {0}")]
    Arch(Arch),
    /// The kernel is too old.
    #[error("needs a kernel from {0} on")]
    TooOld(KernelVersion),
    /// The kernel is too new.
    #[error("needs a kernel below {0}")]
    TooNew(KernelVersion),
}

impl KernelRange {
    /// Whether a kernel is in the range, and if not, on which side.
    pub fn check(&self, kernel: KernelVersion) -> Result<(), Unsupported> {
        match (self.min, self.below) {
            (Some(min), _) if kernel < min => Err(Unsupported::TooOld(min)),
            (_, Some(below)) if kernel >= below => Err(Unsupported::TooNew(below)),
            _ => Ok(()),
        }
    }

    /// Kernels that are in both ranges.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let below = match (self.below, other.below) {
            (Some(left), Some(right)) => Some(left.min(right)),
            (left, right) => left.or(right),
        };
        Self { min: self.min.max(other.min), below }
    }
}

impl DriverProfile {
    /// A version by its name.
    #[must_use]
    pub fn version(&self, version: &str) -> Option<&DriverVersion> {
        self.versions.iter().find(|candidate| candidate.version.as_str() == version)
    }

    /// What a kernel must have for a version: the driver's requirements and the version's own.
    #[must_use]
    pub fn requirements(&self, version: &DriverVersion) -> Requirements {
        let (all, own) = (&self.requires, &version.requires);
        let mut config = all.config.clone();
        config.extend(own.config.iter().filter(|rule| !all.config.contains(rule)).cloned());
        let arches = match (all.arches.is_empty(), own.arches.is_empty()) {
            (_, true) => all.arches.clone(),
            (true, false) => own.arches.clone(),
            (false, false) => all.arches.iter().filter(|arch| own.arches.contains(arch)).copied().collect(),
        };
        Requirements { kernel: all.kernel.and(own.kernel), arches, config }
    }

    /// How a version is built.
    #[must_use]
    pub fn build_of<'a>(&'a self, version: &'a DriverVersion) -> &'a Build {
        version.build.as_ref().unwrap_or(&self.build)
    }

    /// The modules of a version, in load order; none where only the build tells them.
    #[must_use]
    pub fn modules_of<'a>(&'a self, version: &'a DriverVersion) -> &'a [Module] {
        version.modules.as_ref().unwrap_or(&self.modules)
    }

    /// Whether a version is for a kernel, as far as its version and architecture tell.
    pub fn supports(&self, version: &DriverVersion, kernel: KernelVersion, arch: Arch) -> Result<(), Unsupported> {
        if let Some(in_tree) = self.in_tree.as_ref().filter(|in_tree| kernel >= in_tree.since) {
            return Err(Unsupported::InTree { since: in_tree.since, module: in_tree.module.clone() });
        }
        let requires = self.requirements(version);
        if !requires.arches.is_empty() && !requires.arches.contains(&arch) {
            return Err(Unsupported::Arch(arch));
        }
        requires.kernel.check(kernel)
    }

    /// The newest version for a kernel; if there is none, the reason of the version that comes nearest.
    pub fn select_version(&self, kernel: KernelVersion, arch: Arch) -> Result<&DriverVersion, Unsupported> {
        let mut nearest = None;
        for version in &self.versions {
            match (self.supports(version, kernel, arch), nearest.take()) {
                (Ok(()), _) => return Ok(version),
                (Err(Unsupported::TooNew(below)), Some(Unsupported::TooNew(other))) => nearest = Some(Unsupported::TooNew(below.max(other))),
                (Err(Unsupported::TooOld(min)), Some(Unsupported::TooOld(other))) => nearest = Some(Unsupported::TooOld(min.min(other))),
                (Err(reason), None) => nearest = Some(reason),
                (Err(_), other) => nearest = other,
            }
        }
        Err(nearest.unwrap_or(Unsupported::Arch(arch)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver(requires: &str) -> DriverProfile {
        let text = format!(
            r#"
id: camera
name: Camera
summary: A camera
homepage: https://camera.example/
licence: MIT
{requires}
versions:
  - {{version: 3.0, sources: [{{path: {{directory: a}}}}], requires: {{kernel: {{min: "6.1"}}, arches: [amd64]}}}}
  - {{version: 2.0, sources: [{{path: {{directory: a}}}}], requires: {{kernel: {{min: "5.4", below: "6.8"}}}}}}
  - {{version: 1.0, sources: [{{path: {{directory: a}}}}], requires: {{kernel: {{below: "5.10"}}}}}}
build: {{steps: [{{kbuild: {{}}}}]}}
modules: [{{name: camera}}]
"#
        );
        DriverProfile::load("camera.yaml", &text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn selected(requires: &str, kernel: &str, arch: Arch) -> String {
        match driver(requires).select_version(kernel.parse().unwrap(), arch) {
            Ok(version) => version.version.to_string(),
            Err(reason) => reason.to_string(),
        }
    }

    #[test]
    fn the_newest_version_that_supports_a_kernel_is_taken() {
        for (kernel, arch, version) in [
            ("6.12", Arch::Amd64, "3.0"),
            ("6.1", Arch::Amd64, "3.0"),
            ("6.1", Arch::Arm64, "2.0"),
            ("5.15", Arch::Amd64, "2.0"),
            ("5.4", Arch::Amd64, "2.0"),
            ("4.19", Arch::Amd64, "1.0"),
        ] {
            assert_eq!(selected("", kernel, arch), version, "{kernel} {arch}");
        }
    }

    #[test]
    fn what_no_version_supports_has_a_reason() {
        assert_eq!(selected("requires: {kernel: {min: '4.4'}}", "3.10", Arch::Amd64), "needs a kernel from 4.4 on");
        assert_eq!(selected("requires: {kernel: {below: '6.13'}}", "7.2", Arch::Amd64), "needs a kernel below 6.13");
        assert_eq!(selected("requires: {arches: [amd64]}", "6.1", Arch::Arm64), "not for arm64");
        let in_tree = "in_tree: {since: '6.9', module: camera}";
        assert_eq!(selected(in_tree, "6.12", Arch::Amd64), "in the kernel since 6.9");
        assert_eq!(selected(in_tree, "6.1", Arch::Amd64), "3.0");
    }

    #[test]
    fn requirements_of_driver_and_version_add_up() {
        let driver = driver("requires: {config: [CONFIG_PCI], kernel: {min: '4.4', below: '6.5'}}");
        let requires = driver.requirements(driver.version("2.0").unwrap());
        assert_eq!(requires.kernel, KernelRange { min: "5.4".parse().ok(), below: "6.5".parse().ok() });
        assert_eq!(requires.config.len(), 1);
        assert!(driver.version("9").is_none());
    }
}
