//! Distributions whose repositories are out of reach: the family's own package manager installs from repositories that stand in for theirs
//! (`scripts/standin-*.sh`), and their profiles find, compile and check there as they would in the world.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use kmodforge::catalog::Catalog;
use kmodforge::record::Outcome;

use crate::files::{layers, unpack};
use crate::forge::{Forge, image};
use crate::stack::{kept, mirrors, registry, run, scratch, setting, skopeo_copy, skopeo_inspect};

const REPOSITORY: &str = "families";

/// A kernel that the stand-in has.
struct Offer {
    distro: String,
    release: String,
    kernel: String,
}

struct Standin {
    kernels: Vec<Offer>,
    /// What is served in place of the servers of RPM distributions.
    site: PathBuf,
    /// The `profiles:` and `mirrors:` of a project file.
    project: String,
}

/// The stand-ins, served on loopback, their base images pushed.
fn standin() -> &'static Standin {
    static STANDIN: OnceLock<Standin> = OnceLock::new();
    STANDIN.get_or_init(|| {
        let profiles = kept("standin-profiles");
        fs::create_dir_all(profiles.join("keyrings")).unwrap();
        let (mut kernels, mut images, mut packages) = (Vec::new(), String::new(), String::new());
        let mut sites = Vec::new();
        for family in ["rpm", "ubuntu", "pacman"] {
            let script = format!("{}/scripts/standin-{family}.sh", env!("CARGO_MANIFEST_DIR"));
            let folder = PathBuf::from(run(&mut Command::new(script)).trim());
            let base = format!("{}/standin/{family}:1", registry());
            skopeo_push(&folder.join("base"), &base);
            let found: Vec<_> = fs::read_to_string(folder.join("kernels")).unwrap().lines().map(kernel).collect();
            images.push_str(&mirrored_images(&found, &base));
            packages.push_str(&mirrored_servers(&folder.join("site")));
            kernels.extend(found);
            sites.push(folder.join("site"));
            // Of those that sign their indexes: the stand-in's key in the place of theirs.
            for keyring in fs::read_dir(folder.join("profiles/keyrings")).unwrap() {
                let keyring = keyring.unwrap();
                fs::copy(keyring.path(), profiles.join("keyrings").join(keyring.file_name())).unwrap();
            }
        }
        let mirrors = mirrors().replacen("  images:\n", &format!("  images:\n{images}"), 1).replacen("  packages:\n", &format!("  packages:\n{packages}"), 1);
        Standin { kernels, site: sites.swap_remove(0), project: format!("profiles: {}\n{mirrors}", profiles.display()) }
    })
}

fn kernel(line: &str) -> Offer {
    let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    let [distro, release, kernel] = words.try_into().unwrap();
    Offer { distro, release, kernel }
}

fn skopeo_push(layout: &Path, image: &str) {
    let from = format!("oci:{}:base", layout.display());
    run(Command::new("skopeo").args(["copy", "--quiet", "--dest-tls-verify=false"]).arg(from).arg(format!("docker://{image}")));
}

/// Lines of `mirrors.images`: the stand-in in place of the distributions' images.
fn mirrored_images(kernels: &[Offer], base: &str) -> String {
    let catalog = Catalog::embedded().unwrap();
    let official = |kernel: &Offer| catalog.distro(&kernel.distro).unwrap().release(&kernel.release).unwrap().base_image.clone();
    kernels.iter().map(official).fold(String::new(), |mut lines, official| {
        let _ = writeln!(lines, "    \"{official}\": \"{base}\"");
        lines
    })
}

/// Lines of `mirrors.packages`: a server of the folder in place of those whose names its folders have.
pub(crate) fn mirrored_servers(site: &Path) -> String {
    let address = serve(site.to_owned());
    let mut lines = String::new();
    for host in fs::read_dir(site).unwrap() {
        let host = host.unwrap().file_name().into_string().unwrap();
        for scheme in ["http", "https"] {
            let _ = writeln!(lines, "    \"{scheme}://{host}/\": \"{address}/{host}/\"");
        }
    }
    lines
}

/// Serves the files of a folder until the tests end; the address.
fn serve(folder: PathBuf) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let own = address.clone();
    std::thread::spawn(move || {
        let answer = move |uri: axum::http::Uri| {
            // The characters that apt encodes.
            let path = [("%2b", "+"), ("%7e", "~"), ("%3a", ":")]
                .iter()
                .fold(uri.path().to_owned(), |path, (code, character)| path.replace(code, character).replace(&code.to_uppercase(), character));
            let file = fs::read(folder.join(path.trim_start_matches('/')));
            // Lists of mirrors name this server.
            let file =
                if uri.path().ends_with("/mirror.list") { file.map(|text| String::from_utf8(text).unwrap().replace("SITE", &own).into_bytes()) } else { file };
            async move { file.map_err(|_| axum::http::StatusCode::NOT_FOUND) }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap();
        });
    });
    address
}

