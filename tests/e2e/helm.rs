//! Charts, as Helm, the schemas of Kubernetes and a real `kube-apiserver` see them.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::daemonset::REPOSITORY;
use crate::forge::Forge;
use crate::kubernetes::{documents, find, forge, kubectl, validate};
use crate::stack::{registry, setting};

/// What `helm` says, whatever that is.
fn try_helm(forge: &Forge, arguments: &[&str]) -> Output {
    let mut command = Command::new("helm");
    for place in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(place, forge.path("helm"));
    }
    command.env("KUBECONFIG", setting("KMODFORGE_TEST_KUBECONFIG")).current_dir(forge.folder.path()).args(arguments).output().unwrap()
}

/// What it prints when it succeeds.
#[track_caller]
fn helm(forge: &Forge, arguments: &[&str]) -> String {
    let output = try_helm(forge, arguments);
    assert!(output.status.success(), "helm {arguments:?}: {}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A chart in the folder `charts/kmodforge-drivers`, of a record in which a driver asks for everything.
fn chart() -> Forge {
    let forge = forge();
    let run = forge.run(&["deploy", "helm", "record.json", "--output", "charts"]).expect(0);
    assert_eq!(run.stdout, "charts/kmodforge-drivers\n");
    forge
}

/// What `deploy daemonset` makes of the same record.
fn own(forge: &Forge, namespace: &str) -> Vec<Value> {
    daemonsets(&forge.run(&["deploy", "daemonset", "record.json", "--namespace", namespace]).expect(0).stdout)
}

const CHART: &str = "charts/kmodforge-drivers";

/// By name; without what Helm adds.
fn daemonsets(stream: &str) -> Vec<Value> {
    let mut sets: Vec<_> = documents(stream).into_iter().filter(|object| object["kind"] == "DaemonSet").collect();
    for set in &mut sets {
        let labels = set["metadata"]["labels"].as_object_mut().unwrap();
        labels.remove("app.kubernetes.io/managed-by");
        labels.remove("helm.sh/chart");
    }
    sets.sort_by_key(|set| set["metadata"]["name"].to_string());
    sets
}

#[test]
fn helm_finds_nothing_wrong_with_a_chart() {
    let forge = chart();
    let said = helm(&forge, &["lint", "--strict", CHART]);
    assert!(said.contains("0 chart(s) failed"), "{said}");
}

#[test]
fn a_chart_makes_what_deploy_daemonset_makes() {
    let forge = chart();
    let made = daemonsets(&helm(&forge, &["template", "drivers", CHART, "--namespace", "same"]));
    let own = own(&forge, "same");
    assert_eq!(made.len(), own.len());
    for (made, own) in made.iter().zip(&own) {
        assert_eq!(made, own);
    }
}

#[test]
fn values_change_what_they_say() {
    let forge = chart();
    fs::write(
        forge.path("values.yaml"),
        "imagePullSecrets: [{name: login}]\nregistryLogin: {registry: mirror.example, username: ci, password: secret}\nimageRegistry: mirror.example\n\
         nodeSelector: {pool: drivers}\ntolerations: [{operator: Exists}]\nosAffinity: {enabled: true}\npriorityClassName: high\n\
         updateStrategy: {type: OnDelete, rollingUpdate: null}\nresources: {limits: {memory: 64Mi}}\npodLabels: {team: kernel}\npodAnnotations: {a: b}\n\
         devicePlugins: {enabled: false}\n",
    )
    .unwrap();
    let made = helm(&forge, &["template", "drivers", CHART, "--namespace", "values", "--values", "values.yaml"]);
    fs::write(forge.path("made.yaml"), &made).unwrap();
    validate(&forge.path("made.yaml"));
    let sets = daemonsets(&made);
    let wanted = |set: &&Value| set["metadata"]["labels"]["app.kubernetes.io/component"] == "module-loader";
    assert_eq!(sets.len(), own(&forge, "values").iter().filter(wanted).count());
    for set in &sets {
        let (template, pod) = (&set["spec"]["template"], &set["spec"]["template"]["spec"]);
        assert_eq!(pod["imagePullSecrets"], json!([{ "name": "login" }, { "name": "drivers-registry" }]));
        assert!(find(&pod["containers"], "loader")["image"].as_str().unwrap().starts_with(&format!("mirror.example/{REPOSITORY}/")));
        assert_eq!(
            (&pod["nodeSelector"]["pool"], &pod["tolerations"][0]["operator"], &pod["priorityClassName"]),
            (&json!("drivers"), &json!("Exists"), &json!("high"))
        );
        assert!(pod["nodeSelector"]["feature.node.kubernetes.io/kernel-version.full"].is_string());
        assert_eq!(set["spec"]["updateStrategy"]["type"], "OnDelete");
        assert_eq!(pod["containers"][0]["resources"], json!({ "limits": { "memory": "64Mi" } }));
        assert_eq!((&template["metadata"]["labels"]["team"], &template["metadata"]["annotations"]["a"]), (&json!("kernel"), &json!("b")));
        let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"];
        let keys: Vec<_> = terms.as_array().unwrap().iter().map(|term| term["key"].as_str().unwrap()).collect();
        let own = "feature.node.kubernetes.io/system-os_release.";
        assert_eq!(keys, ["kubernetes.io/arch", &format!("{own}ID"), &format!("{own}VERSION_ID")]);
    }
    let secret = documents(&made).into_iter().find(|object| object["kind"] == "Secret").unwrap();
    assert_eq!((&secret["type"], &secret["metadata"]["name"]), (&json!("kubernetes.io/dockerconfigjson"), &json!("drivers-registry")));
    let without = ["template", "drivers", CHART, "--set", "drivers.v4l2loopback.enabled=false"];
    assert_eq!(daemonsets(&helm(&forge, &without)), Vec::<Value>::new());
}

#[test]
fn a_wrong_value_is_refused_by_name() {
    let forge = chart();
    for (wrong, named) in [("tolerashuns=1", "tolerashuns"), ("drivers.nvidia.enabled=true", "nvidia"), ("imageRegistry=https://a/b", "imageRegistry")] {
        let output = try_helm(&forge, &["template", "drivers", CHART, "--set", wrong]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(named), "{wrong}: {said}");
    }
}

#[test]
fn an_api_server_takes_a_release() {
    let forge = chart();
    let namespace =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "helm", "labels": { "pod-security.kubernetes.io/enforce": "privileged" } } });
    kubectl(&["apply", "--filename", "-"], &namespace.to_string());
    helm(&forge, &["install", "dry", CHART, "--namespace", "helm", "--dry-run=server"]);
    let said = helm(&forge, &["install", "drivers", CHART, "--namespace", "helm"]);
    assert!(said.contains("v4l2loopback") && said.contains("pod-security.kubernetes.io/enforce=privileged"), "{said}");
    let there: Value = serde_json::from_str(&kubectl(&["get", "daemonsets", "--namespace", "helm", "--output", "json"], "")).unwrap();
    assert_eq!(there["items"].as_array().unwrap().len(), own(&forge, "helm").len());
    helm(&forge, &["uninstall", "drivers", "--namespace", "helm"]);
}

