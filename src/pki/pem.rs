//! PEM (RFC 7468), with the headers that OpenSSL's traditional encryption has (RFC 1421 §4.6).

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

/// What stands between one pair of markers.
#[derive(Clone)]
pub struct PemBlock {
    /// `CERTIFICATE`, `ENCRYPTED PRIVATE KEY`.
    pub label: String,
    /// `Proc-Type` and the like, in order.
    pub headers: Vec<(String, String)>,
    /// The bytes; they may be secret.
    pub content: Zeroizing<Vec<u8>>,
}

/// All blocks of a text; what stands around them, and blocks that are damaged, are left out.
#[must_use]
pub fn pem_blocks(text: &str) -> Vec<PemBlock> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) else { continue };
        let end = format!("-----END {label}-----");
        let (mut headers, mut body, mut ended) = (Vec::new(), Zeroizing::new(String::with_capacity(text.len())), false);
        for line in lines.by_ref() {
            if line == end {
                ended = true;
                break;
            }
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.trim().to_owned(), value.trim().to_owned())),
                None => body.push_str(line),
            }
        }
        let engine = GeneralPurpose::new(&base64::alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));
        if let (true, Ok(content)) = (ended, engine.decode(body.as_bytes())) {
            blocks.push(PemBlock { label: label.to_owned(), headers, content: Zeroizing::new(content) });
        }
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_found_among_other_text() {
        let text = "Certificate:\n  Data: x\n-----BEGIN A-----\r\nDEK-Info: AES-128-CBC,00\r\n\r\naGVs\r\nbG8=\r\n-----END A-----\n\
                    -----BEGIN B-----\n!!\n-----END B-----\n-----BEGIN C-----\naGVsbG8=\n";
        let blocks = pem_blocks(text);
        assert_eq!(blocks.len(), 1, "damaged and unfinished blocks are none");
        assert_eq!((blocks[0].label.as_str(), &blocks[0].content[..]), ("A", &b"hello"[..]));
        assert_eq!(blocks[0].headers, [("DEK-Info".to_owned(), "AES-128-CBC,00".to_owned())]);
    }
}
