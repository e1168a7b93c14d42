//! Kernels whose headers, and maybe compiler, are published as archives, not as packages.

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recognise::anchored;
use crate::arch::Arch;
use crate::kernel::KernelRelease;

/// Archives that have a kernel's headers. Builds of one kernel release are told apart by the version of the nodes' operating system, which whoever
/// builds names: `--os-version 18613.339.5`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archives {
    /// How to find the version on a node, in words that messages show: `BUILD_ID in its /etc/os-release`.
    pub version_is: String,
    /// Where versions are: the first whose `versions` fit.
    pub places: Vec<ArchivePlace>,
    /// The headers' directory in the archive; `{kernel}` is the release: `usr/src/linux-headers-{kernel}`.
    pub directory: String,
    /// For an archive that is a compressed disk image: the number of the partition, with a file system that `debugfs` reads (ext2 to ext4).
    #[serde(default)]
    pub partition: Option<u32>,
    /// An archive with the compiler. Left out: the release's own compiler, or another of `other_versions`.
    #[serde(default)]
    pub compiler: Option<ArchivedCompiler>,
}

/// Where the archives of some versions are.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchivePlace {
    /// Regular expression for versions, anchored at both ends: `\d+\.\d+\.\d+`.
    pub versions: String,
    /// The archive, by its official name: a tar, or a disk image, compressed or not. `{os_version}` is the version, `{arch}` is `amd64` or `arm64`.
    pub url: String,
}

/// A compiler that is published beside the headers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchivedCompiler {
    /// A file whose first line is the URL of the archive with the compiler; the same placeholders as in `places.url`.
    pub named_in: String,
    /// Its gcc, as a path in the archive, or several with `|` between them of which the first that exists counts; `{machine}` is `x86_64` or `aarch64`.
    pub gcc: String,
    /// Its clang, for kernels that clang has compiled; in the same form.
    pub clang: String,
    /// Its `ld.lld`, for kernels that it has linked; in the same form.
    pub lld: String,
}

impl Archives {
    /// The address of a version's archive; none where no place has such versions.
    #[must_use]
    pub fn url(&self, os_version: &str, arch: Arch) -> Option<String> {
        let fits = |place: &&ArchivePlace| anchored(&place.versions).is_ok_and(|pattern: Regex| pattern.is_match(os_version));
        self.places.iter().find(fits).map(|place| fill(&place.url, os_version, arch))
    }

    /// The headers' directory in the archive.
    #[must_use]
    pub fn directory_of(&self, kernel: &KernelRelease) -> String {
        self.directory.replace("{kernel}", kernel.as_str())
    }
}

impl ArchivedCompiler {
    /// The address of the file that tells where a version's compiler is.
    #[must_use]
    pub fn named_in(&self, os_version: &str, arch: Arch) -> String {
        fill(&self.named_in, os_version, arch)
    }
}

fn fill(template: &str, os_version: &str, arch: Arch) -> String {
    template.replace("{os_version}", os_version).replace("{arch}", arch.oci())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_counts_that_has_such_versions() {
        let place = |versions: &str, url: &str| ArchivePlace { versions: versions.into(), url: url.into() };
        let archives = Archives {
            version_is: "VERSION_ID".into(),
            places: vec![
                place(r"\d+\.2\.\d+", "https://stable.example/{arch}/{os_version}/image.bz2"),
                place(r"\d+\.[01]\.\d+", "https://other.example/{os_version}"),
            ],
            directory: "usr/lib/modules/{kernel}/build".into(),
            partition: Some(9),
            compiler: None,
        };
        assert_eq!(archives.url("4459.2.1", Arch::Arm64).as_deref(), Some("https://stable.example/arm64/4459.2.1/image.bz2"));
        assert_eq!(archives.url("4500.0.0", Arch::Amd64).as_deref(), Some("https://other.example/4500.0.0"));
        assert_eq!((archives.url("4459.2", Arch::Amd64), archives.url("4459.3.1", Arch::Amd64)), (None, None));
        assert_eq!(archives.directory_of(&"6.12.103-flatcar".parse().unwrap()), "usr/lib/modules/6.12.103-flatcar/build");
    }
}
