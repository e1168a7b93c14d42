//! Repositories of pacman: one archive, called after the repository, with a file per package
//! (<https://gitlab.archlinux.org/pacman/pacman>, `lib/libalpm/be_sync.c` and `scripts/repo-add.sh.in`; there is no other specification).

use std::io::Read;
use std::sync::Arc;

use super::extract::{Index, Interest};
use super::packages::Stanza;
use super::resolve::Shelf;
use super::signature::Seal;
use super::{IndexError, RepositoryName, cached};
use crate::fetch::{Fetcher, sha256};
use crate::profile::distro::{Family, Repository};

/// The largest description of a package that is taken, in bytes. Signatures and dependencies make some kilobytes.
const LARGEST_ENTRY: u64 = 1 << 20;
/// The largest uncompressed database that is taken, in bytes. Arch's largest has 50 MB.
const LARGEST_INDEX: u64 = 1 << 30;

/// What matters of a repository's packages for an architecture, by the family's name of it; none if the server has no such repository.
pub(super) async fn read_repository(
    fetcher: &Fetcher,
    interest: &Arc<Interest>,
    repository: &Repository,
    seal: &Seal<'_>,
    arch: &str,
) -> Result<Option<Shelf>, IndexError> {
    let name = RepositoryName::of(Family::Pacman, repository);
    let url = repository.url.replace("{arch}", arch);
    let file = format!("{}.db", repository.suite);
    let place = format!("{url}/{file}");
    let Some(bytes) = cached(fetcher, &name, &place).await? else { return Ok(None) };
    let signature = if seal.is_closed() { cached(fetcher, &name, &format!("{place}.sig")).await? } else { None };
    seal.check_detached(&bytes, signature.as_deref()).map_err(|fault| fault.at(&name, &file))?;
    let index = Index { name: &name, url: &place, path: &file, digest: &sha256(&bytes), scan: |stream, wants| scan(stream, wants) };
    let stanzas = index.read(fetcher, interest, async || fetcher.spooled(&bytes)).await?;
    Ok(Some(Shelf { suite: repository.suite.clone(), url, unverified: seal.place(repository), automatic: true, stanzas }))
}

/// Reads the packages whose names are wanted from a database. What else is in it costs no memory.
pub(super) fn scan(stream: impl Read, wants: impl Fn(&str) -> bool) -> Result<Vec<Stanza>, String> {
    let mut archive = tar::Archive::new(stream.take(LARGEST_INDEX));
    let mut found = Vec::new();
    let mut any = false;
    for entry in archive.entries().map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        any = true;
        let path = entry.path_bytes().into_owned();
        let Some(directory) = path.strip_suffix(b"/desc").and_then(|directory| std::str::from_utf8(directory).ok()) else { continue };
        // The directory is called NAME-VERSION-RELEASE.
        let name = directory.rsplitn(3, '-').nth(2).unwrap_or_default();
        if !wants(name.trim_start_matches("./")) {
            continue;
        }
        let mut text = Vec::new();
        entry.take(LARGEST_ENTRY + 1).read_to_end(&mut text).map_err(|error| error.to_string())?;
        if text.len() as u64 > LARGEST_ENTRY {
            return Err(format!("the description of `{name}` has more than {} KiB", LARGEST_ENTRY >> 10));
        }
        found.extend(parse(&String::from_utf8_lossy(&text)));
    }
    if any { Ok(found) } else { Err("it is no database of pacman".to_owned()) }
}

/// A package's description; none when a field is missing without which it cannot be fetched.
fn parse(text: &str) -> Option<Stanza> {
    let mut stanza = Stanza::default();
    // A field's name between percent signs, its values on lines of their own, an empty line.
    for field in text.split("\n\n") {
        let mut lines = field.trim_start_matches('\n').lines();
        let Some(name) = lines.next() else { continue };
        let mut values = lines.filter(|line| !line.is_empty());
        let mut first = || values.next().unwrap_or_default().to_owned();
        match name {
            "%NAME%" => stanza.name = first(),
            "%VERSION%" => stanza.version = first(),
            "%ARCH%" => stanza.arch = first(),
            "%FILENAME%" => stanza.filename = first(),
            "%SHA256SUM%" => stanza.sha256 = first(),
            "%CSIZE%" => stanza.size = first().parse().ok()?,
            "%URL%" => stanza.homepage = first(),
            "%DESC%" => stanza.summary = first(),
            "%DEPENDS%" => stanza.depends = values.map(dependency).collect::<Vec<_>>().join(", "),
            _ => {}
        }
    }
    let complete = [&stanza.name, &stanza.version, &stanza.arch, &stanza.filename, &stanza.sha256].into_iter().all(|field| !field.is_empty());
    complete.then_some(stanza)
}

/// `linux>=6.1` in the form of Debian's `Depends`, which one resolver reads for all families.
fn dependency(text: &str) -> String {
    let Some(at) = text.find(['<', '=', '>']) else { return text.to_owned() };
    let (name, bound) = text.split_at(at);
    let version = bound.trim_start_matches(['<', '=', '>']);
    let relation = match &bound[..bound.len() - version.len()] {
        "<" => "<<",
        ">" => ">>",
        other => other,
    };
    format!("{name} ({relation} {version})")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `repo-add` writes it.
    const DESCRIPTION: &str = "%FILENAME%\nlinux-headers-6.16.8.arch3-1-x86_64.pkg.tar.zst\n\n%NAME%\nlinux-headers\n\n%BASE%\nlinux\n\n\
        %VERSION%\n6.16.8.arch3-1\n\n%DESC%\nHeaders and scripts\n\n%CSIZE%\n42\n\n%SHA256SUM%\naa\n\n%PGPSIG%\niQ\n\n%ARCH%\nx86_64\n\n\
        %DEPENDS%\npahole\nlinux-api-headers>=4.10\n\n";

    fn database(descriptions: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (directory, text) in descriptions {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            archive.append_data(&mut header, format!("{directory}/desc"), text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap()
    }

    #[test]
    fn reads_wanted_packages() {
        let bytes = database(&[("linux-headers-6.16.8.arch3-1", DESCRIPTION), ("gcc-15.2.1-1", "%NAME%\ngcc\n\n"), ("broken-1-1", "%NAME%\nbroken\n\n")]);
        let found = scan(&bytes[..], |name| name != "gcc").unwrap();
        let [headers] = &found[..] else { panic!("{found:?}") };
        assert_eq!((headers.name.as_str(), headers.version.as_str(), headers.arch.as_str()), ("linux-headers", "6.16.8.arch3-1", "x86_64"));
        assert_eq!((headers.depends.as_str(), headers.size, headers.sha256.as_str()), ("pahole, linux-api-headers (>= 4.10)", 42, "aa"));
        assert_eq!(headers.filename, "linux-headers-6.16.8.arch3-1-x86_64.pkg.tar.zst");
    }

    #[test]
    fn what_is_no_database_is_said_to_be_none() {
        assert_eq!(scan(&b""[..], |_| true).unwrap_err(), "it is no database of pacman");
        assert!(scan(&b"<html>log in</html>"[..], |_| true).is_err());
        let large = format!("%NAME%\n{}\n", "x".repeat(usize::try_from(LARGEST_ENTRY).unwrap()));
        let error = scan(&database(&[("linux-1-1", &large)])[..], |_| true).unwrap_err();
        assert_eq!(error, "the description of `linux` has more than 1024 KiB");
    }
}
