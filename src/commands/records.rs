//! Records that earlier runs of `build` wrote.

use std::path::Path;

use crate::error::{Exit, Failure, io_words};
use crate::record::{Record, SCHEMA};

/// Reads a record.
///
/// # Errors
/// When it cannot be read, is none, or is newer than this program.
pub(super) fn read(path: &Path) -> Result<Record, Failure> {
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
