//! Who signs modules: a certificate, and the private key that belongs to it, wherever it lives.
//!
//! A key in a file is read into memory that is cleared afterwards; one on a token, or behind a command, never comes here at all.
//! No key is ever written, logged or shown.

mod command;
mod error;
mod key_file;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use zeroize::Zeroizing;

use self::command::SigningCommand;
use self::key_file::KeyPair;
use self::token::Token;
use crate::env;
use crate::pki::{self, Certificate, Hash};

pub use error::SignerError;
pub use token::TokenUri;

/// The variable with the passphrase of an encrypted key, or the PIN of a token.
pub const PASSPHRASE: &str = "KMODFORGE_SIGN_PASSPHRASE";

/// What is signed once to see whether everything fits together.
const PROBE: &[u8] = b"kmodforge: does this key belong to the certificate?";

/// A passphrase or PIN; cleared when it is not needed any more.
pub type Secret = Zeroizing<String>;

/// Where a signing key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a PEM file, perhaps encrypted.
    File(PathBuf),
    /// On a PKCS#11 token.
    Token(Box<TokenUri>),
    /// Behind a command that signs digests.
    Command(String),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("pkcs11:") {
            return text.parse().map(|uri| Self::Token(Box::new(uri)));
        }
        match text.strip_prefix("exec:") {
            Some(command) if command.trim().is_empty() => Err("a command after `exec:`".into()),
            Some(command) => Ok(Self::Command(command.to_owned())),
            None if text.is_empty() => Err("a file, a `pkcs11:` URI or `exec:COMMAND`".into()),
            None => Ok(Self::File(text.into())),
        }
    }
}

/// A key, ready to sign.
enum Key {
    File(KeyPair),
    Token(Token),
    Command(SigningCommand),
}

/// Signs modules in the name of a certificate.
pub struct Signer {
    certificate: Certificate,
    key: Key,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("subject", &self.certificate.subject).finish_non_exhaustive()
    }
}

impl Signer {
    /// Reads the certificate, opens the key and signs something, to see that they fit together.
    ///
    /// # Errors
    /// When one of them cannot be used, the certificate is not valid now, or the key is that of another certificate.
    pub fn open(key: &KeySource, certificate: &Path, passphrase: Option<&Secret>) -> Result<Self, SignerError> {
        let file = certificate;
        let certificate = read_certificate(file)?;
        check_validity(file, &certificate)?;
        let key = match key {
            KeySource::File(path) => Key::File(KeyPair::read(path, passphrase)?),
            KeySource::Token(uri) => Key::Token(Token::open(uri, passphrase, certificate.key.kind)?),
            KeySource::Command(command) => Key::Command(SigningCommand::new(command)),
        };
        let signer = Self { certificate, key };
        signer.probe(file)?;
        Ok(signer)
    }

    fn probe(&self, file: &Path) -> Result<(), SignerError> {
        let mismatch = || SignerError::Mismatch { certificate: file.to_owned(), subject: self.certificate.subject.clone() };
        if let Key::File(pair) = &self.key
            && pair.public_key() != &*self.certificate.key.bytes
        {
            return Err(mismatch());
        }
        let digest = Hash::Sha256.digest(PROBE);
        let signature = self.raw_signature(Hash::Sha256, &digest)?;
        if self.certificate.key.verifies(Hash::Sha256, &digest, &signature) {
            return Ok(());
        }
        Err(match &self.key {
            Key::Command(command) => command.rubbish(&signature, &self.certificate),
            Key::File(_) | Key::Token(_) => mismatch(),
        })
    }

    /// The certificate.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The detached PKCS#7 signature of a module's bytes.
    ///
    /// # Errors
    /// When the token or the command does not sign.
    pub fn sign(&self, hash: Hash, content: &[u8]) -> Result<Vec<u8>, SignerError> {
        let digest = hash.digest(content);
        let signature = self.raw_signature(hash, &digest)?;
        // What comes from outside is believed only when it fits.
        if let Key::Command(command) = &self.key
            && !self.certificate.key.verifies(hash, &digest, &signature)
        {
            return Err(command.rubbish(&signature, &self.certificate));
        }
        Ok(pki::detached(&self.certificate, hash, &signature))
    }

    /// Whether several threads sign faster than one.
    #[must_use]
    pub fn is_parallel(&self) -> bool {
        matches!(self.key, Key::File(_))
    }

    fn raw_signature(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        match &self.key {
            Key::File(pair) => pair.sign(hash, digest),
            Key::Token(token) => token.sign(hash, digest),
            Key::Command(command) => command.sign(hash, digest, self.certificate.key.kind),
        }
    }
}

/// A certificate from a file, PEM or DER; whether it is valid now does not matter.
///
/// # Errors
/// When the file cannot be read, or is no certificate that modules can be signed with.
pub fn read_certificate(path: &Path) -> Result<Certificate, SignerError> {
    let bytes = std::fs::read(path).map_err(|error| SignerError::unreadable("certificate", path, &error))?;
    Certificate::parse(&bytes).map_err(|fault| SignerError::Certificate { path: path.to_owned(), fault })
}

fn check_validity(path: &Path, certificate: &Certificate) -> Result<(), SignerError> {
    let now = i64::try_from(env::now().as_secs()).unwrap_or(i64::MAX);
    let subject = || certificate.subject.clone();
    if now > certificate.not_after.seconds {
        return Err(SignerError::Expired { path: path.to_owned(), subject: subject(), when: certificate.not_after.text.clone() });
    }
    if now < certificate.not_before.seconds {
        return Err(SignerError::NotYetValid { path: path.to_owned(), subject: subject(), when: certificate.not_before.text.clone() });
    }
    Ok(())
}

/// The passphrase in a file, else in the variable [`PASSPHRASE`]; `None` if there is neither.
///
/// # Errors
/// When the file cannot be read.
pub fn passphrase(file: Option<&Path>) -> Result<Option<Secret>, SignerError> {
    let Some(file) = file else { return Ok(env::var(PASSPHRASE).map(Zeroizing::new)) };
    let text = std::fs::read_to_string(file).map(Zeroizing::new).map_err(|error| SignerError::unreadable("passphrase's file", file, &error))?;
    Ok(Some(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned())))
}
