//! Texts that hold their own signature (RFC 9580 §7). Strict: whatever is not covered by the signature is refused, not passed over.

use std::borrow::Cow;

const BEGIN: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END: &str = "-----END PGP SIGNATURE-----";
/// What the ends of lines may have without changing the signature.
const BLANKS: [char; 4] = [' ', '\t', '\r', '\n'];

/// A text and its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clearsigned<'a> {
    /// The text that is signed: lines end with a line feed, and have no blanks at their ends.
    pub text: String,
    /// The armoured signature.
    pub signature: &'a str,
}

/// Whether a text claims to be signed in itself.
#[must_use]
pub fn is_clearsigned(text: &str) -> bool {
    text.starts_with(BEGIN)
}

impl<'a> Clearsigned<'a> {
    /// Takes a text apart. Whether the signature is good is another question.
    ///
    /// # Errors
    /// When it is not exactly header, text and signature.
    pub fn parse(document: &'a str) -> Result<Self, &'static str> {
        let (first, rest) = document.split_once('\n').ok_or("it ends before its text")?;
        if first.trim_end_matches(BLANKS) != BEGIN {
            return Err("it does not begin with `BEGIN PGP SIGNED MESSAGE`");
        }
        let mut lines = rest.split_inclusive('\n');
        loop {
            let header = lines.next().ok_or("it ends before its text")?.trim_end_matches(BLANKS);
            if header.is_empty() {
                break;
            }
            if !header.starts_with("Hash: ") {
                return Err("a header before its text is not `Hash`");
            }
        }
        let mut text = String::with_capacity(rest.len());
        let mut at = rest.len() - lines.clone().map(str::len).sum::<usize>();
        loop {
            let whole = lines.next().ok_or("it ends before its signature")?;
            let line = whole.trim_end_matches(BLANKS);
            if line == SIGNATURE {
                break;
            }
            text.push_str(&plain(line)?);
            text.push('\n');
            at += whole.len();
        }
        let signature = &rest[at..];
        let (block, after) = signature.split_once(END).ok_or("it ends within its signature")?;
        if !after.trim().is_empty() {
            return Err("something follows its signature");
        }
        Ok(Self { text, signature: &signature[..block.len() + END.len()] })
    }

    /// The bytes that the signature is of: line ends are CRLF, and the last one does not count.
    #[must_use]
    pub fn content(&self) -> Vec<u8> {
        self.text.strip_suffix('\n').unwrap_or(&self.text).replace('\n', "\r\n").into_bytes()
    }
}

/// A line of the text without what protects it.
fn plain(line: &str) -> Result<Cow<'_, str>, &'static str> {
    // A line break of any kind that is not one here would make another text of the same signature.
    if line.contains(|c: char| c.is_control() && c != '\t') {
        return Err("a line in it has control characters");
    }
    match line.strip_prefix("- ") {
        Some(line) => Ok(line.into()),
        None if line.starts_with('-') => Err("a line in it begins with a dash that is not escaped"),
        None => Ok(line.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\nHash: SHA512\n\nSuite: x  \n- -- dash\n\nlast\n\
        -----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----\n";

    #[test]
    fn a_text_is_taken_as_it_was_signed() {
        let signed = Clearsigned::parse(SIGNED).unwrap();
        assert_eq!(signed.text, "Suite: x\n-- dash\n\nlast\n");
        assert_eq!(signed.signature, "-----BEGIN PGP SIGNATURE-----\n\niQ==\n-----END PGP SIGNATURE-----");
        assert_eq!(signed.content(), b"Suite: x\r\n-- dash\r\n\r\nlast");
        assert_eq!(Clearsigned::parse(&SIGNED.replace('\n', "\r\n")).unwrap().text, signed.text);
    }

    #[test]
    fn nothing_is_passed_over() {
        for (from, to, reason) in [
            ("-----BEGIN PGP SIGNED", "x\n-----BEGIN PGP SIGNED", "it does not begin with `BEGIN PGP SIGNED MESSAGE`"),
            ("Hash: SHA512", "Comment: x", "a header before its text is not `Hash`"),
            ("- -- dash", "-- dash", "a line in it begins with a dash that is not escaped"),
            ("- -- dash", "a\rb", "a line in it has control characters"),
            ("-----BEGIN PGP SIGNATURE-----", "", "a line in it begins with a dash that is not escaped"),
            ("-----END PGP SIGNATURE-----", "", "it ends within its signature"),
            ("-----END PGP SIGNATURE-----\n", "-----END PGP SIGNATURE-----\nSuite: y\n", "something follows its signature"),
        ] {
            assert_eq!(Clearsigned::parse(&SIGNED.replacen(from, to, 1)), Err(reason), "{from} → {to}");
        }
        let end = SIGNED.find(SIGNATURE).unwrap();
        assert_eq!(Clearsigned::parse(&SIGNED[..end]), Err("it ends before its signature"));
        for text in ["", BEGIN, "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256"] {
            assert_eq!(Clearsigned::parse(text), Err("it ends before its text"), "{text}");
        }
    }
}
