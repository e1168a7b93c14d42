//! Signs kernel modules as the kernel's `scripts/sign-file.c` does, with keys that never come near the builder.

use std::io;

use crate::error::{Exit, Failure};
use crate::kmod::config::KernelConfig;
use crate::kmod::{self, Fault, KmodError, signature};
use crate::pki::{self, Certificate, Distrust, Hash};
use crate::signer::{Signer, SignerError};

/// The hash that a kernel's configuration names; SHA-256 if it names none.
///
/// # Errors
/// When it is one that cannot be signed with here: SHA-1, SHA-3 and the like.
pub fn hash_of(config: &KernelConfig) -> Result<Hash, SignError> {
    match config.text("CONFIG_MODULE_SIG_HASH") {
        None | Some("") => Ok(Hash::Sha256),
        Some(name) => name.parse().map_err(|_| SignError::Hash(name.to_owned())),
    }
}

/// A module with a signature by `signer` in place of any that it had. One that is compressed is signed below its compression, where the
/// kernel looks for it, and compressed again. Without a `hash`, it is that of the signature it has, else SHA-256.
///
/// # Errors
/// When `bytes` are no module, or nothing can be signed.
pub fn sign_module(file: &str, bytes: &[u8], signer: &Signer, hash: Option<Hash>) -> Result<Vec<u8>, SignError> {
    let (compression, plain) = kmod::decompress(file, bytes)?;
    let content = signature::strip(&plain);
    if !content.starts_with(b"\x7fELF") {
        return Err(KmodError { file: file.to_owned(), fault: Fault::NotElf }.into());
    }
    let pkcs7 = signer.sign(hash.or_else(|| old_hash(&plain)).unwrap_or(Hash::Sha256), content)?;
    let module = signature::append(content, &pkcs7).ok_or(SignerError::Internal)?;
    match compression {
        Some(compression) => compression.compress(&module).map_err(|error| SignError::compression(file, &error)),
        None => Ok(module),
    }
}

fn old_hash(module: &[u8]) -> Option<Hash> {
    let (_, pkcs7) = signature::parts(module)?;
    pki::read(pkcs7)?.first()?.hash()
}

/// Whether the owner of a certificate has signed a module, below its compression if it has any. The inner error says why that is not proven.
///
/// # Errors
/// When the module is compressed and damaged.
pub fn signed_by(certificate: &Certificate, file: &str, bytes: &[u8]) -> Result<Result<(), Distrust>, KmodError> {
    let (_, plain) = kmod::decompress(file, bytes)?;
    Ok(signature::parts(&plain).map_or(Err(Distrust::Unsigned), |(content, pkcs7)| pki::verify(pkcs7, content, certificate)))
}

/// Whether a module has a signature of which `is_wanted` says so. What a signature says about its signer is not proven.
///
/// # Errors
/// When the module is compressed and damaged.
pub fn names_signer(file: &str, bytes: &[u8], is_wanted: impl Fn(&pki::Signature<'_>) -> bool) -> Result<Result<(), Distrust>, KmodError> {
    let (_, plain) = kmod::decompress(file, bytes)?;
    let Some((_, pkcs7)) = signature::parts(&plain) else { return Ok(Err(Distrust::Unsigned)) };
    let Some(signatures) = pki::read(pkcs7) else { return Ok(Err(Distrust::Malformed)) };
    let others: Vec<_> = signatures.iter().map(pki::Signature::signer).collect();
    Ok(if signatures.iter().any(is_wanted) { Ok(()) } else { Err(Distrust::OtherSigner(others.join(" and "))) })
}

/// Signs several modules: name and bytes. `threads` work on them at once if the key allows it.
///
/// # Errors
/// As [`sign_module`].
pub fn sign_modules(modules: &[(&str, &[u8])], signer: &Signer, hash: Option<Hash>, threads: usize) -> Result<Vec<Vec<u8>>, SignError> {
    let threads = if signer.is_parallel() { threads.clamp(1, modules.len().max(1)) } else { 1 };
    let sign =
        |modules: &[(&str, &[u8])]| -> Result<Vec<Vec<u8>>, SignError> { modules.iter().map(|(file, bytes)| sign_module(file, bytes, signer, hash)).collect() };
    std::thread::scope(|scope| {
        let workers: Vec<_> = modules.chunks(modules.len().div_ceil(threads).max(1)).map(|chunk| scope.spawn(move || sign(chunk))).collect();
        let results = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        Ok(results.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    })
}

/// Why a module was not signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The kernel wants a hash that is not supported.
    #[error("the kernel wants modules signed with the hash `{0}`, which is not supported")]
    Hash(String),
    /// Not a module.
    #[error("{0}")]
    Module(#[from] KmodError),
    /// The key did not sign.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The signed module could not be compressed again.
    #[error("`{file}` cannot be compressed again: {message}")]
    Compression {
        /// The module.
        file: String,
        /// Why.
        message: String,
    },
}

impl SignError {
    fn compression(file: &str, error: &io::Error) -> Self {
        Self::Compression { file: file.to_owned(), message: error.to_string() }
    }
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Hash(_) => Self::new(Exit::Failed, error.to_string())
                .fact("expected", "`sha256`, `sha384` or `sha512`")
                .help("kernels take every hash that they were built with: --sign-hash sha256"),
            SignError::Module(error) => error.into(),
            SignError::Signer(error) => error.into(),
            SignError::Compression { .. } => Self::new(Exit::Failed, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests;
