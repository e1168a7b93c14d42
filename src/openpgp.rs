//! Signatures of package repositories: `OpenPGP` (RFC 9580), in the signed file or beside it, by keys of a keyring. Pure.
//!
//! What apt's `gpgv` accepts is accepted, and what it refuses is refused: one good signature by a known key suffices; keys that are revoked, have
//! expired or are not for signing, and hashes that can be forged, count for nothing.

mod clearsign;
mod key;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::KeyDetails as _;

pub use clearsign::{Clearsigned, is_clearsigned};
use key::Signer;

/// More signatures than any repository has.
const MOST_SIGNATURES: usize = 16;
/// Clocks of signers may be ahead so many seconds.
const LEEWAY: u64 = 24 * 60 * 60;
/// Where a key in text form begins and ends.
const KEY_BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const KEY_END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// Keys that may sign for a repository.
#[derive(Clone, PartialEq)]
pub struct Keyring {
    name: String,
    keys: Vec<SignedPublicKey>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({}, {} keys)", self.name, self.keys.len())
    }
}

/// Keyrings by their names.
pub type Keyrings = BTreeMap<String, Keyring>;

/// Why bytes are no keyring.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The library's words.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// There is nothing in it.
    #[error("it holds no public key")]
    Empty,
}

/// When a signature is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Seconds since 1970.
    pub now: u64,
    /// Signatures and keys that have expired since still count, as for a copy that nobody signs again.
    pub frozen: bool,
}

/// Why what is signed is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// The signature cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// By nobody of the keyring.
    #[error("signed by unknown keys")]
    Unknown {
        /// Key ids or fingerprints, as the signatures name them.
        keys: Vec<String>,
    },
    /// Made with a hash or a key that can be forged.
    #[error("the signature is too weak")]
    Weak {
        /// Whose it is.
        key: String,
        /// What is weak about it.
        what: String,
    },
    /// By a key that must not sign, for whatever reason.
    #[error("the key {0}")]
    Unusable(UnusableKey),
    /// The signature's time is over.
    #[error("the signature has expired")]
    Expired {
        /// Whose it is.
        key: String,
        /// Seconds since 1970.
        when: u64,
    },
    /// The signature's time has not come.
    #[error("the signature is from the future")]
    Future {
        /// Whose it is.
        key: String,
        /// Seconds since 1970.
        when: u64,
    },
    /// A known key signed something else.
    #[error("the signature does not fit")]
    Altered {
        /// Whose it is.
        key: String,
    },
}

/// A known key that must not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    /// Its time is over.
    #[error("has expired")]
    Expired {
        /// The key.
        key: String,
        /// Seconds since 1970.
        when: u64,
    },
    /// Its owner has taken it back.
    #[error("was revoked")]
    Revoked(String),
    /// It is for something else, or nothing binds it to its owner.
    #[error("is not for signing")]
    NotForSigning(String),
}

impl Distrust {
    /// Of several reasons the one that says most: about known keys rather than unknown ones.
    fn weight(&self) -> u8 {
        match self {
            Self::Malformed(_) | Self::Unknown { .. } => 0,
            Self::Weak { .. } | Self::Unusable(_) | Self::Expired { .. } | Self::Future { .. } => 1,
            Self::Altered { .. } => 2,
        }
    }
}

