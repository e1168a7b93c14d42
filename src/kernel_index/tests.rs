mod rpm;
mod signed;

use serde_json::json;

use super::*;
use crate::error::Failure;
use crate::fetch::testing::{Server, gz, options, xz};
use crate::fetch::{Fetcher, sha256};
use crate::mirror::{Mirrors, PackageMirror};
use crate::openpgp::Clearsigned;
use crate::openpgp::testing::{clearsign, keyrings};
use crate::package::PublishedKernel;

/// The parts of a Debian profile that matter here.
fn debian(base: &str) -> DistroProfile {
    let repository = |suite: &str| json!({"url": base, "suite": suite, "components": ["main"]});
    serde_json::from_value(json!({
        "id": "debian", "name": "Debian", "homepage": "https://www.debian.org/", "family": "apt", "arches": ["amd64", "arm64"], "keyring": "archive",
        "kernels": {
            "recognise": [r"\d+\.\d+\.\d+(?:-\d+|\+deb(?P<release>\d+)(?:\.\d+)?)-(?:(?P<flavour>cloud|rt)-)?(?P<arch>amd64|arm64)"],
            "headers_package": "linux-headers-{kernel}",
            "headers_dependencies": r"^linux-(headers-.*-common.*|kbuild-.*|base-\d.*)$",
            "directory": "/usr/src/linux-headers-{kernel}"
        },
        "releases": [{
            "id": "bookworm", "version": "12", "base_image": "docker.io/library/debian:bookworm-slim",
            "repositories": [repository("bookworm"), repository("bookworm-security"), repository("bookworm-backports")], "default_compiler": "gcc"
        }],
        "toolchain": {
            "packages": ["make"],
            "compiler": {
                "from_dependencies": r"^(?:linux-compiler-)?(?P<program>gcc-\d+)(?:-x86|-for-host)?$",
                "native_package": "{program}", "cross_package": "{program}-{triplet}"
            }
        },
        "runtime": {"packages": ["kmod", "libssl3|libssl3t64"], "files": [], "links": {}},
        "node": {"firmware_directory": "/lib/firmware"},
        "boot": {
            "packages": ["linux-image-{kernel}|linux-image-{kernel}-unsigned"], "dependencies": r"linux-modules-\d.+",
            "kernel": "boot/vmlinuz-{kernel}", "modules": "usr/lib/modules/{kernel}"
        }
    }))
    .unwrap()
}

fn entry(name: &str, version: &str, arch: &str, more: &str) -> String {
    let sha256 = sha256(format!("{name}{version}{arch}").as_bytes());
    format!("Package: {name}\nVersion: {version}\nArchitecture: {arch}\n{more}Filename: pool/{name}_{version}_{arch}.deb\nSize: 10\nSHA256: {sha256}\n\n")
}

fn kernel(abi: &str, version: &str, arch: &str) -> String {
    let compiler = if arch == "amd64" { "linux-compiler-gcc-12-x86" } else { "gcc-12" };
    let depends = format!("Depends: linux-headers-{abi}-common (= {version}), linux-kbuild-6.1 (>= {version}), {compiler}\n");
    let common = entry(&format!("linux-headers-{abi}-common"), version, "all", "Multi-Arch: foreign\n");
    common
        + &entry(&format!("linux-headers-{abi}-{arch}"), version, arch, &depends)
        + &entry(&format!("linux-headers-{abi}-cloud-{arch}"), version, arch, &depends)
}

fn kbuild(version: &str, arch: &str) -> String {
    entry("linux-kbuild-6.1", version, arch, "Depends: libc6 (>= 2.34)\nMulti-Arch: foreign\n")
}

/// What every Debian archive has that matters here, and something that does not.
fn base(arch: &str) -> String {
    let cross = if arch == "amd64" { "gcc-12-aarch64-linux-gnu" } else { "gcc-12-x86-64-linux-gnu" };
    let names = ["kmod", "libssl3", "gcc", "gcc-12", "gcc-12-base", cross, "bash", "linux-headers-amd64"];
    names.iter().map(|name| entry(name, "1-1", arch, "")).collect()
}

