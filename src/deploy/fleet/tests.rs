use super::*;
use crate::fixture;

fn fleet(records: &[TargetRecord]) -> Result<Fleet, FleetError> {
    Fleet::of(records)
}

#[test]
fn published_images_come_with_the_digest_of_their_index() {
    let fleet = fleet(&[fixture::published("v4l2loopback", "6.1.0-55-amd64"), fixture::published("v4l2loopback", "6.1.0-56-amd64")]).unwrap();
    let images: Vec<_> = fleet.images.iter().map(|image| image.image.to_string()).collect();
    let digest = fixture::index_digest();
    assert_eq!(
        images,
        [
            format!("registry.example/drivers/v4l2loopback:0.15.3-6.1.0-56-amd64@{digest}"),
            format!("registry.example/drivers/v4l2loopback:0.15.3-6.1.0-55-amd64@{digest}")
        ]
    );
    assert_eq!(fleet.images[0].rollout.system.version.as_deref(), Some("12"));
}

#[test]
fn architectures_of_a_tag_are_one_entry() {
    let amd64 = fixture::published("v4l2loopback", "6.1.0-56-amd64");
    let mut arm64 = amd64.clone();
    arm64.target.arch = "arm64".into();
    let fleet = fleet(&[amd64, arm64]).unwrap();
    assert_eq!(fleet.images.len(), 1);
    assert_eq!(fleet.images[0].arches, [Arch::Amd64, Arch::Arm64]);
}

#[test]
fn what_was_not_pushed_is_missing_with_the_reason() {
    let mut failed = fixture::published("v4l2loopback", "6.1.0-55-amd64");
    (failed.outcome, failed.why, failed.index_digest) = (Outcome::Failed, "did not compile".into(), None);
    let mut local = fixture::published("v4l2loopback", "6.1.0-56-amd64");
    local.index_digest = None;
    let fleet = fleet(&[failed, local]).unwrap();
    let why: Vec<_> = fleet.missing.iter().map(|missing| missing.why.as_str()).collect();
    assert!(fleet.images.is_empty());
    assert_eq!(why, ["did not compile", "built, but not pushed"]);
}

#[test]
fn the_last_record_of_a_target_is_right() {
    let mut failed = fixture::published("v4l2loopback", "6.1.0-56-amd64");
    failed.outcome = Outcome::Failed;
    let fleet = fleet(&[failed, fixture::published("v4l2loopback", "6.1.0-56-amd64")]).unwrap();
    assert_eq!((fleet.images.len(), fleet.missing.len()), (1, 0));
}

#[test]
fn two_drivers_with_one_module_are_refused() {
    let mut other = fixture::published("ranged", "6.1.0-56-amd64");
    if let Some(rollout) = &mut other.rollout {
        rollout.loads[0].module = "v4l2loopback".into();
    }
    let error = fleet(&[fixture::published("v4l2loopback", "6.1.0-56-amd64"), other]).unwrap_err();
    assert_eq!(error.to_string(), "`v4l2loopback` for 6.1.0-56-amd64 comes from two drivers: ranged 2.0 and v4l2loopback 0.15.3");
}

#[test]
fn old_and_damaged_records_are_told() {
    let mut old = fixture::published("v4l2loopback", "6.1.0-56-amd64");
    old.rollout = None;
    let label = "v4l2loopback 0.15.3 for 6.1.0-56-amd64 (debian bookworm, amd64)";
    assert_eq!(fleet(&[old]).unwrap_err().to_string(), format!("the record of {label} does not say what nodes must know"));
    let mut damaged = fixture::published("v4l2loopback", "6.1.0-56-amd64");
    damaged.index_digest = Some("sha256:1".into());
    let error = fleet(&[damaged]).unwrap_err().to_string();
    assert_eq!(error, format!("the record of {label}: `sha256:1` is not a digest: expected `sha256:` and 64 lower-case hexadecimal digits"));
}
