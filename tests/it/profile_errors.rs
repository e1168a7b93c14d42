//! `tests/errors/<kind>/*.yaml`: each file has one mistake, and the message about it beside it. `SNAPSHOTS=overwrite` writes them.

use std::path::{Path, PathBuf};

use kmodforge::catalog::Catalog;
use kmodforge::error::{Exit, Failure};
use kmodforge::policy::Policy;
use kmodforge::profile::distro::DistroProfile;
use kmodforge::profile::driver::DriverProfile;
use kmodforge::project::Project;
use snapbox::Data;

/// Checks every file of a kind: `right.yaml` is right, the others get the message beside them.
fn check_all(kind: &str, load: impl Fn(&str, &str) -> Result<(), Failure>) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors").join(kind);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() > 10, "{}", directory.display());
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let result = load(&name, &std::fs::read_to_string(&file).unwrap());
        if name == "right.yaml" {
            result.unwrap();
            continue;
        }
        let failure = result.expect_err(&name);
        assert_eq!(failure.exit, Exit::Usage, "{name}");
        snapbox::assert_data_eq!(format!("{failure}\n"), Data::read_from(&file.with_extension("txt"), None).raw());
    }
}

#[test]
fn drivers() {
    check_all("driver", |name, text| DriverProfile::load(name, text).map(drop).map_err(Failure::from));
}

#[test]
fn distros() {
    check_all("distro", |name, text| DistroProfile::load(name, text).map(drop).map_err(Failure::from));
}

#[test]
fn projects() {
    let catalog = Catalog::embedded().unwrap();
    check_all("project", |name, text| {
        let project = Project::parse(Path::new(name), text)?;
        project.check(&catalog)?;
        Ok(())
    });
}

/// Files that policies name are looked for beside them: here, in the crate's folder.
#[test]
fn policies() {
    check_all("policy", |name, text| Policy::parse(Path::new(name), text).map(drop).map_err(Failure::from));
}
