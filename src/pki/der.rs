//! Distinguished Encoding Rules (ITU-T X.690): definite lengths, tags of one byte. Nothing else occurs in certificates, keys and signatures.

use super::tag;

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    /// Tag, length and content.
    pub(super) whole: &'a [u8],
}

/// Takes elements off the front of some bytes. `None` always means that there is something else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Option<Element<'a>> {
        let (&[tag, first], rest) = self.rest.split_first_chunk::<2>()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let whole = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        Some(Element { tag, content, whole })
    }

    /// The next element, if it has this tag; else nothing is taken.
    pub(super) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        let mut ahead = *self;
        let element = ahead.any().filter(|element| element.tag == tag)?;
        *self = ahead;
        Some(element)
    }

    /// A reader of the content of the next element.
    pub(super) fn inside(&mut self, tag: u8) -> Option<Self> {
        self.take(tag).map(|element| Self::new(element.content))
    }
}

/// An element of these parts.
#[must_use]
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut bytes = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => bytes.push(short),
        _ => {
            let digits = length.to_be_bytes();
            let digits = &digits[digits.iter().take_while(|digit| **digit == 0).count()..];
            // As many digits as a length in memory has: at most eight.
            bytes.push(0x80 | digits.len().to_le_bytes()[0]);
            bytes.extend_from_slice(digits);
        }
    }
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// A sequence of these parts.
#[must_use]
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// Whether the bytes are one sequence, and nothing behind it.
#[must_use]
pub fn is_sequence(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    reader.take(tag::SEQUENCE).is_some() && reader.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7; length];
            let bytes = element(tag::OCTET_STRING, &[&content]);
            let mut reader = Reader::new(&bytes);
            let read = reader.take(tag::OCTET_STRING).unwrap();
            assert_eq!((read.content, read.whole), (&content[..], &bytes[..]), "{length}");
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn what_does_not_fit_is_nothing() {
        for bytes in [&b""[..], b"\x30", b"\x30\x02\x01", b"\x30\x80\x00\x00", b"\x30\x85\x01\x01\x01\x01\x01\x00", b"\x30\x84\xff\xff\xff\xff"] {
            assert_eq!(Reader::new(bytes).any(), None, "{bytes:02x?}");
        }
        let mut reader = Reader::new(b"\x05\x00");
        assert_eq!(reader.take(tag::INTEGER), None);
        assert!(reader.take(tag::NULL).is_some(), "a refused element stays");
    }
}
