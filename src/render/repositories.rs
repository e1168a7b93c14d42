//! A release's repositories in the words of its package manager.

use crate::arch::Arch;
use crate::mirror::Mirrors;
use crate::plan::PlannedDistro;
use crate::profile::distro::{Family, Repository};

/// Lines of the package manager's configuration, with what is fetched taken from `mirrors`.
pub(super) fn repositories(distro: &PlannedDistro, build_arch: Arch, mirrors: &Mirrors) -> Vec<String> {
    let repositories = distro.release.repositories.iter().filter(|repository| repository.has(build_arch));
    match distro.profile.family {
        Family::Apt => repositories.map(|repository| sources_line(repository, mirrors)).collect(),
        Family::Dnf => {
            let arch = distro.profile.family.arch_name(build_arch);
            repositories.flat_map(|repository| section(repository, &distro.release.package_keys, arch, mirrors)).collect()
        }
    }
}

/// A line of `sources.list`.
fn sources_line(repository: &Repository, mirrors: &Mirrors) -> String {
    let option = if repository.check_valid_until && !mirrors.frozen { "" } else { "[check-valid-until=no] " };
    format!("deb {option}{} {} {}", mirrors.package(&repository.url), repository.suite, repository.components.join(" "))
}

/// A section of a `*.repo` file (dnf.conf(5)). A release's first repository must be there, the others need not.
fn section(repository: &Repository, keys: &[String], arch: &str, mirrors: &Mirrors) -> Vec<String> {
    let url = mirrors.package(&repository.url.replace("{arch}", arch));
    let place = if url.ends_with("/mirror.list") { "mirrorlist" } else { "baseurl" };
    let mut lines = vec![format!("[{}]", repository.suite), format!("name={}", repository.suite), format!("{place}={url}"), "enabled=1".to_owned()];
    if keys.is_empty() {
        lines.push("gpgcheck=0".to_owned());
    } else {
        let files: Vec<_> = keys.iter().map(|file| format!("file://{file}")).collect();
        lines.extend(["gpgcheck=1".to_owned(), format!("gpgkey={}", files.join(" "))]);
    }
    lines.extend(["skip_if_unavailable=1".to_owned(), String::new()]);
    lines
}
