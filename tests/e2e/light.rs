//! Small drivers for kernels of two releases of Debian, from a project file, by the builder inside Docker 20.10, loaded into these kernels.

use std::sync::OnceLock;
use std::time::Duration;

use kmodforge::record::Outcome;

use crate::catalogue::table::LIGHT;
use crate::forge::{Forge, image, newest, newest_trixie, oldest};
use crate::node::Node;
use crate::stack::skopeo_inspect;

pub(crate) const REPOSITORY: &str = "light";
const DRIVERS: [&str; 3] = LIGHT;

fn kernels() -> [&'static str; 3] {
    [newest(), oldest(), newest_trixie()]
}

/// The run that builds them all, made once.
pub(crate) fn built() -> &'static Forge {
    static BUILT: OnceLock<Forge> = OnceLock::new();
    BUILT.get_or_init(|| {
        let [a, b, c] = kernels();
        let rows = format!("  - drivers: [{}]\n    distros: [debian]\n    kernels: [\"{a}\", \"{b}\", \"{c}\"]\n", DRIVERS.join(", "));
        let forge = Forge::new(REPOSITORY, &rows);
        let run = forge.run(&["build", "--push", "--boot", "--boot-together"]).expect(0);
        assert_eq!(run.stdout.lines().count(), 9, "{}", run.stdout);
        run.says("9 targets done");
        forge
    })
}

/// The image of a driver for a kernel that [`built`] has pushed.
pub(crate) fn pushed(driver: &str, kernel: &str) -> String {
    image(REPOSITORY, driver, &built().target(driver, kernel).target.version, kernel)
}

#[test]
fn every_image_is_what_an_independent_client_expects() {
    let forge = built();
    for (driver, kernel) in DRIVERS.iter().flat_map(|driver| kernels().map(|kernel| (*driver, kernel))) {
        let image = pushed(driver, kernel);
        let seen = skopeo_inspect(&image, &[]);
        assert_eq!((seen["Architecture"].as_str(), seen["Os"].as_str()), (Some("amd64"), Some("linux")), "{image}");
        assert_eq!(seen["Labels"]["io.kmodforge.kernel"], kernel);
        assert_eq!(seen["Labels"]["io.kmodforge.driver"], driver);

        let index = skopeo_inspect(&image, &["--raw"]);
        assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
        let [entry] = &index["manifests"].as_array().unwrap()[..] else { panic!("{index}") };
        assert_eq!(entry["platform"]["architecture"], "amd64");
        assert_eq!(entry["annotations"]["io.kmodforge.kernel"], kernel);
        let digest = entry["digest"].as_str().unwrap();
        assert_eq!(forge.target(driver, kernel).digest.as_deref(), Some(digest));

        let (name, _) = image.rsplit_once(':').unwrap();
        let manifest = skopeo_inspect(&format!("{name}@{digest}"), &["--raw"]);
        assert_eq!(manifest["annotations"]["io.kmodforge.kernel"], kernel);
        let layers = manifest["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 2, "tools and modules, no firmware: {manifest}");
        assert!(layers.iter().all(|layer| layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar+zstd"), "{manifest}");
        let size: u64 = layers.iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
        assert!(size <= 6_000_000, "{image} has {size} bytes");
    }
}

/// The three drivers of a kernel in one boot.
#[test]
fn every_driver_loads_into_its_kernels() {
    for (driver, kernel) in DRIVERS.iter().flat_map(|driver| kernels().map(|kernel| (*driver, kernel))) {
        let target = built().target(driver, kernel);
        let boot = target.boot.unwrap();
        assert_eq!(boot.loaded, target.modules, "{driver} {kernel}");
        assert_eq!(boot.together_with.len(), 2, "{driver} {kernel}");
        // Out of the tree (4096) and unsigned (8192).
        assert_eq!(boot.taint, Some(12288), "{driver} {kernel}");
        assert!(target.findings.iter().all(|finding| !finding.check.starts_with("boot")), "{:?}", target.findings);
    }
}

/// The sixth driver of the catalogue is part of every kernel that Debian publishes.
#[test]
fn a_driver_that_the_kernel_has_is_not_built() {
    let rows = format!("  - {{drivers: [wireguard], distros: [debian], kernels: [\"{}\", \"{}\"]}}\n", newest(), newest_trixie());
    let plan = Forge::new(REPOSITORY, &rows).run(&["plan"]);
    plan.says("2 not possible");
    plan.says("5.6");
}

#[test]
fn kernels_and_drivers_share_the_layer_of_tools() {
    let tools = |driver: &str, kernel: &str| skopeo_inspect(&pushed(driver, kernel), &[])["Layers"][0].clone();
    let common = tools("v4l2loopback", newest());
    for (driver, kernel) in [("v4l2loopback", oldest()), ("jool", newest()), ("r8125", oldest())] {
        assert_eq!(tools(driver, kernel), common, "{driver} {kernel}");
    }
    let later = built().record().targets.into_iter().filter(|target| target.pushed_bytes < 200_000).count();
    assert!(later >= 5, "most targets upload their modules only: {later} of 9");
}

#[test]
fn modprobe_resolves_every_module_beside_the_kernels_own() {
    for kernel in kernels() {
        for driver in DRIVERS {
            let node = Node::new(&pushed(driver, kernel), kernel);
            for module in built().target(driver, kernel).modules {
                node.resolves(&module);
            }
        }
    }
}

#[test]
fn a_second_run_builds_nothing_and_says_why() {
    built();
    let [a, b, c] = kernels();
    let again = Forge::new(REPOSITORY, &format!("  - drivers: [{}]\n    distros: [debian]\n    kernels: [\"{a}\", \"{b}\", \"{c}\"]\n", DRIVERS.join(", ")))
        .with_builder("unix:///nowhere/at/all.sock".into());
    let run = again.run(&["build", "--push"]).expect(0);
    run.says("already published");
    run.says("9 targets done (9 already published)");
    assert!(again.record().targets.iter().all(|target| target.outcome == Outcome::Published && target.digest.is_some()));
    assert!(run.time < Duration::from_secs(20), "{:?}", run.time);

    let plan = again.run(&["plan"]).expect(0);
    plan.says("9 published");
}
