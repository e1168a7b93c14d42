//! A release's repositories in the words of its package manager.

use crate::arch::Arch;
use crate::mirror::Mirrors;
use crate::plan::PlannedDistro;
use crate::profile::distro::{Family, Release, Repository};

/// Lines of the package manager's configuration, with what is fetched taken from `mirrors`.
pub(super) fn repositories(distro: &PlannedDistro, build_arch: Arch, mirrors: &Mirrors) -> Vec<String> {
    let repositories = distro.release.repositories.iter().filter(|repository| repository.has(build_arch));
    match distro.profile.family {
        Family::Apt => repositories.map(|repository| sources_line(repository, mirrors)).collect(),
        Family::Dnf | Family::Zypper => {
            let arch = distro.profile.family.arch_name(build_arch);
            repositories.flat_map(|repository| section(repository, &distro.release.package_keys, arch, mirrors, distro.profile.family)).collect()
        }
        Family::Pacman => repositories.flat_map(|repository| pacman_section(repository, distro.profile.family.arch_name(build_arch), mirrors)).collect(),
    }
}

/// Lines of `sources.list` for machines of any architecture.
pub(super) fn all_sources(release: &Release, mirrors: &Mirrors) -> Vec<String> {
    release.repositories.iter().map(|repository| sources_line(repository, mirrors)).collect()
}

/// A line of `sources.list`.
fn sources_line(repository: &Repository, mirrors: &Mirrors) -> String {
    let frozen = (!repository.check_valid_until || mirrors.frozen).then_some("check-valid-until=no");
    let trusted = is_trusted(repository, &repository.url, mirrors).then_some("trusted=yes");
    let arches = (!repository.arches.is_empty()).then(|| format!("arch={}", repository.arches.iter().map(|arch| arch.oci()).collect::<Vec<_>>().join(",")));
    let options: Vec<_> = arches.as_deref().into_iter().chain(frozen).chain(trusted).collect();
    let options = if options.is_empty() { String::new() } else { format!("[{}] ", options.join(" ")) };
    format!("deb {options}{} {} {}", mirrors.package(&repository.url), repository.suite, repository.components.join(" "))
}

fn is_trusted(repository: &Repository, url: &str, mirrors: &Mirrors) -> bool {
    repository.trusted || mirrors.is_trusted(url)
}

/// A section of `pacman.conf` (pacman.conf(5)).
fn pacman_section(repository: &Repository, arch: &str, mirrors: &Mirrors) -> Vec<String> {
    let official = repository.url.replace("{arch}", arch);
    let level = if is_trusted(repository, &official, mirrors) { "Never" } else { "Required DatabaseOptional" };
    vec![format!("[{}]", repository.suite), format!("SigLevel = {level}"), format!("Server = {}", mirrors.package(&official)), String::new()]
}

/// A section of a `*.repo` file (dnf.conf(5), zypper(8)). A release's first repository must be there, the others need not.
fn section(repository: &Repository, keys: &[String], arch: &str, mirrors: &Mirrors, family: Family) -> Vec<String> {
    let official = repository.url.replace("{arch}", arch);
    let url = mirrors.package(&official);
    let place = if url.ends_with("/mirror.list") { "mirrorlist" } else { "baseurl" };
    let mut lines = vec![format!("[{}]", repository.suite), format!("name={}", repository.suite), format!("{place}={url}"), "enabled=1".to_owned()];
    lines.push(format!("gpgcheck={}", u8::from(!is_trusted(repository, &official, mirrors))));
    // dnf takes keys from files as it needs them; zypper knows those that rpm knows.
    if family == Family::Zypper {
        lines.push("autorefresh=1".to_owned());
    } else {
        let files: Vec<_> = keys.iter().map(|file| format!("file://{file}")).collect();
        lines.extend([format!("gpgkey={}", files.join(" ")), "skip_if_unavailable=1".to_owned()]);
    }
    lines.push(String::new());
    lines
}
