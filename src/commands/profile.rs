//! `kmodforge profile`: which profiles there are, what they say, whether they are right, what they may say.

mod files;
mod page;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::files::Checked;
use super::given::{Market, profile_of};
use super::session::{Session, host_arch, load_catalog};
use super::{selection, unless_cancelled};
use crate::catalog::{Catalog, Entry, tell_known};
use crate::cli::{
    BuildArgs, GlobalArgs, ProfileCheckArgs, ProfileCommand, ProfileKind, ProfileListArgs, ProfileNewArgs, ProjectArgs, SchemaKind, SelectArgs, ShowFormat,
    TextFormat,
};
use crate::error::{Exit, Failure};
use crate::policy::PolicyFile;
use crate::profile::distro::DistroProfile;
use crate::profile::driver::DriverProfile;
use crate::project::{Project, ProjectFile};
use crate::record::Record;
use crate::ui::{self, Ui};
use crate::yaml::nearest;

/// Lists, shows and checks profiles.
///
/// # Errors
/// When a profile is wrong or there is none of that name.
pub async fn run(global: &GlobalArgs, command: ProfileCommand, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    let load = || load_catalog(global, &ProjectArgs::default());
    match command {
        ProfileCommand::List(args) => print_list(&load()?.0, &args, ui),
        ProfileCommand::Show(args) => {
            let (catalog, _) = load()?;
            match args.format {
                ShowFormat::Yaml => ui.data(show(&catalog, &args.id, args.kind)?),
                ShowFormat::Json => ui.json_data(&show_json(&catalog, &args.id, args.kind)?),
                ShowFormat::Markdown => ui.data(&show_page(&catalog, &args.id, args.kind)?),
            }
        }
        ProfileCommand::Check(args) => {
            let (catalog, project) = load()?;
            let (checked, exit) = check_all(&catalog, project, args.paths.clone(), global, ui);
            if args.build && exit == Exit::Done {
                return prove(global, &args, checked, ui, cancel).await;
            }
            if args.boot.boot && !args.build {
                return Err(Failure::new(Exit::Usage, "`--boot` boots kernels with what was built").help("add --build and --kernel RELEASE"));
            }
            return Ok(exit);
        }
        ProfileCommand::New(args) => return unless_cancelled(&cancel, new(global, &args, ui)).await,
        ProfileCommand::Schema(args) => ui.json_data(&schema(args.kind)),
    }
    Ok(Exit::Done)
}

fn print_list(catalog: &Catalog, args: &ProfileListArgs, ui: &Ui) {
    let rows = list(catalog, args.kind);
    match args.format {
        TextFormat::Json => ui.json_data(&rows),
        TextFormat::Table => {
            let rows: Vec<_> = rows
                .into_iter()
                .map(|row| vec![row.kind.to_owned(), row.id, row.versions.join(", "), row.summary, row.proven.to_owned(), row.origin])
                .collect();
            ui.table(&["KIND", "ID", "VERSIONS", "WHAT", "PROVEN", "FROM"], &rows);
        }
    }
}

/// Writes the profile of a source.
async fn new(global: &GlobalArgs, args: &ProfileNewArgs, ui: &Ui) -> Result<Exit, Failure> {
    let session = Session::open(global, &args.project)?;
    let distros = if args.distros.is_empty() {
        session.catalog.distro_entries().map(|entry| (Arc::new(entry.profile.clone()), None)).collect()
    } else {
        args.distros.iter().map(|arg| selection::distro(&session, arg)).collect::<Result<Vec<_>, _>>()?
    };
    let arches = if args.arches.is_empty() { vec![host_arch()] } else { args.arches.clone() };
    let market = Market { distros: &distros, arches: &arches, fallbacks: &[] };
    let inferred = profile_of(&session, &args.from_source, &args.about_source, &market, ui).await?;
    ui.data(&inferred.text);
    let id = &inferred.profile.id;
    ui.note(&format!("as drivers/{id}.yaml in a folder that --profiles names it is `--driver {id}`; see what it builds: kmodforge profile check --build --kernel RELEASE FILE"));
    Ok(Exit::Done)
}

/// Builds drivers from their files.
async fn prove(global: &GlobalArgs, args: &ProfileCheckArgs, checked: Vec<Checked>, ui: &Ui, cancel: CancellationToken) -> Result<Exit, Failure> {
    let drivers: Vec<_> = checked.into_iter().filter_map(|checked| checked.driver).collect();
    if drivers.is_empty() {
        return Err(Failure::new(Exit::Usage, "no driver is among the files").help("name the profile of one: profiles/drivers/camera.yaml"));
    }
    let mut session = Session::open(global, &ProjectArgs::default())?;
    let select = SelectArgs {
        drivers: drivers.iter().map(|entry| entry.profile.id.to_string()).collect(),
        kernels: args.kernels.clone(),
        distros: args.distros.clone(),
        arches: args.arches.clone(),
        ..SelectArgs::default()
    };
    for entry in drivers {
        session.catalog.add_driver(entry);
    }
    let build = BuildArgs::proof(select, args.builder.clone().unwrap_or_else(|| "auto".into()), args.boot.clone());
    super::build::forge(&session, &build, ui, cancel).await
}