/// Files of a repository, by their paths on the server.
type Files = Vec<(String, Vec<u8>)>;

/// A suite with an index per architecture. `fields` go into its Release file.
fn suite(name: &str, fields: &str, indexes: &[(&str, String)]) -> Files {
    let indexes: Vec<_> = indexes.iter().map(|(arch, text)| ("main", *arch, text.clone())).collect();
    suite_with_components(name, fields, &indexes)
}

fn suite_with_components(name: &str, fields: &str, indexes: &[(&str, &str, String)]) -> Files {
    let mut digests = String::new();
    let mut files = Files::new();
    for (component, arch, text) in indexes {
        for (suffix, bytes) in [("", text.clone().into_bytes()), (".gz", gz(text.as_bytes())), (".xz", xz(text.as_bytes()))] {
            let path = format!("{component}/binary-{arch}/Packages{suffix}");
            digests.extend([" ", &sha256(&bytes), &format!(" {} {path}\n", bytes.len())]);
            files.push((format!("/debian/dists/{name}/{path}"), bytes));
        }
    }
    let release = format!("Suite: {name}\nArchitectures: all amd64 arm64\nNo-Support-for-Architecture-all: Packages\n{fields}SHA256:\n{digests}");
    files.push((format!("/debian/dists/{name}/InRelease"), clearsign(&release).into_bytes()));
    files
}

const OFFICIAL: &str = "http://ftp.debian.org/debian";

/// A main suite with two kernels, security updates with another and a newer kbuild, backports that do not exist yet.
fn usual() -> Files {
    let main = |arch: &str| base(arch) + &kernel("6.1.0-47", "6.1.170-3", arch) + &kernel("6.1.0-50", "6.1.176-1", arch) + &kbuild("6.1.176-1", arch);
    let security = |arch: &str| kernel("6.1.0-56", "6.1.192-2", arch) + &kbuild("6.1.192-2", arch);
    let both = |text: &dyn Fn(&str) -> String| [("amd64", text("amd64")), ("arm64", text("arm64"))];
    let mut files = suite("bookworm", "", &both(&main));
    files.extend(suite("bookworm-security", "Valid-Until: Wed, 25 Nov 2099 22:17:41 UTC\n", &both(&security)));
    files
}

struct Setting {
    server: Server,
    cache: tempfile::TempDir,
    distro: DistroProfile,
    keyrings: Keyrings,
    /// Of the mirror that everything is fetched from.
    trusted: bool,
    frozen: bool,
}

impl Setting {
    async fn new(files: Files) -> Self {
        Self::on(Server::files(files).await)
    }

    fn on(server: Server) -> Self {
        Self { server, cache: tempfile::tempdir().unwrap(), distro: debian(OFFICIAL), keyrings: keyrings(), trusted: false, frozen: false }
    }

    async fn read(&self, arch: Arch) -> Result<PublishedRelease, IndexError> {
        self.read_with(arch, &[]).await
    }

    async fn read_with(&self, arch: Arch, fallbacks: &[Repository]) -> Result<PublishedRelease, IndexError> {
        read(&self.fetcher(), &self.request(arch, fallbacks)).await
    }

    async fn find(&self, name: &str, every_component: bool) -> Result<Vec<SourcePackage>, IndexError> {
        find_packages(&self.fetcher(), &self.request(Arch::Amd64, &[]), &[name.to_owned()].into(), every_component).await
    }

    fn fetcher(&self) -> Fetcher {
        let mut options = options(self.cache.path());
        let mirror = PackageMirror { url: format!("{}/", self.server.url), trusted: self.trusted };
        options.mirrors = Mirrors { packages: [("http://ftp.debian.org/".to_owned(), mirror)].into(), frozen: self.frozen, ..Mirrors::default() };
        Fetcher::new(options).unwrap()
    }

