//! Detached PKCS#7 signatures (RFC 5652 §5) as `scripts/sign-file.c` makes them and `crypto/asymmetric_keys/pkcs7_verify.c` takes them:
//! no content, no certificates, no signed attributes, which the kernel refuses in modules.

use super::certificate::{Certificate, name};
use super::der::{Reader, element, sequence};
use super::key::{Hash, KeyKind, dotted, hash_name};
use super::{colons, tag};

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const RSA_ENCRYPTION: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// ecdsa-with-SHA2, but for its last number
const ECDSA_WITH: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];

/// Wraps a raw signature (RSA: PKCS#1 v1.5; ECDSA: DER) by the key of `certificate`.
#[must_use]
pub fn detached(certificate: &Certificate, hash: Hash, signature: &[u8]) -> Vec<u8> {
    let version = element(tag::INTEGER, &[&[1]]);
    // Absent parameters, as OpenSSL writes them and RFC 5754 §2 wants them.
    let hash_algorithm = sequence(&[&element(tag::OID, &[hash.oid()])]);
    let signature_algorithm = match certificate.key.kind {
        KeyKind::Rsa => sequence(&[&element(tag::OID, &[RSA_ENCRYPTION]), &element(tag::NULL, &[])]),
        KeyKind::P256 | KeyKind::P384 | KeyKind::P521 => {
            let number = match hash {
                Hash::Sha256 => 2,
                Hash::Sha384 => 3,
                Hash::Sha512 => 4,
            };
            sequence(&[&element(tag::OID, &[ECDSA_WITH, &[number]])])
        }
    };
    let signer = sequence(&[
        &version,
        &sequence(&[&certificate.issuer, &element(tag::INTEGER, &[&certificate.serial])]),
        &hash_algorithm,
        &signature_algorithm,
        &element(tag::OCTET_STRING, &[signature]),
    ]);
    let signed_data = sequence(&[&version, &element(tag::SET, &[&hash_algorithm]), &sequence(&[&element(tag::OID, &[DATA])]), &element(tag::SET, &[&signer])]);
    sequence(&[&element(tag::OID, &[SIGNED_DATA]), &element(tag::CONTEXT_0, &[&signed_data])])
}

/// One signature of a PKCS#7 structure; there may be several, by different signers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    signer: SignerId<'a>,
    /// Content of the digest algorithm's object identifier.
    hash: &'a [u8],
    has_attributes: bool,
    bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignerId<'a> {
    IssuerAndSerial { issuer: &'a [u8], serial: &'a [u8] },
    KeyId(&'a [u8]),
}

impl Signature<'_> {
    /// Who is said to have signed, for people.
    #[must_use]
    pub fn signer(&self) -> String {
        match self.signer {
            SignerId::IssuerAndSerial { issuer, serial } => {
                let issuer = Reader::new(issuer).inside(tag::SEQUENCE).and_then(name).unwrap_or_default();
                format!("{issuer}, serial number {}", colons(serial))
            }
            SignerId::KeyId(id) => format!("the key {}", colons(id)),
        }
    }

    /// Whether it names this issuer, in full: `CN=driver signing, O=Example`.
    #[must_use]
    pub fn names(&self, issuer: &str) -> bool {
        match self.signer {
            SignerId::IssuerAndSerial { issuer: der, .. } => Reader::new(der).inside(tag::SEQUENCE).and_then(name).as_deref() == Some(issuer),
            SignerId::KeyId(_) => false,
        }
    }

    /// Whether it names this serial number or key identifier: what `modinfo` shows as `sig_key`.
    #[must_use]
    pub fn has_id(&self, wanted: &[u8]) -> bool {
        match self.signer {
            SignerId::IssuerAndSerial { serial: id, .. } | SignerId::KeyId(id) => id == wanted,
        }
    }

    /// The hash, if it is one of ours.
    #[must_use]
    pub fn hash(&self) -> Option<Hash> {
        Hash::of_oid(self.hash)
    }

    /// The name of the hash, whichever it is.
    #[must_use]
    pub fn hash_name(&self) -> Option<&'static str> {
        hash_name(self.hash)
    }

    fn is_by(&self, certificate: &Certificate) -> bool {
        match self.signer {
            SignerId::IssuerAndSerial { issuer, serial } => *issuer == *certificate.issuer && *serial == *certificate.serial,
            SignerId::KeyId(id) => certificate.key_id.as_deref() == Some(id),
        }
    }
}

