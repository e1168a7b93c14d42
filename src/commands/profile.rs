//! What there is to know about profiles: which there are, what they say, whether they are right, what they may say.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::catalog::{Catalog, CatalogError, Entry};
use crate::error::{Exit, Failure};
use crate::profile::distro::DistroProfile;
use crate::profile::driver::DriverProfile;
use crate::project::{Project, ProjectFile};
use crate::record::Record;
use crate::yaml::{Source, nearest};

/// The kinds of profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `distros/<id>.yaml`.
    Distro,
    /// `drivers/<id>.yaml`.
    Driver,
}

/// What there are JSON Schemas of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaOf {
    /// `distros/<id>.yaml`.
    Distro,
    /// `drivers/<id>.yaml`.
    Driver,
    /// `kmodforge.yaml`.
    Project,
    /// `kmodforge-record.json`.
    Record,
}

/// A profile in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Distro or driver.
    pub kind: Kind,
    /// `v4l2loopback`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// A driver's versions, a distribution's releases, newest first.
    pub versions: Vec<String>,
    /// What a driver is; a distribution's architectures.
    pub summary: String,
    /// The file, or `built in`.
    pub origin: String,
}

/// Every profile: distributions, then drivers, each by id.
#[must_use]
pub fn list(catalog: &Catalog, kind: Option<Kind>) -> Vec<Row> {
    let distros = catalog.distro_entries().map(|entry| {
        let distro = &entry.profile;
        let arches: Vec<_> = distro.arches.iter().map(|arch| arch.oci()).collect();
        Row {
            kind: Kind::Distro,
            id: distro.id.to_string(),
            name: distro.name.clone(),
            versions: distro.releases.iter().map(|release| release.id.to_string()).collect(),
            summary: format!("kernels for {}", arches.join(", ")),
            origin: origin(entry),
        }
    });
    let drivers = catalog.driver_entries().map(|entry| {
        let driver = &entry.profile;
        Row {
            kind: Kind::Driver,
            id: driver.id.to_string(),
            name: driver.name.clone(),
            versions: driver.versions.iter().map(|version| version.version.to_string()).collect(),
            summary: driver.summary.clone(),
            origin: origin(entry),
        }
    });
    distros.chain(drivers).filter(|row| kind.is_none_or(|kind| kind == row.kind)).collect()
}

fn origin<P>(entry: &Entry<P>) -> String {
    entry.file.as_ref().map_or_else(|| "built in".to_owned(), |file| file.display().to_string())
}

/// A profile as it was written.
///
/// # Errors
/// When no profile has the id, or a distribution and a driver have it and no kind is given.
pub fn show(catalog: &Catalog, id: &str, kind: Option<Kind>) -> Result<String, Failure> {
    match find(catalog, id, kind)? {
        Found::Distro(entry) => Ok(entry.text.clone()),
        Found::Driver(entry) => Ok(entry.text.clone()),
    }
}

/// A profile as JSON, with every default filled in.
///
/// # Errors
/// As [`show`].
pub fn show_json(catalog: &Catalog, id: &str, kind: Option<Kind>) -> Result<String, Failure> {
    let json = match find(catalog, id, kind)? {
        Found::Distro(entry) => serde_json::to_string_pretty(&entry.profile),
        Found::Driver(entry) => serde_json::to_string_pretty(&entry.profile),
    };
    json.map_err(|error| Failure::new(Exit::Failed, format!("cannot write `{id}` as JSON: {error}")))
}

enum Found<'a> {
    Distro(&'a Entry<DistroProfile>),
    Driver(&'a Entry<DriverProfile>),
}

fn find<'a>(catalog: &'a Catalog, id: &str, kind: Option<Kind>) -> Result<Found<'a>, Failure> {
    match kind {
        Some(Kind::Distro) => return Ok(Found::Distro(catalog.distro_entry(id)?)),
        Some(Kind::Driver) => return Ok(Found::Driver(catalog.driver_entry(id)?)),
        None => {}
    }
    match (catalog.distro_entry(id), catalog.driver_entry(id)) {
        (Ok(distro), Err(_)) => Ok(Found::Distro(distro)),
        (Err(_), Ok(driver)) => Ok(Found::Driver(driver)),
        (Ok(_), Ok(_)) => Err(Failure::new(Exit::Usage, format!("`{id}` is a distro and a driver")).help("say which: --kind distro or --kind driver")),
        (Err(_), Err(_)) => {
            let known: Vec<_> = list(catalog, None).into_iter().map(|row| row.id).collect();
            let failure = Failure::new(Exit::Usage, format!("unknown profile `{id}`")).fact("known", known.join(", "));
            match nearest(id, known.iter().map(String::as_str)) {
                Some(word) => Err(failure.help(format!("did you mean `{word}`?"))),
                None => Err(failure),
            }
        }
    }
}

