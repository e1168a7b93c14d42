//! Files and folders that appear whole or not at all.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::commands::part::write_whole;
use crate::error::{Exit, Failure, io_words};

/// Writes a file.
pub(super) fn write(path: &Path, executable: bool, content: &[u8]) -> Result<(), Failure> {
    write_whole(path, executable, content).map_err(|error| cannot_write(path, &error))
}

/// Has a folder filled, and puts it in place of one that is there: what that had must not stay.
pub(super) fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let failed = |error: io::Error| cannot_write(path, &error);
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(failed)?;
    let part = tempfile::Builder::new().prefix(".kmodforge-").tempdir_in(parent).map_err(failed)?;
    fill(part.path())?;
    std::fs::set_permissions(part.path(), std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => std::fs::rename(part.keep(), path).map_err(failed),
    }
}

/// What is said when something cannot be written.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("`{}` cannot be written: {}", path.display(), io_words(error))).help("choose another place: --output PATH")
}
