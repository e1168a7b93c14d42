//! Whether a repository's Release file is what its owner signed.

use super::{IndexError, RepositoryName};
use crate::fetch::Fetcher;
use crate::mirror::Mirrors;
use crate::openpgp::{Clearsigned, Distrust, Keyring, Keyrings, Moment, is_clearsigned};
use crate::profile::distro::{DistroProfile, Repository};

/// How a repository's word is taken.
pub(super) enum Seal<'a> {
    /// If one of these keys has signed it.
    Keyring(&'a Keyring, Moment),
    /// As it is; the place that is trusted.
    Trusted(String),
    /// As it is, since packages have signatures of their own, which the builder verifies before it unpacks or installs them.
    Packages,
}

/// Why a Release file is not believed.
pub(super) enum Fault {
    /// It is not what it should be.
    Damaged(String),
    /// It has no signature.
    Unsigned { keyring: String },
    /// It has one that does not count.
    Distrusted { keyring: String, distrust: Distrust },
}

impl Fault {
    /// In a file of a repository.
    pub(super) fn at(self, repository: &RepositoryName, file: &str) -> IndexError {
        let (repository, file) = (repository.clone(), file.to_owned());
        match self {
            Self::Damaged(reason) => IndexError::Damaged { repository, file, reason },
            Self::Unsigned { keyring } => IndexError::Unsigned { repository, file, keyring },
            Self::Distrusted { keyring, distrust } => IndexError::Distrusted { repository, file, keyring, distrust },
        }
    }
}

/// A copy that nobody keeps up to date.
pub(super) fn is_frozen(repository: &Repository, mirrors: &Mirrors) -> bool {
    mirrors.frozen || !repository.check_valid_until
}

impl<'a> Seal<'a> {
    pub(super) fn of(distro: &DistroProfile, repository: &Repository, fetcher: &Fetcher, keyrings: &'a Keyrings) -> Result<Self, IndexError> {
        let mirrors = fetcher.mirrors();
        if repository.trusted || mirrors.is_trusted(&repository.url) {
            return Ok(Self::Trusted(mirrors.package(&repository.url)));
        }
        if distro.keyring_of(repository).is_none() && distro.family.has_signed_packages() {
            return Ok(Self::Packages);
        }
        let name = distro.keyring_of(repository).map(ToString::to_string).unwrap_or_default();
        let moment = Moment { now: fetcher.now(), frozen: is_frozen(repository, mirrors) };
        let keyring = keyrings.get(&name).map(|keyring| Self::Keyring(keyring, moment));
        keyring.ok_or_else(|| IndexError::NoKeyring { repository: RepositoryName::of(distro.family, repository), keyring: name })
    }

    /// Whether a signature is needed.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Keyring(..))
    }

    /// What is trusted without a signature, for the record.
    pub(super) fn place(&self, repository: &Repository) -> Option<String> {
        match self {
            Self::Keyring(..) | Self::Packages => None,
            Self::Trusted(place) => Some(format!("{} of {place}", repository.suite)),
        }
    }

    /// The text of `InRelease`.
    pub(super) fn open(&self, bytes: Vec<u8>) -> Result<String, Fault> {
        let text = String::from_utf8(bytes).map_err(|_| Fault::Damaged("it is no UTF-8".into()))?;
        match self {
            Self::Trusted(_) | Self::Packages if !is_clearsigned(&text) => Ok(text),
            // A page that says "log in" is no file that somebody forgot to sign.
            Self::Keyring(keyring, _) if !is_clearsigned(&text) => match super::release_file::ReleaseFile::parse(&text) {
                Ok(_) => Err(Fault::Unsigned { keyring: keyring.name().to_owned() }),
                Err(reason) => Err(Fault::Damaged(reason.to_owned())),
            },
            _ => {
                let signed = Clearsigned::parse(&text).map_err(|reason| Fault::Damaged(reason.to_owned()))?;
                self.verify(&signed.content(), signed.signature.as_bytes())?;
                Ok(signed.text)
            }
        }
    }

    /// The text of `Release`, whose signature is in `Release.gpg`.
    pub(super) fn open_detached(&self, bytes: Vec<u8>, signature: Option<&[u8]>) -> Result<String, Fault> {
        self.check_detached(&bytes, signature)?;
        String::from_utf8(bytes).map_err(|_| Fault::Damaged("it is no UTF-8".into()))
    }

    /// Whether a file is what its signature in another file says.
    pub(super) fn check_detached(&self, bytes: &[u8], signature: Option<&[u8]>) -> Result<(), Fault> {
        match (self, signature) {
            (Self::Trusted(_) | Self::Packages, _) => Ok(()),
            (Self::Keyring(keyring, _), None) => Err(Fault::Unsigned { keyring: keyring.name().to_owned() }),
            (Self::Keyring(..), Some(signature)) => self.verify(bytes, signature),
        }
    }

    fn verify(&self, content: &[u8], signature: &[u8]) -> Result<(), Fault> {
        let Self::Keyring(keyring, moment) = self else { return Ok(()) };
        keyring.verify(content, signature, *moment).map_err(|distrust| match distrust {
            Distrust::Malformed(reason) => Fault::Damaged(reason),
            distrust => Fault::Distrusted { keyring: keyring.name().to_owned(), distrust },
        })
    }
}
