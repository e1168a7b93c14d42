use std::io::Read as _;

use super::*;
use crate::deploy::fleet::Fleet;
use crate::deploy::nodes::LabelKey;
use crate::fixture;
use crate::rollout::DevicePlugin;

fn fleet() -> Fleet {
    let mut fleet = Fleet::of(&[
        fixture::published("v4l2loopback", "6.1.0-56-amd64"),
        fixture::published("v4l2loopback", "6.1.0-55-amd64"),
        fixture::published("ranged", "6.1.0-56-amd64"),
    ])
    .unwrap();
    for image in fleet.images.iter_mut().filter(|image| image.driver == "ranged") {
        let plugin = r#"{"image": "registry.example/plugin@sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#;
        image.rollout.hints.device_plugin = Some(serde_json::from_str::<DevicePlugin>(plugin).unwrap());
    }
    fleet
}

fn fixed() -> Fixed {
    Fixed { kernel_label: LabelKey::nfd(), selinux_type: "spc_t".into(), apparmor: None }
}

fn chart() -> Chart {
    Chart::new(&fleet().images, fixed(), "kmodforge-drivers".parse().unwrap(), "1.2.3+build.5".parse().unwrap()).unwrap()
}

#[test]
fn a_chart_has_an_object_per_image_and_device_plugin() {
    let chart = chart();
    let paths: Vec<_> = chart.files.keys().map(String::as_str).filter(|path| path.starts_with("objects/")).collect();
    assert_eq!(
        paths,
        [
            "objects/ranged-debian-bookworm-6-1-0-56-amd64.yaml",
            "objects/ranged-device-plugin-debian-bookworm.yaml",
            "objects/v4l2loopback-debian-bookworm-6-1-0-55-amd64.yaml",
            "objects/v4l2loopback-debian-bookworm-6-1-0-56-amd64.yaml",
        ]
    );
    let plugin: Value = serde_saphyr::from_str(&chart.files[paths[1]]).unwrap();
    assert_eq!(
        (plugin["component"].as_str(), plugin["driver"].as_str(), plugin["system"]["id"].as_str()),
        (Some("device-plugin"), Some("ranged"), Some("debian"))
    );
    let loader: Value = serde_saphyr::from_str(&chart.files[paths[3]]).unwrap();
    assert_eq!(
        (loader["component"].as_str(), loader["kernel"].as_str(), loader["version"].as_str()),
        (Some("module-loader"), Some("6.1.0-56-amd64"), Some("0.15.3"))
    );
}

/// What Helm is given is what `deploy daemonset` prints.
#[test]
fn objects_are_those_of_the_daemonsets() {
    let made = deployment(&fleet().images, &fixed().options().unwrap()).unwrap().objects;
    let chart = chart();
    let daemonsets: Vec<_> = made.iter().filter(|object| object.kind() == "DaemonSet").collect();
    assert_eq!(daemonsets.len(), 4);
    for object in daemonsets {
        let entry: Value = serde_saphyr::from_str(&chart.files[&format!("objects/{}.yaml", object.name())]).unwrap();
        assert_eq!(entry["object"], object.value);
    }
}

#[test]
fn chart_yaml_names_drivers_and_versions() {
    let chart = chart();
    let expected = "apiVersion: v2\nname: kmodforge-drivers\nversion: 1.2.3+build.5\ndescription: 'Kernel modules by kmodforge: ranged 2.0, v4l2loopback 0.15.3'\n\
        type: application\nkeywords:\n- kernel\n- driver\n- module\nhome: https://github.com/kmodforge/kmodforge\n";
    assert_eq!(chart.files["Chart.yaml"], expected);
    let config: Value = serde_json::from_slice(&chart.config()).unwrap();
    assert_eq!((config["apiVersion"].as_str(), config["version"].as_str()), (Some("v2"), Some("1.2.3+build.5")));
    assert_eq!((chart.package_name(), chart.version.tag()), ("kmodforge-drivers-1.2.3+build.5.tgz".into(), "1.2.3_build.5".into()));
}

/// What templates read has a default, a line that explains it, and a place in the schema.
#[test]
fn values_are_described_and_allowed() {
    let chart = chart();
    let values: Value = serde_saphyr::from_str(&chart.files["values.yaml"]).unwrap();
    let schema: Value = serde_json::from_str(&chart.files["values.schema.json"]).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    assert!(validator.is_valid(&values), "{:?}", validator.iter_errors(&values).map(|error| error.to_string()).collect::<Vec<_>>());
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let mut known = keys(&schema["properties"]);
    known.remove("global");
    assert_eq!(keys(&values), known);
    let explained = chart.files["values.yaml"].split("\n\n").filter(|part| part.starts_with("# ")).count();
    assert_eq!(explained, chart.files["values.yaml"].split("\n\n").count());
    let text: String = chart.files.iter().filter(|(path, _)| path.starts_with("templates/")).map(|(_, text)| text.as_str()).collect();
    for key in known {
        assert!(text.contains(&format!("alues.{key}")), "no template reads {key}");
    }
}

#[test]
fn wrong_values_are_refused() {
    let schema: Value = serde_json::from_str(&chart().files["values.schema.json"]).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for wrong in [
        r#"{"tolerashuns": []}"#,
        r#"{"drivers": {"nvidia": {"enabled": true}}}"#,
        r#"{"drivers": {"ranged": {"enabled": "yes"}}}"#,
        r#"{"imagePullSecrets": ["name"]}"#,
        r#"{"imageRegistry": "https://registry.example"}"#,
        r#"{"registryLogin": {"username": "ci"}}"#,
        r#"{"updateStrategy": {"type": "Recreate"}}"#,
        r#"{"nodeSelector": {"gpu": true}}"#,
        r#"{"devicePlugins": {}}"#,
    ] {
        assert!(!validator.is_valid(&serde_json::from_str(wrong).unwrap()), "{wrong}");
    }
}

#[test]
fn a_package_is_the_same_every_time_and_begins_with_its_description() {
    let package = chart().package().unwrap();
    assert_eq!(package, chart().package().unwrap());
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(&package[..]));
    let mut files = Vec::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.push((entry.path().unwrap().display().to_string(), text));
    }
    assert_eq!(files[0].0, "kmodforge-drivers/Chart.yaml");
    let inside: BTreeMap<_, _> = files.into_iter().map(|(path, text)| (path.strip_prefix("kmodforge-drivers/").unwrap().to_owned(), text)).collect();
    assert_eq!(inside, chart().files);
}

#[test]
fn names_and_versions_of_charts_are_checked() {
    let name = |text: &str| text.parse::<ChartName>().is_ok();
    assert!(name("drivers") && name("gpu-drivers2"));
    assert!(!name("") && !name("Drivers") && !name("2drivers") && !name("drivers-") && !name("a/b") && !name(&"a".repeat(64)));
    let version = |text: &str| text.parse::<ChartVersion>().is_ok();
    assert!(["0.1.0", "1.2.3-rc.1", "1.2.3+build.5", "1.0.0-0a.b-c+x.01"].into_iter().all(version));
    assert!(!["", "1", "1.2", "v1.2.3", "1.02.3", "1.2.3-", "1.2.3-01", "1.2.3+", "1.2.3.4", "1.2.3-a_b"].into_iter().any(version));
    assert_eq!("1".parse::<ChartVersion>().unwrap_err().to_string(), "expected a semantic version: `1.2.3`, `1.2.3-rc.1`, `1.2.3+build.5`");
}