impl Keyring {
    /// Reads public keys: binary, or one or more blocks of text with anything around them.
    ///
    /// # Errors
    /// When a key cannot be read or there is none.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self, KeyringError> {
        let damaged = |error: pgp::errors::Error| KeyringError::Damaged(error.to_string());
        let mut keys = Vec::new();
        let text = std::str::from_utf8(bytes).unwrap_or_default();
        if text.contains(KEY_BEGIN) {
            for block in text.split(KEY_BEGIN).skip(1) {
                let block = block.split_inclusive(KEY_END).next().unwrap_or_default();
                let block = format!("{KEY_BEGIN}{block}\n");
                let (found, _) = SignedPublicKey::from_string_many(&block).map_err(damaged)?;
                keys.extend(found.collect::<Result<Vec<_>, _>>().map_err(damaged)?);
            }
        } else if !text.is_empty() {
            return Err(KeyringError::Empty);
        } else {
            keys = SignedPublicKey::from_bytes_many(bytes).and_then(Iterator::collect).map_err(damaged)?;
        }
        if keys.is_empty() { Err(KeyringError::Empty) } else { Ok(Self { name: name.to_owned(), keys }) }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Fingerprints of the keys that it has, without their subkeys.
    #[must_use]
    pub fn fingerprints(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.primary_key.fingerprint().to_string().to_uppercase()).collect()
    }

    /// Whether one of the signatures, armoured or not, is a good one of `content`.
    ///
    /// # Errors
    /// When there is none: what is wrong with that which comes nearest.
    pub fn verify(&self, content: &[u8], signatures: &[u8], moment: Moment) -> Result<(), Distrust> {
        let mut unknown = Vec::new();
        let mut worst: Option<Distrust> = None;
        for signature in read_signatures(signatures)? {
            match self.judge(content, &signature, moment) {
                Ok(()) => return Ok(()),
                Err(Distrust::Unknown { keys }) => unknown.extend(keys),
                Err(distrust) if worst.as_ref().is_none_or(|worst| worst.weight() < distrust.weight()) => worst = Some(distrust),
                Err(_) => {}
            }
        }
        Err(worst.unwrap_or(Distrust::Unknown { keys: unknown }))
    }

    /// Cheap questions first: cryptography is for signatures that would count.
    fn judge(&self, content: &[u8], signature: &Signature, moment: Moment) -> Result<(), Distrust> {
        let Some(signer) = self.keys.iter().find_map(|key| Signer::of(key, signature)) else {
            return Err(Distrust::Unknown { keys: issuers(signature) });
        };
        let key = signer.name();
        if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
            return Err(Distrust::Malformed("its signature is one of something else than a file".into()));
        }
        let hash = signature.hash_alg().unwrap_or(HashAlgorithm::None);
        if !is_strong(hash) {
            return Err(Distrust::Weak { key, what: hash.to_string() });
        }
        if let Some(what) = signer.weakness() {
            return Err(Distrust::Weak { key, what });
        }
        let Some(made) = signature.created().map(|time| u64::from(time.as_secs())) else {
            return Err(Distrust::Malformed("its signature does not say when it was made".into()));
        };
        signer.verifies(signature, content).map_err(|()| Distrust::Altered { key: key.clone() })?;
        if made > moment.now + LEEWAY {
            return Err(Distrust::Future { key, when: made });
        }
        let lifetime = signature.signature_expiration_time().map_or(0, |time| u64::from(time.as_secs()));
        if lifetime > 0 && made + lifetime <= moment.now && !moment.frozen {
            return Err(Distrust::Expired { key, when: made + lifetime });
        }
        // A key that has expired may still have signed in its time.
        signer.may_sign(if moment.frozen { made } else { moment.now.max(made) }).map_err(Distrust::Unusable)
    }
}

fn is_strong(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha224, Sha256, Sha384, Sha512};
    matches!(hash, Sha224 | Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}

fn read_signatures(bytes: &[u8]) -> Result<Vec<Signature>, Distrust> {
    let malformed = |error: pgp::errors::Error| Distrust::Malformed(format!("its signature is damaged: {error}"));
    let (found, _) = DetachedSignature::from_reader_many(bytes).map_err(malformed)?;
    let found = found.take(MOST_SIGNATURES + 1).map(|signature| signature.map(|detached| detached.signature));
    let found = found.collect::<Result<Vec<_>, _>>().map_err(malformed)?;
    match found.len() {
        0 => Err(Distrust::Malformed("its signature is empty".into())),
        1..=MOST_SIGNATURES => Ok(found),
        _ => Err(Distrust::Malformed(format!("it has more than {MOST_SIGNATURES} signatures"))),
    }
}

/// Who has signed, as far as the signature says it.
fn issuers(signature: &Signature) -> Vec<String> {
    let fingerprints = signature.issuer_fingerprint().into_iter().map(ToString::to_string);
    let ids = signature.issuer_key_id().into_iter().map(ToString::to_string);
    let names: Vec<_> = fingerprints.chain(ids).map(|name| name.to_uppercase()).take(1).collect();
    if names.is_empty() { vec!["a key without a name".into()] } else { names }
}
