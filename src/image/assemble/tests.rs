use std::fs;
use std::io::{Read, Write};

use super::*;
use crate::image::contents::uncompressed;
use crate::image::fixture::{TestTar, image};

/// Changes only when the bytes of every image change: then every published image is built anew, so say it in the change log.
const GOLDEN_ZSTD: &str = "sha256:21831f381ba7dd591aaebfa4fed9e767f7b697cac3b016667bff2e3fbc947bfb";
const GOLDEN_GZIP: &str = "sha256:3daca6405fa9713ae9dc59b4264ce071639a8814bdad5dd369db1c9e27951660";

fn build(tar: TestTar, firmware: Option<TestTar>, spec: &ImageSpec) -> (tempfile::TempDir, Result<Image, AssembleError>) {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(&tar.write(dir.path())).unwrap();
    let firmware = firmware.map(|tar| {
        let path = dir.path().join("firmware.tar");
        fs::write(&path, tar.bytes()).unwrap();
        path
    });
    let cache = LayerCache::open(&dir.path().join("cache")).unwrap();
    let image = assemble(&artifacts, firmware.as_deref(), spec, &cache, dir.path());
    (dir, image)
}

fn firmware() -> TestTar {
    TestTar::new().file("firmware/nvidia/535/gsp.bin", 0o644, b"gsp")
}

fn spec(compression: Compression) -> ImageSpec {
    let texts = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    ImageSpec {
        epoch: 1_700_000_000,
        compression,
        labels: texts(&[("io.kmodforge.kernel", "6.1.0")]),
        annotations: texts(&[("io.kmodforge.kernel", "6.1.0"), ("org.opencontainers.image.title", "x")]),
        ..ImageSpec::new(Arch::Amd64)
    }
}

/// `path mode size target` of every entry of a layer.
fn list(layer: &Layer) -> Vec<String> {
    let mut archive = ::tar::Archive::new(uncompressed(&layer.path).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let header = entry.header();
        assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 1_700_000_000));
        assert_eq!((header.username_bytes(), header.groupname_bytes()), (Some(&b""[..]), Some(&b""[..])));
        let target = entry.link_name().unwrap().map(|target| format!(" -> {}", target.display())).unwrap_or_default();
        format!("{} {:o} {}{target}", entry.path().unwrap().display(), header.mode().unwrap(), entry.size())
    });
    entries.collect()
}

#[test]
fn lays_files_out_in_three_layers() {
    let (_dir, image) = build(TestTar::driver("module"), Some(firmware()), &spec(Compression::Zstd));
    let image = image.unwrap();
    assert_eq!(image.layers.iter().map(|layer| layer.name).collect::<Vec<_>>(), ["tools", "firmware", "modules"]);
    assert_eq!(
        list(&image.layers[0]),
        [
            "bin 777 0 -> /usr/bin",
            "usr/ 755 0",
            "usr/bin/ 755 0",
            "usr/bin/depmod 755 4",
            "usr/bin/kmod 755 0 -> usr/bin/depmod",
            "usr/bin/modprobe 777 0 -> kmod"
        ]
    );
    assert_eq!(list(&image.layers[1]), ["firmware/ 755 0", "firmware/nvidia/ 755 0", "firmware/nvidia/535/ 755 0", "firmware/nvidia/535/gsp.bin 644 3"]);
    assert_eq!(
        list(&image.layers[2]),
        [
            "opt/ 755 0",
            "opt/lib/ 755 0",
            "opt/lib/modules/ 755 0",
            "opt/lib/modules/6.1.0/ 755 0",
            "opt/lib/modules/6.1.0/extra/ 755 0",
            "opt/lib/modules/6.1.0/extra/x.ko 644 6",
            "opt/lib/modules/6.1.0/modules.dep 644 12"
        ]
    );
}

#[test]
fn makes_the_same_bytes_everywhere() {
    for (compression, golden) in [(Compression::Zstd, GOLDEN_ZSTD), (Compression::Gzip, GOLDEN_GZIP)] {
        let (_dir, image) = build(TestTar::driver("module"), Some(firmware()), &spec(compression));
        assert_eq!(image.unwrap().manifest.digest.as_str(), golden);
    }
}

#[test]
fn does_not_depend_on_order_or_ownership_in_the_builders_tar() {
    let one = TestTar::new()
        .dir("modules")
        .file("modules/a", 0o600, b"a")
        .file("modules/b", 0o4755, b"b")
        .file("tools/x", 0o644, b"x")
        .hard_link("tools/y", "tools/x");
    let other = TestTar::new().file("modules/b", 0o711, b"b").file("./modules/a", 0o444, b"a").file("tools/y", 0o640, b"x").hard_link("tools/x", "tools/y");
    let digest = |tar| build(tar, None, &spec(Compression::Zstd)).1.unwrap().manifest.digest;
    assert_eq!(digest(one), digest(other));
}

