use std::fs;

use super::*;
use crate::arch::Arch;
use crate::image::docker::write_archive;
use crate::image::fixture::{TestTar, image};

#[test]
fn sees_an_image_as_a_container_would() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), Arch::Amd64, "module");
    let layers: Vec<_> = image.layers.iter().map(|layer| layer.path.clone()).collect();
    let contents = Contents::open(&layers, dir.path()).unwrap();
    assert_eq!(contents.read("opt/lib/modules/6.1.0/extra/x.ko").unwrap().unwrap(), b"module");
    assert_eq!(contents.read("bin/modprobe").unwrap().unwrap(), b"kmod", "links are followed");
    assert_eq!(contents.read("bin/none").unwrap(), None);
}

#[test]
fn upper_layers_replace_and_delete() {
    let dir = tempfile::tempdir().unwrap();
    let layer = |name: &str, tar: TestTar| {
        let path = dir.path().join(name);
        fs::write(&path, tar.bytes()).unwrap();
        path
    };
    let lower = TestTar::new().file("./a/1", 0o644, b"1").file("a/2", 0o644, b"2").file("b/1", 0o644, b"1").file("c", 0o644, b"old").file("d/1", 0o644, b"1");
    let upper =
        TestTar::new().file("a/.wh.1", 0o644, b"").file("b/.wh..wh..opq", 0o644, b"").file("b/3", 0o644, b"3").file("/c", 0o644, b"new").file("d", 0o644, b"");
    let device = upper.entry(::tar::EntryType::Char, b"dev/null", b"", 0o666, b"");
    let contents = Contents::open(&[layer("1", lower), layer("2", device)], dir.path()).unwrap();
    assert_eq!(contents.entries().map(|(path, _)| path).collect::<Vec<_>>(), ["a/2", "b/3", "c", "d"]);
    assert_eq!(contents.read("c").unwrap().unwrap(), b"new");
}

#[test]
fn says_which_layer_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("l");
    fs::write(&path, [0x28, 0xb5, 0x2f, 0xfd, 0, 1, 2]).unwrap();
    let failure = Failure::from(Contents::open(std::slice::from_ref(&path), dir.path()).unwrap_err());
    assert!(failure.headline.starts_with("a layer of the image cannot be read: it is damaged: "), "{failure}");
    assert_eq!(failure.facts, [("layer".to_owned(), path.display().to_string())]);
}

#[test]
fn a_docker_archive_has_plain_layers_and_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let image = image(dir.path(), Arch::Amd64, "module");
    let bytes = write_archive(&image, &"127.0.0.1:5000/drivers/x:1".parse().unwrap(), Vec::new()).unwrap();
    let path = dir.path().join("docker.tar");
    fs::write(&path, bytes).unwrap();
    let archive = TarIndex::open(&path, Rules::Lenient, LIMITS).unwrap();
    let read = |path: &str| {
        let mut bytes = Vec::new();
        archive.reader(path).unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let manifest: serde_json::Value = serde_json::from_slice(&read("manifest.json")).unwrap();
    assert_eq!(manifest[0]["RepoTags"], serde_json::json!(["127.0.0.1:5000/drivers/x:1"]));
    assert_eq!(read(manifest[0]["Config"].as_str().unwrap()), image.config.bytes);
    for (layer, path) in image.layers.iter().zip(manifest[0]["Layers"].as_array().unwrap()) {
        assert_eq!(Digest::of(&read(path.as_str().unwrap())), layer.diff_id);
    }
}
