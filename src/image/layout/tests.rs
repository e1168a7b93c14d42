use super::*;
use crate::arch::Arch;
use crate::image::fixture::image;
use crate::image::manifest::{MANIFEST, Platform};

fn digests(path: &Path, name: &str) -> Vec<Digest> {
    Layout::open(path).unwrap().images(Some(name)).unwrap().into_iter().map(|image| image.digest).collect()
}

#[test]
fn one_name_holds_every_architecture() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let (amd64, arm64) = (image(dir.path(), Arch::Amd64, "a"), image(dir.path(), Arch::Arm64, "b"));
    write_dir(&layout, "1.0", &arm64).unwrap();
    write_dir(&layout, "1.0", &amd64).unwrap();
    write_dir(&layout, "0.9", &amd64).unwrap();
    assert_eq!(digests(&layout, "1.0"), [amd64.manifest.digest.clone(), arm64.manifest.digest.clone()]);
    assert_eq!(Layout::open(&layout).unwrap().names(), ["0.9", "1.0"]);
    let newer = image(dir.path(), Arch::Arm64, "c");
    write_dir(&layout, "1.0", &newer).unwrap();
    assert_eq!(digests(&layout, "1.0"), [amd64.manifest.digest, newer.manifest.digest]);
}

#[test]
fn parallel_writers_lose_nothing_and_leave_no_stray_files() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let image = image(dir.path(), Arch::Amd64, "a");
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (layout, image) = (&layout, &image);
            scope.spawn(move || write_dir(layout, &format!("v{n}"), image).unwrap());
        }
    });
    assert_eq!(Layout::open(&layout).unwrap().names().len(), 8);
    let mut names: Vec<_> = fs::read_dir(&layout).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["blobs", "index.json", "oci-layout"]);
}

#[test]
fn an_archive_reads_like_a_folder_and_is_the_same_every_time() {
    let dir = tempfile::tempdir().unwrap();
    let (amd64, arm64) = (image(dir.path(), Arch::Amd64, "a"), image(dir.path(), Arch::Arm64, "b"));
    let (one, other) = (dir.path().join("one.tar"), dir.path().join("other.tar"));
    write_archive(&one, &[("x", &amd64), ("x", &arm64), ("y", &amd64)]).unwrap();
    write_archive(&other, &[("y", &amd64), ("x", &arm64), ("x", &amd64)]).unwrap();
    assert_eq!(fs::read(&one).unwrap(), fs::read(&other).unwrap());
    assert_eq!(digests(&one, "x"), [amd64.manifest.digest.clone(), arm64.manifest.digest]);
    let layout = Layout::open(&one).unwrap();
    let stored = layout.images(Some("y")).unwrap().remove(0);
    let copy = dir.path().join("copy");
    layout.copy(&stored.manifest.layers[0], &copy).unwrap();
    assert_eq!(fs::read(copy).unwrap(), fs::read(&amd64.layers[0].path).unwrap());
    assert_eq!(stored.config.architecture, "amd64");
}

#[test]
fn an_archive_becomes_a_folder_and_an_archive_again() {
    let dir = tempfile::tempdir().unwrap();
    let (amd64, arm64) = (image(dir.path(), Arch::Amd64, "a"), image(dir.path(), Arch::Arm64, "b"));
    let (archive, folder) = (dir.path().join("one.tar"), dir.path().join("folder"));
    write_archive(&archive, &[("x", &amd64), ("x", &arm64), ("y", &arm64)]).unwrap();
    unpack(&Layout::open(&archive).unwrap(), &folder).unwrap();
    let names = |path: &Path| Layout::open(path).unwrap().names();
    assert_eq!((names(&folder), digests(&folder, "x")), (names(&archive), digests(&archive, "x")));

    let newer = image(dir.path(), Arch::Amd64, "c");
    write_dir(&folder, "x", &newer).unwrap();
    pack(&folder, &archive).unwrap();
    assert_eq!(digests(&archive, "x"), [newer.manifest.digest.clone(), arm64.manifest.digest.clone()]);
    assert_eq!(digests(&archive, "y"), std::slice::from_ref(&arm64.manifest.digest));
    let packed = Layout::open(&archive).unwrap();
    let copy = dir.path().join("copy");
    let layer = |image: &Image| packed.copy(&crate::image::manifest::Descriptor { digest: image.layers[0].digest.clone(), ..image.descriptor() }, &copy);
    layer(&newer).unwrap();
    layer(&arm64).unwrap();
    let gone = format!("`{}` has no blob {}", archive.display(), amd64.manifest.digest);
    let old = crate::image::manifest::Descriptor { digest: amd64.manifest.digest.clone(), ..amd64.descriptor() };
    assert_eq!(packed.copy(&old, &copy).unwrap_err().to_string(), gone, "what no name leads to any more");
}