    fn request<'a>(&'a self, arch: Arch, fallbacks: &'a [Repository]) -> IndexRequest<'a> {
        IndexRequest { distro: &self.distro, release: &self.distro.releases[0], arch, build_arch: Arch::Amd64, fallbacks, keyrings: &self.keyrings }
    }

    async fn failure(&self) -> String {
        Failure::from(self.read(Arch::Amd64).await.unwrap_err()).to_string().replace(&self.server.url, "http://server")
    }
}

fn short(kernel: &PublishedKernel) -> (String, String, Vec<String>) {
    let headers = kernel.headers.iter().map(|package| format!("{} {} {}", package.name, package.version, package.arch)).collect();
    (kernel.release.to_string(), kernel.origin.clone(), headers)
}

#[tokio::test]
async fn kernels_come_with_the_packages_that_belong_to_them() {
    let setting = Setting::new(usual()).await;
    let published = setting.read(Arch::Amd64).await.unwrap();
    let releases: Vec<_> = published.kernels.iter().map(|kernel| kernel.release.as_str()).collect();
    assert_eq!(releases, ["6.1.0-47-amd64", "6.1.0-47-cloud-amd64", "6.1.0-50-amd64", "6.1.0-50-cloud-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64"]);
    let headers = |abi: &str, version: &str, kbuild: &str| {
        [format!("linux-headers-{abi}-amd64 {version} amd64"), format!("linux-headers-{abi}-common {version} all"), format!("linux-kbuild-6.1 {kbuild} amd64")]
    };
    // The oldest kbuild that will do: a new one in security changes nothing for older kernels.
    assert_eq!(short(&published.kernels[0]), ("6.1.0-47-amd64".into(), "bookworm".into(), headers("6.1.0-47", "6.1.170-3", "6.1.176-1").into()));
    assert_eq!(short(&published.kernels[4]), ("6.1.0-56-amd64".into(), "bookworm-security".into(), headers("6.1.0-56", "6.1.192-2", "6.1.192-2").into()));
    assert_eq!(published.kernels[1].flavour, "cloud");
    assert_eq!(published.kernels[0].compilers, ["gcc-12"], "the program, not the package that depends on it");
    let first = &published.kernels[0].headers[0];
    assert_eq!((first.url.as_str(), first.size), ("http://ftp.debian.org/debian/pool/linux-headers-6.1.0-47-amd64_6.1.170-3_amd64.deb", 10));
    assert_eq!(published.runtime.iter().map(|package| package.name.as_str()).collect::<Vec<_>>(), ["kmod", "libssl3"]);
    assert_eq!(published.compilers, ["gcc", "gcc-12", "gcc-12-aarch64-linux-gnu"]);
    assert_eq!(published.looked_in, ["bookworm", "bookworm-security", "bookworm-backports (not there)"]);
    assert_eq!((published.distro.as_str(), published.release.as_str(), published.arch.as_str()), ("debian", "bookworm", "amd64"));
}

