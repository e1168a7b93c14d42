//! `kmodforge report`: what became of targets, as a page and as `JUnit` XML.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::cli::ReportArgs;
use crate::error::{Exit, Failure, io_words};
use crate::record::{Record, SCHEMA, TargetRecord};
use crate::report::{self, Report};
use crate::ui::Ui;

/// So much of the end of each log is shown, in bytes.
const LOG: u64 = 64 << 10;

/// Writes the report.
///
/// # Errors
/// When a record cannot be read, or a file not written.
pub fn run(args: &ReportArgs, ui: &Ui) -> Result<Exit, Failure> {
    let records = args.records.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let folders: Vec<PathBuf> = args.records.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
    let report = Report::of(records, &|target| log(target, &folders));
    if let Some(file) = &args.junit {
        write(file, &report::junit(&report))?;
    }
    match &args.output {
        Some(file) => write(file, &report::page(&report))?,
        None if args.junit.is_none() => ui.data(&report::page(&report)),
        None => {}
    }
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Record, Failure> {
    let name = path.display();
    let text = std::fs::read(path).map_err(|error| Failure::new(Exit::Usage, format!("the record `{name}` cannot be read: {}", io_words(&error))))?;
    let invalid = |reason: String| {
        Failure::new(Exit::Usage, format!("`{name}` is no record of kmodforge: {reason}")).help("expected what `kmodforge build` writes: kmodforge-record.json")
    };
    let record: Record = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
    if record.schema > SCHEMA {
        return Err(invalid(format!("its schema is {}, and this program knows {SCHEMA}", record.schema))
            .help(format!("{} wrote it: use that, or a newer one", record.tool)));
    }
    Ok(record)
}

/// The end of a target's log: where the record says, or there below the record's own folder.
fn log(target: &TargetRecord, folders: &[PathBuf]) -> Option<String> {
    let path = Path::new(target.log.as_deref()?);
    let places = std::iter::once(path.to_owned()).chain(folders.iter().map(|folder| folder.join(path)));
    places.into_iter().find_map(|place| end_of(&place).ok())
}

fn end_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(LOG);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(if start == 0 { text } else { format!("… {start} bytes before this are left out\n{text}") })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::new(Exit::Failed, format!("`{}` cannot be written: {}", path.display(), io_words(&error))))
}
