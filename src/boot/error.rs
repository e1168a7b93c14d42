//! Why an image could not be booted, in words.

use std::io;
use std::path::PathBuf;

use crate::error::{Exit, Failure, io_words};
use crate::fetch::FetchError;
use crate::fetch::source::UnpackError;
use crate::kernel::KernelRelease;

/// Why nothing was booted. What a kernel has against an image is no error, but a finding.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// QEMU is not installed.
    #[error("there is no `{program}`")]
    NoQemu {
        /// The program.
        program: &'static str,
        /// Debian's package of it.
        package: &'static str,
    },
    /// QEMU could not be started.
    #[error("`{}` cannot be started: {error}", program.display())]
    Qemu {
        /// The program.
        program: PathBuf,
        /// Why.
        error: String,
    },
    /// The kernel's image is not to be had.
    #[error("the repositories have no image of {0}")]
    NoPackages(KernelRelease),
    /// A package could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A package cannot be unpacked.
    #[error("`{package}` cannot be unpacked: {error}")]
    Package {
        /// Its name.
        package: String,
        /// Why.
        error: UnpackError,
    },
    /// The packages do not hold the kernel.
    #[error("`{path}` is not in {packages}")]
    NoImage {
        /// Where it should be.
        path: String,
        /// Where it was looked for.
        packages: String,
    },
    /// The kernel's image is not understood.
    #[error("the image of {release} cannot be started: {reason}")]
    Unstartable {
        /// The kernel.
        release: KernelRelease,
        /// Why.
        reason: String,
    },
    /// The image lacks a program without which nothing can be loaded.
    #[error("the image has no `{0}`")]
    NoProgram(&'static str),
    /// A file of the image cannot be read.
    #[error("`/{path}` of the image cannot be read: {error}")]
    File {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A file on this machine cannot be written.
    #[error("`{}` cannot be written: {}", path.display(), io_words(error))]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A thread of the program's own broke down.
    #[error("internal error: {0}")]
    Internal(String),
    /// The run was stopped.
    #[error("cancelled")]
    Cancelled,
}

impl From<BootError> for Failure {
    fn from(error: BootError) -> Self {
        let failure = Self::new(Exit::Failed, error.to_string());
        match error {
            BootError::NoQemu { package, .. } => failure.help(format!("install it (Debian: apt install {package}), or leave out --boot")),
            BootError::Fetch(error) => error.into(),
            BootError::NoPackages(_) => failure.help("give the distro profile a `boot` section that names the packages, or leave out --boot for this kernel"),
            BootError::NoImage { .. } => failure.help("correct `kernel` or `packages` in the `boot` section of the distro profile"),
            BootError::NoProgram(_) => failure.help("a node's kubelet could not load anything with it either: add the program to the image"),
            BootError::Cache { .. } => failure.help("make room, or set KMODFORGE_CACHE and TMPDIR to folders with more"),
            BootError::Internal(_) => failure.help("this is a fault of kmodforge; please report it"),
            BootError::Cancelled => Self { exit: Exit::Interrupted, ..failure },
            BootError::Qemu { .. } | BootError::Package { .. } | BootError::Unstartable { .. } | BootError::File { .. } => failure,
        }
    }
}
