//! `kmodforge man`: manual pages.

use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::{Cli, ManArgs};
use crate::error::{Exit, Failure};
use crate::ui::Ui;

/// Why the manual pages were not written.
#[derive(Debug, thiserror::Error)]
enum ManError {
    /// The folder, or a page in it.
    #[error("`{path}` could not be written: {error}")]
    Write {
        /// The folder.
        path: PathBuf,
        /// The operating system's words.
        error: io::Error,
    },
    /// The first page, in memory.
    #[error("the manual page could not be made: {0}")]
    Render(io::Error),
}

/// Prints the first page, or writes one page per verb to a folder.
///
/// # Errors
/// When the folder cannot be written to.
pub fn run(args: &ManArgs, ui: &Ui) -> Result<Exit, Failure> {
    if let Some(dir) = &args.dir {
        write_pages(dir).map_err(|error| ManError::Write { path: dir.clone(), error })?;
        ui.note(&format!("manual pages are in `{}`", dir.display()));
    } else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page).map_err(ManError::Render)?;
        ui.data(&String::from_utf8_lossy(&page));
    }
    Ok(Exit::Done)
}

fn write_pages(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)
}

impl From<ManError> for Failure {
    fn from(error: ManError) -> Self {
        Self::new(Exit::Failed, error.to_string())
    }
}
