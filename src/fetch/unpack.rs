//! Compressed files and Debian packages, read as streams.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;

use super::error::DiskProblem;

/// Why an archive cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnpackError {
    /// It is something else than a tar archive in a known compression.
    #[error("it is not a tar archive")]
    NotAnArchive,
    /// It is compressed by a method that is not supported.
    #[error("it is compressed with {0}, which is not supported")]
    Compression(&'static str),
    /// It is no Debian package.
    #[error("it is not a Debian package: {0}")]
    NotADeb(&'static str),
    /// It ends too early, or its contents contradict themselves.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// An entry could write outside of the place it is unpacked to.
    #[error("`{entry}` {reason}")]
    Unsafe {
        /// Path of the entry.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The source is not where the profile says.
    #[error("it has no `{path}`")]
    Missing {
        /// File or directory.
        path: String,
        /// What is there instead.
        holds: Vec<String>,
    },
    /// It unpacks to more than any source has.
    #[error("it holds more than {0}")]
    TooLarge(String),
    /// Two rules put different files at one place.
    #[error("two files go to `{0}`")]
    Conflict(String),
    /// A local file or directory cannot be read.
    #[error("cannot read `{}`: {problem}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        problem: DiskProblem,
    },
    /// The cache cannot be written.
    #[error("cannot write `{}`: {problem}", path.display())]
    Write {
        /// File or directory.
        path: PathBuf,
        /// Why.
        problem: DiskProblem,
    },
}

impl UnpackError {
    pub(super) fn damaged(error: &io::Error) -> Self {
        Self::Damaged(error.to_string())
    }

    pub(super) fn read(path: &Path, error: &io::Error) -> Self {
        Self::Read { path: path.to_owned(), problem: DiskProblem::of(error) }
    }

    pub(super) fn write(path: &Path, error: &io::Error) -> Self {
        Self::Write { path: path.to_owned(), problem: DiskProblem::of(error) }
    }
}

/// What comes out of a compressed file; the compression is told by its first bytes, and none is fine, too.
pub(crate) fn decompress<'a>(mut reader: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, UnpackError> {
    let start = reader.fill_buf().map_err(|error| UnpackError::damaged(&error))?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(reader)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(XzDecoder::new_multi_decoder(reader)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(reader).map_err(|error| UnpackError::damaged(&error))?),
        [b'B', b'Z', b'h', ..] => Box::new(MultiBzDecoder::new(reader)),
        [b'P', b'K', 3, 4, ..] => return Err(UnpackError::Compression("zip")),
        _ => Box::new(reader),
    })
}

/// The tar stream in a tar archive of any supported compression.
pub(super) fn open_archive(path: &Path) -> Result<Box<dyn Read>, UnpackError> {
    tar_stream(BufReader::with_capacity(1 << 16, File::open(path).map_err(|error| UnpackError::read(path, &error))?))
}

/// The files of a Debian binary package (deb(5)): its `data.tar`.
pub(crate) fn open_deb(path: &Path) -> Result<Box<dyn Read>, UnpackError> {
    let mut file = File::open(path).map_err(|error| UnpackError::read(path, &error))?;
    let size = find_data(&mut file)?;
    tar_stream(BufReader::with_capacity(1 << 16, file.take(size)))
}

fn tar_stream(file: impl BufRead + 'static) -> Result<Box<dyn Read>, UnpackError> {
    let mut stream = BufReader::new(decompress(file)?);
    // POSIX and GNU tar both have `ustar` there; what lacks it is a file that only looks like an archive by its name.
    let start = fill(&mut stream)?;
    if start.len() < 512 || &start[257..262] != b"ustar" {
        return Err(UnpackError::NotAnArchive);
    }
    Ok(Box::new(io::Cursor::new(start).chain(stream)))
}

/// The first block of a tar archive, or what there is of it.
fn fill(stream: &mut impl Read) -> Result<Vec<u8>, UnpackError> {
    let mut start = Vec::with_capacity(512);
    stream.take(512).read_to_end(&mut start).map_err(|error| UnpackError::damaged(&error))?;
    Ok(start)
}

/// Goes to the contents of `data.tar*` in an ar archive (ar(5)); gives their size in bytes.
fn find_data(file: &mut File) -> Result<u64, UnpackError> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic).map_err(|_| UnpackError::NotADeb("it is too short"))?;
    if &magic != b"!<arch>\n" {
        return Err(UnpackError::NotADeb("it is not an ar archive"));
    }
    let mut header = [0; 60];
    loop {
        file.read_exact(&mut header).map_err(|_| UnpackError::NotADeb("it has no `data.tar`"))?;
        let name = header[..16].trim_ascii_end();
        let name = name.strip_suffix(b"/").unwrap_or(name);
        let size = std::str::from_utf8(header[48..58].trim_ascii()).ok().and_then(|size| size.parse::<u64>().ok());
        let Some(size) = size.filter(|_| header.ends_with(b"`\n")) else {
            return Err(UnpackError::NotADeb("a header in it is damaged"));
        };
        if name.starts_with(b"data.tar") {
            return Ok(size);
        }
        let even = i64::try_from(size + size % 2).map_err(|_| UnpackError::NotADeb("a header in it is damaged"))?;
        file.seek(SeekFrom::Current(even)).map_err(|error| UnpackError::damaged(&error))?;
    }
}
