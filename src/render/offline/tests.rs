use super::*;
use crate::arch::Arch;
use crate::fixture;
use crate::render::has_driver_toolchain;
use crate::render::tests::{OF_DISTROS, built_in, check_text, newest, of_distro, shellcheck};

fn target() -> Target {
    fixture::target("v4l2loopback", "6.1.0-56-amd64")
}

/// A driver whose build needs packages of its own.
fn zfs() -> Target {
    built_in("zfs", &newest("zfs"), "6.1.0-56-amd64", Arch::Amd64)
}

#[test]
fn fetches_nothing_whatever_the_family() {
    for (distro, release, kernel) in OF_DISTROS {
        let target = of_distro(distro, release, kernel);
        // What an image has is in no bundle (`kmodforge fetch` says so).
        if target.kernel.headers_image.is_some() {
            continue;
        }
        let text = offline_dockerfile(&target, &Mirrors::default()).unwrap();
        for word in ["type=cache", "apt-get", "kmodforge-install ", "FROM docker.io", "FROM registry."] {
            assert!(!text.contains(word), "{distro}: {word}\n{text}");
        }
        let from: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next()).collect();
        let stages: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(" AS ").nth(1)).collect();
        assert!(from.iter().all(|from| *from == "scratch" || stages.contains(from)), "{distro}: {from:?}");
        let online = dockerfile(&target, &Mirrors::default()).unwrap();
        let online: Vec<_> = online.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(" AS ").nth(1)).collect();
        let sorted = |mut names: Vec<&str>| {
            names.sort_unstable();
            names.into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(sorted(stages), sorted(online), "{distro}: the same stages");
        shellcheck(&text);
    }
}

#[test]
fn is_as_people_have_read_it() {
    check_text("offline-apt", &offline_dockerfile(&zfs(), &Mirrors::default()).unwrap());
    let (distro, release, kernel) = OF_DISTROS.iter().find(|(distro, ..)| *distro == "fedora").unwrap();
    check_text("offline-dnf", &offline_dockerfile(&of_distro(distro, release, kernel), &Mirrors::default()).unwrap());
}

#[test]
fn a_toolchain_is_known_by_what_it_is_made_from() {
    let key = |target: &Target| toolchain_key(target, None).unwrap();
    let same = key(&target());
    assert_eq!(key(&fixture::target("v4l2loopback", "6.1.0-55-amd64")), same, "kernels of one compiler share it");
    assert_ne!(key(&zfs()), same, "a driver with packages of its own");
    assert_ne!(toolchain_key(&target(), Some(&Digest::of(b"base"))).unwrap(), same);
    let mut other = target();
    let mut toolchain = other.toolchain.as_ref().clone();
    toolchain.packages.push("bc".into());
    other.toolchain = toolchain.into();
    assert_ne!(key(&other), same);
    assert_eq!(toolchain_stage(&target()), "toolchain");
    assert!(has_driver_toolchain(&zfs()));
}

/// Elsewhere the kernel's configuration decides on the compiler, so that each kernel may have another one.
#[test]
fn a_toolchain_that_depends_on_the_kernel_is_made_from_its_headers_too() {
    let (distro, release, kernel) = OF_DISTROS.iter().find(|(distro, ..)| *distro == "fedora").unwrap();
    let target = of_distro(distro, release, kernel);
    let mut other = target.clone();
    let mut changed = other.kernel.as_ref().clone();
    changed.headers[0].sha256 = Digest::of(b"other").hex().to_owned();
    other.kernel = changed.into();
    assert_ne!(toolchain_key(&target, None).unwrap(), toolchain_key(&other, None).unwrap());
}

#[test]
fn packages_lie_in_a_folder_for_each_stage_that_unpacks_some() {
    let target = target();
    let text = offline_dockerfile(&target, &Mirrors::default()).unwrap();
    for (path, package) in packages(&target) {
        let (folder, name) = path.rsplit_once('/').unwrap();
        assert!(text.contains(&format!("--mount=type=bind,source={folder},rw,target=/var/cache/kmodforge ")), "{folder}\n{text}");
        assert!(name == package.sha256 && text.contains(name));
    }
}
