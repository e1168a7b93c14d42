//! Files and folders that appear whole or not at all.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Exit, Failure, io_words};

/// Writes a file.
pub(super) fn write(path: &Path, executable: bool, content: &[u8]) -> Result<(), Failure> {
    let failed = |error: io::Error| cannot_write(path, &error);
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    std::fs::create_dir_all(&parent).map_err(failed)?;
    let mut part = tempfile::NamedTempFile::new_in(&parent).map_err(failed)?;
    part.write_all(content).map_err(failed)?;
    permit(part.path(), if executable { 0o755 } else { 0o644 }).map_err(failed)?;
    part.persist(path).map(drop).map_err(|error| failed(error.error))
}

/// Has a folder filled, and puts it in place of one that is there: what that had must not stay.
pub(super) fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let failed = |error: io::Error| cannot_write(path, &error);
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(failed)?;
    let part = tempfile::Builder::new().prefix(".kmodforge-").tempdir_in(parent).map_err(failed)?;
    fill(part.path())?;
    permit(part.path(), 0o755).map_err(failed)?;
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => std::fs::rename(part.keep(), path).map_err(failed),
    }
}

fn permit(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// What is said when something cannot be written.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("`{}` cannot be written: {}", path.display(), io_words(error))).help("choose another place: --output PATH")
}