/// The stand-ins' `profiles:` and `mirrors:`, with what some images and packages stand in for besides: from official names to official names.
pub(crate) fn standin_mirrors(images: &[(&str, &str)], packages: &[(&str, &str)]) -> String {
    let project = &standin().project;
    // The longest prefix that has a line of its own.
    let place = |official: &str| {
        let lines = project.lines().filter_map(|line| match line.split('"').collect::<Vec<_>>()[..] {
            [_, from, _, to, ..] => Some((from, to)),
            _ => None,
        });
        let (from, to) = lines.filter(|(from, _)| official.starts_with(from)).max_by_key(|(from, _)| from.len()).unwrap();
        official.replacen(from, to, 1)
    };
    let lines = |pairs: &[(&str, &str)]| pairs.iter().map(|(from, to)| format!("    \"{from}\": \"{}\"\n", place(to))).collect::<Vec<_>>().concat();
    let with_images = project.replacen("  images:\n", &format!("  images:\n{}", lines(images)), 1);
    with_images.replacen("  packages:\n", &format!("  packages:\n{}", lines(packages)), 1)
}

/// The headers of `almalinux`, in one directory, unpacked; and the kernel's name in them.
pub(crate) fn unpacked_headers() -> (PathBuf, String) {
    let kernel = standin().kernels.iter().find(|kernel| kernel.distro == "almalinux").unwrap().kernel.clone();
    let folder = kept("headers").join(&kernel);
    let tree = folder.join("usr/src/kernels").join(&kernel);
    if !tree.join("Makefile").exists() {
        fs::create_dir_all(&folder).unwrap();
        let packages = standin().site.join("repo.almalinux.org/almalinux/9/AppStream/x86_64/os/Packages");
        let package =
            fs::read_dir(packages).unwrap().map(|entry| entry.unwrap().path()).find(|path| path.to_str().unwrap().contains("/kernel-devel-")).unwrap();
        run(Command::new("sh").args(["-c", "rpm2cpio \"$0\" | cpio -idm --quiet"]).arg(package).current_dir(&folder));
    }
    (tree, kernel)
}

/// A project with one kernel of a distribution of the stand-ins.
pub(crate) fn forge_of(distro: &str) -> Forge {
    let kernel = &standin().kernels.iter().find(|kernel| kernel.distro == distro).unwrap().kernel;
    let row = format!("  - {{drivers: [v4l2loopback], distros: [{distro}], kernels: [\"{kernel}\"], arches: [amd64]}}\n");
    Forge::mirrored("standin", &row, &standin().project).with_builder(setting("KMODFORGE_TEST_BUILDKIT"))
}

/// The run that builds for every kernel of the stand-in, made once.
fn built() -> &'static Forge {
    static BUILT: OnceLock<Forge> = OnceLock::new();
    BUILT.get_or_init(|| {
        let row =
            |Offer { distro, kernel, .. }: &Offer| format!("  - {{drivers: [v4l2loopback], distros: [{distro}], kernels: [\"{kernel}\"], arches: [amd64]}}\n");
        let rows: String = standin().kernels.iter().map(row).collect();
        let forge = Forge::mirrored(REPOSITORY, &rows, &standin().project).with_builder(setting("KMODFORGE_TEST_BUILDKIT"));
        forge.run(&["build", "--push"]).expect(0);
        forge
    })
}

#[test]
fn each_distribution_gets_a_checked_image_through_its_package_manager() {
    let forge = built();
    let mut seen = BTreeMap::new();
    for Offer { distro, release, kernel } in &standin().kernels {
        let target = forge.target("v4l2loopback", kernel);
        assert_eq!((target.outcome, target.target.distro.as_str(), target.target.distro_release.as_str()), (Outcome::Built, distro.as_str(), release.as_str()));
        // Where the usual compiler is 11, 12 was installed beside it, since the kernel's configuration names it.
        assert!(target.compiler.as_ref().unwrap().contains(" 12.2.0"), "{distro}: {:?}", target.compiler);
        let labels = skopeo_inspect(&image(REPOSITORY, "v4l2loopback", &target.target.version, kernel), &[])["Labels"].clone();
        assert_eq!(
            (labels["io.kmodforge.kernel"].as_str(), labels["io.kmodforge.distro"].as_str()),
            (Some(kernel.as_str()), Some(&*format!("{distro}:{release}")))
        );
        seen.insert(distro, kernel);
    }
    assert!(seen.len() >= 10, "{seen:?}");
}