/// Checks the files that were named, else the user's own.
fn check_all(catalog: &Catalog, project: Option<Project>, mut paths: Vec<PathBuf>, global: &GlobalArgs, ui: &Ui) -> (Vec<Checked>, Exit) {
    if paths.is_empty() {
        paths.extend(project.map(|project| project.path));
        paths.extend(global.profiles.clone());
        ui.note("every built-in profile is right");
    }
    let mut exit = Exit::Done;
    let mut right = Vec::new();
    for result in files::check(catalog, &paths) {
        match result {
            Ok(checked) => {
                ui.data(&format!("{}: {}\n", checked.path.display(), checked.what));
                right.push(checked);
            }
            Err(failure) => {
                exit = exit.max(failure.exit);
                ui.failure(&failure);
            }
        }
    }
    (right, exit)
}

/// A profile in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// `distro` or `driver`.
    pub kind: &'static str,
    /// `v4l2loopback`.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// A driver's versions, a distribution's releases, newest first.
    pub versions: Vec<String>,
    /// What a driver is; a distribution's architectures.
    pub summary: String,
    /// How far the profile has been proven: `loaded`, `real mirror`.
    pub proven: &'static str,
    /// The file, or `built in`.
    pub origin: String,
}

/// Every profile: distributions, then drivers, each by id.
#[must_use]
pub fn list(catalog: &Catalog, kind: Option<ProfileKind>) -> Vec<Row> {
    let distros = catalog.distro_entries().map(|entry| {
        let distro = &entry.profile;
        let arches: Vec<_> = distro.arches.iter().map(|arch| arch.oci()).collect();
        Row {
            kind: kind_name(ProfileKind::Distro),
            id: distro.id.to_string(),
            name: distro.name.clone(),
            versions: distro.releases.iter().map(|release| release.id.to_string()).collect(),
            summary: format!("kernels for {}", arches.join(", ")),
            proven: distro.proven.words(),
            origin: origin(entry),
        }
    });
    let drivers = catalog.driver_entries().map(|entry| {
        let driver = &entry.profile;
        Row {
            kind: kind_name(ProfileKind::Driver),
            id: driver.id.to_string(),
            name: driver.name.clone(),
            versions: driver.versions.iter().map(|version| version.version.to_string()).collect(),
            summary: driver.summary.clone(),
            proven: driver.proven.name(),
            origin: origin(entry),
        }
    });
    distros.chain(drivers).filter(|row| kind.is_none_or(|kind| kind_name(kind) == row.kind)).collect()
}

fn origin<P>(entry: &Entry<P>) -> String {
    entry.file.as_ref().map_or_else(|| "built in".to_owned(), |file| file.display().to_string())
}

/// A profile as it was written.
///
/// # Errors
/// When no profile has the id, or a distribution and a driver have it and no kind is given.
pub fn show<'a>(catalog: &'a Catalog, id: &str, kind: Option<ProfileKind>) -> Result<&'a str, Failure> {
    match find(catalog, id, kind)? {
        Found::Distro(entry) => Ok(&entry.text),
        Found::Driver(entry) => Ok(&entry.text),
    }
}

/// A profile with every default filled in.
///
/// # Errors
/// As [`show`].
pub fn show_json(catalog: &Catalog, id: &str, kind: Option<ProfileKind>) -> Result<Value, Failure> {
    let json = match find(catalog, id, kind)? {
        Found::Distro(entry) => serde_json::to_value(&entry.profile),
        Found::Driver(entry) => serde_json::to_value(&entry.profile),
    };
    json.map_err(|error| Failure::new(Exit::Failed, format!("cannot write `{id}` as JSON: {error}")))
}

/// A profile as a page for people, in Markdown.
///
/// # Errors
/// As [`show`].
pub fn show_page(catalog: &Catalog, id: &str, kind: Option<ProfileKind>) -> Result<String, Failure> {
    Ok(match find(catalog, id, kind)? {
        Found::Distro(entry) => page::distro(&entry.profile),
        Found::Driver(entry) => page::driver(&entry.profile),
    })
}

