//! Archives that the kernel unpacks as its first root: cpio in the `newc` format
//! (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel).

use std::io::{self, Write};

/// Type bits of `c_mode`.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

/// Writes entries in the order in which they are given. A directory must come before what is in it.
pub(super) struct CpioWriter<W: Write> {
    out: W,
    written: u64,
    inode: u32,
}

/// A file that more names can be given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inode {
    number: u32,
    mode: u32,
}

/// The fields that differ between entries.
#[derive(Default)]
struct Header {
    mode: u32,
    links: u32,
    size: u32,
    device: (u32, u32),
}

impl<W: Write> CpioWriter<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, written: 0, inode: 0 }
    }

    /// A directory; `path` without slashes around it.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        let mode = if path == "tmp" { 0o1777 } else { 0o755 };
        self.entry(path, &Header { mode: DIRECTORY | mode, links: 2, ..Header::default() }, &[])
    }

    /// A file.
    pub(super) fn file(&mut self, path: &str, executable: bool, content: &[u8]) -> io::Result<()> {
        self.linked_file(path, executable, content, 1).map(|_| ())
    }

    /// A file that gets more names; what [`Self::link`] calls it.
    pub(super) fn shared_file(&mut self, path: &str, executable: bool, content: &[u8]) -> io::Result<Inode> {
        self.linked_file(path, executable, content, 2)
    }

    /// Another name of a file: the kernel knows it by inode number and mode, and by a number of links above one.
    pub(super) fn link(&mut self, path: &str, Inode { number, mode }: Inode) -> io::Result<()> {
        self.write_entry(path, number, &Header { mode, links: 2, ..Header::default() }, &[])
    }

    fn linked_file(&mut self, path: &str, executable: bool, content: &[u8], links: u32) -> io::Result<Inode> {
        let size = u32::try_from(content.len()).map_err(|_| io::Error::new(io::ErrorKind::FileTooLarge, format!("`{path}` has 4 GiB or more")))?;
        let mode = REGULAR | if executable { 0o755 } else { 0o644 };
        self.entry(path, &Header { mode, links, size, ..Header::default() }, content)?;
        Ok(Inode { number: self.inode, mode })
    }

    /// A symbolic link; `target` is kept as it is.
    pub(super) fn symlink(&mut self, path: &str, target: &str) -> io::Result<()> {
        let size = u32::try_from(target.len()).unwrap_or_default();
        self.entry(path, &Header { mode: SYMLINK | 0o777, links: 1, size, ..Header::default() }, target.as_bytes())
    }

    /// A character device.
    pub(super) fn character(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.entry(path, &Header { mode: CHARACTER | 0o600, links: 1, device: (major, minor), ..Header::default() }, &[])
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.write_entry("TRAILER!!!", 0, &Header { links: 1, ..Header::default() }, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn entry(&mut self, path: &str, header: &Header, content: &[u8]) -> io::Result<()> {
        self.inode += 1;
        self.write_entry(path, self.inode, header, content)
    }

    fn write_entry(&mut self, path: &str, inode: u32, header: &Header, content: &[u8]) -> io::Result<()> {
        let Header { mode, links, size, device: (major, minor) } = header;
        let name = path.len() + 1;
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = format!("070701{inode:08x}{mode:08x}{0:08x}{0:08x}{links:08x}{0:08x}{size:08x}{0:08x}{0:08x}{major:08x}{minor:08x}{name:08x}{0:08x}", 0);
        self.write(fields.as_bytes())?;
        self.write(path.as_bytes())?;
        self.write(&[0])?;
        self.align()?;
        self.write(content)?;
        self.align()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn align(&mut self) -> io::Result<()> {
        let missing = usize::try_from(self.written.wrapping_neg() % 4).unwrap_or_default();
        self.write(&[0; 3][..missing])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_every_field_is_set() {
        let mut writer = CpioWriter::new(Vec::new());
        writer.directory("etc").unwrap();
        writer.file("etc/five", true, b"12345").unwrap();
        writer.character("console", 5, 1).unwrap();
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        let file = "070701\
            00000002\
            000081ed\
            00000000\
            00000000\
            00000001\
            00000000\
            00000005\
            00000000\
            00000000\
            00000000\
            00000000\
            00000009\
            00000000\
            etc/five\0\0\
            12345\0\0\0";
        assert!(text.contains(file), "{text:?}");
        assert!(text.contains("00000005000000010000000800000000console\0"), "{text:?}");
        assert_eq!(text.matches("070701").count(), 4);
    }

    #[test]
    fn a_second_name_has_the_number_of_the_first_and_no_content() {
        let mut writer = CpioWriter::new(Vec::new());
        let inode = writer.shared_file("a", true, b"1234").unwrap();
        writer.link("b", inode).unwrap();
        let bytes = writer.finish().unwrap();
        let second = &bytes[116..228];
        assert_eq!(&second[..46], b"07070100000001000081ed000000000000000000000002");
        assert_eq!((&second[54..62], &second[110..112]), (&b"00000000"[..], &b"b\0"[..]));
    }

    #[test]
    fn a_link_keeps_its_target() {
        let mut writer = CpioWriter::new(Vec::new());
        writer.symlink("sh", "busybox").unwrap();
        let bytes = writer.finish().unwrap();
        let at = bytes.windows(7).position(|window| window == b"busybox").unwrap();
        assert_eq!((at % 4, &bytes[14..22]), (0, &b"0000a1ff"[..]));
    }
}