/// Signed images are not there for every kernel, and modules may have a package of their own.
#[tokio::test]
async fn a_kernel_comes_with_the_packages_of_its_image() {
    let image = |name: &str, version: &str, more: &str| entry(&format!("linux-image-{name}"), version, "amd64", more);
    let both = image("6.1.0-47-amd64", "6.1.170-2", "") + &image("6.1.0-47-amd64", "6.1.170-3", "") + &image("6.1.0-47-amd64-unsigned", "6.1.170-3", "");
    let split = image("6.1.0-50-amd64-unsigned", "6.1.176-1", "Depends: kmod, linux-modules-6.1.0-50-amd64 (= 6.1.176-1)\n");
    let modules = entry("linux-modules-6.1.0-50-amd64", "6.1.176-1", "amd64", "");
    let torn = image("6.1.0-50-cloud-amd64", "6.1.176-1", "Depends: linux-modules-6.1.0-50-cloud-amd64 (= 6.1.176-1)\n");
    let mut files = usual();
    files.extend(suite("bookworm-backports", "", &[("amd64", both + &split + &modules + &torn)]));
    let published = Setting::new(files).await.read(Arch::Amd64).await.unwrap();
    let images = |release: &str| -> Vec<String> {
        let kernel = published.kernels.iter().find(|kernel| kernel.release.as_str() == release).unwrap();
        kernel.image.iter().map(|package| format!("{} {}", package.name, package.version)).collect()
    };
    assert_eq!(images("6.1.0-47-amd64"), ["linux-image-6.1.0-47-amd64 6.1.170-3"]);
    assert_eq!(images("6.1.0-50-amd64"), ["linux-image-6.1.0-50-amd64-unsigned 6.1.176-1", "linux-modules-6.1.0-50-amd64 6.1.176-1"]);
    assert_eq!(images("6.1.0-50-cloud-amd64"), [""; 0], "half of a kernel is none");
    assert_eq!(images("6.1.0-56-amd64"), [""; 0]);
}

#[tokio::test]
async fn for_a_foreign_architecture_the_tools_run_here_and_the_headers_there() {
    let published = Setting::new(usual()).await.read(Arch::Arm64).await.unwrap();
    assert_eq!(published.kernels.len(), 6);
    assert_eq!(
        short(&published.kernels[4]).2,
        ["linux-headers-6.1.0-56-arm64 6.1.192-2 arm64", "linux-headers-6.1.0-56-common 6.1.192-2 all", "linux-kbuild-6.1 6.1.192-2 amd64"]
    );
    assert_eq!(published.kernels[0].compilers, ["gcc-12"]);
    assert!(published.runtime.iter().all(|package| package.arch == "arm64"));
    assert_eq!(published.compilers, ["gcc", "gcc-12", "gcc-12-aarch64-linux-gnu"]);
}

#[tokio::test]
async fn a_second_run_asks_for_release_files_only() {
    let setting = Setting::new(usual()).await;
    let first = setting.read(Arch::Amd64).await.unwrap();
    let asked = setting.server.asked();
    assert_eq!(asked.iter().filter(|path| path.ends_with("/Packages.xz")).count(), 2);
    assert!(asked.iter().all(|path| path.ends_with("/Packages.xz") || path.ends_with("Release")));
    assert_eq!(setting.read(Arch::Amd64).await.unwrap(), first);
    assert!(setting.server.asked()[asked.len()..].iter().all(|path| path.ends_with("Release")));
    let compressed = std::fs::read_dir(setting.cache.path().join("files")).unwrap().count();
    assert_eq!(compressed, 0, "indexes are not kept beside what was read from them");
}

#[tokio::test]
async fn an_index_that_changed_is_read_again() {
    let setting = Setting::new(usual()).await;
    setting.read(Arch::Amd64).await.unwrap();
    let later = suite("bookworm", "", &[("amd64", base("amd64") + &kernel("6.1.0-60", "6.1.199-1", "amd64") + &kbuild("6.1.199-1", "amd64"))]);
    let setting = Setting { server: Server::files(later).await, ..setting };
    let published = setting.read(Arch::Amd64).await.unwrap();
    assert_eq!(published.kernels.iter().map(|kernel| kernel.release.as_str()).collect::<Vec<_>>(), ["6.1.0-60-amd64", "6.1.0-60-cloud-amd64"]);
}

