//! Tar as the image layers have it: POSIX ustar with every header field set, PAX records only where ustar's fields are too small.
//!
//! Nothing depends on the machine: owner 0:0 without names, one time for everything, modes 0755 and 0644.
//! Only `tmp` is everybody's, as everywhere.

use std::io::{self, Read, Write};

use ::tar::{EntryType, Header};

/// Tar is made of blocks of this many bytes.
pub const BLOCK: u64 = 512;
/// Two empty blocks end it.
pub const END: [u8; 1024] = [0; 1024];

/// Writes entries in the order in which they are given.
pub struct TarWriter<W: Write> {
    out: W,
    epoch: u64,
}

impl<W: Write> TarWriter<W> {
    /// `epoch` (seconds since 1970) becomes the time of every entry.
    pub fn new(out: W, epoch: u64) -> Self {
        Self { out, epoch }
    }

    /// A directory; `path` without a slash at its end.
    pub fn directory(&mut self, path: &str) -> io::Result<()> {
        let mode = if path == "tmp" { 0o1777 } else { 0o755 };
        self.header(EntryType::Directory, &format!("{path}/"), None, mode, 0)
    }

    /// A file with `size` bytes of `content`; fewer are an error.
    pub fn file(&mut self, path: &str, executable: bool, size: u64, content: &mut dyn Read) -> io::Result<()> {
        self.header(EntryType::Regular, path, None, if executable { 0o755 } else { 0o644 }, size)?;
        let copied = io::copy(&mut content.take(size), &mut self.out)?;
        if copied != size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("`{path}` has {copied} bytes where {size} were announced")));
        }
        self.pad(size)
    }

    /// A symbolic link; `target` is kept as it is.
    pub fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.header(EntryType::Symlink, path, Some(target), 0o777, 0)
    }

    /// A second name for the file `target`, which must have been written before.
    pub fn hard_link(&mut self, path: &str, target: &str, executable: bool) -> io::Result<()> {
        self.header(EntryType::Link, path, Some(target), if executable { 0o755 } else { 0o644 }, 0)
    }

    /// Ends the archive with its two empty blocks.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&END)?;
        Ok(self.out)
    }

    fn header(&mut self, kind: EntryType, path: &str, target: Option<&str>, mode: u32, size: u64) -> io::Result<()> {
        let mut pax = Vec::new();
        let short_path = fit(path, "path", &mut pax);
        let short_target = target.map(|target| fit(target, "linkpath", &mut pax));
        if !pax.is_empty() {
            self.block(EntryType::XHeader, b"PaxHeaders.0/entry", b"", 0o644, pax.len() as u64)?;
            self.out.write_all(&pax)?;
            self.pad(pax.len() as u64)?;
        }
        self.block(kind, short_path, short_target.unwrap_or_default(), mode, size)
    }

    fn block(&mut self, kind: EntryType, path: &[u8], target: &[u8], mode: u32, size: u64) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.epoch);
        header.set_size(size);
        if let Some(ustar) = header.as_ustar_mut() {
            ustar.name[..path.len()].copy_from_slice(path);
            ustar.linkname[..target.len()].copy_from_slice(target);
            ustar.set_device_major(0);
            ustar.set_device_minor(0);
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let rest = (BLOCK - size % BLOCK) % BLOCK;
        io::copy(&mut io::repeat(0).take(rest), &mut self.out).map(|_| ())
    }
}

/// What goes into a 100-byte field; text that is longer or not ASCII goes into a PAX record as well.
fn fit<'a>(text: &'a str, key: &str, pax: &mut Vec<u8>) -> &'a [u8] {
    if text.len() > 100 || !text.is_ascii() {
        pax.extend_from_slice(pax_record(key, text).as_bytes());
    }
    &text.as_bytes()[..text.len().min(100)]
}

/// `27 path=…\n`, where the number counts the whole record, its own digits included (POSIX `pax`, "pax Extended Header").
fn pax_record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + rest.to_string().len();
    if rest + length.to_string().len() != length {
        length += 1;
    }
    format!("{length} {key}={value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_every_header_field() {
        let mut tar = TarWriter::new(Vec::new(), 1_700_000_000);
        tar.file("a", true, 3, &mut &b"abc"[..]).unwrap();
        let bytes = tar.finish().unwrap();
        assert_eq!(bytes.len(), 2048);
        let expected: &[(usize, &[u8])] = &[
            (0, b"a\0"),
            (100, b"0000755\0"),
            (108, b"0000000\0"),
            (116, b"0000000\0"),
            (124, b"00000000003\0"),
            (136, b"14524770400\0"),
            (156, b"0"),
            (157, &[0; 100]),
            (257, b"ustar\x0000"),
            (265, &[0; 64]),
            (329, b"0000000\0"),
            (337, b"0000000\0"),
            (345, &[0; 167]),
            (512, b"abc\0"),
        ];
        for (offset, field) in expected {
            assert_eq!(&bytes[*offset..offset + field.len()], *field, "at {offset}");
        }
    }

    #[test]
    fn everybody_may_write_to_tmp_only() {
        let mut tar = TarWriter::new(Vec::new(), 0);
        for path in ["tmp", "tmp/tmp", "usr"] {
            tar.directory(path).unwrap();
        }
        let bytes = tar.finish().unwrap();
        let modes: Vec<_> = ::tar::Archive::new(bytes.as_slice()).entries().unwrap().map(|entry| entry.unwrap().header().mode().unwrap()).collect();
        assert_eq!(modes, [0o1777, 0o755, 0o755]);
    }

    #[test]
    fn keeps_long_and_foreign_names() {
        let names = ["x".repeat(99), "x".repeat(100), "d/".repeat(80) + "x", "ü".to_owned(), "y".repeat(985)];
        let mut tar = TarWriter::new(Vec::new(), 0);
        for name in &names {
            tar.symlink(name, name).unwrap();
        }
        let bytes = tar.finish().unwrap();
        let mut archive = ::tar::Archive::new(bytes.as_slice());
        for (entry, name) in archive.entries().unwrap().zip(&names) {
            let entry = entry.unwrap();
            assert_eq!((entry.path_bytes().as_ref(), entry.link_name_bytes().unwrap().as_ref()), (name.as_bytes(), name.as_bytes()));
        }
    }

    #[test]
    fn counts_a_pax_record_with_its_own_digits() {
        for length in [1, 80, 89, 90, 91, 92, 980, 988, 989, 990, 991, 992, 5000] {
            let record = pax_record("path", &"p".repeat(length));
            assert_eq!(record.split(' ').next().unwrap().parse::<usize>().unwrap(), record.len());
        }
    }

    #[test]
    fn refuses_content_that_ends_early() {
        let error = TarWriter::new(Vec::new(), 0).file("a", false, 5, &mut &b"abc"[..]).unwrap_err();
        assert_eq!(error.to_string(), "`a` has 3 bytes where 5 were announced");
    }
}
