use super::*;
use crate::fetch::sha256;
use crate::fetch::testing::Entry::{Device, Directory, File, HardLink, Link, Program};
use crate::fetch::testing::{Entry, Server, archive, bz2, deb, fetcher, gz, xz};

const SOURCE: [Entry<'_>; 4] =
    [Directory("./d-1.0/"), Program("./d-1.0/configure", b"#!"), File("./d-1.0/Makefile", b"obj-m"), File("./d-1.0/src/a.c", b"int")];

fn archive_at(url: String, bytes: &[u8], strip: usize, directory: &str) -> SourceSpec {
    SourceSpec::Archive { url, sha256: sha256(bytes), strip, directory: directory.to_owned() }
}

fn deb_at(url: String, bytes: &[u8], directory: &str) -> SourceSpec {
    SourceSpec::Deb { url, sha256: sha256(bytes), directory: directory.to_owned() }
}

/// Path, type, mode and contents or target of each entry.
fn entries(tar: &Path) -> Vec<(String, tar::EntryType, u32, String)> {
    let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 946_684_800));
        let (kind, mode) = (header.entry_type(), header.mode().unwrap());
        let mut content = entry.link_name().unwrap().map(|target| target.display().to_string()).unwrap_or_default();
        std::io::Read::read_to_string(&mut entry, &mut content).unwrap();
        (entry.path().unwrap().display().to_string(), kind, mode, content)
    };
    archive.entries().unwrap().map(read).collect()
}

fn paths(tar: &Path) -> Vec<String> {
    entries(tar).into_iter().map(|(path, ..)| path).collect()
}

async fn prepare_bytes(bytes: &[u8], strip: usize, directory: &str) -> Result<(Vec<String>, PreparedSource, tempfile::TempDir), String> {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/d.tar", bytes.to_vec())]).await;
    let source = archive_at(format!("{}/d.tar", server.url), bytes, strip, directory);
    let prepared = prepare(&fetcher(dir.path()), &[source], dir.path()).await;
    let prepared = prepared.map_err(|error| Failure::from(error).to_string().replace(&server.url, "http://server"))?;
    Ok((paths(&prepared.tar), prepared, dir))
}