#[tokio::test]
async fn the_newest_headers_win_and_backports_give_kernels_only() {
    let dependencies = "Depends: linux-headers-6.12.9+deb12-common (= 2), linux-image-6.12.9+deb12-amd64 (= 2) | linux-image-u (= 2), gcc-12\n";
    let new = entry("linux-headers-6.12.9+deb12-amd64", "2", "amd64", dependencies) + &entry("linux-headers-6.12.9+deb12-common", "2", "all", "");
    let rebuilt = kernel("6.1.0-50", "6.1.176-1+b1", "amd64");
    let mut files = usual();
    files.extend(suite(
        "bookworm-backports",
        "NotAutomatic: yes\n",
        &[("amd64", new + &rebuilt + &entry("kmod", "9-9", "amd64", "") + &entry("gcc-14", "14", "amd64", ""))],
    ));
    let published = Setting::new(files).await.read(Arch::Amd64).await.unwrap();
    assert_eq!(
        short(published.kernels.last().unwrap()),
        (
            "6.12.9+deb12-amd64".into(),
            "bookworm-backports".into(),
            vec!["linux-headers-6.12.9+deb12-amd64 2 amd64".into(), "linux-headers-6.12.9+deb12-common 2 all".into()]
        )
    );
    let again = published.kernels.iter().find(|kernel| kernel.release.as_str() == "6.1.0-50-amd64").unwrap();
    assert_eq!((again.headers[0].version.as_str(), again.headers[1].version.as_str()), ("6.1.176-1+b1", "6.1.176-1+b1"));
    assert_eq!(published.runtime[0].version, "1-1");
    assert!(!published.compilers.contains(&"gcc-14".to_owned()));
}

#[tokio::test]
async fn a_kernel_without_its_dependencies_is_left_out() {
    let incomplete = kernel("6.1.0-56", "6.1.192-2", "amd64") + &kernel("6.1.0-50", "6.1.176-1", "amd64") + &kbuild("6.1.176-1", "amd64");
    let published = Setting::new(suite("bookworm", "", &[("amd64", base("amd64") + &incomplete)])).await.read(Arch::Amd64).await.unwrap();
    assert_eq!(published.kernels.iter().map(|kernel| kernel.release.as_str()).collect::<Vec<_>>(), ["6.1.0-50-amd64", "6.1.0-50-cloud-amd64"]);
}

#[tokio::test]
async fn fallbacks_are_read_besides_and_must_be_there() {
    let mut files = usual();
    let old = suite("bookworm", "", &[("amd64", kernel("6.1.0-9", "6.1.27-1", "amd64"))]);
    files.extend(old.into_iter().map(|(path, bytes)| (path.replace("/debian/dists/", "/snapshot/dists/"), bytes)));
    let setting = Setting::new(files).await;
    let repository = |url: &str| -> Repository {
        serde_json::from_value(json!({"url": url, "suite": "bookworm", "components": ["main"], "check_valid_until": false})).unwrap()
    };
    let published = setting.read_with(Arch::Amd64, &[repository(&format!("{}/snapshot", setting.server.url))]).await.unwrap();
    assert_eq!(published.kernels[0].release.as_str(), "6.1.0-9-amd64");
    let error = setting.read_with(Arch::Amd64, &[repository("http://ftp.debian.org/gone")]).await.unwrap_err();
    assert_eq!(
        Failure::from(error).to_string(),
        "error: the repository `bookworm` of http://ftp.debian.org/gone does not exist\n  asked for  `InRelease`, then `Release`\n  \
         help       releases that are no longer supported move to an archive: name it in `mirrors`, or in a profile of your own"
    );
}

#[tokio::test]
async fn repositories_with_names_by_hash_are_read_too() {
    let index = base("amd64") + &kernel("6.1.0-50", "6.1.176-1", "amd64") + &kbuild("6.1.176-1", "amd64");
    let files = suite("bookworm", "Acquire-By-Hash: yes\n", &[("amd64", index)]);
    let setting = Setting::new(files.clone()).await;
    assert_eq!(setting.read(Arch::Amd64).await.unwrap().kernels.len(), 2, "by-hash names are missing here, so the plain ones are used");
    let by_hash = files.into_iter().map(|(path, bytes)| match path.rsplit_once("/Packages") {
        Some((directory, _)) => (format!("{directory}/by-hash/SHA256/{}", sha256(&bytes)), bytes),
        None => (path, bytes),
    });
    let setting = Setting::new(by_hash.collect()).await;
    assert_eq!(setting.read(Arch::Amd64).await.unwrap().kernels.len(), 2);
}

