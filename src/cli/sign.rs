//! Options about signatures of modules, and `kmodforge sign`.

use std::fmt;
use std::path::PathBuf;

use clap::Args;
use zeroize::Zeroizing;

use super::select::{ProjectArgs, RegistryArgs};
use crate::arch::Arch;
use crate::pki::Hash;

/// Where a key is, as it was written; it may hold a PIN, and is not shown.
#[derive(Clone)]
pub struct KeyArg(Zeroizing<String>);

impl KeyArg {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for KeyArg {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for KeyArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyArg")
    }
}

/// Who signs modules.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Signing")]
pub struct SignArgs {
    /// Key that signs modules: PEM file, `pkcs11:` URI, or `exec:COMMAND` that signs digests.
    #[arg(long, value_name = "KEY")]
    pub sign_key: Option<KeyArg>,
    /// File with the passphrase of the key, or the PIN of the token [default: what `KMODFORGE_SIGN_PASSPHRASE` holds].
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub sign_passphrase_file: Option<PathBuf>,
    /// In whose name.
    #[command(flatten)]
    pub certificate: SignCertArgs,
}

/// In whose name modules are signed.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Signing")]
pub struct SignCertArgs {
    /// Certificate of the key that signs modules, PEM or DER.
    #[arg(long, value_name = "FILE")]
    pub sign_cert: Option<PathBuf>,
    /// Hash of the signatures: `sha256`, `sha384` or `sha512` [default: the kernel's, or that of the signature which is replaced].
    #[arg(long, value_name = "HASH", requires = "sign_cert")]
    pub sign_hash: Option<Hash>,
}

/// Arguments of `sign`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  kmodforge sign registry.example/drivers/zfs:2.3.4-6.1.0-56-amd64 --sign-key mok.key --sign-cert mok.crt
  kmodforge sign oci-archive:zfs.tar --sign-key mok.key --sign-cert mok.crt
  kmodforge sign oci:out --sign-key 'pkcs11:token=signing;object=driver' --sign-cert mok.crt
  kmodforge sign registry.example/x:1 --tag 1-signed --sign-key exec:./kms --sign-cert mok.crt")]
pub struct SignImageArgs {
    /// Registry reference, `oci:DIR` or `oci-archive:FILE`.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Tag of the signed image in the same repository [default: the one that IMAGE has].
    #[arg(long, value_name = "TAG")]
    pub tag: Option<String>,
    /// Architecture to sign of a multi-platform image; may be repeated [default: all of it].
    #[arg(long = "arch", value_name = "ARCH")]
    pub arches: Vec<Arch>,
    /// Where profiles are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Who signs.
    #[command(flatten)]
    pub sign: SignArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
}
