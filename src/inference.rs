//! How a source that nobody wrote a profile for is built, told by its files, and written down as the profile that it lacks.
//!
//! Nothing of the source is run here. A `dkms.conf` is a program, so of it only assignments are read that say what they say.

mod build;
mod error;
mod naming;
mod write;

pub use self::error::InferenceError;
use crate::fetch::source::Outline;
use crate::profile::ProfileError;
use crate::profile::driver::DriverProfile;

/// Where a source is, by whatever name it goes into a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A directory, absolute.
    Directory(String),
    /// An archive: its address and SHA-256, and how many directories all of its paths begin with.
    Archive {
        /// `http://…`.
        url: String,
        /// 64 hexadecimal digits.
        sha256: String,
        /// Directories to drop from the front of every path.
        strip: usize,
    },
    /// A Debian binary package.
    Deb {
        /// `v4l2loopback-dkms`.
        name: String,
        /// `0.12.7-2`.
        version: String,
        /// Its official address.
        url: String,
        /// 64 hexadecimal digits.
        sha256: String,
        /// What it is; may be empty.
        summary: String,
        /// Its home page; may be empty.
        homepage: String,
    },
}

/// A source, and what is known of it besides its files.
#[derive(Clone, Debug)]
pub struct Given<'a> {
    /// Where it is.
    pub place: Place,
    /// Its files, without the directories that `strip` drops.
    pub outline: &'a Outline,
    /// What to call it, when somebody says.
    pub name: Option<&'a str>,
    /// Its version, when somebody says.
    pub version: Option<&'a str>,
    /// The directory with the `dkms.conf`, `Kbuild`, `configure` or `Makefile`, when somebody says.
    pub directory: Option<&'a str>,
    /// Packages that its build needs, for the package family: `libelf-dev`, `libc6-dev|libc-dev`.
    pub packages: Vec<String>,
    /// The package family.
    pub family: &'a str,
}

/// A profile for a source.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// The profile.
    pub profile: DriverProfile,
    /// Its text, with comments for whoever goes on with it.
    pub text: String,
    /// What was inferred, in sentences for people.
    pub says: Vec<String>,
}

/// Writes the profile of a source.
///
/// # Errors
/// When nothing tells how the source is built, or several things do.
pub fn infer(given: &Given<'_>) -> Result<Inferred, InferenceError> {
    let build = build::find(given)?;
    let called = naming::name(given, &build)?;
    let text = write::profile(given, &build, &called);
    let profile = DriverProfile::load(&format!("{}.yaml", called.id), &text)?;
    let says = vec![build.says(), called.says];
    Ok(Inferred { profile, text, says })
}

impl From<ProfileError> for InferenceError {
    fn from(error: ProfileError) -> Self {
        Self::Profile(Box::new(error))
    }
}

#[cfg(test)]
mod tests;