/// Reads the signatures of a `ContentInfo` with `SignedData` (RFC 5652 §3, §5.1); `None` if it is something else.
#[must_use]
pub fn read(der: &[u8]) -> Option<Vec<Signature<'_>>> {
    let mut content_info = Reader::new(der).inside(tag::SEQUENCE)?;
    content_info.take(tag::OID).filter(|oid| oid.content == SIGNED_DATA)?;
    let mut signed_data = content_info.inside(tag::CONTEXT_0)?.inside(tag::SEQUENCE)?;
    let _version = signed_data.take(tag::INTEGER)?;
    let _algorithms = signed_data.take(tag::SET)?;
    let _content = signed_data.take(tag::SEQUENCE)?;
    let _certificates = signed_data.take(tag::CONTEXT_0);
    let _revocations = signed_data.take(tag::CONTEXT_1);
    let mut infos = signed_data.inside(tag::SET)?;
    let mut signatures = Vec::new();
    while !infos.is_empty() {
        signatures.push(signer_info(infos.inside(tag::SEQUENCE)?)?);
    }
    Some(signatures)
}

/// `SignerInfo` (RFC 5652 §5.3).
fn signer_info(mut info: Reader<'_>) -> Option<Signature<'_>> {
    let _version = info.take(tag::INTEGER)?;
    let signer = if let Some(id) = info.take(tag::IMPLICIT_0) {
        SignerId::KeyId(id.content)
    } else {
        let mut both = info.inside(tag::SEQUENCE)?;
        SignerId::IssuerAndSerial { issuer: both.take(tag::SEQUENCE)?.whole, serial: both.take(tag::INTEGER)?.content }
    };
    let hash = info.inside(tag::SEQUENCE)?.take(tag::OID)?.content;
    let has_attributes = info.take(tag::CONTEXT_0).is_some();
    let _algorithm = info.take(tag::SEQUENCE)?;
    let bytes = info.take(tag::OCTET_STRING)?.content;
    Some(Signature { signer, hash, has_attributes, bytes })
}

/// Why a signature does not prove that the owner of a certificate has signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// There is no signature.
    #[error("not signed")]
    Unsigned,
    /// Not PKCS#7.
    #[error("a signature that is not PKCS#7")]
    Malformed,
    /// By others.
    #[error("signed by {0}")]
    OtherSigner(String),
    /// With a hash that is not supported.
    #[error("signed with the hash {0}")]
    Hash(String),
    /// With attributes, which the kernel refuses.
    #[error("a signature with signed attributes, which kernels refuse")]
    Attributes,
    /// The bytes have changed, or another key has signed in the name of the certificate.
    #[error("a signature that does not fit the module's content")]
    Mismatch,
}

