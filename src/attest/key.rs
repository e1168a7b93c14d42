//! The key that attestations and signatures are made with: a cosign private key, or a plain P-256 key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey as P256Key};
use p256::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _, LineEnding};
use zeroize::Zeroizing;

use super::secretbox;
use super::verify::PublicKey;
use crate::error::{Exit, Failure};

/// An ECDSA key on the curve P-256; signatures are over SHA-256 and deterministic (RFC 6979).
#[derive(Clone)]
pub struct SigningKey {
    key: P256Key,
}

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM block.
    #[error("it holds no PEM block")]
    NotPem,
    /// A PEM block of another kind.
    #[error("it holds `{0}`")]
    OtherKind(String),
    /// The block cannot be read.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The key's parameters ask for more memory than a key needs.
    #[error("opening it would take {0} MiB of memory")]
    TooHard(u64),
    /// It cannot be opened without a password.
    #[error("it is encrypted, and no password was given")]
    NoPassword,
    /// The password does not open it.
    #[error("the password does not open it")]
    WrongPassword,
    /// A key for another algorithm.
    #[error("it is no key for ECDSA on the curve P-256")]
    OtherAlgorithm,
}

impl SigningKey {
    /// Reads a key from PEM: cosign's encrypted one (`password` opens it), PKCS#8 or SEC 1.
    ///
    /// # Errors
    /// When there is none, it is for another algorithm, or the password does not open it.
    pub fn from_pem(pem: &str, password: Option<&str>) -> Result<Self, KeyError> {
        let (label, body) = block(pem).ok_or(KeyError::NotPem)?;
        let der = || STANDARD.decode(&*body).map(Zeroizing::new).map_err(|error| KeyError::Damaged(error.to_string()));
        let key = match label {
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let pkcs8 = secretbox::open(&der()?, password)?;
                P256Key::from_pkcs8_der(&pkcs8).map_err(|_| KeyError::OtherAlgorithm)?
            }
            "PRIVATE KEY" => P256Key::from_pkcs8_der(&der()?).map_err(|_| KeyError::OtherAlgorithm)?,
            "EC PRIVATE KEY" => p256::SecretKey::from_sec1_der(&der()?).map_err(|_| KeyError::OtherAlgorithm)?.into(),
            other => return Err(KeyError::OtherKind(other.to_owned())),
        };
        Ok(Self { key })
    }

    /// Signs bytes: ASN.1 DER.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let signature: Signature = self.key.sign(bytes);
        signature.to_der().as_bytes().to_vec()
    }

    /// The half that anybody may have.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.key.verifying_key())
    }

    /// The public half, as `cosign verify --key` takes it.
    #[must_use]
    pub fn public_pem(&self) -> String {
        self.key.verifying_key().to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }
}

impl PublicKey {
    /// Reads a public key from PEM, or the public half of a private one (`password` opens it).
    ///
    /// # Errors
    /// When there is none, it is for another algorithm, or the password does not open it.
    pub fn of_pair(pem: &str, password: Option<&str>) -> Result<Self, KeyError> {
        match block(pem).ok_or(KeyError::NotPem)? {
            ("PUBLIC KEY", _) => Self::from_pem(pem).map_err(|_| KeyError::OtherAlgorithm),
            _ => SigningKey::from_pem(pem, password).map(|key| key.public()),
        }
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey")
    }
}

/// Label and base64 text of the first private key in a PEM file; parameters that openssl writes before it are passed over.
fn block(pem: &str) -> Option<(&str, Zeroizing<String>)> {
    let mut rest = pem;
    loop {
        let start = rest.find("-----BEGIN ")? + "-----BEGIN ".len();
        let (label, after) = rest[start..].split_once("-----")?;
        let (body, after) = after.split_once("-----END ")?;
        if !label.ends_with("PARAMETERS") {
            return Some((label, Zeroizing::new(body.split_whitespace().collect())));
        }
        rest = after;
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let failure = Self::new(Exit::Usage, format!("the cosign key cannot be used: {error}"));
        match error {
            KeyError::NoPassword => failure.help("give it: COSIGN_PASSWORD=… kmodforge build …"),
            KeyError::WrongPassword => failure.help("COSIGN_PASSWORD must be the password that `cosign generate-key-pair` asked for"),
            KeyError::OtherKind(label) if label.contains("PUBLIC") => failure.help("that is the public half, for those who verify; the other file signs"),
            KeyError::NotPem | KeyError::OtherKind(_) | KeyError::OtherAlgorithm => failure
                .fact("expected", "`ENCRYPTED SIGSTORE PRIVATE KEY`, `PRIVATE KEY` or `EC PRIVATE KEY` on the curve P-256")
                .help("make one: cosign generate-key-pair"),
            KeyError::Damaged(_) | KeyError::TooHard(_) => failure,
        }
    }
}
