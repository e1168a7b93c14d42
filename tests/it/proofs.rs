//! Profiles do not claim more than tests do.

use std::collections::BTreeSet;

use kmodforge::arch::Arch;
use kmodforge::catalog::Catalog;
use kmodforge::profile::driver::Proof;

use crate::catalogue_table::{DRIVERS, HEAVY, Kernel, LIGHT, QUICK};

#[test]
fn what_claims_to_be_proven_is_what_the_end_to_end_tests_build() {
    let catalog = Catalog::embedded().unwrap();
    let claimed: BTreeSet<_> =
        catalog.driver_entries().filter(|entry| entry.profile.proven != Proof::Rendered).map(|entry| entry.profile.id.as_str()).collect();
    let tested: Vec<_> = LIGHT.into_iter().chain(HEAVY).chain(DRIVERS.iter().map(|(driver, _)| *driver)).collect();
    assert_eq!(claimed, tested.iter().copied().collect(), "profiles (left), tests (right)");
    assert_eq!(claimed.len(), tested.len(), "a driver stands twice in the tables of tests/e2e/catalogue");
    for driver in LIGHT.into_iter().chain(HEAVY) {
        assert_eq!(catalog.driver(driver).unwrap().proven, Proof::Loaded, "{driver}");
    }
}

/// A driver that is for kernels of both releases is tested with both.
#[test]
fn a_driver_is_proven_on_every_kernel_that_it_is_for() {
    let catalog = Catalog::embedded().unwrap();
    for (driver, kernels) in DRIVERS {
        let fitting = [(Kernel::BookwormNewest, "6.1"), (Kernel::TrixieNewest, "6.12")]
            .into_iter()
            .filter(|(_, version)| catalog.driver(driver).unwrap().select_version(version.parse().unwrap(), Arch::Amd64).is_ok());
        let missing: Vec<_> = fitting.map(|(kernel, _)| kernel).filter(|kernel| !kernels.contains(kernel)).collect();
        assert!(missing.is_empty(), "{driver} is not tested with {missing:?}");
    }
    assert!(DRIVERS.len() > QUICK);
}
