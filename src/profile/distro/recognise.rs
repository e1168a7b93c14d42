//! Which kernels are a distribution's, and which of their packages mean what.

use regex::Regex;

use super::{DistroProfile, Release};
use crate::arch::Arch;
use crate::kernel::KernelRelease;

/// A distribution's patterns, compiled when the first one is needed.
#[derive(Clone, Debug, Default)]
pub(super) struct Patterns {
    recognise: Vec<Regex>,
    headers_dependencies: Option<Regex>,
    from_dependencies: Option<Regex>,
}

/// What a kernel's name tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// `cloud`, `rt`; empty for the plain one.
    pub flavour: String,
    /// The architecture, if the name has it.
    pub arch: Option<Arch>,
    /// Id of the distribution's release, if the name has it.
    pub release: Option<String>,
}

/// A pattern that must fit the whole text.
pub(super) fn anchored(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

impl DistroProfile {
    /// What a kernel's name tells, if it is one of this distribution's kernels, for an architecture that the profile has.
    #[must_use]
    pub fn recognise(&self, kernel: &KernelRelease) -> Option<Recognised> {
        let groups = self.patterns().recognise.iter().find_map(|pattern| pattern.captures(kernel.as_str()))?;
        let group = |name| groups.name(name).map(|text| text.as_str());
        let arch = match group("arch") {
            Some(name) => Some(name.parse().ok().filter(|arch| self.arches.contains(arch))?),
            None => None,
        };
        let release = group("release").and_then(|version| self.release_with_version(version)).map(|release| release.id.to_string());
        Some(Recognised { flavour: group("flavour").unwrap_or_default().trim_start_matches('+').to_owned(), arch, release })
    }

    /// The release of the distribution by its name.
    #[must_use]
    pub fn release(&self, id: &str) -> Option<&Release> {
        self.releases.iter().find(|release| release.id.as_str() == id)
    }

    /// Whether a dependency of a headers package is part of the headers.
    #[must_use]
    pub fn is_headers_package(&self, package: &str) -> bool {
        self.patterns().headers_dependencies.as_ref().is_some_and(|pattern| pattern.is_match(package))
    }

    /// The compiler's program, if a dependency of a headers package is the kernel's compiler.
    #[must_use]
    pub fn compiler_program<'p>(&self, package: &'p str) -> Option<&'p str> {
        let groups = self.patterns().from_dependencies.as_ref()?.captures(package)?;
        groups.name("program").map(|program| program.as_str())
    }

    fn release_with_version(&self, version: &str) -> Option<&Release> {
        self.releases.iter().find(|release| release.version.as_deref() == Some(version))
    }

    /// Patterns of a profile that was not checked and that do not compile fit nothing.
    fn patterns(&self) -> &Patterns {
        self.patterns.get_or_init(|| Patterns {
            recognise: self.kernels.recognise.iter().filter_map(|pattern| anchored(pattern).ok()).collect(),
            headers_dependencies: self.kernels.headers_dependencies.as_deref().and_then(|pattern| anchored(pattern).ok()),
            from_dependencies: self.toolchain.compiler.from_dependencies.as_deref().and_then(|pattern| anchored(pattern).ok()),
        })
    }
}
