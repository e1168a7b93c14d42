use std::convert::Infallible;

use super::*;
use crate::image::contents::Contents;
use crate::image::fixture::{TestTar, image};
use crate::image::layout::{Layout, write_dir};

/// Writes the fixture's image into a layout, reads it again and replaces its module by `bytes`.
fn replaced(dir: &Path, bytes: &[u8]) -> (StoredImage, Rewritten) {
    let layout = dir.join("layout");
    write_dir(&layout, "x:1", &image(dir, Arch::Amd64, "old module")).unwrap();
    let layout = Layout::open(&layout).unwrap();
    let stored = layout.images(None).unwrap().remove(0);
    let layers: Vec<PathBuf> = stored.manifest.layers.iter().enumerate().map(|(number, _)| dir.join(format!("blob-{number}"))).collect();
    for (descriptor, file) in stored.manifest.layers.iter().zip(&layers) {
        layout.copy(descriptor, file).unwrap();
    }
    let replace = |files: &[OldFile]| Ok::<_, Infallible>(files.iter().map(|_| bytes.to_vec()).collect());
    let replacement = Replacement { is_wanted: &crate::kmod::is_module_file, replace: &replace };
    let rewritten = rewrite(&stored, Arch::Amd64, &layers, dir, &[("io.kmodforge.signer".into(), "CN=x".into())], &replacement).unwrap();
    (stored, rewritten)
}

#[test]
fn one_file_changes_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for new in [&b"new"[..], &[7; 5000], b""] {
        let (old, Rewritten { image, files }) = replaced(dir.path(), new);
        assert_eq!(files, 1);
        assert_eq!(image.layers[0].digest, old.manifest.layers[0].digest, "layers without modules stay");
        assert_ne!(image.layers[1].digest, old.manifest.layers[1].digest);
        let layers: Vec<_> = image.layers.iter().map(|layer| layer.path.clone()).collect();
        let contents = Contents::open(&layers, &dir.path().join("work")).or_else(|_| {
            std::fs::create_dir_all(dir.path().join("work")).unwrap();
            Contents::open(&layers, &dir.path().join("work"))
        });
        let contents = contents.unwrap();
        assert_eq!(contents.read("opt/lib/modules/6.1.0/extra/x.ko").unwrap().unwrap(), new);
        assert_eq!(contents.read("opt/lib/modules/6.1.0/modules.dep").unwrap().unwrap(), b"extra/x.ko:\n");
        assert_eq!(contents.read("bin/modprobe").unwrap().unwrap(), b"kmod");
    }
}

#[test]
fn the_documents_name_the_new_layers_and_keep_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let (old, Rewritten { image, .. }) = replaced(dir.path(), b"new");
    let manifest: crate::image::manifest::Manifest = serde_json::from_slice(&image.manifest.bytes).unwrap();
    let config: crate::image::manifest::Config = serde_json::from_slice(&image.config.bytes).unwrap();
    for ((descriptor, diff_id), layer) in manifest.layers.iter().zip(&config.rootfs.diff_ids).zip(&image.layers) {
        assert_eq!((&descriptor.digest, descriptor.size, diff_id), (&layer.digest, layer.size, &layer.diff_id));
        assert_eq!(std::fs::metadata(&layer.path).unwrap().len(), layer.size);
    }
    assert_eq!(manifest.config, image.config.descriptor());
    assert_eq!(manifest.annotations["io.kmodforge.signer"], "CN=x");
    assert_eq!(config.config.labels.unwrap()["io.kmodforge.signer"], "CN=x");
    assert_eq!(manifest.annotations["org.opencontainers.image.title"], old.manifest.annotations["org.opencontainers.image.title"]);
    assert_eq!(config.config.cmd, old.config.config.cmd);
    assert_eq!(image.descriptor().annotations["io.kmodforge.signer"], "CN=x", "the index tells it, too");
}

#[test]
fn what_other_tools_wrote_stays() {
    let dir = tempfile::tempdir().unwrap();
    let layer = dir.path().join("layer");
    let tar = TestTar::new().file("lib/modules/1/a.ko", 0o640, b"old").hard_link("lib/modules/1/b.ko", "lib/modules/1/a.ko").file("z", 0o4755, b"z");
    let bytes = tar.bytes();
    std::fs::write(&layer, &bytes).unwrap();
    let diff_id = Digest::of(&bytes);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Entrypoint":["/x"],"User":"7"}},"rootfs":{{"type":"layers","diff_ids":["{diff_id}"]}},"moby.x":1}}"#
    );
    let config_digest = Digest::of(config.as_bytes());
    let manifest = format!(
        r#"{{"schemaVersion":2,"config":{{"mediaType":"{CONFIG}","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"application/vnd.docker.image.rootfs.diff.tar","digest":"{diff_id}","size":{},"urls":[]}}],"x":2}}"#,
        config.len(),
        bytes.len()
    );
    let stored = StoredImage {
        digest: Digest::of(manifest.as_bytes()),
        manifest: serde_json::from_str(&manifest).unwrap(),
        config: serde_json::from_str(&config).unwrap(),
        manifest_json: manifest.into_bytes(),
        config_json: config.into_bytes(),
    };
    let replace = |files: &[OldFile]| Ok::<_, Infallible>(files.iter().map(|_| b"new!".to_vec()).collect());
    let replacement = Replacement { is_wanted: &crate::kmod::is_module_file, replace: &replace };
    let Rewritten { image, files } = rewrite(&stored, Arch::Amd64, &[layer], dir.path(), &[], &replacement).unwrap();
    assert_eq!(files, 1, "hard links are one file");
    let new = std::fs::read(&image.layers[0].path).unwrap();
    assert_eq!(new.len(), bytes.len(), "plain layers stay plain");
    let changed: Vec<_> = new.chunks(512).zip(bytes.chunks(512)).enumerate().filter(|(_, (new, old))| new != old).map(|(block, _)| block).collect();
    assert_eq!(changed, [0, 1], "the header and the content of the one file");
    let config: Value = serde_json::from_slice(&image.config.bytes).unwrap();
    assert_eq!((&config["config"]["Entrypoint"][0], &config["config"]["User"], &config["moby.x"]), (&json!("/x"), &json!("7"), &json!(1)));
    let manifest: Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    assert_eq!((&manifest["x"], &manifest["layers"][0]["urls"], &manifest["layers"][0]["size"]), (&json!(2), &json!([]), &json!(new.len())));
}

#[test]
fn batches_are_bounded() {
    let places: BTreeMap<u64, (&str, u64)> = (0..600).map(|number| (number, ("x", 1))).collect();
    assert_eq!(batches(&places).iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 88]);
    let large: BTreeMap<u64, (&str, u64)> = [(0, ("a", BATCH_BYTES)), (1, ("b", 1)), (2, ("c", BATCH_BYTES * 2)), (3, ("d", 2))].into();
    assert_eq!(batches(&large).iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1]);
}