#[test]
fn the_programs_of_an_image_do_what_nodes_ask_for() {
    for distro in ["fedora", "ubuntu", "arch", "opensuse-leap", "azurelinux"] {
        programs_work(&standin().kernels.iter().find(|kernel| kernel.distro == distro).unwrap().kernel);
    }
}

fn programs_work(kernel: &str) {
    let version = built().target("v4l2loopback", kernel).target.version;
    let (layout, root) = (scratch(), scratch());
    skopeo_copy(&image(REPOSITORY, "v4l2loopback", &version, kernel), layout.path());
    unpack(&layers(layout.path()), root.path());
    // Debian's loader does not look into lib64 by itself.
    let within =
        |program: &str, arguments: &[&str]| run(Command::new("chroot").arg(root.path()).arg(program).args(arguments).env("LD_LIBRARY_PATH", "/usr/lib64"));
    let shown = within("/usr/sbin/modprobe", &["-d", "/opt", "-S", kernel, "--show-depends", "v4l2loopback"]);
    assert!(shown.contains(&format!("insmod /opt/lib/modules/{kernel}/extra/v4l2loopback.ko")), "{shown}");
    let script = "mkdir -p /host/sub && cp -R /opt/lib /host/ && find /host -name '*.ko' | sort | xargs ls && sleep 0 && rm -r /host";
    assert!(within("/bin/sh", &["-c", script]).contains("v4l2loopback.ko"));
    assert!(
        ["bash/COPYING", "dash/copyright", "dash/LICENSE"].iter().any(|text| root.path().join("usr/share/licenses").join(text).exists()),
        "texts of licences come along"
    );
}

/// Nobody signs the indexes of most RPM distributions: whoever serves them can list what he likes, and nothing of it gets into an image.
#[test]
fn a_package_that_the_distribution_has_not_signed_is_refused() {
    let kernel = &standin().kernels.iter().find(|kernel| kernel.distro == "almalinux").unwrap().kernel;
    let forged = scratch();
    run(Command::new("cp").args(["-r", "--link"]).arg(standin().site.join("repo.almalinux.org")).arg(forged.path()));
    let repository = forged.path().join("repo.almalinux.org/almalinux/9/AppStream/x86_64/os");
    let package = fs::read_dir(repository.join("Packages")).unwrap().next().unwrap().unwrap().path();
    // A file of its own: the stand-in's stays signed.
    let bytes = fs::read(&package).unwrap();
    fs::remove_file(&package).unwrap();
    fs::write(&package, bytes).unwrap();
    run(Command::new("rpmsign").arg("--delsign").arg(&package));
    fs::remove_dir_all(repository.join("repodata")).unwrap();
    run(Command::new("createrepo_c").arg("--quiet").arg(&repository));
    let address = serve(forged.path().to_owned());
    let build = |mirror: &str| {
        let line = |line: &str| {
            if line.contains("\"https://repo.almalinux.org/\"") { format!("    \"https://repo.almalinux.org/\": {mirror}\n") } else { format!("{line}\n") }
        };
        let project: String = standin().project.lines().map(line).collect();
        let row = format!("  - {{drivers: [v4l2loopback], distros: [almalinux], kernels: [\"{kernel}\"], arches: [amd64]}}\n");
        Forge::mirrored("forged", &row, &project).with_builder(setting("KMODFORGE_TEST_BUILDKIT"))
    };
    let url = format!("{address}/repo.almalinux.org/");
    build(&format!("\"{url}\"")).run(&["build", "--push"]).expect(1).says("is not signed by a key of the distribution");
    let trusting = build(&format!("{{url: \"{url}\", trusted: true}}"));
    trusting.run(&["build", "--push"]).expect(0);
    assert_eq!(trusting.record().targets[0].unverified.len(), 2, "{:?}", trusting.record().targets[0].unverified);
}

#[test]
fn what_is_published_is_found_to_be_so() {
    let forge = built();
    let plan = forge.run(&["plan"]).expect(0);
    plan.says(&format!("{} published", standin().kernels.len()));
}

#[test]
fn a_kernel_that_several_distributions_have_needs_a_name() {
    let forge = Forge::mirrored(REPOSITORY, "", &standin().project);
    let kernel = &standin().kernels.iter().find(|kernel| kernel.distro == "almalinux").unwrap().kernel;
    let run = forge.run(&["plan", "--driver", "v4l2loopback", "--kernel", kernel, "--repo", "r.example/x"]).expect(2);
    run.says(&format!("`{kernel}` can be a kernel of almalinux and of openshift and of oracle and of rhel and of rocky"));
    run.says("--distro almalinux");
}
