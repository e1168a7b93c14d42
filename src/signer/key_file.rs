//! Private keys in PEM files: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017 §A.1.2) and SEC 1 (RFC 5915), plain or encrypted.

use std::path::Path;

use aws_lc_rs::cipher::{AES_128, AES_192, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RsaKeyPair, RsaSignatureEncoding,
};
use md5::{Digest as _, Md5};
use pkcs8::EncryptedPrivateKeyInfoRef;
use zeroize::Zeroizing;

use super::{Secret, SignerError};
use crate::pki::{Hash, KeyKind, PemBlock, is_sequence, pem_blocks};

const CURVES: [(KeyKind, &EcdsaSigningAlgorithm); 3] =
    [(KeyKind::P256, &ECDSA_P256_SHA256_ASN1_SIGNING), (KeyKind::P384, &ECDSA_P384_SHA384_ASN1_SIGNING), (KeyKind::P521, &ECDSA_P521_SHA512_ASN1_SIGNING)];

/// A key in this program's memory. The library clears what it holds.
pub(super) enum KeyPair {
    Rsa(Box<RsaKeyPair>),
    Curve(KeyKind, Box<EcdsaKeyPair>),
}

impl KeyPair {
    /// Reads the first private key of a PEM file.
    pub(super) fn read(path: &Path, passphrase: Option<&Secret>) -> Result<Self, SignerError> {
        let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| SignerError::unreadable("signing key", path, &error))?);
        let no_key = |found: &str| SignerError::NoKey { path: path.to_owned(), found: found.to_owned() };
        let blocks = pem_blocks(std::str::from_utf8(&bytes).map_err(|_| no_key("something that is not text"))?);
        let labels = || blocks.iter().map(|block| format!("a block `{}`", block.label)).collect::<Vec<_>>().join(", ");
        let block = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY"));
        let block = block.ok_or_else(|| if blocks.is_empty() { no_key("no block of PEM") } else { no_key(&labels()) })?;
        open(block, path, passphrase)
    }

    pub(super) fn public_key(&self) -> &[u8] {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref(),
            Self::Curve(_, pair) => pair.public_key().as_ref(),
        }
    }

    /// The signature of a digest: PKCS#1 v1.5, or ECDSA in DER.
    pub(super) fn sign(&self, hash: Hash, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let kind = match self {
            Self::Rsa(_) => KeyKind::Rsa,
            Self::Curve(kind, _) => *kind,
        };
        let digest = kind.prepare(hash, digest).ok_or(SignerError::Internal)?;
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign_digest(padding(hash), &digest, &mut signature).map_err(|_| SignerError::Internal)?;
                Ok(signature)
            }
            Self::Curve(_, pair) => Ok(pair.sign_digest(&digest).map_err(|_| SignerError::Internal)?.as_ref().to_vec()),
        }
    }
}

fn padding(hash: Hash) -> &'static RsaSignatureEncoding {
    match hash {
        Hash::Sha256 => &RSA_PKCS1_SHA256,
        Hash::Sha384 => &RSA_PKCS1_SHA384,
        Hash::Sha512 => &RSA_PKCS1_SHA512,
    }
}

fn open(block: &PemBlock, path: &Path, passphrase: Option<&Secret>) -> Result<KeyPair, SignerError> {
    let cipher = block.headers.iter().find(|(name, _)| name == "DEK-Info").map(|(_, value)| value.as_str());
    match (block.label.as_str(), cipher) {
        ("ENCRYPTED PRIVATE KEY", _) => {
            let passphrase = passphrase.ok_or_else(|| SignerError::Encrypted { path: path.to_owned() })?;
            let plain = decrypt_pkcs8(&block.content, path, passphrase)?;
            parse(&plain, path, true)
        }
        (_, Some(cipher)) => {
            let passphrase = passphrase.ok_or_else(|| SignerError::Encrypted { path: path.to_owned() })?;
            let plain = decrypt_traditional(&block.content, cipher, path, passphrase)?;
            parse(&plain, path, true)
        }
        ("PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY", None) => parse(&block.content, path, false),
        (label, None) => Err(unsupported(path, format!("a block `{label}`"))),
    }
}