/// Beside the images, where Helm finds it.
#[test]
fn helm_pulls_what_was_pushed() {
    let forge = chart();
    let push = ["deploy", "helm", "record.json", "--chart-version", "1.0.0+a", "--push", "--package", "--output", "packages"];
    let run = forge.run(&push).expect(0);
    let place = format!("{}/{REPOSITORY}/kmodforge-drivers", registry());
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(lines[0] == "packages/kmodforge-drivers-1.0.0+a.tgz" && lines[1].starts_with(&format!("{place}:1.0.0_a@sha256:")), "{lines:?}");
    let oci = format!("oci://{place}");
    helm(&forge, &["pull", &oci, "--version", "1.0.0+a", "--plain-http"]);
    assert_eq!(fs::read(forge.path("kmodforge-drivers-1.0.0+a.tgz")).unwrap(), fs::read(forge.path(lines[0])).unwrap());
    let made = helm(&forge, &["template", "drivers", &oci, "--version", "1.0.0+a", "--plain-http"]);
    assert_eq!(daemonsets(&made).len(), own(&forge, "default").len());
    let chart = helm(&forge, &["show", "chart", &oci, "--version", "1.0.0+a", "--plain-http"]);
    assert!(chart.contains("name: kmodforge-drivers"), "{chart}");

    // The same again changes nothing, another chart is not put in its place.
    assert_eq!(forge.run(&push).expect(0).stdout, run.stdout);
    let other = ["deploy", "helm", "record.json", "--chart-version", "1.0.0+a", "--push", "--kernel-label", "example.org/kernel"];
    forge.run(&other).expect(1).says("` is another chart");
}
