use serde_json::{Value, json};
use snapbox::Data;

use super::*;
use crate::fixture;
use crate::kmm::ModuleFile;
use crate::record::TargetRecord;
use crate::rollout::{Hints, Load};

const MODULES_1_1: &str = include_str!("../../../tests/fixtures/kmm/modules-1.1.json");
const MODULES_2_3: &str = include_str!("../../../tests/fixtures/kmm/modules-2.3.json");
const PREFLIGHT_1_1: &str = include_str!("../../../tests/fixtures/kmm/preflightvalidations-1.1.json");
const PREFLIGHT_2_3: &str = include_str!("../../../tests/fixtures/kmm/preflightvalidations-2.3.json");
const HUB_2_3: &str = include_str!("../../../tests/fixtures/kmm/managedclustermodules-2.3.json");

fn settings() -> Settings {
    Settings {
        version: KmmVersion::NEWEST,
        namespace: "drivers".into(),
        name: None,
        selector: BTreeMap::new(),
        tolerations: Vec::new(),
        pull_secret: None,
        plain_http: Vec::new(),
        tags: false,
        ordered_upgrade: false,
        build: None,
        preflight: Vec::new(),
        hub: None,
    }
}

fn published(kernels: &[&str]) -> Vec<TargetRecord> {
    let published = ["6.1.0-55-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64"];
    let known = kernels.iter().map(|kernel| {
        let mut record = fixture::published("v4l2loopback", if published.contains(kernel) { kernel } else { "6.1.0-56-amd64" });
        let tag = kernel.parse::<KernelRelease>().unwrap().tag();
        record.target.kernel = (*kernel).to_owned();
        record.image = Some(format!("registry.example/drivers/v4l2loopback:0.15.3-{tag}"));
        record
    });
    known.collect()
}

fn fleet(kernels: &[&str], change: impl Fn(&mut rollout::Rollout)) -> Fleet {
    let mut records = published(kernels);
    for record in &mut records {
        change(record.rollout.as_mut().unwrap());
    }
    Fleet::of(&records).unwrap()
}

fn two() -> Fleet {
    fleet(&["6.1.0-55-amd64", "6.1.0-56-amd64"], |_| {})
}

/// Everything that a Module may have.
fn rich() -> (Fleet, Settings) {
    let fleet = fleet(&["6.1.0-56-amd64", "6.12.117+deb12-amd64"], |rollout| {
        rollout.loads.insert(0, Load { module: "helper".into(), parameters: BTreeMap::from([("debug".into(), "1".into())]) });
        rollout.loads[1].parameters = BTreeMap::from([("devices".into(), "2".into()), ("card_label".into(), "on".into())]);
        rollout.firmware = true;
        rollout.unload = false;
        rollout.remove_first = vec!["old_loop".into()];
        rollout.load_first = vec!["videodev".into()];
        rollout.hints = Hints {
            privileged: None,
            device_plugin: Some(rollout::DevicePlugin {
                image: "registry.example/plugin:1".into(),
                command: Vec::new(),
                args: vec!["--all".into()],
                env: BTreeMap::from([("LEVEL".into(), "yes".into())]),
                host_paths: vec!["/dev/video".into()],
                privileged: true,
            }),
        };
    });
    let recipe = Recipe {
        driver: "v4l2loopback".into(),
        version: "0.15.3".into(),
        distro: "debian".into(),
        distro_release: "bookworm".into(),
        dockerfile: "# a recipe\nFROM debian\nRUN true \\\n    && false\n".into(),
        directories: vec!["extra".into()],
    };
    let settings = Settings {
        selector: BTreeMap::from([("camera".into(), "none".into())]),
        tolerations: vec![Toleration { key: Some("gpu".into()), operator: Some("Exists".into()), ..Toleration::default() }],
        pull_secret: Some("registry".into()),
        plain_http: vec!["registry.example".into()],
        ordered_upgrade: true,
        build: Some(InClusterBuild { recipes: vec![recipe], sign: Some(("key".into(), "certificate".into())), selector: BTreeMap::new() }),
        preflight: vec!["6.1.0-57-amd64".parse().unwrap(), "5.10.109+".parse().unwrap()],
        ..settings()
    };
    (fleet, settings)
}

/// Objects of a schema take no fields that it does not name: an API server would drop them.
fn strict(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.values_mut().for_each(strict);
            if fields.get("properties").is_some_and(Value::is_object) && !fields.contains_key("additionalProperties") {
                fields.insert("additionalProperties".into(), Value::Bool(false));
            }
        }
        Value::Array(entries) => entries.iter_mut().for_each(strict),
        _ => {}
    }
}