/// Whether the owner of `certificate` has signed `content`.
///
/// # Errors
/// Why that is not proven.
pub fn verify(der: &[u8], content: &[u8], certificate: &Certificate) -> Result<(), Distrust> {
    let signatures = read(der).ok_or(Distrust::Malformed)?;
    let Some(signature) = signatures.iter().find(|signature| signature.is_by(certificate)) else {
        let others: Vec<_> = signatures.iter().map(Signature::signer).collect();
        return Err(if others.is_empty() { Distrust::Malformed } else { Distrust::OtherSigner(others.join(" and ")) });
    };
    if signature.has_attributes {
        return Err(Distrust::Attributes);
    }
    let hash = signature.hash().ok_or_else(|| Distrust::Hash(signature.hash_name().map_or_else(|| dotted(signature.hash), str::to_owned)))?;
    if certificate.key.verifies(hash, &hash.digest(content), signature.bytes) { Ok(()) } else { Err(Distrust::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `openssl cms -sign -binary -noattr -nocerts`, which is what `sign-file` calls.
    const GOLDEN: &[(&[u8], &[u8], Hash)] = &[
        (include_bytes!("../../tests/fixtures/sign/rsa.crt"), include_bytes!("../../tests/fixtures/sign/rsa-sha256.p7s"), Hash::Sha256),
        (include_bytes!("../../tests/fixtures/sign/rsa.crt"), include_bytes!("../../tests/fixtures/sign/rsa-sha512.p7s"), Hash::Sha512),
        (include_bytes!("../../tests/fixtures/sign/p256.crt"), include_bytes!("../../tests/fixtures/sign/p256-sha256.p7s"), Hash::Sha256),
        (include_bytes!("../../tests/fixtures/sign/p384.crt"), include_bytes!("../../tests/fixtures/sign/p384-sha256.p7s"), Hash::Sha256),
    ];
    const CONTENT: &[u8] = b"signed content\n";

    #[test]
    fn the_wrapping_is_that_of_openssl_byte_for_byte() {
        for (certificate, golden, hash) in GOLDEN {
            let certificate = Certificate::parse(certificate).unwrap();
            let signatures = read(golden).unwrap();
            assert_eq!(detached(&certificate, *hash, signatures[0].bytes), *golden, "{}", certificate.subject);
        }
    }

    #[test]
    fn what_openssl_signed_is_verified() {
        for (certificate, golden, _) in GOLDEN {
            let certificate = Certificate::parse(certificate).unwrap();
            assert_eq!(verify(golden, CONTENT, &certificate), Ok(()));
            assert_eq!(verify(golden, b"other content", &certificate), Err(Distrust::Mismatch));
        }
    }

    #[test]
    fn a_signature_by_others_names_them() {
        let (rsa, p256) = (Certificate::parse(GOLDEN[0].0).unwrap(), Certificate::parse(GOLDEN[2].0).unwrap());
        let error = verify(GOLDEN[0].1, CONTENT, &p256).unwrap_err();
        assert_eq!(error.to_string(), format!("signed by CN=kmodforge test signer, O=Example, serial number {}", rsa.serial_text()));
    }

    #[test]
    fn a_signature_tells_whom_it_names() {
        let (certificate, signature) = (Certificate::parse(GOLDEN[0].0).unwrap(), read(GOLDEN[0].1).unwrap().remove(0));
        assert!(signature.names("CN=kmodforge test signer, O=Example") && !signature.names("CN=kmodforge test signer"));
        assert!(signature.has_id(&certificate.serial) && !signature.has_id(&certificate.serial[1..]));
        let by_key_id = read(include_bytes!("../../tests/fixtures/sign/rsa-keyid.p7s")).unwrap().remove(0);
        assert!(by_key_id.has_id(certificate.key_id.as_deref().unwrap()) && !by_key_id.names("CN=kmodforge test signer, O=Example"));
    }

    #[test]
    fn signatures_that_no_kernel_takes_are_told() {
        let certificate = Certificate::parse(GOLDEN[0].0).unwrap();
        let with_attributes = include_bytes!("../../tests/fixtures/sign/rsa-attributes.p7s");
        assert_eq!(verify(with_attributes, CONTENT, &certificate), Err(Distrust::Attributes));
        let sha1 = include_bytes!("../../tests/fixtures/sign/rsa-sha1.p7s");
        assert_eq!(verify(sha1, CONTENT, &certificate).unwrap_err().to_string(), "signed with the hash sha1");
        let by_key_id = include_bytes!("../../tests/fixtures/sign/rsa-keyid.p7s");
        assert_eq!(verify(by_key_id, CONTENT, &certificate), Ok(()));
    }

    #[test]
    fn cut_signatures_are_no_signatures() {
        let certificate = Certificate::parse(GOLDEN[0].0).unwrap();
        for length in 0..GOLDEN[0].1.len() {
            assert_eq!(verify(&GOLDEN[0].1[..length], CONTENT, &certificate), Err(Distrust::Malformed), "{length}");
        }
    }
}
