//! `kmodforge report`: what became of targets, as a page and as `JUnit` XML.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::records;
use crate::cli::ReportArgs;
use crate::error::{Exit, Failure, io_words};
use crate::report::{self, Report};
use crate::ui::Ui;

/// So much of the end of each log is shown, in bytes.
const LOG: u64 = 64 << 10;

/// Writes the report.
///
/// # Errors
/// When a record cannot be read, or a file not written.
pub fn run(args: &ReportArgs, ui: &Ui) -> Result<Exit, Failure> {
    let records = args.records.iter().map(|path| records::read(path)).collect::<Result<Vec<_>, _>>()?;
    let folders: Vec<PathBuf> = args.records.iter().filter_map(|path| path.parent()).map(Path::to_owned).collect();
    let report = Report::of(records, &|name| log(name, &folders));
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

/// The end of a log: where the record says, or there below the record's own folder.
fn log(name: &str, folders: &[PathBuf]) -> Option<String> {
    let path = Path::new(name);
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