#[test]
fn a_damaged_archive_is_not_taken_apart() {
    let dir = tempfile::tempdir().unwrap();
    let amd64 = image(dir.path(), Arch::Amd64, "a");
    let archive = dir.path().join("one.tar");
    write_archive(&archive, &[("x", &amd64)]).unwrap();
    let mut bytes = fs::read(&archive).unwrap();
    let at = bytes.windows(15).position(|window| window == b"\"schemaVersion\"").unwrap();
    bytes[at + 1] = b'S';
    fs::write(&archive, bytes).unwrap();
    assert!(unpack(&Layout::open(&archive).unwrap(), &dir.path().join("folder")).is_err());
}

#[test]
fn reads_layouts_of_other_tools() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), Arch::Amd64, "a");
    write_dir(dir.path().join("l").as_path(), "x", &image).unwrap();
    // As docker buildx and skopeo write it: no name, a manifest instead of an index, an attestation beside it.
    let unknown = Platform { architecture: "unknown".into(), os: "unknown".into(), other: BTreeMap::new() };
    let attestation = Descriptor { platform: Some(unknown), ..Blob::new(MANIFEST, Vec::new()).descriptor() };
    let top = Index { media_type: None, manifests: vec![image.manifest.descriptor(), attestation], ..Index::of(Vec::new()) };
    fs::write(dir.path().join("l/index.json"), serde_json::to_vec(&top).unwrap()).unwrap();
    let layout = Layout::open(&dir.path().join("l")).unwrap();
    assert_eq!(layout.images(None).unwrap().into_iter().map(|image| image.digest).collect::<Vec<_>>(), [image.manifest.digest]);
}

#[test]
fn says_what_is_wrong_with_a_layout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    let say = |error: LayoutError| Failure::from(error).to_string().replace(&path.display().to_string(), "DIR");
    let image = image(dir.path(), Arch::Amd64, "a");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("thesis.doc"), "").unwrap();
    let other = "error: `DIR` is no OCI layout\n  expected  a folder or tar with `oci-layout` and `index.json`\n  help      name an empty or a new folder, or an OCI layout";
    assert_eq!(say(write_dir(&path, "x", &image).unwrap_err()), other);
    assert_eq!(say(Layout::open(&path).unwrap_err()), other);
    fs::remove_file(path.join("thesis.doc")).unwrap();

    write_dir(&path, "x", &image).unwrap();
    assert_eq!(say(Layout::open(&path).unwrap().images(Some("y")).unwrap_err()), "error: `DIR` has no image named `y`\n  found     x");
    let config = path.join(blob_path(&image.config.digest));
    fs::write(&config, "{}").unwrap();
    let digest = &image.config.digest;
    assert_eq!(
        say(Layout::open(&path).unwrap().images(None).unwrap_err()),
        format!("error: blob {digest} of `DIR` has digest {}\n  help      the layout is damaged: make it anew", Digest::of(b"{}"))
    );
    fs::remove_file(&config).unwrap();
    assert_eq!(
        say(Layout::open(&path).unwrap().images(None).unwrap_err()),
        format!("error: `DIR` has no blob {digest}\n  help      the layout is damaged: make it anew")
    );
    fs::write(path.join("index.json"), "[]").unwrap();
    assert_eq!(
        say(Layout::open(&path).unwrap_err()),
        "error: index.json of `DIR` is not valid: invalid length 0, expected struct Index with 4 elements at line 1 column 2"
    );
    fs::write(dir.path().join("f"), "no tar").unwrap();
    let error = say(Layout::open(&dir.path().join("f")).unwrap_err());
    assert!(error.ends_with("cannot be read: it is truncated: it ends at byte 6"), "{error}");
    assert!(say(Layout::open(&dir.path().join("none")).unwrap_err()).ends_with("none`: No such file or directory (os error 2)"));
}
