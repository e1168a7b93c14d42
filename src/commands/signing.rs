//! What the command line says about signing, read and found possible before anything is built.

use std::sync::Arc;

use crate::cli::{SignArgs, SignCertArgs};
use crate::error::{Exit, Failure};
use crate::pipeline::Signing;
use crate::signer::{KeySource, Signer, passphrase, read_certificate};

/// Who signs; `None` if nobody does.
///
/// # Errors
/// When a part is missing or cannot be used, or the parts do not fit together.
pub fn open(args: &SignArgs) -> Result<Option<Signing>, Failure> {
    let (key, certificate) = match (&args.sign_key, &args.certificate.sign_cert) {
        (None, None) => return Ok(None),
        (Some(key), Some(certificate)) => (key, certificate),
        (Some(_), None) => {
            return Err(Failure::new(Exit::Usage, "there is a key to sign with, but no certificate").help("name the key's certificate: --sign-cert FILE"));
        }
        (None, Some(_)) => {
            return Err(Failure::new(Exit::Usage, "there is a certificate to sign with, but no key")
                .help("name the certificate's key: --sign-key FILE|pkcs11:…|exec:COMMAND"));
        }
    };
    let wrong = |expected| Failure::new(Exit::Usage, "`--sign-key` is not understood").fact("expected", expected);
    let key: KeySource = key.as_str().parse().map_err(wrong)?;
    let passphrase = passphrase(args.sign_passphrase_file.as_deref())?;
    let signer = Signer::open(&key, certificate, passphrase.as_ref())?;
    Ok(Some(Signing { signer: Arc::new(signer), hash: args.certificate.sign_hash }))
}

/// What of it ends up in an image, for the input digest: nothing where nothing is signed.
///
/// # Errors
/// When the certificate cannot be read.
pub fn arguments(args: &SignCertArgs) -> Result<String, Failure> {
    let Some(file) = &args.sign_cert else { return Ok(String::new()) };
    let certificate = read_certificate(file)?;
    let hash = args.sign_hash.map(|hash| format!(" hash={hash}")).unwrap_or_default();
    Ok(format!(" signer={}{hash}", certificate.fingerprint))
}
