//! Images as other tools make them: layouts, media types, compressions and directories of all kinds.

use std::io::Write as _;
use std::path::Path;

use kmodforge::kmod::Compression;
use kmodforge::reference::Digest;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};
use tar::EntryType;

use crate::bench::Act;
use crate::results::{Kernel, Tar};
use crate::world::World;

/// An image in the making.
pub(crate) struct Image {
    layers: Vec<Vec<u8>>,
    docker: bool,
    labels: Value,
}

impl Image {
    /// Layers are tars, lowest first.
    pub(crate) fn new(layers: Vec<Vec<u8>>) -> Self {
        Self { layers, docker: false, labels: Value::Null }
    }

    /// As Docker made images before there was OCI: other media types, gzip.
    fn docker(self) -> Self {
        Self { docker: true, ..self }
    }

    fn label(mut self, name: &str, value: &str) -> Self {
        self.labels[name] = value.into();
        self
    }

    /// Writes an OCI layout with this image alone.
    pub(crate) fn write(&self, folder: &Path) {
        let blobs = folder.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        let blob = |bytes: &[u8], kind: &str| {
            let digest = Digest::of(bytes);
            std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
            json!({"mediaType": kind, "digest": digest.as_str(), "size": bytes.len()})
        };
        let (layer, config, manifest) = if self.docker {
            let docker = |kind: &str| format!("application/vnd.docker.{kind}");
            (docker("image.rootfs.diff.tar.gzip"), docker("container.image.v1+json"), docker("distribution.manifest.v2+json"))
        } else {
            let oci = |kind: &str| format!("application/vnd.oci.image.{kind}");
            (oci("layer.v1.tar"), oci("config.v1+json"), oci("manifest.v1+json"))
        };
        let packed = |tar: &Vec<u8>| if self.docker { gzip(tar) } else { tar.clone() };
        let layers: Vec<_> = self.layers.iter().map(|tar| blob(&packed(tar), &layer)).collect();
        let diff_ids: Vec<_> = self.layers.iter().map(|tar| Digest::of(tar)).collect();
        let document =
            json!({"architecture": "amd64", "os": "linux", "config": {"Labels": self.labels}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = blob(document.to_string().as_bytes(), &config);
        let document = json!({"schemaVersion": 2, "mediaType": manifest, "config": config, "layers": layers});
        let manifest = blob(document.to_string().as_bytes(), &manifest);
        std::fs::write(folder.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string()).unwrap();
        std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn module(release: &str) -> Vec<u8> {
    Kernel::new(release).file("kmf_core.ko")
}

/// Layers of a driver container in the style of a Dockerfile: what one layer brings, the next takes away.
#[tokio::test(flavor = "multi_thread")]
async fn layers_of_docker_lie_on_each_other() {
    let world = World::new().await;
    let folder = "opt/lib/modules/6.1.0-56-amd64";
    let lower = Tar::new()
        .file(&format!("{folder}/old.ko"), b"not for this kernel")
        .file(&format!("{folder}/build/left.ko"), b"an object of the build")
        .file(&format!("{folder}/old/a.ko"), b"nor this")
        .file("usr/src/driver/kmf_core.ko", b"left behind by the build");
    let upper = Tar::new()
        .file(&format!("{folder}/.wh.old.ko"), b"")
        .file(&format!("{folder}/old/.wh..wh..opq"), b"")
        .file(&format!("{folder}/extra/kmf_core.ko"), &module("6.1.0-56-amd64"))
        .file(&format!("{folder}/modules.dep"), b"extra/kmf_core.ko:\n");
    Image::new(vec![lower.bytes(), upper.bytes()]).docker().label("kernel", "of no interest").write(&world.path("work/image"));
    let ran = world.run(&["verify", "oci:image"]).await.ended(0);
    assert_data_eq!(ran.out, str![[""]]);
    assert_data_eq!(ran.err, str![[""]]);
}

/// An image with modules for several kernels, compressed, below `/usr/lib` by a link, and without labels and programs.
#[tokio::test(flavor = "multi_thread")]
async fn several_kernels_are_verified_one_by_one() {
    let world = World::new().await;
    let base = Tar::new().entry(EntryType::Symlink, "lib", "usr/lib", b"");
    let mut upper = Tar::new();
    for (release, place, compression, ending) in [
        ("6.1.0-54-amd64", "updates", Compression::Xz, ".xz"),
        ("6.1.0-55-amd64", "updates/dkms", Compression::Zstd, ".zst"),
        ("6.1.0-56-amd64", "kernel/drivers/misc", Compression::Gzip, ".gz"),
    ] {
        let path = format!("{place}/kmf_core.ko{ending}");
        upper = upper.file(&format!("lib/modules/{release}/{path}"), &compression.compress(&module(release)).unwrap());
        upper = upper.file(&format!("usr/lib/modules/{release}/modules.dep"), format!("{path}:\n").as_bytes());
    }
    Image::new(vec![base.bytes(), upper.bytes()]).write(&world.path("work/image"));
    let ran = world.run(&["verify", "oci:image"]).await.ended(0);
    assert_data_eq!(ran.out, str![[""]]);
    let one = world.run(&["verify", "oci:image", "--kernel", "6.1.0-55-amd64"]).await.ended(0);
    assert_eq!(one.out, ran.out.lines().nth(1).unwrap().to_owned() + "\n");

    world.site.publish(&["6.1.0-53-amd64", "6.1.0-54-amd64"], "6.1.192-2");
    let none = world.run(&["verify", "oci:image", "--kernel", "6.1.0-53-amd64", "--cache-dir", "DIR/cache2"]).await.ended(3);
    assert_data_eq!(none.errors(), str![[""]]);
    let gone = world.run(&["verify", "oci:image", "--cache-dir", "DIR/cache2"]).await.ended(1);
    assert_data_eq!(gone.errors(), str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_image_tells_is_asked() {
    let world = World::new().await;
    Image::new(vec![Tar::new().file("opt/driver/kmf_core.ko", &module("6.1.0-56-amd64")).bytes()]).write(&world.path("work/bare"));
    Image::new(vec![Tar::new().file("etc/passwd", b"").bytes()]).write(&world.path("work/empty"));
    Image::new(vec![Tar::new().file("lib/modules/6.1.0-56-amd64;x/a.ko", b"").bytes()]).write(&world.path("work/odd"));
    let mut told = String::new();
    for (image, code) in [("oci:bare", 2), ("oci:empty", 1), ("oci:odd", 2)] {
        told += &world.run(&["verify", image]).await.ended(code).errors();
    }
    assert_data_eq!(told, str![[""]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_modules_are_findings() {
    let world = World::new().await;
    let folder = "lib/modules/6.1.0-56-amd64/extra";
    let tar = Tar::new()
        .file(&format!("{folder}/kmf_core.ko"), &module("6.1.0-56-amd64"))
        .file(&format!("{folder}/text.ko"), b"no module")
        .file(&format!("{folder}/cut.ko.xz"), b"\xfd7zXZ\0\0")
        .file("lib/modules/6.1.0-56-amd64/modules.dep", b"extra/kmf_core.ko:\n");
    Image::new(vec![tar.bytes()]).write(&world.path("work/image"));
    assert_data_eq!(world.run(&["verify", "oci:image"]).await.ended(3).err, str![[""]]);
}

/// Everything in which a module of another kernel differs is told.
#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_another_kernel_says_in_what_it_differs() {
    let world = World::new().await;
    let meant = Kernel::new("6.1.0-54-amd64");
    let config = String::from_utf8(meant.file("config")).unwrap().replace("CONFIG_SMP=y", "CONFIG_SMP=y\nCONFIG_PREEMPT=y\nCONFIG_NR_CPUS=64");
    let evidence = Tar::new()
        .file("evidence/config", config.as_bytes())
        .file("evidence/Module.symvers", &meant.file("Module.symvers"))
        .file("evidence/reference.ko", &meant.file("kmf_empty.ko"));
    world.bench.set("6.1.0-54", "evidence", Act::Send(evidence.bytes()));
    let folder = "lib/modules/6.1.0-54-amd64";
    let mut tar = Tar::new().file(&format!("{folder}/modules.dep"), b"kmf_core.ko:\nkmf_user.ko: kmf_core.ko\n");
    for name in ["kmf_core.ko", "kmf_user.ko"] {
        tar = tar.file(&format!("{folder}/{name}"), &Kernel::new("6.12.117+deb13-amd64").file(name));
    }
    Image::new(vec![tar.bytes()]).write(&world.path("work/image"));
    assert_data_eq!(world.run(&["verify", "oci:image", "--kernel", "6.1.0-56-amd64"]).await.ended(3).err, str![[""]]);
}
