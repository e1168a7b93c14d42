//! Distributions of other families than Debian's: the family's own package manager installs from repositories that stand in for theirs
//! (`scripts/standin-rpm.sh`), and their profiles find, compile and check there as they would in the world.

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
use crate::stack::{mirrors, registry, run, scratch, setting, skopeo_copy, skopeo_inspect};

const REPOSITORY: &str = "families";

/// A kernel that the stand-in has.
struct Kernel {
    distro: String,
    release: String,
    kernel: String,
}

struct Standin {
    kernels: Vec<Kernel>,
    mirrors: String,
}

/// The stand-in, served on loopback, its base image pushed.
fn standin() -> &'static Standin {
    static STANDIN: OnceLock<Standin> = OnceLock::new();
    STANDIN.get_or_init(|| {
        let folder = PathBuf::from(run(&mut Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/standin-rpm.sh"))).trim());
        let base = format!("{}/standin/base:1", registry());
        let push = format!("oci:{}:base", folder.join("base").display());
        run(Command::new("skopeo").args(["copy", "--quiet", "--dest-tls-verify=false"]).arg(push).arg(format!("docker://{base}")));
        let kernels = fs::read_to_string(folder.join("kernels")).unwrap();
        let kernels: Vec<_> = kernels.lines().map(kernel).collect();
        let mirrors = mirrors_to(&kernels, &base, &folder.join("site"));
        Standin { kernels, mirrors }
    })
}

fn kernel(line: &str) -> Kernel {
    let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
    let [distro, release, kernel] = words.try_into().unwrap();
    Kernel { distro, release, kernel }
}

/// The machine's mirrors, with the stand-in in place of the distributions' images and servers.
fn mirrors_to(kernels: &[Kernel], base: &str, site: &Path) -> String {
    let catalog = Catalog::embedded().unwrap();
    let (mut images, mut packages) = (String::new(), String::new());
    for kernel in kernels {
        let official = &catalog.distro(&kernel.distro).unwrap().release(&kernel.release).unwrap().base_image;
        let _ = writeln!(images, "    \"{official}\": \"{base}\"");
    }
    let address = serve(site.to_owned());
    for host in fs::read_dir(site).unwrap() {
        let host = host.unwrap().file_name().into_string().unwrap();
        let _ = writeln!(packages, "    \"https://{host}/\": \"{address}/{host}/\"");
    }
    mirrors().replacen("  images:\n", &format!("  images:\n{images}"), 1).replacen("  packages:\n", &format!("  packages:\n{packages}"), 1)
}

/// Serves the files of a folder until the tests end; the address.
fn serve(folder: PathBuf) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let own = address.clone();
    std::thread::spawn(move || {
        let answer = move |uri: axum::http::Uri| {
            let file = fs::read(folder.join(uri.path().trim_start_matches('/')));
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

/// The run that builds for every kernel of the stand-in, made once.
fn built() -> &'static Forge {
    static BUILT: OnceLock<Forge> = OnceLock::new();
    BUILT.get_or_init(|| {
        let row =
            |kernel: &Kernel| format!("  - {{drivers: [v4l2loopback], distros: [{}], kernels: [\"{}\"], arches: [amd64]}}\n", kernel.distro, kernel.kernel);
        let rows: String = standin().kernels.iter().map(row).collect();
        let forge = Forge::mirrored(REPOSITORY, &rows, &standin().mirrors).with_builder(setting("KMODFORGE_TEST_BUILDKIT"));
        forge.run(&["build", "--push"]).expect(0);
        forge
    })
}

#[test]
fn each_distribution_gets_a_checked_image_through_its_package_manager() {
    let forge = built();
    let mut seen = BTreeMap::new();
    for Kernel { distro, release, kernel } in &standin().kernels {
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
    assert!(seen.len() >= 6, "{seen:?}");
}

#[test]
fn the_programs_of_an_image_do_what_nodes_ask_for() {
    let kernel = &standin().kernels[0].kernel;
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
    assert!(root.path().join("usr/share/licenses/bash/COPYING").exists(), "texts of licences come along");
}

#[test]
fn what_is_published_is_found_to_be_so() {
    let forge = built();
    let plan = forge.run(&["plan"]).expect(0);
    plan.says(&format!("{} published", standin().kernels.len()));
}

#[test]
fn a_kernel_that_several_distributions_have_needs_a_name() {
    let forge = Forge::mirrored(REPOSITORY, "", &standin().mirrors);
    let kernel = &standin().kernels.iter().find(|kernel| kernel.distro == "almalinux").unwrap().kernel;
    let run = forge.run(&["plan", "--driver", "v4l2loopback", "--kernel", kernel, "--repo", "r.example/x"]).expect(2);
    run.says(&format!("`{kernel}` can be a kernel of almalinux and of oracle and of rhel and of rocky"));
    run.says("--distro almalinux");
}