/// What a file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    /// `driver v4l2loopback`, `distro debian`, `project`.
    pub what: String,
}

/// Checks files: profiles, project files, and directories with `drivers/` and `distros/`. Each file has its own result, so that
/// one mistake hides no other.
#[must_use]
pub fn check(catalog: &Catalog, paths: &[PathBuf]) -> Vec<Result<Checked, Failure>> {
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

/// A project has a `matrix`, a driver has `modules`, a distribution has `releases`; a file that is none of them is checked as
/// what its directory says.
fn check_file(catalog: &Catalog, path: &Path) -> Result<Checked, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| CatalogError::Unreadable { path: path.to_owned(), error })?;
    let name = path.display().to_string();
    let source = Source::read(&name, &text)?;
    let in_distros = path.parent().is_some_and(|parent| parent.ends_with("distros"));
    let what = if source.has_key("matrix") {
        Project::parse(path, &text)?.check(catalog)?;
        "project".to_owned()
    } else if source.has_key("releases") || (in_distros && !source.has_key("modules")) {
        let profile = DistroProfile::load(&name, &text)?;
        check_file_name(path, profile.id.as_str())?;
        format!("distro {}", profile.id)
    } else {
        let profile = DriverProfile::load(&name, &text)?;
        check_file_name(path, profile.id.as_str())?;
        format!("driver {}", profile.id)
    };
    Ok(Checked { path: path.to_owned(), what })
}

fn check_file_name(path: &Path, id: &str) -> Result<(), CatalogError> {
    if path.file_stem().is_some_and(|stem| stem == id) {
        return Ok(());
    }
    Err(CatalogError::FileName { file: path.to_owned(), id: id.to_owned() })
}

/// A JSON Schema, for editors and programs.
#[must_use]
pub fn schema(of: SchemaOf) -> String {
    let schema = match of {
        SchemaOf::Distro => schemars::schema_for!(DistroProfile),
        SchemaOf::Driver => schemars::schema_for!(DriverProfile),
        SchemaOf::Project => schemars::schema_for!(ProjectFile),
        SchemaOf::Record => schemars::schema_for!(Record),
    };
    format!("{:#}", schema.as_value())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_listed_with_their_origin() {
        let rows = list(&Catalog::embedded().unwrap(), None);
        assert_eq!(
            serde_json::to_value(&rows[0]).unwrap(),
            serde_json::json!({"kind": "distro", "id": "debian", "name": "Debian", "versions": ["trixie", "bookworm", "sid"],
                "summary": "kernels for amd64, arm64", "origin": "built in"})
        );
        assert!(list(&Catalog::embedded().unwrap(), Some(Kind::Driver)).iter().all(|row| row.kind == Kind::Driver && !row.versions.is_empty()));
    }

    #[test]
    fn profiles_are_shown_as_written_and_as_json() {
        let catalog = Catalog::embedded().unwrap();
        assert!(show(&catalog, "zfs", None).unwrap().starts_with("id: zfs\n"));
        let json: serde_json::Value = serde_json::from_str(&show_json(&catalog, "v4l2loopback", None).unwrap()).unwrap();
        assert_eq!(json["modules"][0]["install"], "extra");
        assert_eq!(
            show(&catalog, "zsf", None).unwrap_err().to_string(),
            "error: unknown profile `zsf`\n  known     debian, jool, nvidia-open, r8125, v4l2loopback, wireguard, zfs\n  help      did you mean `zfs`?"
        );
    }

    #[test]
    fn one_mistake_hides_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let catalog = Catalog::embedded().unwrap();
        let write = |file: &str, text: &str| {
            let path = directory.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("drivers/zfs.yaml", &show(&catalog, "zfs", None).unwrap());
        write("drivers/a.yaml", "id: a\n");
        write("distros/b.yaml", "id: b\n");
        write("kmodforge.yaml", "matrix: [{drivers: [zfs], kernels: [latest]}]\n");
        let results = check(&catalog, &[directory.path().to_owned(), directory.path().join("missing.yaml")]);
        let words: Vec<_> = results.into_iter().map(|result| result.map_or_else(|failure| failure.headline, |checked| checked.what)).collect();
        let missing = format!("cannot read {}: No such file or directory (os error 2)", directory.path().join("missing.yaml").display());
        assert_eq!(words, ["missing key `name`", "missing key `name`", "driver zfs", "project", missing.as_str()]);
    }

    #[test]
    fn schemas_accept_the_built_in_profiles() {
        let catalog = Catalog::embedded().unwrap();
        for row in list(&catalog, None) {
            let of = if row.kind == Kind::Distro { SchemaOf::Distro } else { SchemaOf::Driver };
            let schema = serde_json::from_str(&schema(of)).unwrap();
            let profile = serde_json::from_str(&show_json(&catalog, &row.id, None).unwrap()).unwrap();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<_> = validator.iter_errors(&profile).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", row.id);
        }
    }
}
