use super::*;
use crate::fetch::testing::{Entry as Tar, Server, archive, deb, through_mirror, xz};

fn kernel(files: &[(&str, &[&str], &[&str])]) -> Kernel {
    let folder = tempfile::tempdir().unwrap();
    let mut pack = Pack { out: BufWriter::new(File::create(folder.path().join(MODULES)).unwrap()), end: 0, index: Index::default() };
    for (path, needs, aliases) in files {
        pack.add((*path).to_owned(), path.as_bytes()).unwrap();
        let entry = pack.index.files.get_mut(*path).unwrap();
        entry.needs = needs.iter().map(ToString::to_string).collect();
        entry.aliases = aliases.iter().map(ToString::to_string).collect();
    }
    pack.out.flush().unwrap();
    std::fs::write(folder.path().join(INDEX), serde_json::to_vec(&pack.index).unwrap()).unwrap();
    open(folder.path()).unwrap()
}

#[test]
fn a_module_brings_what_it_needs_by_any_name() {
    let kernel = kernel(&[
        ("kernel/fs/apfs.ko", &["libcrc32c"], &[]),
        ("kernel/lib/libcrc32c.ko", &["crypto-crc32c"], &[]),
        ("kernel/crypto/crc32c-generic.ko", &[], &["crypto-crc32c"]),
        ("kernel/net/other.ko", &[], &[]),
        ("modules.builtin", &[], &[]),
    ]);
    let found: Vec<_> = kernel.with_dependencies(["apfs", "not-there"]).into_iter().collect();
    assert_eq!(found, ["kernel/crypto/crc32c-generic.ko", "kernel/fs/apfs.ko", "kernel/lib/libcrc32c.ko"]);
    assert!(kernel.has("crc32c-generic") && kernel.has("crc32c_generic") && !kernel.has("nouveau"));
    assert_eq!(kernel.read("kernel/net/other.ko").unwrap(), b"kernel/net/other.ko");
    assert_eq!(kernel.lists().collect::<Vec<_>>(), ["modules.builtin"]);
}

#[test]
fn paths_in_packages_are_those_of_a_merged_system() {
    assert_eq!(normal("./lib/modules/6.1/kernel/a.ko"), "usr/lib/modules/6.1/kernel/a.ko");
    assert_eq!(normal("./usr/lib/modules/6.1"), "usr/lib/modules/6.1");
    assert_eq!(soft("pre: a b post: c").collect::<Vec<_>>(), ["a", "b", "c"]);
}

const OFFICIAL: &str = "http://ftp.debian.org/debian";

/// A package as an index describes it, with these files, on a server.
fn package(files: &[Tar<'_>]) -> (Package, Vec<u8>) {
    let bytes = deb("data.tar.xz", &xz(&archive(files, 0)));
    let package = Package {
        name: "linux-image-6.1".into(),
        version: "1".into(),
        arch: "arm64".into(),
        url: format!("{OFFICIAL}/pool/image.deb"),
        sha256: sha256(&bytes),
        size: bytes.len() as u64,
    };
    (package, bytes)
}

fn rules() -> BootRules {
    BootRules {
        packages: vec!["linux-image-{kernel}".into()],
        dependencies: None,
        kernel: "boot/vmlinuz-{kernel}|usr/lib/modules/{kernel}/vmlinuz".into(),
        modules: "usr/lib/modules/{kernel}".into(),
    }
}

struct Setting {
    server: Server,
    cache: tempfile::TempDir,
    package: Package,
}

impl Setting {
    async fn new(files: &[Tar<'_>]) -> Self {
        let (package, bytes) = package(files);
        let server = Server::files(vec![("/debian/pool/image.deb".to_owned(), bytes)]).await;
        Self { server, cache: tempfile::tempdir().unwrap(), package }
    }

    async fn kernel(&self) -> Result<Kernel, String> {
        let fetcher = through_mirror(self.cache.path(), "http://ftp.debian.org", &self.server);
        let packages = [self.package.clone()];
        super::kernel(&fetcher, &packages, &rules(), &"6.1".parse().unwrap(), Arch::Arm64).await.map_err(|error| error.to_string())
    }
}

fn image() -> Vec<u8> {
    let mut image = vec![0; 64];
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image
}

#[tokio::test]
async fn a_kernel_is_fetched_and_unpacked_once() {
    let (image, module) = (image(), xz(b"the module"));
    let files = [
        Tar::File("./boot/vmlinuz-6.1", &image),
        Tar::File("./boot/config-6.1", b"CONFIG_X=y"),
        Tar::File("./lib/modules/6.1/kernel/a.ko.xz", &module),
        Tar::File("./lib/modules/6.1/modules.builtin", b"kernel/b.ko"),
    ];
    let setting = Setting::new(&files).await;
    let first = setting.kernel().await.unwrap();
    assert_eq!(first.read("kernel/a.ko").unwrap(), b"the module");
    assert_eq!(std::fs::read(&first.image).unwrap(), image);
    assert_eq!(first.lists().collect::<Vec<_>>(), ["modules.builtin"]);
    let asked = setting.server.asked().len();
    assert!(setting.kernel().await.unwrap().has("a"));
    assert_eq!(setting.server.asked().len(), asked, "nothing was fetched again");
}

#[tokio::test]
async fn a_kernel_may_lie_beside_its_modules() {
    let image = image();
    let setting = Setting::new(&[Tar::File("./usr/lib/modules/6.1/vmlinuz", &image), Tar::File("./usr/lib/modules/6.1/kernel/a.ko", b"a")]).await;
    let kernel = setting.kernel().await.unwrap();
    assert_eq!(std::fs::read(&kernel.image).unwrap(), image);
    assert!(kernel.has("a") && kernel.lists().next().is_none());
}

#[tokio::test]
async fn packages_without_a_kernel_that_can_be_started_are_told() {
    let without = Setting::new(&[Tar::File("./boot/config-6.1", b"")]).await;
    assert_eq!(without.kernel().await.unwrap_err(), "`boot/vmlinuz-6.1` or `usr/lib/modules/6.1/vmlinuz` is not in linux-image-6.1");
    let strange = Setting::new(&[Tar::File("./boot/vmlinuz-6.1", b"MZ")]).await;
    assert_eq!(strange.kernel().await.unwrap_err(), "the image of 6.1 cannot be started: compressed in a way that is not known");
    assert_eq!(std::fs::read_dir(strange.cache.path().join("kernel-images")).unwrap().count(), 0, "nothing is left behind");
}
