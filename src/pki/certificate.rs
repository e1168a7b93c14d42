//! X.509 certificates (RFC 5280 §4), as far as a module's signature needs them.

use std::fmt::Write as _;

use super::der::Reader;
use super::key::{PublicKey, dotted};
use super::{pem_blocks, tag};
use crate::reference::Digest;

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Digest of the certificate as a whole, its fingerprint.
    pub fingerprint: Digest,
    /// Who issued it, as a DER `Name`.
    pub issuer: Box<[u8]>,
    /// Its serial number: the content of a DER `INTEGER`.
    pub serial: Box<[u8]>,
    /// Whom it is about: `CN=driver signing, O=Example`.
    pub subject: String,
    /// From when on it is valid.
    pub not_before: Moment,
    /// Until when it is valid.
    pub not_after: Moment,
    /// Its subject key identifier, if it has one.
    pub key_id: Option<Box<[u8]>>,
    /// The public key.
    pub key: PublicKey,
}

/// A point in time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Seconds since 1970.
    pub seconds: i64,
    /// `2026-11-21T09:57:46Z`
    pub text: String,
}

/// Why some bytes are no certificate to sign with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Neither DER nor PEM of a certificate.
    #[error("neither DER nor PEM of a certificate")]
    Malformed,
    /// A key that kernels do not verify modules with, by its object identifier.
    #[error("a key of the algorithm {0}")]
    Algorithm(String),
}

impl Certificate {
    /// Reads a certificate in DER, or the first one in a PEM file.
    ///
    /// # Errors
    /// When there is none, or its key is neither RSA nor on a NIST curve.
    pub fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.first() == Some(&tag::SEQUENCE) {
            return Self::parse_der(bytes);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| CertificateError::Malformed)?;
        let block = pem_blocks(text).into_iter().find(|block| ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"].contains(&block.label.as_str()));
        Self::parse_der(&block.ok_or(CertificateError::Malformed)?.content)
    }

    fn parse_der(der: &[u8]) -> Result<Self, CertificateError> {
        read(der).ok_or(CertificateError::Malformed)?.map_err(CertificateError::Algorithm)
    }

    /// The serial number, as `openssl x509 -serial` groups it: `0c:83:ce`.
    #[must_use]
    pub fn serial_text(&self) -> String {
        super::colons(&self.serial)
    }
}

/// `TBSCertificate` (RFC 5280 §4.1.2).
fn read(der: &[u8]) -> Option<Result<Certificate, String>> {
    let mut outer = Reader::new(der);
    let whole = outer.take(tag::SEQUENCE)?;
    let mut fields = Reader::new(whole.content).inside(tag::SEQUENCE)?;
    let _version = fields.take(tag::CONTEXT_0);
    let serial = fields.take(tag::INTEGER)?.content.into();
    let _algorithm = fields.take(tag::SEQUENCE)?;
    let issuer = fields.take(tag::SEQUENCE)?.whole.into();
    let mut validity = fields.inside(tag::SEQUENCE)?;
    let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
    let subject = name(fields.inside(tag::SEQUENCE)?)?;
    let key = PublicKey::read(&mut fields.inside(tag::SEQUENCE)?)?;
    let _issuer_id = fields.take(0x81);
    let _subject_id = fields.take(0x82);
    let extensions = fields.inside(tag::CONTEXT_3).and_then(|mut wrapped| wrapped.inside(tag::SEQUENCE));
    let key_id = extensions.and_then(subject_key_id);
    let fingerprint = Digest::of(whole.whole);
    Some(key.map(|key| Certificate { fingerprint, issuer, serial, subject, not_before, not_after, key_id, key }))
}

/// The extension 2.5.29.14 (RFC 5280 §4.2.1.2).
fn subject_key_id(mut extensions: Reader<'_>) -> Option<Box<[u8]>> {
    while let Some(mut extension) = extensions.inside(tag::SEQUENCE) {
        if extension.take(tag::OID)?.content == [0x55, 0x1d, 0x0e] {
            let _critical = extension.take(0x01);
            return Some(extension.inside(tag::OCTET_STRING)?.take(tag::OCTET_STRING)?.content.into());
        }
    }
    None
}