#[tokio::test]
async fn a_repository_that_does_not_fit_together_is_named() {
    let mut files = usual();
    let (_, index) = files.iter_mut().find(|(path, _)| path == "/debian/dists/bookworm/main/binary-amd64/Packages.xz").unwrap();
    let expected = sha256(index);
    *index = b"newer".to_vec();
    assert_eq!(
        Setting::new(files).await.failure().await,
        format!(
            "error: the repository `bookworm` of http://ftp.debian.org/debian does not fit together\n  \
             file      http://server/debian/dists/bookworm/main/binary-amd64/Packages.xz\n  found     sha256:{}\n  expected  sha256:{expected} (its Release file)\n  \
             help      the mirror is being updated: try again in some minutes",
            sha256(b"newer")
        )
    );
}

#[tokio::test]
async fn faults_name_the_repository() {
    let amd64 = |text: String| [("amd64", text)];
    assert_eq!(
        Setting::new(suite("bookworm", "", &[("riscv64", String::new())])).await.failure().await,
        "error: the repository `bookworm` of http://ftp.debian.org/debian has no `main/binary-amd64/Packages`\n  \
         help      correct `components` or `arches` of the distro profile"
    );
    let expired = suite("bookworm", "Valid-Until: Fri, 06 Nov 2020 08:08:01 UTC\n", &amd64(base("amd64")));
    assert_eq!(
        Setting::new(expired.clone()).await.failure().await,
        "error: the repository `bookworm` of http://ftp.debian.org/debian has expired\n  until     Fri, 06 Nov 2020 08:08:01 UTC\n  \
         help      the mirror is not updated any more; for a frozen copy set `frozen: true` below `mirrors` in the project file"
    );
    let mut frozen = Setting::new(expired).await;
    frozen.distro.releases[0].repositories[0].check_valid_until = false;
    assert!(frozen.read(Arch::Amd64).await.is_ok());
    assert_eq!(
        Setting::new(suite("bookworm", "", &amd64(entry("kmod", "1", "amd64", "")))).await.failure().await,
        "error: no package `libssl3|libssl3t64` for debian bookworm, amd64\n  looked in  bookworm, bookworm-security (not there), bookworm-backports (not there)\n  \
         help       correct `runtime.packages` of the distro profile"
    );
    assert_eq!(
        Setting::new(vec![("/debian/dists/bookworm/InRelease".to_owned(), b"<html>login</html>".to_vec())]).await.failure().await,
        "error: `InRelease` of the repository `bookworm` of http://ftp.debian.org/debian cannot be read: a line in it is no field\n  \
         help      something between here and the repository answers in its place, or the mirror is damaged"
    );
    assert_eq!(
        Setting::new(Files::new()).await.failure().await.lines().next(),
        Some("error: the repository `bookworm` of http://ftp.debian.org/debian does not exist")
    );
    let mut setting = Setting::new(usual()).await;
    setting.distro.kernels.headers_dependencies = Some("linux-(".to_owned());
    assert_eq!(
        setting.failure().await,
        "error: `kernels.headers_dependencies` of the distro profile is not a regular expression\n  found     linux-(\n  reason    unclosed group"
    );
}

