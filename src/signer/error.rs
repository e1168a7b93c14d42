//! Why nothing can be signed, in words.

use std::io;
use std::path::{Path, PathBuf};

use super::PASSPHRASE;
use crate::error::{Exit, Failure, io_words};
use crate::pki::CertificateError;

/// Why nothing can be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// A file cannot be read.
    #[error("the {what} `{path}` cannot be read: {reason}")]
    Unreadable {
        /// `signing key`, `certificate`, `passphrase's file`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: String,
    },
    /// The file holds no private key.
    #[error("`{path}` holds no private key")]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// The key's algorithm, size or encryption is not supported.
    #[error("the signing key `{path}` cannot be used")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The key is encrypted.
    #[error("the signing key `{path}` is encrypted, and there is no passphrase")]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is another key's.
    #[error("the passphrase does not open the signing key `{path}`")]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// The certificate cannot be used.
    #[error("`{path}` is no certificate to sign with")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What it is.
        fault: CertificateError,
    },
    /// The certificate's time is over.
    #[error("the certificate `{path}` expired on {when}")]
    Expired {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        subject: String,
        /// When.
        when: String,
    },
    /// The certificate's time has not come.
    #[error("the certificate `{path}` is not valid before {when}")]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        subject: String,
        /// From when on.
        when: String,
    },
    /// The key is another certificate's.
    #[error("the signing key does not belong to the certificate `{certificate}`")]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// Whose it is.
        subject: String,
    },
    /// The signing command did not do it.
    #[error("the signing command {problem}")]
    Command {
        /// The command.
        command: String,
        /// `ended with status 1`.
        problem: String,
        /// What it wrote to standard error.
        said: String,
    },
    /// The signing command did something else.
    #[error("the signing command did not print a signature by the certificate's key")]
    Rubbish {
        /// The command.
        command: String,
        /// What it printed.
        found: String,
        /// What it should have printed.
        expected: String,
    },
    /// The token did not do it.
    #[error("the PKCS#11 token {problem}")]
    Token {
        /// `has no private key that the URI describes`.
        problem: String,
        /// The URI, without its PIN.
        uri: String,
        /// What the module says.
        said: Option<String>,
        /// What to do.
        help: Option<&'static str>,
    },
    /// The arithmetic went wrong, which no key that was accepted explains.
    #[error("signing failed inside the cryptographic library")]
    Internal,
}

impl SignerError {
    pub(super) fn unreadable(what: &'static str, path: &Path, error: &io::Error) -> Self {
        Self::Unreadable { what, path: path.to_owned(), reason: io_words(error) }
    }
}

impl From<SignerError> for Failure {
    fn from(error: SignerError) -> Self {
        let exit = match error {
            SignerError::Command { .. } | SignerError::Rubbish { .. } | SignerError::Token { .. } | SignerError::Internal => Exit::Failed,
            _ => Exit::Usage,
        };
        let failure = Self::new(exit, error.to_string());
        match error {
            SignerError::Unreadable { .. } | SignerError::Internal => failure,
            SignerError::NoKey { found, .. } => {
                failure.fact("found", found).fact("expected", "a PEM file with a block `PRIVATE KEY` or `ENCRYPTED PRIVATE KEY`")
            }
            SignerError::Unsupported { found, expected, .. } => failure.fact("found", found).fact("expected", expected),
            SignerError::Encrypted { .. } => failure.help(format!("set {PASSPHRASE}, or name a file that holds it: --sign-passphrase-file FILE")),
            SignerError::WrongPassphrase { .. } => failure.help(format!("see --sign-passphrase-file and {PASSPHRASE}")),
            SignerError::Certificate { fault, .. } => {
                let expected = "an X.509 certificate in PEM or DER, with an RSA key or one on the curve P-256, P-384 or P-521";
                failure.fact("found", fault.to_string()).fact("expected", expected)
            }
            SignerError::Expired { subject, .. } => {
                failure.fact("subject", subject).help("renew it with the same key: kernels that trust the old one need the new one enrolled")
            }
            SignerError::NotYetValid { subject, .. } => failure.fact("subject", subject).help("see whether this machine's clock is right"),
            SignerError::Mismatch { subject, .. } => failure.fact("subject", subject).help("name the certificate that was made for this key: --sign-cert FILE"),
            SignerError::Command { command, said, .. } => {
                let failure = failure.fact("command", command);
                if said.is_empty() { failure } else { failure.fact("stderr", said) }
            }
            SignerError::Rubbish { command, found, expected, .. } => failure.fact("command", command).fact("found", found).fact("expected", expected),
            SignerError::Token { uri, said, help, .. } => {
                let failure = failure.fact("uri", uri);
                let failure = match said {
                    Some(said) => failure.fact("module", said),
                    None => failure,
                };
                match help {
                    Some(help) => failure.help(help),
                    None => failure,
                }
            }
        }
    }
}
