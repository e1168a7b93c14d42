//! The signature at the end of a module (`include/linux/module_signature.h`): PKCS#7 data, `struct module_signature`, a marker.

use crate::pki;

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
    let Some((content, kind, data)) = split_trailer(bytes) else { return (bytes, None) };
    let digest = if kind == PKCS7 { pki::read(data).and_then(|signatures| signatures.first()?.hash_name()) } else { None };
    (content, Some(Signature { length: data.len(), digest }))
}

/// What is signed, and the PKCS#7 data behind it; `None` if there is none.
#[must_use]
pub fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    split_trailer(bytes).filter(|(_, kind, _)| *kind == PKCS7).map(|(content, _, data)| (content, data))
}

/// The module without any signature, however often it was signed.
#[must_use]
pub fn strip(bytes: &[u8]) -> &[u8] {
    split_trailer(bytes).map_or(bytes, |(content, ..)| strip(content))
}

/// The module with PKCS#7 data behind it, as `scripts/sign-file.c` appends it; `None` if that is too long for a trailer to tell.
#[must_use]
pub fn append(content: &[u8], pkcs7: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(pkcs7.len()).ok()?.to_be_bytes();
    Some([content, pkcs7, &[0, 0, PKCS7, 0, 0, 0, 0, 0], &length, MARKER].concat())
}

fn split_trailer(bytes: &[u8]) -> Option<(&[u8], u8, &[u8])> {
    let body = bytes.strip_suffix(MARKER)?;
    let (body, block) = body.split_at_checked(body.len().checked_sub(BLOCK)?)?;
    let &[_, _, kind, signer, key, _, _, _, a, b, c, d] = block else { return None };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let (body, data) = body.split_at_checked(body.len().checked_sub(length)?)?;
    let content = body.get(..body.len().checked_sub(usize::from(signer) + usize::from(key))?)?;
    Some((content, kind, data))
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
    fn what_is_appended_is_what_sign_file_appends() {
        let (content, pkcs7) = parts(SIGNED).unwrap();
        assert_eq!(append(content, pkcs7).unwrap(), SIGNED);
        let twice = append(SIGNED, pkcs7).unwrap();
        assert_eq!((strip(&twice), strip(PLAIN)), (PLAIN, PLAIN));
        assert_eq!(parts(PLAIN), None);
    }

    #[test]
    fn a_trailer_that_is_longer_than_the_file_is_none() {
        let cut = &SIGNED[SIGNED.len() - 300..];
        assert_eq!(split(cut), (cut, None));
        assert_eq!(split(MARKER), (MARKER, None));
    }
}
