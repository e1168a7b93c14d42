//! Every driver of the catalogue that claims to be proven, by its own profile, on kernels of two releases of Debian.
//!
//! Together that takes hours, so `make test` has two quick drivers on one kernel; `make test-drivers` has all of them (`KMODFORGE_TEST_DRIVERS=all`).

pub(crate) mod table;

use std::fmt::Write as _;
use std::fs;

use kmodforge::catalog::Catalog;
use kmodforge::env;
use kmodforge::finding::Severity;
use kmodforge::profile::driver::{Answer, DriverProfile, Proof, Redistribution};
use kmodforge::record::{Outcome, TargetRecord};

use self::table::{DRIVERS, Kernel, QUICK};
use crate::forge::{Forge, newest, newest_trixie, oldest};

fn release(kernel: Kernel) -> &'static str {
    match kernel {
        Kernel::BookwormOldest => oldest(),
        Kernel::BookwormNewest => newest(),
        Kernel::TrixieNewest => newest_trixie(),
    }
}

/// Rows of the project: one per driver and kernel, since not every driver is for every kernel.
fn matrix(drivers: &[(&str, &[Kernel])]) -> String {
    drivers.iter().flat_map(|(driver, kernels)| kernels.iter().map(move |kernel| (driver, release(*kernel)))).fold(
        String::new(),
        |mut rows, (driver, kernel)| {
            let _ = writeln!(rows, "  - {{drivers: [{driver}], distros: [debian], kernels: [\"{kernel}\"]}}");
            rows
        },
    )
}

/// Builds the drivers, and boots those that claim to load.
fn prove(catalog: &Catalog, drivers: &[(&str, &[Kernel])]) {
    for proof in [Proof::Loaded, Proof::Compiled] {
        let drivers: Vec<_> = drivers.iter().copied().filter(|(driver, _)| catalog.driver(driver).unwrap().proven == proof).collect();
        if drivers.is_empty() {
            continue;
        }
        let forge = Forge::new("catalogue", &matrix(&drivers));
        let profiles: Vec<_> = drivers.iter().map(|(driver, _)| catalog.driver(driver).unwrap()).collect();
        let mut arguments = vec!["build", "--push", "--keep-going"];
        if proof == Proof::Loaded {
            arguments.extend(["--boot", "--boot-together"]);
        }
        for profile in profiles.iter().filter(|profile| profile.redistribution != Redistribution::Permitted) {
            arguments.extend(["--accept-licence", &profile.licence]);
        }
        let run = forge.run(&arguments);
        let record = forge.record();
        let wrong: Vec<_> = record.targets.iter().filter_map(|target| wrong(&forge, catalog.driver(&target.target.driver).unwrap(), target)).collect();
        assert!(wrong.is_empty() && run.status == 0, "{}\n{}", wrong.join("\n"), run.stderr);
        assert_eq!(record.targets.len(), drivers.iter().map(|(_, kernels)| kernels.len()).sum::<usize>());
    }
}

/// What contradicts the claim of a driver's profile.
fn wrong(forge: &Forge, profile: &DriverProfile, target: &TargetRecord) -> Option<String> {
    let says = |what: String| Some(format!("{}: {what}", target.target));
    if target.outcome != Outcome::Built {
        return says(format!("{} {:?}", target.why, target.findings));
    }
    if profile.proven == Proof::Compiled {
        return None;
    }
    let Some(boot) = &target.boot else { return says("not booted".into()) };
    if let Some(finding) = target.findings.iter().find(|finding| finding.severity == Severity::Error) {
        return says(format!("{finding:?}"));
    }
    if profile.load.without_hardware == Answer::Loads {
        let version = profile.version(&target.target.version)?;
        let missing = |name: &str| !boot.loaded.iter().any(|loaded| loaded.replace('-', "_") == name.replace('-', "_"));
        let modules = profile.modules_of(version).iter().filter(|module| module.load && target.modules.contains(&module.name));
        let missing: Vec<_> = modules.filter(|module| missing(&module.name)).map(|module| module.name.as_str()).collect();
        return if missing.is_empty() { None } else { says(format!("did not load: {}", missing.join(", "))) };
    }
    let console = fs::read_to_string(forge.path(boot.log.as_ref()?)).unwrap();
    let answered = profile.load.without_hardware.words().iter().any(|words| console.contains(words));
    if answered { None } else { says(format!("did not answer {}", profile.load.without_hardware.name())) }
}

#[test]
fn what_profiles_claim_is_so() {
    let catalog = Catalog::embedded().unwrap();
    if env::var("KMODFORGE_TEST_DRIVERS").is_some_and(|value| value == "all") {
        prove(&catalog, DRIVERS);
    } else {
        let quick: Vec<_> = DRIVERS[..QUICK].iter().map(|(driver, kernels)| (*driver, &kernels[..1])).collect();
        prove(&catalog, &quick);
    }
}
