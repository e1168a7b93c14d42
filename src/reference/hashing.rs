//! Digests of what passes by.

use std::io::{self, BufReader, Read, Write};

use sha2::{Digest as _, Sha256};

use super::Digest;

impl Digest {
    /// The digest of everything that there is to read, which costs no memory.
    ///
    /// # Errors
    /// When reading fails.
    pub fn read(from: impl Read) -> io::Result<Self> {
        let mut hashing = Hashing::new(io::sink());
        io::copy(&mut BufReader::with_capacity(1 << 18, from), &mut hashing)?;
        Ok(hashing.digest())
    }
}

/// Counts and hashes what passes through.
pub(crate) struct Hashing<W> {
    out: W,
    hash: Sha256,
    pub(crate) length: u64,
}

impl<W> Hashing<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, hash: Sha256::new(), length: 0 }
    }

    pub(crate) fn into_inner(self) -> W {
        self.out
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::from_sha256(&self.hash.clone().finalize().into())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