enum Found<'a> {
    Distro(&'a Entry<DistroProfile>),
    Driver(&'a Entry<DriverProfile>),
}

fn find<'a>(catalog: &'a Catalog, id: &str, kind: Option<ProfileKind>) -> Result<Found<'a>, Failure> {
    match kind {
        Some(ProfileKind::Distro) => return Ok(Found::Distro(catalog.distro_entry(id)?)),
        Some(ProfileKind::Driver) => return Ok(Found::Driver(catalog.driver_entry(id)?)),
        None => {}
    }
    match (catalog.distro_entry(id), catalog.driver_entry(id)) {
        (Ok(distro), Err(_)) => Ok(Found::Distro(distro)),
        (Err(_), Ok(driver)) => Ok(Found::Driver(driver)),
        (Ok(_), Ok(_)) => Err(Failure::new(Exit::Usage, format!("`{id}` is a distro and a driver")).help("say which: --kind distro or --kind driver")),
        (Err(_), Err(_)) => {
            let known: Vec<_> = list(catalog, None).into_iter().map(|row| row.id).collect();
            let failure = tell_known(Failure::new(Exit::Usage, format!("unknown profile `{id}`")), &known);
            let failure = match nearest(id, known.iter().map(String::as_str)) {
                Some(word) => failure.help(format!("did you mean `{word}`?")),
                None => failure,
            };
            Err(failure.help("list them: kmodforge profile list"))
        }
    }
}

/// A JSON Schema, for editors and programs.
#[must_use]
pub fn schema(of: SchemaKind) -> Value {
    let schema = match of {
        SchemaKind::Distro => schemars::schema_for!(DistroProfile),
        SchemaKind::Driver => schemars::schema_for!(DriverProfile),
        SchemaKind::Project => schemars::schema_for!(ProjectFile),
        SchemaKind::Policy => schemars::schema_for!(PolicyFile),
        SchemaKind::Record => schemars::schema_for!(Record),
        SchemaKind::Progress => ui::progress_schema(),
    };
    schema.to_value()
}

fn kind_name(kind: ProfileKind) -> &'static str {
    match kind {
        ProfileKind::Distro => "distro",
        ProfileKind::Driver => "driver",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_listed_with_their_origin() {
        let rows = list(&Catalog::embedded().unwrap(), None);
        let debian = rows.iter().find(|row| row.id == "debian").unwrap();
        assert_eq!(
            serde_json::to_value(debian).unwrap(),
            serde_json::json!({"kind": "distro", "id": "debian", "name": "Debian", "versions": ["trixie", "bookworm", "sid"],
                "summary": "kernels for amd64, arm64", "proven": "real mirror", "origin": "built in"})
        );
        assert!(list(&Catalog::embedded().unwrap(), Some(ProfileKind::Driver)).iter().all(|row| row.kind == "driver" && !row.versions.is_empty()));
    }

    #[test]
    fn profiles_are_shown_as_written_and_as_json() {
        let catalog = Catalog::embedded().unwrap();
        assert!(show(&catalog, "zfs", None).unwrap().starts_with("id: zfs\n"));
        let json = show_json(&catalog, "v4l2loopback", None).unwrap();
        assert_eq!(json["modules"][0]["install"], "extra");
        assert_eq!(
            show(&catalog, "zsf", None).unwrap_err().to_string(),
            "error: unknown profile `zsf`\n  help      did you mean `zfs`?\n  help      list them: kmodforge profile list"
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
        write("drivers/zfs.yaml", show(&catalog, "zfs", None).unwrap());
        write("drivers/a.yaml", "id: a\n");
        write("distros/b.yaml", "id: b\n");
        write("kmodforge.yaml", "matrix: [{drivers: [zfs], kernels: [latest]}]\n");
        let results = files::check(&catalog, &[directory.path().to_owned(), directory.path().join("missing.yaml")]);
        let words: Vec<_> = results.into_iter().map(|result| result.map_or_else(|failure| failure.headline, |checked| checked.what)).collect();
        let missing = format!("cannot read {}: No such file or directory (os error 2)", directory.path().join("missing.yaml").display());
        assert_eq!(words, ["missing key `name`", "missing key `name`", "driver zfs", "project", missing.as_str()]);
    }

    #[test]
    fn schemas_accept_the_built_in_profiles() {
        let catalog = Catalog::embedded().unwrap();
        for row in list(&catalog, None) {
            let of = if row.kind == "distro" { SchemaKind::Distro } else { SchemaKind::Driver };
            let schema = schema(of);
            let profile = show_json(&catalog, &row.id, None).unwrap();
            let validator = jsonschema::validator_for(&schema).unwrap();
            let errors: Vec<_> = validator.iter_errors(&profile).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{}: {errors:?}", row.id);
        }
    }
}
