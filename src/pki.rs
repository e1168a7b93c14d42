//! X.509 certificates, public keys, and the detached PKCS#7 signatures that kernel modules carry. Pure; private keys are elsewhere.

mod certificate;
mod der;
mod key;
mod pem;
mod signed_data;

pub use certificate::{Certificate, CertificateError, Moment};
pub use der::{element, is_sequence, sequence};
pub use key::{Hash, KeyKind, PublicKey, UnknownHash};
pub use pem::{PemBlock, pem_blocks};
pub use signed_data::{Distrust, Signature, detached, read, verify};

/// Tags of the elements that certificates, keys and signatures are made of (ITU-T X.680 §8).
pub mod tag {
    /// `INTEGER`
    pub const INTEGER: u8 = 0x02;
    /// `BIT STRING`
    pub const BIT_STRING: u8 = 0x03;
    /// `OCTET STRING`
    pub const OCTET_STRING: u8 = 0x04;
    /// `NULL`
    pub const NULL: u8 = 0x05;
    /// `OBJECT IDENTIFIER`
    pub const OID: u8 = 0x06;
    /// `UTCTime`
    pub const UTC_TIME: u8 = 0x17;
    /// `GeneralizedTime`
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// `SEQUENCE`
    pub const SEQUENCE: u8 = 0x30;
    /// `SET`
    pub const SET: u8 = 0x31;
    /// `[0]`, explicit
    pub const CONTEXT_0: u8 = 0xa0;
    /// `[1]`, explicit
    pub const CONTEXT_1: u8 = 0xa1;
    /// `[3]`, explicit
    pub const CONTEXT_3: u8 = 0xa3;
    /// `[0]`, implicit, of something primitive
    pub const IMPLICIT_0: u8 = 0x80;
}

/// `0c:83:ce:d3`
#[must_use]
pub fn colons(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
