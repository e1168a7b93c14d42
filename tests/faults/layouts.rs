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
        let document = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": self.labels}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
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
    assert_data_eq!(
        ran.out,
        str![[r"
oci:image (amd64): 18 checks passed against linux-headers-6.1.0-56-amd64 6.1.192-2 (/opt/lib/modules/6.1.0-56-amd64/extra/kmf_core.ko)

"]]
    );
    assert_data_eq!(
        ran.err,
        str![[r"
warning[firmware]: firmware that `kmf_core.ko` may ask for is not in the image
  file      /opt/lib/modules/6.1.0-56-amd64/extra/kmf_core.ko
  found     nothing at `kmf/core.bin`
  expected  a file below /firmware for each
  help      add it to the profile's `firmware`, or its name to `optional`

"]]
    );
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
    assert_data_eq!(
        ran.out.as_str(),
        str![[r"
oci:image (amd64): 18 checks passed against linux-headers-6.1.0-54-amd64 6.1.192-2 (/usr/lib/modules/6.1.0-54-amd64/updates/kmf_core.ko.xz)
oci:image (amd64): 18 checks passed against linux-headers-6.1.0-55-amd64 6.1.192-2 (/usr/lib/modules/6.1.0-55-amd64/updates/dkms/kmf_core.ko.zst)
oci:image (amd64): 18 checks passed against linux-headers-6.1.0-56-amd64 6.1.192-2 (/usr/lib/modules/6.1.0-56-amd64/kernel/drivers/misc/kmf_core.ko.gz)

"]]
    );
    let one = world.run(&["verify", "oci:image", "--kernel", "6.1.0-55-amd64"]).await.ended(0);
    assert_eq!(one.out, ran.out.lines().nth(1).unwrap().to_owned() + "\n");

    world.site.publish(&["6.1.0-53-amd64", "6.1.0-54-amd64"], "6.1.192-2");
    let none = world.run(&["verify", "oci:image", "--kernel", "6.1.0-53-amd64", "--cache-dir", "DIR/cache2"]).await.ended(3);
    assert_data_eq!(
        none.errors(),
        str![[r"
error[modules-present]: the image holds no module for 6.1.0-53-amd64
  found     modules for 6.1.0-54-amd64, 6.1.0-55-amd64, 6.1.0-56-amd64
error[depmod]: the image has no `modules.dep` for 6.1.0-53-amd64; modprobe finds no module
  found     none
  expected  /opt/lib/modules/6.1.0-53-amd64/modules.dep
  help      run `depmod -b /opt` for this release when the image is made
error: `oci:image` (amd64) does not pass 2 checks for 6.1.0-53-amd64
  failed    modules-present, depmod
  against   linux-headers-6.1.0-53-amd64 6.1.192-2
exit 3

"]]
    );
    let gone = world.run(&["verify", "oci:image", "--cache-dir", "DIR/cache2"]).await.ended(1);
    assert_data_eq!(
        gone.errors(),
        str![[r"
error: no kernel of debian matches `6.1.0-55-amd64`
  looked in  bookworm: 2 amd64 kernels
  nearest    6.1.0-54-amd64, 6.1.0-53-amd64
  help       list them: kmodforge kernels list --distro debian
exit 1

"]]
    );
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
    assert_data_eq!(
        told,
        str![[r"
error: `oci:bare` does not tell which kernel it is for
  found     no `lib/modules/<release>`, but `/opt/driver/kmf_core.ko`
  help      name it: --kernel RELEASE
exit 2
error: `oci:empty` holds no kernel modules
  expected  `.ko` files below any `lib/modules/<release>`
exit 1
error: `6.1.0-56-amd64;x` is not a kernel release: `;` is not allowed in it
exit 2

"]]
    );
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
    assert_data_eq!(
        world.run(&["verify", "oci:image"]).await.ended(3).err,
        str![[r"
error[elf-format]: `cut.ko.xz` is not a kernel module
  file      /lib/modules/6.1.0-56-amd64/extra/cut.ko.xz
  found     damaged xz data: premature eof
  expected  a relocatable ELF file with a `.modinfo` section
error[elf-format]: `text.ko` is not a kernel module
  file      /lib/modules/6.1.0-56-amd64/extra/text.ko
  found     not an ELF file
  expected  a relocatable ELF file with a `.modinfo` section
warning[firmware]: firmware that `kmf_core.ko` may ask for is not in the image
  file      /lib/modules/6.1.0-56-amd64/extra/kmf_core.ko
  found     nothing at `kmf/core.bin`
  expected  a file below /firmware for each
  help      add it to the profile's `firmware`, or its name to `optional`
error: `oci:image` (amd64) does not pass 1 check for 6.1.0-56-amd64
  failed    elf-format
  against   linux-headers-6.1.0-56-amd64 6.1.192-2

"]]
    );
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
    assert_data_eq!(
        world.run(&["verify", "oci:image", "--kernel", "6.1.0-56-amd64"]).await.ended(3).err,
        str![[r"
error[vermagic]: `kmf_core.ko` was compiled for another kernel than 6.1.0-56-amd64
  file      /lib/modules/6.1.0-54-amd64/kmf_core.ko
  found     6.12.117+deb13-amd64 SMP preempt mod_unload modversions
  expected  6.1.0-56-amd64 SMP preempt mod_unload modversions
  help      the headers used were not this kernel's
error[vermagic]: `kmf_user.ko` was compiled for another kernel than 6.1.0-56-amd64
  file      /lib/modules/6.1.0-54-amd64/kmf_user.ko
  found     6.12.117+deb13-amd64 SMP preempt mod_unload modversions
  expected  6.1.0-56-amd64 SMP preempt mod_unload modversions
  help      the headers used were not this kernel's
error[symbol-crc]: `kmf_core.ko` was compiled for another kernel than 6.1.0-56-amd64
  file      /lib/modules/6.1.0-54-amd64/kmf_core.ko
  found     `module_layout` 0x2f9b2b9a (also `param_ops_int`)
  expected  0x9060323f (Module.symvers of linux-headers-6.1.0-56-amd64 6.1.192-2)
  help      the headers used were not this kernel's
error[symbol-crc]: `kmf_user.ko` was compiled for another kernel than 6.1.0-56-amd64
  file      /lib/modules/6.1.0-54-amd64/kmf_user.ko
  found     `module_layout` 0x2f9b2b9a (also `usb_deregister`, `usb_register_driver`)
  expected  0x9060323f (Module.symvers of linux-headers-6.1.0-56-amd64 6.1.192-2)
  help      the headers used were not this kernel's
error[module-struct]: `kmf_core.ko` was compiled with another `struct module` than 6.1.0-56-amd64 has
  file      /lib/modules/6.1.0-54-amd64/kmf_core.ko
  found     1280 bytes of `.gnu.linkonce.this_module`
  expected  896 bytes of `.gnu.linkonce.this_module` (an empty module compiled with linux-headers-6.1.0-56-amd64 6.1.192-2)
  help      the headers used were not this kernel's
error[module-struct]: `kmf_user.ko` was compiled with another `struct module` than 6.1.0-56-amd64 has
  file      /lib/modules/6.1.0-54-amd64/kmf_user.ko
  found     1280 bytes of `.gnu.linkonce.this_module`
  expected  896 bytes of `.gnu.linkonce.this_module` (an empty module compiled with linux-headers-6.1.0-56-amd64 6.1.192-2)
  help      the headers used were not this kernel's
error[compiler]: `kmf_core.ko` was compiled by another compiler than the kernel
  file      /lib/modules/6.1.0-54-amd64/kmf_core.ko
  found     gcc 14.2.0
  expected  gcc 12.2.0 (`CONFIG_CC_VERSION_TEXT`)
  help      compile with the compiler that the kernel's headers depend on
error[compiler]: `kmf_user.ko` was compiled by another compiler than the kernel
  file      /lib/modules/6.1.0-54-amd64/kmf_user.ko
  found     gcc 14.2.0
  expected  gcc 12.2.0 (`CONFIG_CC_VERSION_TEXT`)
  help      compile with the compiler that the kernel's headers depend on
error[depmod]: the image has no `modules.dep` for 6.1.0-56-amd64; modprobe finds no module
  found     none
  expected  /opt/lib/modules/6.1.0-56-amd64/modules.dep
  help      run `depmod -b /opt` for this release when the image is made
warning[firmware]: firmware that `kmf_core.ko` may ask for is not in the image
  file      /lib/modules/6.1.0-54-amd64/kmf_core.ko
  found     nothing at `kmf/core.bin`
  expected  a file below /firmware for each
  help      add it to the profile's `firmware`, or its name to `optional`
note[kernel-config]: 6.1.0-56-amd64 is configured otherwise than 6.1.0-54-amd64, for which the image was made
  found     `CONFIG_PREEMPT` is not set, was y
            `CONFIG_NR_CPUS` is not set, was 64
error: `oci:image` (amd64) does not pass 5 checks for 6.1.0-56-amd64
  failed    vermagic, symbol-crc, module-struct, compiler, depmod
  against   linux-headers-6.1.0-56-amd64 6.1.192-2

"]]
    );
}
