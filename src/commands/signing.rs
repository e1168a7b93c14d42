//! What command line and project file say about signing, read and found possible before anything is built.

use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::{SignArgs, SignCertArgs};
use crate::error::{Exit, Failure};
use crate::pipeline::Signing;
use crate::pki::Hash;
use crate::project::Project;
use crate::signer::{KeySource, Signer, passphrase, read_certificate};

/// In whose name modules are signed.
pub struct Certificate {
    file: Option<PathBuf>,
    hash: Option<Hash>,
}

impl Certificate {
    /// The command line counts, then the project file.
    pub fn of(project: Option<&Project>, args: &SignCertArgs) -> Self {
        let sign = project.and_then(|project| Some((project, project.content.sign.as_ref()?)));
        let file = || sign.and_then(|(project, sign)| Some(project.beside(sign.certificate.as_ref()?)));
        Self { file: args.sign_cert.clone().or_else(file), hash: args.sign_hash.or_else(|| sign?.1.hash) }
    }

    /// What of it ends up in an image, for the input digest: nothing where nothing is signed.
    ///
    /// # Errors
    /// When the certificate cannot be read.
    pub fn arguments(&self) -> Result<String, Failure> {
        let Some(file) = &self.file else { return Ok(String::new()) };
        let certificate = read_certificate(file)?;
        let hash = self.hash.map(|hash| format!(" hash={hash}")).unwrap_or_default();
        Ok(format!(" signer={}{hash}", certificate.fingerprint))
    }
}

/// Who signs; `None` if nobody does. The command line counts, then the project file.
///
/// # Errors
/// When a part is missing or cannot be used, or the parts do not fit together.
pub fn open(project: Option<&Project>, args: &SignArgs) -> Result<Option<Signing>, Failure> {
    let Certificate { file: certificate, hash } = Certificate::of(project, &args.certificate);
    let sign = project.and_then(|project| Some((project, project.content.sign.as_ref()?)));
    let (key, passphrase_file) = match (&args.sign_key, sign) {
        (Some(key), _) => (Some(parse_key(key.as_str())?), None),
        (None, Some((project, sign))) => {
            let key = sign.key.as_deref().map(parse_key).transpose()?.map(|key| match key {
                KeySource::File(file) => KeySource::File(project.beside(&file)),
                other => other,
            });
            (key, sign.passphrase_file.as_ref().map(|file| project.beside(file)))
        }
        (None, None) => (None, None),
    };
    let (key, certificate) = match (key, certificate) {
        (None, None) => return Ok(None),
        (Some(key), Some(certificate)) => (key, certificate),
        (Some(_), None) => {
            return Err(Failure::new(Exit::Usage, "there is a key to sign with, but no certificate")
                .help("name the key's certificate: --sign-cert FILE, or `certificate` below `sign` in the project file"));
        }
        (None, Some(_)) => {
            return Err(Failure::new(Exit::Usage, "there is a certificate to sign with, but no key")
                .help("name the certificate's key: --sign-key FILE|pkcs11:…|exec:COMMAND, or `key` below `sign` in the project file"));
        }
    };
    let passphrase = passphrase(args.sign_passphrase_file.as_deref().or(passphrase_file.as_deref()))?;
    let signer = Signer::open(&key, &certificate, passphrase.as_ref())?;
    Ok(Some(Signing { signer: Arc::new(signer), hash }))
}

fn parse_key(text: &str) -> Result<KeySource, Failure> {
    text.parse().map_err(|expected| Failure::new(Exit::Usage, "`--sign-key` is not understood").fact("expected", expected))
}
