//! Mounts that a daemon may leave behind in its folders, so that these can be removed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::mount::{UnmountFlags, unmount};

/// Detaches every mount below the folders, as far as that is allowed; the innermost first.
pub(super) fn detach_below(folders: &[&Path]) {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else { return };
    for point in mount_points(&table).into_iter().rev().filter(|point| folders.iter().any(|folder| point.starts_with(folder))) {
        // Best effort: what cannot be unmounted stays, and so does the folder.
        let _ = unmount(&point, UnmountFlags::DETACH);
    }
}

/// The fifth field of `/proc/self/mountinfo`, where white space and backslashes are octal.
fn mount_points(table: &str) -> Vec<PathBuf> {
    table.lines().filter_map(|line| line.split(' ').nth(4)).map(|field| PathBuf::from(OsString::from_vec(unescape(field)))).collect()
}

fn unescape(field: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = &tail[3..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_mount_points_with_blanks() {
        let table = "36 35 98:0 / /mnt/a\\040b rw,noatime master:1 - ext3 /dev/root rw\n37 36 0:1 / /proc rw - proc proc rw\n";
        assert_eq!(mount_points(table), [PathBuf::from("/mnt/a b"), PathBuf::from("/proc")]);
    }
}
