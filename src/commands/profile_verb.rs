//! `kmodforge profile`.

use super::profile::{self, Kind, SchemaOf};
use super::session::load_catalog;
use crate::cli::{GlobalArgs, ProfileCommand, ProfileKind, ProjectArgs, SchemaKind, ShowFormat, TextFormat};
use crate::error::{Exit, Failure};
use crate::ui::{self, Ui};

/// Lists, shows and checks profiles.
///
/// # Errors
/// When a profile is wrong or there is none of that name.
pub fn run(global: &GlobalArgs, command: ProfileCommand, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        ProfileCommand::List(args) => {
            let (catalog, _) = load_catalog(global, &ProjectArgs::default())?;
            let rows = profile::list(&catalog, args.kind.map(kind));
            match args.format {
                TextFormat::Json => ui.data(&format!("{}\n", serde_json::to_string_pretty(&rows).unwrap_or_default())),
                TextFormat::Table => {
                    let rows: Vec<_> =
                        rows.into_iter().map(|row| vec![kind_name(row.kind).to_owned(), row.id, row.versions.join(", "), row.summary, row.origin]).collect();
                    ui.table(&["KIND", "ID", "VERSIONS", "WHAT", "FROM"], &rows);
                }
            }
            Ok(Exit::Done)
        }
        ProfileCommand::Show(args) => {
            let (catalog, _) = load_catalog(global, &ProjectArgs::default())?;
            let kind = args.kind.map(kind);
            ui.data(&match args.format {
                ShowFormat::Yaml => profile::show(&catalog, &args.id, kind)?,
                ShowFormat::Json => profile::show_json(&catalog, &args.id, kind)?,
            });
            Ok(Exit::Done)
        }
        ProfileCommand::Check(args) => {
            let (catalog, project) = load_catalog(global, &ProjectArgs::default())?;
            let mut paths = args.paths;
            if paths.is_empty() {
                paths.extend(project.map(|project| project.path));
                paths.extend(global.profiles.clone());
                ui.note("every built-in profile is right");
            }
            let mut exit = Exit::Done;
            for result in profile::check(&catalog, &paths) {
                match result {
                    Ok(checked) => ui.data(&format!("{}: {}\n", checked.path.display(), checked.what)),
                    Err(failure) => {
                        exit = exit.max(failure.exit);
                        ui.failure(&failure);
                    }
                }
            }
            Ok(exit)
        }
        ProfileCommand::Schema(args) => {
            ui.data(&match args.kind {
                SchemaKind::Distro => profile::schema(SchemaOf::Distro),
                SchemaKind::Driver => profile::schema(SchemaOf::Driver),
                SchemaKind::Project => profile::schema(SchemaOf::Project),
                SchemaKind::Record => profile::schema(SchemaOf::Record),
                SchemaKind::Progress => format!("{}\n", serde_json::to_string_pretty(&ui::progress_schema()).unwrap_or_default()),
            });
            Ok(Exit::Done)
        }
    }
}

fn kind(kind: ProfileKind) -> Kind {
    match kind {
        ProfileKind::Distro => Kind::Distro,
        ProfileKind::Driver => Kind::Driver,
    }
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Distro => "distro",
        Kind::Driver => "driver",
    }
}
