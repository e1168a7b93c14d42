//! The signature at the end of a module (`include/linux/module_signature.h`): PKCS#7 data, `struct module_signature`, a marker.

/// `MODULE_SIG_STRING`
const MARKER: &[u8] = b"~Module signature appended~\n";

/// Size of `struct module_signature`: algorithm, hash, kind, two lengths, padding, and the length of the signature (big-endian).
const BLOCK: usize = 12;

/// `PKEY_ID_PKCS7`, the only kind since Linux 4.3.
const PKCS7: u8 = 2;

/// A module's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Length in bytes of the signature data.
    pub length: usize,
    /// Digest algorithm (`sha256`); `None` if the data is not PKCS#7 or names one that modules are not signed with.
    pub digest: Option<&'static str>,
}

/// Splits a file into the ELF part and its signature. A trailer that does not fit into the file is left where it is:
/// the kernel refuses it, and ELF readers do not mind.
pub(super) fn split(bytes: &[u8]) -> (&[u8], Option<Signature>) {
    split_trailer(bytes).map_or((bytes, None), |(elf, signature)| (elf, Some(signature)))
}

fn split_trailer(bytes: &[u8]) -> Option<(&[u8], Signature)> {
    let body = bytes.strip_suffix(MARKER)?;
    let (body, block) = body.split_at_checked(body.len().checked_sub(BLOCK)?)?;
    let &[_, _, kind, signer, key, _, _, _, a, b, c, d] = block else { return None };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let (body, data) = body.split_at_checked(body.len().checked_sub(length)?)?;
    let elf = body.get(..body.len().checked_sub(usize::from(signer) + usize::from(key))?)?;
    let digest = if kind == PKCS7 { digest_algorithm(data) } else { None };
    Some((elf, Signature { length, digest }))
}

/// The first digest algorithm of a PKCS#7 `SignedData` (RFC 2315 §9.1).
fn digest_algorithm(der: &[u8]) -> Option<&'static str> {
    let (content_info, _) = element(der, 0x30)?;
    let (_signed_data_oid, rest) = element(content_info, 0x06)?;
    let (explicit, _) = element(rest, 0xa0)?;
    let (signed_data, _) = element(explicit, 0x30)?;
    let (_version, rest) = element(signed_data, 0x02)?;
    let (algorithms, _) = element(rest, 0x31)?;
    let (algorithm, _) = element(algorithms, 0x30)?;
    let (oid, _) = element(algorithm, 0x06)?;
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

/// The content of a DER element with this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    if found != tag {
        return None;
    }
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &[u8] = include_bytes!("../../tests/fixtures/kmod/layouts/kmf_signed.ko");
    const PLAIN: &[u8] = include_bytes!("../../tests/fixtures/kmod/6.1.0-56-amd64/kmf_empty.ko");

    #[test]
    fn the_signature_is_taken_off() {
        let (elf, signature) = split(SIGNED);
        assert_eq!(elf, PLAIN);
        assert_eq!(signature, Some(Signature { length: 397, digest: Some("sha256") }));
        assert_eq!(split(PLAIN), (PLAIN, None));
    }

    #[test]
    fn a_trailer_that_is_longer_than_the_file_is_none() {
        let cut = &SIGNED[SIGNED.len() - 300..];
        assert_eq!(split(cut), (cut, None));
        assert_eq!(split(MARKER), (MARKER, None));
    }
}
