//! `sign:` and `attach:` of a project file.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pki::Hash;
use crate::signer::{KeySource, TokenUri};

/// Who signs modules. Keys, passphrases and PINs are where this says, never in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Sign {
    /// The key: a PEM file, or a `pkcs11:` URI without PIN and module. Commands are for the command line only.
    pub key: Option<String>,
    /// Certificate of the key, PEM or DER.
    pub certificate: Option<PathBuf>,
    /// Hash of the signatures. Left out: the kernel's.
    pub hash: Option<Hash>,
    /// File with the passphrase of the key, or the PIN of the token. Left out: what `KMODFORGE_SIGN_PASSPHRASE` holds.
    pub passphrase_file: Option<PathBuf>,
}

/// What is attached to pushed images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Attachments {
    /// A bill of materials. Left out: with `cosign_key`.
    pub sbom: Option<bool>,
    /// Provenance. Left out: with `cosign_key`.
    pub provenance: Option<bool>,
    /// The key that signs images and what is attached to them: a file, or `env://VARIABLE`.
    pub cosign_key: Option<String>,
}

/// Why a key is not taken from a file that others write, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The key itself stands there.
    #[error("a key does not belong in a project file")]
    Key,
    /// The PIN stands there.
    #[error("a PIN does not belong in a project file")]
    Pin,
    /// It names a command to run.
    #[error("a project file cannot name a command that signs")]
    Command,
    /// It names a library to load.
    #[error("a project file cannot name the module of a token")]
    Module,
}

impl KeyFault {
    /// What was expected instead.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Key => "expected the name of the file that holds it",
            Self::Pin => "expected a URI without `pin-value`",
            Self::Command => "expected a file or a `pkcs11:` URI",
            Self::Module => "expected a URI without `module-path`",
        }
    }

    /// What to do.
    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Key => "write it into a file that only those can read who may sign",
            Self::Pin => "name a file that holds it, `passphrase_file`, or set KMODFORGE_SIGN_PASSPHRASE",
            Self::Command => "give it on the command line: --sign-key exec:COMMAND; whoever writes a project file must not run programs here",
            Self::Module => "set KMODFORGE_PKCS11_MODULE; whoever writes a project file must not run programs here",
        }
    }
}

/// Whether a key may be named in a project file: nothing secret, and nothing that is run.
pub(super) fn check_key(text: &str) -> Result<(), Result<KeyFault, String>> {
    if text.contains("-----BEGIN") {
        return Err(Ok(KeyFault::Key));
    }
    match text.parse::<KeySource>().map_err(Err)? {
        KeySource::Command(_) => Err(Ok(KeyFault::Command)),
        KeySource::Token(uri) => {
            let TokenUri { module, pin, .. } = *uri;
            if pin.is_some() {
                return Err(Ok(KeyFault::Pin));
            }
            if module.is_some() { Err(Ok(KeyFault::Module)) } else { Ok(()) }
        }
        KeySource::File(_) => Ok(()),
    }
}
