//! Whether files are right, whatever they are.

use std::path::{Path, PathBuf};

use crate::catalog::{Catalog, CatalogError, Entry};
use crate::error::Failure;
use crate::policy::Policy;
use crate::profile::distro::DistroProfile;
use crate::profile::driver::DriverProfile;
use crate::project::Project;
use crate::yaml::Source;

/// What a file turned out to be.
pub(super) struct Checked {
    /// The file.
    pub(super) path: PathBuf,
    /// `driver v4l2loopback`, `distro debian`, `project`.
    pub(super) what: String,
    /// The driver, if it is one.
    pub(super) driver: Option<Entry<DriverProfile>>,
}

/// Checks files: profiles, project files, and directories with `drivers/` and `distros/`. Each file has its own result, so that
/// one mistake hides no other.
pub(super) fn check(catalog: &Catalog, paths: &[PathBuf]) -> Vec<Result<Checked, Failure>> {
    let mut results = Vec::new();
    for path in paths {
        match files_of(path) {
            Ok(files) => results.extend(files.iter().map(|file| check_file(catalog, file))),
            Err(failure) => results.push(Err(failure)),
        }
    }
    results
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for directory in [path.to_owned(), path.join("distros"), path.join("drivers")] {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        files.extend(entries.flatten().map(|entry| entry.path()).filter(|file| file.extension().is_some_and(|extension| extension == "yaml")));
    }
    files.sort();
    if files.is_empty() { Err(CatalogError::NoProfiles(path.to_owned()).into()) } else { Ok(files) }
}

/// Keys that only policies have.
const POLICY_KEYS: [&str; 6] = ["checks", "signers", "licences", "proprietary", "cosign_key", "documents"];

/// A policy has one of its keys, a project has a `matrix`, a driver has `modules`, a distribution has `releases`; a file that is none of them is checked as
/// what its directory says.
fn check_file(catalog: &Catalog, path: &Path) -> Result<Checked, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| CatalogError::Unreadable { path: path.to_owned(), error })?;
    let name = path.display().to_string();
    let source = Source::read(&name, &text)?;
    let in_distros = path.parent().is_some_and(|parent| parent.ends_with("distros"));
    let mut driver = None;
    let what = if POLICY_KEYS.iter().any(|key| source.has_key(key)) {
        Policy::parse(path, &text)?;
        "policy".to_owned()
    } else if source.has_key("matrix") {
        Project::parse(path, &text)?.check(catalog)?;
        "project".to_owned()
    } else if source.has_key("releases") || (in_distros && !source.has_key("modules")) {
        let profile = DistroProfile::load(&name, &text)?;
        check_file_name(path, profile.id.as_str())?;
        catalog.check_keyrings_of(&profile, &source)?;
        format!("distro {}", profile.id)
    } else {
        let profile = DriverProfile::load(&name, &text)?;
        check_file_name(path, profile.id.as_str())?;
        let what = format!("driver {}", profile.id);
        driver = Some(Entry { profile, text, file: Some(path.to_owned()) });
        what
    };
    Ok(Checked { path: path.to_owned(), what, driver })
}

fn check_file_name(path: &Path, id: &str) -> Result<(), CatalogError> {
    if path.file_stem().is_some_and(|stem| stem == id) {
        return Ok(());
    }
    Err(CatalogError::FileName { file: path.to_owned(), id: id.to_owned() })
}