/// A `Name` for people, the most telling part first.
pub(super) fn name(mut name: Reader<'_>) -> Option<String> {
    let mut parts = Vec::new();
    while !name.is_empty() {
        let mut set = name.inside(tag::SET)?;
        while !set.is_empty() {
            let mut pair = set.inside(tag::SEQUENCE)?;
            let (kind, value) = (pair.take(tag::OID)?.content, pair.any()?);
            let kind = match kind {
                [0x55, 0x04, 0x03] => "CN".to_owned(),
                [0x55, 0x04, 0x06] => "C".to_owned(),
                [0x55, 0x04, 0x07] => "L".to_owned(),
                [0x55, 0x04, 0x08] => "ST".to_owned(),
                [0x55, 0x04, 0x0a] => "O".to_owned(),
                [0x55, 0x04, 0x0b] => "OU".to_owned(),
                [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01] => "emailAddress".to_owned(),
                other => dotted(other),
            };
            parts.push(format!("{kind}={}", text(value.tag, value.content)));
        }
    }
    parts.reverse();
    Some(parts.join(", "))
}

/// A string in a name; control characters are escaped, since it is shown on terminals.
fn text(tag: u8, content: &[u8]) -> String {
    const BMP_STRING: u8 = 0x1e;
    let text = if tag == BMP_STRING {
        let units: Vec<u16> = content.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(content).into_owned()
    };
    text.chars().fold(String::new(), |mut clean, c| {
        if c.is_control() {
            let _ = write!(clean, "{}", c.escape_default());
        } else {
            clean.push(c);
        }
        clean
    })
}

/// `UTCTime` or `GeneralizedTime` (RFC 5280 §4.1.2.5).
fn time(reader: &mut Reader<'_>) -> Option<Moment> {
    let element = reader.any()?;
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let (year, rest) = match element.tag {
        tag::UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = digits(year)?;
            (year + if year < 50 { 2000 } else { 1900 }, rest)
        }
        tag::GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (digits(year)?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2).and_then(digits);
    let (month, day, hour, minute, second) = (part(0)?, part(2)?, part(4)?, part(6)?, part(8)?);
    let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z");
    let is_date = rest.len() == 10 && (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date.then(|| Moment { seconds: days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second, text })
}

fn digits(text: &str) -> Option<i64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Days since 1970, by Howard Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::KeyKind;

    const RSA: &[u8] = include_bytes!("../../tests/fixtures/sign/rsa.crt");
    const EC: &[u8] = include_bytes!("../../tests/fixtures/sign/p256.crt");

    #[test]
    fn a_certificate_tells_whose_it_is() {
        let certificate = Certificate::parse(RSA).unwrap();
        assert_eq!(certificate.subject, "CN=kmodforge test signer, O=Example");
        assert_eq!((certificate.key.kind, certificate.key.rsa_bits()), (KeyKind::Rsa, Some(2048)));
        assert!(certificate.key_id.as_ref().is_some_and(|id| id.len() == 20));
        assert!(certificate.not_before < certificate.not_after);
        assert_eq!(Certificate::parse(EC).unwrap().key.kind, KeyKind::P256);
    }

    #[test]
    fn pem_and_der_are_the_same_certificate() {
        let der = pem_blocks(std::str::from_utf8(RSA).unwrap()).remove(0).content;
        assert_eq!(Certificate::parse(&der), Certificate::parse(RSA));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let der = pem_blocks(std::str::from_utf8(RSA).unwrap()).remove(0).content;
        for bytes in [&b""[..], b"hello", b"\x30\x00", &der[..der.len() / 2], &[0xff; 9]] {
            assert_eq!(Certificate::parse(bytes), Err(CertificateError::Malformed));
        }
        let ed25519 = Certificate::parse(include_bytes!("../../tests/fixtures/sign/ed25519.crt")).unwrap_err();
        assert_eq!(ed25519.to_string(), "a key of the algorithm 1.3.101.112");
    }

    #[test]
    fn times_of_both_kinds_are_read() {
        let moment = |tag, text: &str| time(&mut Reader::new(&crate::pki::element(tag, &[text.as_bytes()])));
        let read = |tag, text| moment(tag, text).map(|moment| moment.seconds);
        assert_eq!(moment(tag::UTC_TIME, "261121095746Z").map(|moment| moment.text).as_deref(), Some("2026-11-21T09:57:46Z"));
        assert_eq!(read(tag::UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(read(tag::UTC_TIME, "261121095746Z"), Some(1_795_255_066));
        assert_eq!(read(tag::GENERALIZED_TIME, "21261028095746Z"), Some(4_948_855_066));
        assert_eq!(read(tag::UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(read(tag::UTC_TIME, "500101000000Z"), Some(-631_152_000));
        for wrong in ["", "Z", "261121095746", "26112109574Z", "261321095746Z", "2611ü1095746Z", "+61121095746Z"] {
            assert_eq!(read(tag::UTC_TIME, wrong), None, "{wrong}");
        }
    }
}
