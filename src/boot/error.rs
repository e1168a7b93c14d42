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
    /// QEMU ended before the kernel said a word.
    #[error("`{}` ended at once: {error}", program.display())]
    Refused {
        /// The program.
        program: PathBuf,
        /// What it said.
        error: String,
    },
    /// The profile asks for a device that QEMU does not have.
    #[error("QEMU has no device `{device}`")]
    NoDevice {
        /// The device, without its properties.
        device: String,
        /// The program.
        program: PathBuf,
        /// A name that is similar.
        near: Option<String>,
    },
    /// The profile asks for a device that cannot be plugged in.
    #[error("the virtual machine has no bus for the device `{device}`")]
    WrongBus {
        /// The device, without its properties.
        device: String,
        /// The bus that it is for.
        bus: Option<String>,
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
            BootError::NoProgram(_) => failure.help("a node could not load anything with it either: add the program to the image"),
            BootError::Cache { .. } => failure.help("make room, or set KMODFORGE_CACHE and TMPDIR to folders with more"),
            BootError::Internal(_) => failure.help("this is a fault of kmodforge; please report it"),
            BootError::Cancelled => Self { exit: Exit::Interrupted, ..failure },
            BootError::Refused { .. } => failure.help("if it is about a device: correct `load.devices` in the driver's profile"),
            BootError::NoDevice { program, near, .. } => {
                let failure = failure.fact("found", format!("what `{} -device help` lists", program.display()));
                let failure = near.iter().fold(failure, |failure, near| failure.help(format!("did you mean `{near}`?")));
                failure.help("correct `load.devices` in the driver's profile")
            }
            BootError::WrongBus { bus, .. } => failure
                .fact("found", bus.map_or_else(|| "no bus".to_owned(), |bus| format!("`{bus}`")))
                .fact("expected", "a device on `PCI`")
                .help("correct `load.devices` in the driver's profile, or leave it out: the driver is then loaded without a device"),
            BootError::Qemu { .. } | BootError::Package { .. } | BootError::Unstartable { .. } | BootError::File { .. } => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(error: BootError) -> String {
        Failure::from(error).to_string()
    }

    #[test]
    fn every_error_says_what_to_do() {
        let release: KernelRelease = "6.1.0-56-amd64".parse().unwrap();
        let full = || io::Error::from_raw_os_error(28);
        for (error, expected) in [
            (
                BootError::NoQemu { program: "qemu-system-aarch64", package: "qemu-system-arm" },
                "error: there is no `qemu-system-aarch64`\n  help      install it (Debian: apt install qemu-system-arm), or leave out --boot",
            ),
            (
                BootError::Qemu { program: "/usr/bin/qemu".into(), error: "Exec format error".into() },
                "error: `/usr/bin/qemu` cannot be started: Exec format error",
            ),
            (
                BootError::Refused { program: "/usr/bin/qemu".into(), error: "-device edu,x=1: Property 'edu.x' not found".into() },
                "error: `/usr/bin/qemu` ended at once: -device edu,x=1: Property 'edu.x' not found\n  help      \
                 if it is about a device: correct `load.devices` in the driver's profile",
            ),
            (
                BootError::NoPackages(release.clone()),
                "error: the repositories have no image of 6.1.0-56-amd64\n  help      \
                 give the distro profile a `boot` section that names the packages, or leave out --boot for this kernel",
            ),
            (
                BootError::Package { package: "linux-image-6.1.0-56-amd64".into(), error: UnpackError::NotADeb("it is too short") },
                "error: `linux-image-6.1.0-56-amd64` cannot be unpacked: it is not a Debian package: it is too short",
            ),
            (
                BootError::NoImage { path: "boot/vmlinuz-6.1".into(), packages: "linux-image-6.1".into() },
                "error: `boot/vmlinuz-6.1` is not in linux-image-6.1\n  help      correct `kernel` or `packages` in the `boot` section of the distro profile",
            ),
            (
                BootError::Unstartable { release, reason: "not a bzImage: it has no setup header".into() },
                "error: the image of 6.1.0-56-amd64 cannot be started: not a bzImage: it has no setup header",
            ),
            (
                BootError::NoProgram("modprobe"),
                "error: the image has no `modprobe`\n  help      a node could not load anything with it either: add the program to the image",
            ),
            (BootError::File { path: "usr/bin/kmod".into(), error: io::Error::other("gone") }, "error: `/usr/bin/kmod` of the image cannot be read: gone"),
            (
                BootError::Cache { path: "/cache".into(), error: full() },
                "error: `/cache` cannot be written: No space left on device (os error 28)\n  help      \
                 make room, or set KMODFORGE_CACHE and TMPDIR to folders with more",
            ),
            (BootError::Internal("x".into()), "error: internal error: x\n  help      this is a fault of kmodforge; please report it"),
            (BootError::Cancelled, "error: cancelled"),
        ] {
            assert_eq!(told(error), expected);
        }
        assert_eq!(Failure::from(BootError::Cancelled).exit, Exit::Interrupted);
    }
}