#[test]
fn describes_the_image() {
    let (_dir, image) = build(TestTar::driver("module"), None, &spec(Compression::Gzip));
    let image = image.unwrap();
    let config: serde_json::Value = serde_json::from_slice(&image.config.bytes).unwrap();
    assert_eq!(config["created"], "2023-11-14T22:13:20Z");
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["sleep", "infinity"]));
    assert_eq!(config["config"]["Labels"]["io.kmodforge.kernel"], "6.1.0");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 2, "no firmware, no layer");
    let manifest: serde_json::Value = serde_json::from_slice(&image.manifest.bytes).unwrap();
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!(image.descriptor().annotations.into_iter().collect::<Vec<_>>(), [("io.kmodforge.kernel".into(), "6.1.0".into())]);
    for layer in &image.layers {
        let bytes = fs::read(&layer.path).unwrap();
        assert_eq!((crate::reference::Digest::of(&bytes), bytes.len() as u64), (layer.digest.clone(), layer.size));
        let mut tar = Vec::new();
        uncompressed(&layer.path).unwrap().read_to_end(&mut tar).unwrap();
        assert_eq!((crate::reference::Digest::of(&tar), tar.len() as u64), (layer.diff_id.clone(), layer.tar_size));
    }
}

#[test]
fn refuses_an_image_without_tools_or_modules() {
    let refusal = |tar| Failure::from(build(tar, None, &ImageSpec::new(Arch::Amd64)).1.unwrap_err()).to_string();
    assert_eq!(
        refusal(TestTar::new().file("tools/x", 0o755, b"")),
        "error: the builder's tar has no files below `modules/`\n  help      the Dockerfile's stage `artifacts` must fill this directory"
    );
    assert!(refusal(TestTar::new().dir("tools/usr").file("modules/x", 0o644, b"")).starts_with("error: the builder's tar has no files below `tools/`"));
}

#[test]
fn compresses_equal_layers_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = image(dir.path(), Arch::Amd64, "one");
    let tools = first.layers[0].path.clone();
    // A layer that is compressed again would replace the file.
    let before = fs::metadata(&tools).unwrap();
    let second = image(dir.path(), Arch::Amd64, "two");
    assert_eq!(second.layers[0], first.layers[0]);
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&fs::metadata(&tools).unwrap()), std::os::unix::fs::MetadataExt::ino(&before));
    assert_ne!(second.layers[1].digest, first.layers[1].digest);
}

#[test]
fn makes_a_cached_layer_again_when_its_bytes_changed() {
    let dir = tempfile::tempdir().unwrap();
    let first = image(dir.path(), Arch::Amd64, "one");
    fs::OpenOptions::new().append(true).open(&first.layers[0].path).unwrap().write_all(b"rot").unwrap();
    let again = image(dir.path(), Arch::Amd64, "one");
    assert_eq!(again, first);
    assert_eq!(fs::metadata(&again.layers[0].path).unwrap().len(), again.layers[0].size);
}

#[test]
fn threads_that_want_the_same_layer_share_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(&TestTar::driver("m").write(dir.path())).unwrap();
    let cache = LayerCache::open(&dir.path().join("cache")).unwrap();
    let images: Vec<_> = std::thread::scope(|scope| {
        let work = |n: usize| {
            let work = dir.path().join(n.to_string());
            fs::create_dir(&work).unwrap();
            work
        };
        let (artifacts, cache) = (&artifacts, &cache);
        let threads: Vec<_> = (0..8)
            .map(|n| (n, work(n)))
            .map(|(_, work)| scope.spawn(move || assemble(artifacts, None, &ImageSpec::new(Arch::Amd64), cache, &work).unwrap()))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(images.iter().all(|image| image.manifest == images[0].manifest));
    let stray = fs::read_dir(dir.path().join("cache")).unwrap().flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with('.')).count();
    assert_eq!(stray, 0);
}

#[test]
fn reports_a_full_disk() {
    let file = crate::image::FileError { path: "/cache/layer".into(), source: std::io::Error::from(std::io::ErrorKind::StorageFull) };
    let failure = Failure::from(AssembleError::from(file)).to_string();
    assert_eq!(failure, "error: the disk is full\n  file      /cache/layer\n  help      free some space and run again: what is published stays published");
}

/// Most memory this process ever had, in kB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok()).unwrap()
}

#[test]
fn needs_no_more_memory_for_large_firmware() {
    const SIZE: u64 = 100 << 20;
    let dir = tempfile::tempdir().unwrap();
    let tar = dir.path().join("firmware.tar");
    let mut writer = crate::image::tar::TarWriter::new(fs::File::create(&tar).unwrap(), 0);
    writer.file("firmware/gsp.bin", false, SIZE, &mut std::io::repeat(7)).unwrap();
    writer.finish().unwrap();
    let artifacts = Artifacts::open(&TestTar::driver("m").write(dir.path())).unwrap();
    let cache = LayerCache::open(&dir.path().join("cache")).unwrap();
    let before = peak_memory();
    let image = assemble(&artifacts, Some(&tar), &ImageSpec::new(Arch::Amd64), &cache, dir.path()).unwrap();
    assert_eq!(image.layers[1].tar_size, SIZE + 4 * 512);
    let grown = peak_memory() - before;
    assert!(grown < 24 << 10, "{grown} kB");
}

#[test]
fn writes_dates() {
    for (epoch, date) in
        [(0, "1970-01-01T00:00:00Z"), (951_782_399, "2000-02-28T23:59:59Z"), (951_868_799, "2000-02-29T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z")]
    {
        assert_eq!(rfc3339(epoch), date);
    }
}
