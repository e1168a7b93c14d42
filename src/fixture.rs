//! A small catalogue and kernel index for the tests of pure stages.

use std::sync::Arc;

use crate::arch::Arch;
use crate::kernel_selector::KernelSelector;
use crate::package::{Package, PublishedKernel, PublishedRelease};
use crate::pipeline::blank_record;
use crate::plan::{Group, Known, Naming, Plan, PlanError, Target};
use crate::profile::distro::DistroProfile;
use crate::profile::driver::DriverProfile;
use crate::record::{Outcome, TargetRecord};
use crate::reference::Digest;

const DEBIAN: &str = r"
id: debian
name: Debian
homepage: https://www.debian.org/
family: apt
arches: [amd64, arm64]
kernels:
  recognise: ['\d+\.\d+\.\d+-\d+-(?:(?P<flavour>cloud|rt)-)?(?P<arch>amd64|arm64)']
  headers_package: linux-headers-{kernel}
  headers_dependencies: '^linux-(headers|kbuild)-'
  directory: /usr/src/linux-headers-{kernel}
releases:
  - id: bookworm
    version: '12'
    base_image: docker.io/library/debian:bookworm
    repositories:
      - { url: 'http://ftp.debian.org/debian', suite: bookworm, components: [main] }
  - id: trixie
    version: '13'
    base_image: docker.io/library/debian:trixie
    repositories:
      - { url: 'http://ftp.debian.org/debian', suite: trixie, components: [main] }
    default_compiler: gcc-14
toolchain:
  packages: [make, kmod]
  compiler:
    from_dependencies: '^(?P<program>gcc-\d+)$'
    native_package: '{program}'
    cross_package: '{program}-{triplet}'
runtime:
  packages: [kmod]
  files: [usr/bin/kmod]
  links: { usr/sbin/modprobe: ../bin/kmod }
node: { firmware_directory: /lib/firmware }
boot: { packages: ['linux-image-{kernel}'], kernel: 'boot/vmlinuz-{kernel}', modules: 'usr/lib/modules/{kernel}' }
";

/// The driver profiles that tests name.
const DRIVERS: &[&str] = &[
    r"
id: v4l2loopback
name: v4l2loopback
summary: Virtual video devices
homepage: https://github.com/umlaeute/v4l2loopback
licence: GPL-2.0-or-later
versions:
  - version: 0.15.3
    sources: [{ path: { directory: src } }]
build: { steps: [{ kbuild: {} }] }
modules: [{ name: v4l2loopback }]
requires: { config: [CONFIG_VIDEO_DEV] }
",
    r"
id: wireguard
name: WireGuard
summary: VPN
homepage: https://www.wireguard.com/
licence: GPL-2.0-only
versions:
  - version: 1.0.20220627
    sources: [{ path: { directory: src } }]
build: { steps: [{ kbuild: { directory: src } }] }
modules: [{ name: wireguard }]
in_tree: { since: '5.6', module: wireguard }
",
    r"
id: ranged
name: Ranged
summary: Two versions for two ranges of kernels
homepage: https://example.org/
licence: GPL-2.0-only
versions:
  - version: '2.0'
    sources: [{ path: { directory: src } }]
    requires: { kernel: { min: '6.0' } }
  - version: '1.0'
    sources: [{ path: { directory: src } }]
    requires: { kernel: { below: '6.0' } }
build: { steps: [{ kbuild: {} }] }
modules: [{ name: ranged }]
requires: { kernel: { min: '5.0' } }
",
    r"
id: kmf
name: Fixture
summary: The modules of tests/fixtures/kmod
homepage: https://example.org/
licence: GPL-2.0-only
versions:
  - version: '1.0'
    sources: [{ path: { directory: src } }]
build: { steps: [{ kbuild: {} }] }
modules: [{ name: kmf_core }]
firmware: { optional: ['*'] }
requires: { config: [CONFIG_CC_IS_GCC] }
",
];