async fn refusal(entries: &[Entry<'_>]) -> String {
    let failure = prepare_bytes(&archive(entries, 0), 0, ".").await.unwrap_err();
    let reason = failure.strip_prefix("error: `http://server/d.tar` cannot be used: ").unwrap();
    reason.strip_suffix("\n  help      such an entry could write outside of the source; nothing was unpacked").unwrap().to_owned()
}

#[tokio::test]
async fn the_same_files_give_the_same_bytes_whatever_they_come_in() {
    use tar::EntryType as Type;
    let dir = tempfile::tempdir().unwrap();
    let local = dir.path().join("local");
    std::fs::create_dir_all(local.join("src")).unwrap();
    std::fs::create_dir_all(local.join(".git")).unwrap();
    for (path, content) in [("Makefile", "obj-m"), ("src/a.c", "int"), ("configure", "#!"), (".git/HEAD", "ref")] {
        std::fs::write(local.join(path), content).unwrap();
    }
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(local.join("configure"), executable).unwrap();

    let reversed = [File("e/src/a.c", b"int"), File("e/Makefile", b"obj-m"), Program("e/configure", b"#!")];
    let in_deb = [
        File("./usr/src/d-1.0/src/a.c", b"int"),
        File("./usr/src/d-1.0/Makefile", b"obj-m"),
        Program("./usr/src/d-1.0/configure", b"#!"),
        File("./usr/other", b""),
    ];
    let (plain, packed) = (archive(&SOURCE, 7), gz(&archive(&reversed, 8)));
    let zstd = zstd::encode_all(archive(&in_deb, 9).as_slice(), 1).unwrap();
    let debs = [
        deb("data.tar", &archive(&in_deb, 1)),
        deb("data.tar.xz", &xz(&archive(&in_deb, 2))),
        deb("data.tar.zst/", &zstd),
        deb("data.tar.gz", &gz(&archive(&in_deb, 3))),
        deb("data.tar.bz2", &bz2(&archive(&in_deb, 4))),
    ];
    let server = Server::start({
        let files: Vec<_> = [plain.clone(), packed.clone()].into_iter().chain(debs.clone()).collect();
        move |request, _| axum::response::IntoResponse::into_response(files[request.uri().path()[1..].parse::<usize>().unwrap()].clone())
    })
    .await;

    let mut sources = vec![
        archive_at(format!("{}/0", server.url), &plain, 1, "."),
        archive_at(format!("{}/1", server.url), &packed, 0, "e"),
        SourceSpec::Path { directory: "local".into() },
    ];
    sources.extend(debs.iter().enumerate().map(|(at, bytes)| deb_at(format!("{}/{}", server.url, at + 2), bytes, "usr/src/d-1.0")));
    let client = fetcher(dir.path());
    let mut digests = Vec::new();
    for source in &sources {
        let prepared = prepare(&client, std::slice::from_ref(source), dir.path()).await.unwrap();
        assert_eq!(sha256(&std::fs::read(&prepared.tar).unwrap()), prepared.sha256);
        assert_eq!(prepared.origin, source.place());
        digests.push(prepared.sha256.clone());
        let expected = [
            ("Makefile", Type::Regular, 0o644, "obj-m"),
            ("configure", Type::Regular, 0o755, "#!"),
            ("src/", Type::Directory, 0o755, ""),
            ("src/a.c", Type::Regular, 0o644, "int"),
        ];
        assert_eq!(entries(&prepared.tar), expected.map(|(path, kind, mode, content)| (path.to_owned(), kind, mode, content.to_owned())));
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[tokio::test]
async fn a_prepared_source_needs_neither_network_nor_work() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = archive(&SOURCE, 0);
    let server = Server::files([("/d.tar", bytes.clone())]).await;
    let sources = [archive_at("http://127.0.0.1:1/d.tar".to_owned(), &bytes, 1, "."), archive_at(format!("{}/d.tar", server.url), &bytes, 1, "")];
    let sources = [sources[0].clone(), archive_at(format!("{}/d.tar", server.url), &bytes, 1, ".")];
    let first = prepare(&fetcher(dir.path()), &sources, dir.path()).await.unwrap();
    assert_eq!((first.origin.as_str(), first.origin_sha256.as_str()), (sources[1].place().as_str(), sha256(&bytes).as_str()));
    drop(server);
    assert_eq!(prepare(&fetcher(dir.path()), &sources, dir.path()).await.unwrap(), first);
    let left: Vec<_> = std::fs::read_dir(dir.path().join("sources")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

#[tokio::test]
async fn every_place_that_was_tried_is_listed() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::files([("/changed.tar", b"changed".to_vec())]).await;
    let bytes = archive(&SOURCE, 0);
    let sources = [
        archive_at(format!("{}/gone.tar", server.url), &bytes, 1, "."),
        archive_at(format!("{}/changed.tar", server.url), &bytes, 1, "."),
        SourceSpec::Path { directory: "nowhere".into() },
    ];
    let error = prepare(&fetcher(dir.path()), &sources, Path::new("/profiles")).await.unwrap_err();
    assert_eq!(
        Failure::from(error).to_string().replace(&server.url, "http://server"),
        format!(
            "error: none of the 3 places of the source could be used\n  \
             tried     http://server/gone.tar\n              `http://server/gone.tar` does not exist: 404 Not Found\n  \
             tried     http://server/changed.tar\n              `http://server/changed.tar` is not the expected file\n              \
             found     sha256:{}\n              expected  sha256:{}\n  \
             tried     nowhere\n              cannot read `/profiles/nowhere`: no such file or directory\n  \
             help      without a way to these places, name a mirror of one: `mirrors` → `sources` in the project file",
            sha256(b"changed"),
            sha256(&bytes)
        )
    );
}

#[tokio::test]
async fn links_stay_inside_or_become_what_they_point_at() {
    let entries_in = [
        File("p/common/LICENSE", b"GPL"),
        File("p/d/Makefile", b"obj-m"),
        Link("p/d/GNUmakefile", "Makefile"),
        Link("p/d/LICENSE", "../common/LICENSE"),
        HardLink("p/d/copy", "p/common/LICENSE"),
    ];
    let (_, prepared, _dir) = prepare_bytes(&archive(&entries_in, 0), 1, "d").await.unwrap();
    let found: Vec<_> = entries(&prepared.tar).into_iter().map(|(path, kind, _, content)| (path, kind == tar::EntryType::Symlink, content)).collect();
    let expected = [("GNUmakefile", true, "Makefile"), ("LICENSE", false, "GPL"), ("Makefile", false, "obj-m"), ("copy", false, "GPL")];
    assert_eq!(found, expected.map(|(path, link, content)| (path.to_owned(), link, content.to_owned())));
}

#[tokio::test]
async fn what_could_write_outside_is_refused() {
    assert_eq!(refusal(&[File("a/../../etc/passwd", b"")]).await, "`a/../../etc/passwd` leads out of the archive");
    assert_eq!(refusal(&[File("/etc/passwd", b"")]).await, "`/etc/passwd` is an absolute path");
    assert_eq!(refusal(&[Device("null")]).await, "`null` is a device, a pipe or a socket");
    assert_eq!(refusal(&[Link("a", "/etc")]).await, "`a` is a link to `/etc`, outside of the source");
    assert_eq!(refusal(&[Link("d/a", "../../etc")]).await, "`d/a` is a link to `../../etc`, outside of the source");
    assert_eq!(refusal(&[Link("here", "."), Link("a", "here/x/../..")]).await, "`a` is a link to `here/x/../..`, outside of the source");
    assert_eq!(refusal(&[Link("a", "b"), File("a/passwd", b"")]).await, "`a/passwd` lies below `a`, which is no directory");
    assert_eq!(refusal(&[HardLink("a", "b")]).await, "`a` is a hard link to `b`, which is no file before it in the archive");
}

#[tokio::test]
async fn what_is_no_source_is_named() {
    let fails = async |bytes: &[u8], directory: &str| {
        prepare_bytes(bytes, 1, directory).await.unwrap_err().strip_prefix("error: `http://server/d.tar` cannot be used: ").unwrap().to_owned()
    };
    let packing = "\n  help      expected a tar archive: plain, or compressed with gzip, bzip2, xz or zstd";
    assert_eq!(fails(b"<html>", ".").await, format!("it is not a tar archive{packing}"));
    assert_eq!(fails(b"PK\x03\x04", ".").await, format!("it is compressed with zip, which is not supported{packing}; pack it again"));
    assert!(fails(b"BZh91AY", ".").await.starts_with("it is damaged: "));
    let cut = gz(&archive(&SOURCE, 0));
    assert!(fails(&cut[..cut.len() - 20], ".").await.starts_with("it is damaged: "));
    assert!(fails(&archive(&SOURCE, 0)[..1600], ".").await.starts_with("it is damaged: "));
    assert_eq!(
        fails(&archive(&SOURCE, 0), "source").await,
        "it has no `source`\n  holds     Makefile, configure, src\n  help      correct `strip`, `directory` or `files` in the driver's profile"
    );
    assert_eq!(fails(&archive(&SOURCE, 0), "src/a").await.lines().nth(1), Some("  holds     src/a.c"));
    assert_eq!(fails(&archive(&[Directory("d")], 0), ".").await.lines().nth(1), Some("  holds     nothing"));
}

#[tokio::test]
async fn what_is_no_package_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let truncated = deb("data.tar", b"")[..80].to_vec();
    let mut odd = deb("data.tar", b"");
    odd[8 + 48] = b'x';
    for (bytes, reason) in [
        (archive(&SOURCE, 0), "it is not an ar archive"),
        (b"!".to_vec(), "it is too short"),
        (truncated, "it has no `data.tar`"),
        (odd, "a header in it is damaged"),
    ] {
        let server = Server::files([("/d.deb", bytes.clone())]).await;
        let source = deb_at(format!("{}/d.deb", server.url), &bytes, ".");
        let error = prepare(&fetcher(dir.path()), &[source], dir.path()).await.unwrap_err();
        assert_eq!(
            Failure::from(error).to_string().replace(&server.url, "http://server"),
            format!(
                "error: `http://server/d.deb` cannot be used: it is not a Debian package: {reason}\n  \
                 help      expected a binary package with `data.tar`; for a tar archive use `archive` in place of `deb`"
            )
        );
    }
}

#[tokio::test]
async fn the_licence_of_a_package_comes_along_unless_the_source_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    for (own, expected) in [(None, "theirs"), (Some(File("./usr/src/x/copyright", b"own")), "own")] {
        let files: Vec<_> = [File("./usr/src/x/Kbuild", b"k"), File("./usr/share/doc/x-dkms/copyright", b"theirs")].into_iter().chain(own).collect();
        let package = deb("data.tar", &archive(&files, 0));
        let server = Server::files([("/d.deb", package.clone())]).await;
        let prepared = prepare(&fetcher(dir.path()), &[deb_at(format!("{}/d.deb", server.url), &package, "usr/src/x")], dir.path()).await.unwrap();
        let found: Vec<_> = entries(&prepared.tar).into_iter().map(|(path, _, _, content)| (path, content)).collect();
        assert_eq!(found, [("Kbuild".to_owned(), "k".to_owned()), ("copyright".to_owned(), expected.to_owned())]);
    }
}

#[tokio::test]
async fn firmware_goes_where_the_profile_says() {
    let dir = tempfile::tempdir().unwrap();
    let first = deb(
        "data.tar.xz",
        &xz(&archive(&[File("./lib/firmware/nv/a.bin", b"A"), File("./lib/firmware/nv/sub/b.bin", b"B"), Link("./lib/firmware/nv/c.bin", "a.bin")], 0)),
    );
    let second = archive(&[File("fw-1/x.bin", b"X"), File("fw-1/README", b"")], 0);
    let server = Server::files([("/1", first.clone()), ("/2", second.clone())]).await;
    let firmware = |to: &str| {
        let files = |from: &str, to: &str| BTreeMap::from([(from.to_owned(), to.to_owned())]);
        [
            FirmwareSpec { sources: vec![deb_at(format!("{}/1", server.url), &first, "lib/firmware")], files: files("nv", "nvidia/1") },
            FirmwareSpec { sources: vec![archive_at(format!("{}/2", server.url), &second, 1, ".")], files: files("x.bin", to) },
        ]
    };
    let client = fetcher(dir.path());
    let prepared = prepare_firmware(&client, &firmware("x.bin"), dir.path()).await.unwrap().unwrap();
    assert_eq!(prepared.files, ["nvidia/1/a.bin", "nvidia/1/c.bin", "nvidia/1/sub/b.bin", "x.bin"]);
    assert_eq!(paths(&prepared.tar)[..3], ["firmware/", "firmware/nvidia/", "firmware/nvidia/1/"]);
    assert_eq!(sha256(&std::fs::read(&prepared.tar).unwrap()), prepared.sha256);
    let asked = server.asked().len();
    assert_eq!(prepare_firmware(&client, &firmware("x.bin"), dir.path()).await.unwrap().unwrap(), prepared);
    assert_eq!(server.asked().len(), asked);
    assert_eq!(prepare_firmware(&client, &[], dir.path()).await.unwrap(), None);

    let conflict = Failure::from(prepare_firmware(&client, &firmware("nvidia/1/a.bin"), dir.path()).await.unwrap_err());
    assert_eq!(conflict.to_string(), "error: two files go to `firmware/nvidia/1/a.bin`\n  help      correct `files` of the driver's firmware");
}