fn unsupported(path: &Path, found: String) -> SignerError {
    SignerError::Unsupported { path: path.to_owned(), found, expected: "an RSA key of 2048 to 8192 bits, or one on the curve P-256, P-384 or P-521" }
}

fn parse(der: &[u8], path: &Path, was_encrypted: bool) -> Result<KeyPair, SignerError> {
    // A wrong passphrase gives bytes that are well padded once in 256 times.
    if was_encrypted && !is_sequence(der) {
        return Err(SignerError::WrongPassphrase { path: path.to_owned() });
    }
    let curve = CURVES.iter().find_map(|(kind, algorithm)| Some(KeyPair::Curve(*kind, Box::new(EcdsaKeyPair::from_private_key_der(algorithm, der).ok()?))));
    if let Some(pair) = curve {
        return Ok(pair);
    }
    match RsaKeyPair::from_pkcs8(der).or_else(|error| RsaKeyPair::from_der(der).map_err(|_| error)) {
        Ok(pair) => Ok(KeyPair::Rsa(Box::new(pair))),
        Err(error) => Err(unsupported(path, format!("a key that is refused: {error}"))),
    }
}

/// PBES2 (RFC 8018 §6.2): PBKDF2 or scrypt, and AES.
fn decrypt_pkcs8(der: &[u8], path: &Path, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, SignerError> {
    let info = EncryptedPrivateKeyInfoRef::try_from(der).map_err(|error| unsupported(path, format!("an encryption that is not understood: {error}")))?;
    let plain = info.decrypt(passphrase.as_bytes()).map_err(|_| SignerError::WrongPassphrase { path: path.to_owned() })?;
    Ok(Zeroizing::new(plain.as_bytes().to_vec()))
}

/// OpenSSL's own encryption of PEM (`PEM_do_header`): a key made with MD5 of passphrase and salt, and AES in CBC mode.
fn decrypt_traditional(content: &[u8], cipher: &str, path: &Path, passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, SignerError> {
    let other = || SignerError::Unsupported { path: path.to_owned(), found: format!("the encryption `{cipher}`"), expected: "AES in CBC mode, or PKCS#8" };
    let (name, iv) = cipher.split_once(',').ok_or_else(other)?;
    let (algorithm, key_length) = match name {
        "AES-128-CBC" => (&AES_128, 16),
        "AES-192-CBC" => (&AES_192, 24),
        "AES-256-CBC" => (&AES_256, 32),
        _ => return Err(other()),
    };
    let iv: [u8; 16] = hexadecimal(iv).and_then(|iv| iv.try_into().ok()).ok_or_else(other)?;
    let key = bytes_to_key(passphrase.as_bytes(), &iv[..8], key_length);
    let wrong = || SignerError::WrongPassphrase { path: path.to_owned() };
    let key = UnboundCipherKey::new(algorithm, &key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7).map_err(|_| SignerError::Internal)?;
    let mut plain = Zeroizing::new(content.to_vec());
    let length = key.decrypt(&mut plain, DecryptionContext::Iv128(FixedLength::from(iv))).map_err(|_| wrong())?.len();
    plain.truncate(length);
    Ok(plain)
}

/// `EVP_BytesToKey` with MD5 and one round.
fn bytes_to_key(passphrase: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut last = Zeroizing::new(Vec::new());
    while key.len() < length {
        let digest = Md5::new().chain_update(&*last).chain_update(passphrase).chain_update(salt).finalize();
        *last = digest.to_vec();
        key.extend_from_slice(&last);
    }
    key.truncate(length);
    key
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect::<Option<_>>()?;
    digits.len().is_multiple_of(2).then(|| digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
