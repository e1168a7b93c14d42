//! Public keys, and the hashes that modules are signed with.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::der::{Reader, element, sequence};
use super::tag;

/// A hash that modules are signed with: `CONFIG_MODULE_SIG_HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hash {
    /// `sha256`
    Sha256,
    /// `sha384`
    Sha384,
    /// `sha512`
    Sha512,
}

impl Hash {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// As the kernel's configuration and `sign-file` name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The content of its object identifier: 2.16.840.1.101.3.4.2.x (NIST).
    pub(super) fn oid(self) -> &'static [u8] {
        match self {
            Self::Sha256 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01],
            Self::Sha384 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02],
            Self::Sha512 => &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03],
        }
    }

    pub(super) fn of_oid(oid: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|hash| hash.oid() == oid)
    }

    /// The digest of some bytes.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.algorithm(), bytes).as_ref().to_vec()
    }

    /// `DigestInfo` (RFC 8017 §9.2), what PKCS#1 v1.5 signs.
    #[must_use]
    pub fn digest_info(self, digest: &[u8]) -> Vec<u8> {
        let algorithm = sequence(&[&element(tag::OID, &[self.oid()]), &element(tag::NULL, &[])]);
        sequence(&[&algorithm, &element(tag::OCTET_STRING, &[digest])])
    }

    fn algorithm(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Not the name of a [`Hash`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `sha256`, `sha384` or `sha512`")]
pub struct UnknownHash;

impl FromStr for Hash {
    type Err = UnknownHash;

    fn from_str(text: &str) -> Result<Self, UnknownHash> {
        Self::ALL.into_iter().find(|hash| hash.name() == text).ok_or(UnknownHash)
    }
}

/// The name of any hash that a module may be signed with, by the content of its object identifier.
pub(super) fn hash_name(oid: &[u8]) -> Option<&'static str> {
    // 2.16.840.1.101.3.4.2.x (NIST), 1.3.14.3.2.26 (SHA-1)
    match oid {
        [0x2b, 0x0e, 0x03, 0x02, 0x1a] => Some("sha1"),
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, number] => {
            const NAMES: [&str; 10] = ["sha256", "sha384", "sha512", "sha224", "sha512-224", "sha512-256", "sha3-224", "sha3-256", "sha3-384", "sha3-512"];
            NAMES.get(usize::from(*number).checked_sub(1)?).copied()
        }
        _ => None,
    }
}

/// Algorithms that kernels verify modules with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// RSA, with PKCS#1 v1.5 padding.
    Rsa,
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// ECDSA on NIST P-521; kernels since 6.10 know it.
    P521,
}

impl KeyKind {
    /// 1.2.840.10045.3.1.7, 1.3.132.0.34, 1.3.132.0.35 (RFC 5480 §2.1.1.1)
    pub(super) fn of_curve(oid: &[u8]) -> Option<Self> {
        match oid {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07] => Some(Self::P256),
            [0x2b, 0x81, 0x04, 0x00, 0x22] => Some(Self::P384),
            [0x2b, 0x81, 0x04, 0x00, 0x23] => Some(Self::P521),
            _ => None,
        }
    }

    /// A digest as the algorithm signs it.
    ///
    /// ECDSA takes the leftmost bits of a digest, as many as the curve's order has, for a number (FIPS 186-5 §6.4). Cut or filled with zeros
    /// in front it is the same number; so any hash can be signed with any curve.
    ///
    /// # Errors
    /// When the digest is not one of `hash`.
    pub fn prepare(self, hash: Hash, digest: &[u8]) -> Option<Digest> {
        if digest.len() != hash.algorithm().output_len() {
            return None;
        }
        let algorithm = match self {
            Self::Rsa => hash.algorithm(),
            Self::P256 => &digest::SHA256,
            Self::P384 => &digest::SHA384,
            Self::P521 => &digest::SHA512,
        };
        let length = algorithm.output_len();
        let mut prepared = vec![0; length.saturating_sub(digest.len())];
        prepared.extend_from_slice(&digest[..digest.len().min(length)]);
        Digest::import_less_safe(&prepared, algorithm).ok()
    }

    fn verification(self, hash: Hash) -> &'static dyn VerificationAlgorithm {
        match (self, hash) {
            (Self::Rsa, Hash::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Self::Rsa, Hash::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Self::Rsa, Hash::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Self::P256, _) => &signature::ECDSA_P256_SHA256_ASN1,
            (Self::P384, _) => &signature::ECDSA_P384_SHA384_ASN1,
            (Self::P521, _) => &signature::ECDSA_P521_SHA512_ASN1,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rsa => "RSA",
            Self::P256 => "ECDSA P-256",
            Self::P384 => "ECDSA P-384",
            Self::P521 => "ECDSA P-521",
        })
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What it is for.
    pub kind: KeyKind,
    /// `RSAPublicKey` (RFC 8017 §A.1.1), or an uncompressed point of the curve (SEC 1 §2.3.3).
    pub bytes: Box<[u8]>,
}