fn check(schemas: &str, object: &Value) {
    let schemas: Value = serde_json::from_str(schemas).unwrap();
    let version = object["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap().1;
    let mut schema = schemas.get(version).unwrap_or_else(|| panic!("the schema has no {version}")).clone();
    strict(&mut schema);
    schema["properties"]["metadata"] = json!({ "type": "object" });
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(object).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{object:#}");
}

/// Validates everything that is printed, as it is printed.
fn validate(resources: &Resources, modules: &str, preflights: &str) {
    for text in yaml(resources).split("---\n").filter(|text| !text.is_empty()) {
        let object: Value = serde_saphyr::from_str(text).unwrap();
        match object["kind"].as_str().unwrap() {
            "Module" => {
                check(modules, &object);
                ModuleFile::read("printed", text).map_err(Failure::from).unwrap_or_else(|failure| panic!("{failure}\n{text}"));
            }
            "ManagedClusterModule" => check(HUB_2_3, &object),
            "PreflightValidation" => check(preflights, &object),
            kind => assert_eq!(kind, "ConfigMap"),
        }
    }
}

fn yaml(resources: &Resources) -> String {
    crate::deploy::manifest::stream(&resources.objects).unwrap()
}

fn golden(name: &str, text: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kmm").join(name);
    snapbox::assert_data_eq!(text.to_owned(), Data::read_from(&file, None).raw());
}

fn words(error: KmmError) -> String {
    Failure::from(error).to_string()
}

#[test]
fn every_kernel_has_its_own_image() {
    let resources = resources(&two(), &settings()).unwrap();
    golden("module.yaml", &yaml(&resources));
    golden("module.txt", &(resources.assumptions.join("\n") + "\n"));
    validate(&resources, MODULES_2_3, PREFLIGHT_2_3);
    let settings = Settings { version: "1.1".parse().unwrap(), ..settings() };
    validate(&super::resources(&two(), &settings).unwrap(), MODULES_1_1, PREFLIGHT_1_1);
}

#[test]
fn everything_that_a_driver_and_a_user_may_want_is_said() {
    let (fleet, settings) = rich();
    let resources = resources(&fleet, &settings).unwrap();
    golden("everything.yaml", &yaml(&resources));
    golden("everything.txt", &(resources.assumptions.join("\n") + "\n"));
    validate(&resources, MODULES_2_3, PREFLIGHT_2_3);
}

#[test]
fn a_hub_gets_modules_for_its_spokes() {
    let (fleet, settings) = rich();
    let settings = Settings { hub: Some(BTreeMap::from([("fleet".into(), "edge".into())])), preflight: Vec::new(), ..settings };
    let resources = resources(&fleet, &settings).unwrap();
    golden("hub.yaml", &yaml(&resources));
    validate(&resources, MODULES_2_3, PREFLIGHT_2_3);
}

#[test]
fn what_is_printed_means_these_images_for_these_kernels() {
    let (fleet, settings) = rich();
    let file = ModuleFile::read("printed", &yaml(&resources(&fleet, &settings).unwrap())).unwrap();
    let image = |kernel: &str| file.modules[0].module.resolve(kernel).map(|resolution| resolution.image);
    let digest = fixture::index_digest();
    assert_eq!(image("6.1.0-56-amd64").unwrap(), format!("registry.example/drivers/v4l2loopback:0.15.3-6.1.0-56-amd64@{digest}"));
    assert_eq!(image("6.12.117+deb12-amd64").unwrap(), format!("registry.example/drivers/v4l2loopback:0.15.3-6.12.117_deb12-amd64@{digest}"));
    let to_come = file.modules[0].module.resolve("6.12.118+deb12-amd64").unwrap();
    assert_eq!(to_come.image, "registry.example/drivers/v4l2loopback:0.15.3-6.12.118_deb12-amd64");
    assert!(to_come.build.is_some() && to_come.sign.is_some());
    assert!(image("6.12.118+deb13-amd64").is_err() && image("6.1.0-57-cloud-amd64").is_err());
    assert_eq!(file.dockerfiles, ["v4l2loopback-dockerfile"]);
}

#[test]
fn a_kernel_that_ends_in_plus_has_a_module_of_its_own() {
    let fleet = fleet(&["5.10.109+", "6.1.0-56-amd64"], |_| {});
    let resources = resources(&fleet, &settings()).unwrap();
    golden("plus.yaml", &yaml(&resources));
    assert!(resources.assumptions.iter().any(|assumption| assumption.contains("no node that it selects runs `5.10.109`")), "{:?}", resources.assumptions);
    let file = ModuleFile::read("printed", &yaml(&resources)).unwrap();
    let named =
        |kernel: &str| file.modules.iter().filter(|found| found.module.resolve(kernel).is_ok()).map(|found| found.module.name().to_owned()).collect::<Vec<_>>();
    assert_eq!((named("5.10.109+"), named("6.1.0-56-amd64")), (vec!["v4l2loopback-5-10-109".to_owned()], vec!["v4l2loopback".to_owned()]));
}

#[test]
fn kernels_that_kmm_confuses_are_refused() {
    let mut records = published(&["5.10.109", "5.10.109+"]);
    records[0].image = Some("registry.example/drivers/v4l2loopback:other".into());
    let error = resources(&Fleet::of(&records).unwrap(), &settings()).unwrap_err();
    assert_eq!(
        words(error),
        "error: KMM cannot tell 5.10.109+ and 5.10.109 apart\n  help      it removes a trailing `+` from releases, so one of them would get the other's image: deploy one of the two, or use `deploy daemonset`"
    );
}

#[test]
fn what_cannot_be_is_refused_in_words() {
    let error = |fleet: &Fleet, settings: &Settings| words(resources(fleet, settings).unwrap_err());
    let long = Settings { namespace: "a-namespace-that-is-rather-long".into(), ..settings() };
    assert_eq!(
        error(&two(), &long),
        "error: name and namespace of the Module, `v4l2loopback` and `a-namespace-that-is-rather-long`, have 43 characters together\n  expected  40 at most: they are part of labels\n  help      choose shorter ones: --name NAME, --namespace NAME"
    );
    let (rich, settings_2) = rich();
    assert_eq!(
        error(&rich, &Settings { version: "2.2".parse().unwrap(), ..settings_2.clone() }),
        "error: KMM 2.2 has no tolerations\n  help      it is there since 2.3; say which version the cluster has: --kmm-version"
    );
    assert_eq!(
        error(&rich, &Settings { version: "1.1".parse().unwrap(), build: None, ..settings_2 }),
        "error: KMM 1.1 has no list of in-tree modules to remove\n  help      it is there since 2.1; say which version the cluster has: --kmm-version"
    );
    let mut records = published(&["6.1.0-55-amd64", "6.1.0-56-amd64"]);
    records[0].rollout.as_mut().unwrap().firmware = true;
    assert_eq!(
        error(&Fleet::of(&records).unwrap(), &settings()),
        "error: images of `v4l2loopback` for 6.1.0-56-amd64 and 6.1.0-55-amd64 are used differently\n  help      a Module says once for all of its images which modules are loaded, with which parameters and firmware: deploy one version of the driver"
    );
    let plus = fleet(&["5.10.109+", "6.1.0-56-amd64"], |_| {});
    assert_eq!(
        error(&plus, &Settings { name: Some("loop".into()), ..settings() }),
        "error: `loop` cannot be the name of 2 Modules\n  help      leave --name out, or deploy one driver at a time: --driver NAME"
    );
    assert_eq!(
        error(&fleet(&["6.1.0-56-amd64"], |rollout| rollout.loads.clear()), &settings()),
        "error: `v4l2loopback` has no module to load\n  help      its profile says `load: false` for every module"
    );
    let build = Some(InClusterBuild::default());
    assert_eq!(
        error(&two(), &Settings { build, ..settings() }),
        "error: there is no recipe of v4l2loopback 0.15.3 for debian bookworm\n  help      the driver's profile has changed since: build again, or name its profiles: --profiles DIR"
    );
}

#[test]
fn a_tag_without_the_kernel_cannot_name_what_is_to_come() {
    let (_, settings) = rich();
    let mut records = published(&["6.1.0-56-amd64"]);
    records[0].image = Some("registry.example/drivers/v4l2loopback:stable".into());
    assert_eq!(
        words(resources(&Fleet::of(&records).unwrap(), &settings).unwrap_err()),
        "error: the tag of `registry.example/drivers/v4l2loopback:stable` does not hold the kernel\n  help      use a tag template with `{{ kernel.tag }}`; KMM replaces `${KERNEL_FULL_VERSION}` in it"
    );
}
