//! Decompression of `.ko.xz`, `.ko.gz` and `.ko.zst`, with a bound.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Read, Write as _};

use liblzma::stream::{Check, Filters, LzmaOptions, Stream};

use super::Fault;

/// The kernel keeps no larger dictionary (`scripts/Makefile.modinst`).
const KERNEL_DICTIONARY: u32 = 1 << 20;

/// More than the largest modules with their debugging information have.
const LIMIT: u64 = 512 << 20;

/// More than `xz -9` asks for; protects against headers that ask for everything.
const XZ_MEMORY: u64 = 128 << 20;

/// How a module's file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// `.ko.gz`
    Gzip,
    /// `.ko.xz`
    Xz,
    /// `.ko.zst`
    Zstd,
}

impl Compression {
    /// Compresses a module so that the kernel itself can undo it (`kernel/module/decompress.c`), as its `make modules_install` does.
    ///
    /// # Errors
    /// When the compressor cannot be set up: there is no memory, say.
    pub fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut encoder = flate2::GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), flate2::Compression::new(9));
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Xz => {
                let mut options = LzmaOptions::new_preset(6)?;
                options.dict_size(KERNEL_DICTIONARY);
                let stream = Stream::new_stream_encoder(Filters::new().lzma2(&options), Check::Crc32)?;
                let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            Self::Zstd => zstd::encode_all(bytes, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// Tells the compression by the first bytes, and undoes it.
pub(super) fn open(bytes: &[u8]) -> Result<(Option<Compression>, Cow<'_, [u8]>), Fault> {
    let compression = match bytes {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compression::Xz,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => return Ok((None, Cow::Borrowed(bytes))),
    };
    let plain = decompress(compression, bytes, LIMIT)?;
    Ok((Some(compression), Cow::Owned(plain)))
}

fn decompress(compression: Compression, bytes: &[u8], limit: u64) -> Result<Vec<u8>, Fault> {
    let fail = |error: &dyn fmt::Display| Fault::Compression(compression, error.to_string());
    let reader: Box<dyn Read + '_> = match compression {
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED).map_err(|e| fail(&e))?;
            Box::new(liblzma::read::XzDecoder::new_stream(bytes, stream))
        }
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(bytes).map_err(|e| fail(&e))?),
    };
    let mut plain = Vec::new();
    let size = reader.take(limit + 1).read_to_end(&mut plain).map_err(|e| fail(&e))?;
    if size as u64 > limit { Err(Fault::TooLarge(limit)) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undoes_every_compression() {
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let packed = compression.compress(b"\x7fELF and so on").unwrap();
            let (found, plain) = open(&packed).unwrap();
            assert_eq!((found, &*plain), (Some(compression), &b"\x7fELF and so on"[..]));
        }
        assert_eq!(open(b"\x7fELF").unwrap(), (None, Cow::Borrowed(&b"\x7fELF"[..])));
    }

    #[test]
    fn refuses_damage_and_what_grows_without_bound() {
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let bytes = compression.compress(&vec![0; 100_000]).unwrap();
            assert_eq!(decompress(compression, &bytes, 99_999), Err(Fault::TooLarge(99_999)));
            assert!(decompress(compression, &bytes, 100_000).is_ok());
            assert_eq!(Fault::TooLarge(LIMIT).to_string(), "more than 512 MiB when decompressed");
            assert!(matches!(open(&bytes[..bytes.len() - 9]), Err(Fault::Compression(found, _)) if found == compression));
        }
    }
}