pub(crate) fn distro() -> Arc<DistroProfile> {
    Arc::new(serde_saphyr::from_str(DEBIAN).unwrap())
}

pub(crate) fn driver(id: &str) -> Arc<DriverProfile> {
    let profiles = DRIVERS.iter().map(|text| serde_saphyr::from_str::<DriverProfile>(text).unwrap());
    Arc::new(profiles.into_iter().find(|profile| profile.id.as_str() == id).unwrap())
}

pub(crate) fn package(name: &str) -> Package {
    Package {
        name: name.to_owned(),
        version: "6.1.192-2".into(),
        arch: "amd64".into(),
        url: format!("http://ftp.debian.org/debian/pool/main/l/linux/{name}.deb"),
        sha256: Digest::of(name.as_bytes()).hex().to_owned(),
        size: 1,
    }
}

pub(crate) fn kernel(release: &str) -> PublishedKernel {
    PublishedKernel {
        headers_image: None,
        os_version: None,
        release: release.parse().unwrap(),
        flavour: if release.contains("cloud") { "cloud".into() } else { String::new() },
        headers: vec![package(&format!("linux-headers-{release}")), package("linux-kbuild-6.1")],
        image: vec![package(&format!("linux-image-{release}"))],
        compilers: vec!["gcc-12".into()],
        backport: false,
        origin: "bookworm".into(),
    }
}

/// What bookworm publishes for amd64, oldest first.
pub(crate) fn index(kernels: &[&str]) -> PublishedRelease {
    let mut kernels: Vec<_> = kernels.iter().map(|release| kernel(release)).collect();
    kernels.sort_by(|a, b| a.release.cmp(&b.release));
    PublishedRelease {
        distro: "debian".into(),
        release: "bookworm".into(),
        arch: "amd64".into(),
        kernels,
        runtime: vec![package("kmod")],
        compilers: vec!["gcc-12".into(), "gcc-12-aarch64-linux-gnu".into()],
        looked_in: vec!["bookworm".into()],
        unverified: Vec::new(),
    }
}

pub(crate) fn group(drivers: &[&str], kernels: &[&str]) -> Group {
    Group {
        unlisted: Vec::new(),
        drivers: drivers.iter().map(|id| (driver(id), None)).collect(),
        distros: vec![(distro(), None)],
        kernels: kernels.iter().map(|text| text.parse::<KernelSelector>().unwrap()).collect(),
        arches: vec![Arch::Amd64],
        excludes: Vec::new(),
    }
}

pub(crate) fn plan_of(group: Group, indexes: &[PublishedRelease]) -> Result<Plan, PlanError> {
    let naming = Naming::new("registry.example/drivers", None, None).unwrap();
    Plan::new(&[group], &naming, &Known { indexes, unsupported: &|_, _| None, build_arch: Arch::Amd64 })
}

/// A plan of drivers for kernels of a Debian that publishes just these and some others.
pub(crate) fn plan(drivers: &[&str], kernels: &[&str]) -> Result<Plan, PlanError> {
    let published = ["6.1.0-9-amd64", "6.1.0-54-amd64", "6.1.0-55-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64", "5.10.0-30-amd64"];
    plan_of(group(drivers, kernels), &[index(&published)])
}

/// What the record says of a target whose image is published.
pub(crate) fn published(driver: &str, kernel: &str) -> TargetRecord {
    let record = blank_record(&target(driver, kernel), Outcome::Published, "already published");
    TargetRecord { digest: Some(Digest::of(b"manifest").to_string()), index_digest: Some(index_digest().to_string()), ..record }
}

/// The digest of each published index.
pub(crate) fn index_digest() -> Digest {
    Digest::of(b"index")
}

/// The only target of a driver and a kernel.
pub(crate) fn target(driver: &str, kernel: &str) -> Target {
    plan(&[driver], &[kernel]).unwrap().targets.remove(0)
}