impl PublicKey {
    /// Reads `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7); `Err` has the object identifier of an algorithm that kernels do not know.
    pub(super) fn read(info: &mut Reader<'_>) -> Option<Result<Self, String>> {
        const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
        const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
        let mut algorithm = info.inside(tag::SEQUENCE)?;
        let oid = algorithm.take(tag::OID)?.content;
        let bytes: Box<[u8]> = info.take(tag::BIT_STRING)?.content.strip_prefix(&[0])?.into();
        let curve = algorithm.take(tag::OID).map(|oid| oid.content);
        let kind = match (oid, curve) {
            (RSA, _) => Some(KeyKind::Rsa),
            (ELLIPTIC, Some(curve)) => KeyKind::of_curve(curve),
            _ => None,
        };
        Some(kind.map(|kind| Self { kind, bytes }).ok_or_else(|| dotted(curve.unwrap_or(oid))))
    }

    /// Whether `signature` was made over this digest with the private half.
    #[must_use]
    pub fn verifies(&self, hash: Hash, digest: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(self.kind.verification(hash), &self.bytes);
        self.kind.prepare(hash, digest).is_some_and(|digest| key.verify_digest(&digest, signature).is_ok())
    }

    /// Length in bits of an RSA modulus; `None` for other keys.
    #[must_use]
    pub fn rsa_bits(&self) -> Option<usize> {
        let modulus = Reader::new(&self.bytes).inside(tag::SEQUENCE).filter(|_| self.kind == KeyKind::Rsa)?.take(tag::INTEGER)?.content;
        let digits = &modulus[modulus.iter().take_while(|byte| **byte == 0).count()..];
        Some(digits.len() * 8 - digits.first().map_or(0, |first| first.leading_zeros() as usize))
    }
}

/// An object identifier as people write it: `1.2.840.10045.2.1`.
pub(super) fn dotted(oid: &[u8]) -> String {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in oid {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (number / 40).min(2);
                numbers.push(first.to_string());
                number -= first * 40;
            }
            numbers.push(number.to_string());
            number = 0;
        }
    }
    numbers.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_told_in_dots() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01]), "1.2.840.10045.2.1");
        assert_eq!(dotted(Hash::Sha256.oid()), "2.16.840.1.101.3.4.2.1");
        assert_eq!(dotted(&[0x2b, 0x65, 0x70]), "1.3.101.112");
    }

    #[test]
    fn hashes_have_the_kernels_names() {
        for hash in Hash::ALL {
            assert_eq!(hash.to_string().parse(), Ok(hash));
        }
        assert_eq!("SHA256".parse::<Hash>().unwrap_err().to_string(), "expected `sha256`, `sha384` or `sha512`");
    }

    #[test]
    fn a_digest_is_the_same_number_on_every_curve() {
        let digest = Hash::Sha256.digest(b"x");
        let long = KeyKind::P384.prepare(Hash::Sha256, &digest).unwrap();
        assert_eq!(long.as_ref(), [&[0; 16], &digest[..]].concat());
        let short = KeyKind::P256.prepare(Hash::Sha512, &Hash::Sha512.digest(b"x")).unwrap();
        assert_eq!(short.as_ref(), &Hash::Sha512.digest(b"x")[..32]);
        assert!(KeyKind::Rsa.prepare(Hash::Sha512, &digest).is_none());
    }
}