#[tokio::test]
async fn an_optional_repository_that_cannot_be_reached_is_no_silence() {
    let files: std::collections::HashMap<_, _> = usual().into_iter().collect();
    let server = Server::start(move |request, _| {
        let path = request.uri().path();
        if path.contains("backports") {
            return crate::fetch::testing::status(500);
        }
        files.get(path).map_or_else(|| crate::fetch::testing::status(404), |bytes| axum::response::IntoResponse::into_response(bytes.clone()))
    })
    .await;
    let setting = Setting::on(server);
    assert_eq!(
        setting.failure().await,
        "error: `http://server/debian/dists/bookworm-backports/InRelease` cannot be fetched: 500 Internal Server Error\n  \
         for        the repository `bookworm-backports` of http://ftp.debian.org/debian\n  \
         mirror of  http://ftp.debian.org/debian/dists/bookworm-backports/InRelease\n  attempts   4\n  \
         help       the server has a problem; try again later, or use a mirror"
    );
}

#[tokio::test]
async fn a_separate_index_for_all_architectures_is_read() {
    let text = base("amd64") + &kernel("6.1.0-50", "6.1.176-1", "amd64") + &kbuild("6.1.176-1", "amd64");
    let (all, amd64): (Vec<_>, Vec<_>) = text.split_inclusive("\n\n").partition(|entry| entry.contains("Architecture: all"));
    let files = suite("bookworm", "No-Support-for-Architecture-all: Contents\n", &[("amd64", amd64.concat()), ("all", all.concat())]);
    let setting = Setting::new(files).await;
    assert_eq!(setting.read(Arch::Amd64).await.unwrap().kernels.len(), 2);
}

#[tokio::test]
async fn packages_are_found_in_every_component_and_suite_newest_first() {
    let about = "Depends: dkms (>= 3.0), libc6-dev | libc-dev, perl:any\nHomepage: https://camera.example/\nDescription: a camera\n more\n";
    let installer = entry("camera-dkms", "9.9-1", "all", "");
    let mut files = suite_with_components(
        "bookworm",
        "",
        &[
            ("main", "amd64", base("amd64")),
            ("non-free", "amd64", entry("camera-dkms", "1.10-1", "all", about) + &entry("other-dkms", "3-1", "all", "")),
            ("main/debian-installer", "amd64", installer),
        ],
    );
    files.extend(suite("bookworm-security", "", &[("amd64", entry("camera-dkms", "1.9-1+deb12u1", "all", ""))]));
    let setting = Setting::new(files).await;
    let found = setting.find("camera-dkms", true).await.unwrap();
    let versions: Vec<_> = found.iter().map(|found| (found.package.version.as_str(), found.suite.as_str())).collect();
    assert_eq!(versions, [("1.10-1", "bookworm"), ("1.9-1+deb12u1", "bookworm-security")]);
    assert_eq!(found[0].depends, [vec!["dkms"], vec!["libc6-dev", "libc-dev"], vec!["perl"]]);
    assert_eq!((found[0].homepage.as_str(), found[0].summary.as_str()), ("https://camera.example/", "a camera"));
    assert_eq!(found[0].package.url, "http://ftp.debian.org/debian/pool/camera-dkms_1.10-1_all.deb");
    let own = setting.find("camera-dkms", false).await.unwrap();
    assert_eq!(own.len(), 1, "the profile names main only");
}

/// A package whose source is built must be as well proven as one that is installed.
#[tokio::test]
async fn packages_are_not_looked_for_in_what_nobody_signed() {
    let mut files = suite("bookworm", "", &[("amd64", base("amd64"))]);
    let (_, release) = files.iter_mut().find(|(path, _)| path.ends_with("/InRelease")).unwrap();
    *release = Clearsigned::parse(std::str::from_utf8(release).unwrap()).unwrap().text.into_bytes();
    let mut setting = Setting::new(files).await;
    assert!(matches!(setting.find("kmod", false).await, Err(IndexError::Unsigned { .. })));
    setting.trusted = true;
    let found = setting.find("kmod", false).await.unwrap();
    assert_eq!(found[0].unverified, Some(format!("bookworm of {}/debian", setting.server.url)));
}
