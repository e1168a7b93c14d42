use super::*;
use crate::fixture;

fn plan(drivers: &[&str], kernels: &[&str]) -> Result<Plan, PlanError> {
    fixture::plan(drivers, kernels)
}

#[test]
fn a_driver_that_the_kernel_has_is_skipped_with_the_reason() {
    let plan = plan(&["wireguard"], &["6.1.0-56-amd64"]).unwrap();
    assert!(plan.targets.is_empty());
    assert_eq!(plan.skipped[0].reason.to_string(), "in the kernel since 5.6");
    assert!(!plan.skipped[0].reason.is_failure());
}
