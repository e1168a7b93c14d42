use super::*;
use crate::fixture;
use crate::rollout::System;

fn image(kernel: &str) -> FleetImage {
    let fleet = crate::deploy::fleet::Fleet::of(&[fixture::published("v4l2loopback", "6.1.0-56-amd64")]).unwrap();
    FleetImage { kernel: kernel.parse().unwrap(), ..fleet.images[0].clone() }
}

fn selected(kernels: &[&str], label: &str) -> Vec<(String, Vec<String>)> {
    let images: Vec<_> = kernels.iter().map(|kernel| image(kernel)).collect();
    let selections = select(&images, &label.parse().unwrap()).unwrap();
    selections.iter().map(|selection| (selection.to_string(), selection.neighbours.iter().map(ToString::to_string).collect())).collect()
}

#[test]
fn releases_are_written_as_the_labeller_writes_them() {
    for (release, value) in [
        ("6.1.0-56-amd64", "6.1.0-56-amd64"),
        ("6.12.107+deb12-cloud-amd64", "6.12.107_deb12-cloud-amd64"),
        ("5.10.109+", "5.10.109"),
        ("5.14.0-570.el9.aarch64+64k", "5.14.0-570.el9.aarch64_64k"),
        ("7.1.0~rc3-", "7.1.0_rc3"),
    ] {
        assert_eq!(label_value(release), value);
    }
}

#[test]
fn kernels_that_look_alike_know_of_each_other() {
    let full = format!("{NFD_KERNEL}=5.10.109, {ARCH}=amd64");
    assert_eq!(
        selected(&["5.10.109", "5.10.109+", "6.1.0-56-amd64"], NFD_KERNEL),
        [(full.clone(), vec!["5.10.109+".to_owned()]), (full, vec!["5.10.109".to_owned()]), (format!("{NFD_KERNEL}=6.1.0-56-amd64, {ARCH}=amd64"), Vec::new())]
    );
}

#[test]
fn a_release_without_a_label_is_selected_by_its_numbers() {
    let long = format!("6.1.0-{}", "x".repeat(58));
    let numbers = format!("{NFD_NUMBERS}major=6, {NFD_NUMBERS}minor=1, {NFD_NUMBERS}revision=0, {ARCH}=amd64");
    assert_eq!(selected(&["6.1.0-56-amd64", &long, "6.2.0"], NFD_KERNEL)[1], (numbers, vec!["6.1.0-56-amd64".to_owned()]));
    assert_eq!(selected(&[&long], "example.org/kernel")[0].0, format!("example.org/kernel=6.1.0-{}, {ARCH}=amd64", "x".repeat(57)));
    let odd = format!("6.1.0+{}", "x".repeat(58));
    let error = select(&[image(&odd)], &LabelKey::nfd()).unwrap_err().to_string();
    assert_eq!(error, format!("no label tells nodes with {odd}: its 64 characters are more than the 63 that a label holds"));
}

#[test]
fn systems_are_told_apart_only_where_they_share_a_kernel() {
    let (bookworm, mut trixie) = (image("6.12.107+deb13-amd64"), image("6.12.107+deb13-amd64"));
    trixie.distro_release = "trixie".into();
    let same = select(&[bookworm.clone(), trixie.clone()], &LabelKey::nfd()).unwrap_err().to_string();
    assert_eq!(same, "two images of v4l2loopback are for the same nodes with 6.12.107+deb13-amd64");
    trixie.rollout.system = System { id: "debian".into(), version: Some("13".into()) };
    let selections = select(&[bookworm, trixie, image("6.1.0-56-amd64")], &LabelKey::nfd()).unwrap();
    let versions: Vec<_> = selections.iter().map(|selection| selection.labels.get(&format!("{NFD_SYSTEM}VERSION_ID")).map(String::as_str)).collect();
    assert_eq!(versions, [Some("12"), Some("13"), None]);
    assert!(selections.iter().all(|selection| selection.neighbours.is_empty()));
}

#[test]
fn keys_of_labels_are_checked() {
    for right in ["kernel", "example.org/kernel-version.full", NFD_KERNEL] {
        assert_eq!(right.parse::<LabelKey>().map(|key| key.to_string()), Ok(right.to_owned()));
    }
    for wrong in ["", "a/", "/a", "a b", "Example.org/a", "a/b/c", "-a", &"a".repeat(64)] {
        assert_eq!(wrong.parse::<LabelKey>(), Err(InvalidLabelKey), "{wrong}");
    }
}
