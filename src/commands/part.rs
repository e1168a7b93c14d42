//! Files that appear whole or not at all: a reader never sees half of one.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file that is not in its place yet; dropped, it is gone.
pub(super) struct Part {
    file: NamedTempFile,
    path: PathBuf,
}

impl Part {
    /// An empty file beside the place of `path`, whose folder is made.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        Ok(Self { file: NamedTempFile::new_in(folder)?, path: path.to_owned() })
    }

    /// What is to be filled.
    pub(super) fn file(&self) -> &File {
        self.file.as_file()
    }

    /// Puts it in its place, for all to read; and to run, if it is a program.
    pub(super) fn publish(self, executable: bool) -> io::Result<()> {
        self.file().set_permissions(Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        self.file.persist(self.path).map(drop).map_err(|error| error.error)
    }
}

/// Writes a file.
pub(super) fn write_whole(path: &Path, executable: bool, content: &[u8]) -> io::Result<()> {
    let part = Part::of(path)?;
    part.file().write_all(content)?;
    part.publish(executable)
}
