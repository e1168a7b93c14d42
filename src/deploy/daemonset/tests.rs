use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use snapbox::{assert_data_eq, file};

use super::*;
use crate::arch::Arch;
use crate::deploy::fleet::Fleet;
use crate::deploy::manifest::stream;
use crate::fixture;
use crate::reference::Reference;
use crate::rollout::{DevicePlugin, Load};

fn options() -> Options {
    Options::new("kmodforge".parse().unwrap())
}

fn image(driver: &str, kernel: &str) -> FleetImage {
    let fleet = Fleet::of(&[fixture::published(driver, "6.1.0-56-amd64")]).unwrap();
    let image = fleet.images[0].clone();
    let tag = Some(format!("1-{}", kernel.replace('+', "_")));
    FleetImage { kernel: kernel.parse().unwrap(), image: Reference { tag, ..image.image.clone() }, ..image }
}

/// A driver that needs everything that there is.
fn needy(kernel: &str) -> FleetImage {
    let mut image = image("v4l2loopback", kernel);
    let rollout = &mut image.rollout;
    rollout.loads.push(Load { module: "v4l2loopback-extra".into(), parameters: BTreeMap::from([("card_label".into(), "one two".into())]) });
    rollout.remove_first = vec!["vivid".into()];
    (rollout.firmware, rollout.firmware_directory) = (true, "/var/lib/firmware".into());
    rollout.hints.privileged = Some("it maps physical memory".into());
    rollout.hints.device_plugin = Some(DevicePlugin {
        image: "registry.example/plugin:1".into(),
        command: Vec::new(),
        args: vec!["--devices=/dev/video*".into()],
        env: BTreeMap::from([("LEVEL".into(), "1".into())]),
        host_paths: vec!["/dev".into()],
        privileged: false,
    });
    image
}

fn made_of(images: &[FleetImage], options: &Options) -> Deployment {
    deployment(images, options).unwrap()
}

/// All that is named `name`, by kind.
fn find<'a>(deployment: &'a Deployment, kind: &str, name: &str) -> &'a Value {
    let found = deployment.objects.iter().find(|object| object.kind() == kind && object.name() == name);
    &found.unwrap_or_else(|| panic!("no {kind} {name}: {:?}", deployment.objects.iter().map(Object::name).collect::<Vec<_>>())).value
}

fn names(deployment: &Deployment, kind: &str) -> Vec<String> {
    deployment.objects.iter().filter(|object| object.kind() == kind).map(|object| object.name().to_owned()).collect()
}

#[test]
fn a_driver_without_wishes() {
    let deployment = made_of(&[image("v4l2loopback", "6.1.0-56-amd64")], &options());
    assert_data_eq!(stream(&deployment.objects).unwrap(), file!["../../../tests/golden/deploy/daemonset.yaml"].raw());
    assert_eq!(
        deployment.notes,
        [
            "2 objects: 1 Namespace, 1 DaemonSet",
            "v4l2loopback 0.15.3 for 6.1.0-56-amd64 (debian bookworm): nodes with feature.node.kubernetes.io/kernel-version.full=6.1.0-56-amd64, \
             kubernetes.io/arch=amd64",
            "nodes must run Node Feature Discovery: it sets `feature.node.kubernetes.io/kernel-version.full`",
            "the namespace `kmodforge` is made, and allows privileged pods: loaders mount folders of the node",
            "nodes get no label when modules are loaded: that needs an image with `kubectl` and a shell (--labeller-image)",
        ]
    );
}

#[test]
fn a_driver_that_needs_everything() {
    let options = Options {
        kernel_label: "example.org/kernel".parse().unwrap(),
        namespace: "drivers".parse().unwrap(),
        node_selector: BTreeMap::from([("example.org/video".into(), "true".into())]),
        tolerations: vec!["gpu=a100:NoSchedule".parse().unwrap()],
        pull_secrets: vec!["login".parse().unwrap()],
        update: Update::Rolling(IntOrString::String("10%".into())),
        apparmor: Some(AppArmor::Unconfined),
        labeller_image: Some("registry.example/kubectl:1.35".parse().unwrap()),
        catch_all: true,
        ..options()
    };
    let deployment = made_of(&[needy("6.12.107+deb12-cloud-amd64")], &options);
    assert_data_eq!(stream(&deployment.objects).unwrap(), file!["../../../tests/golden/deploy/daemonset-everything.yaml"].raw());
    assert!(deployment.notes.contains(&"v4l2loopback: its containers are privileged: it maps physical memory".to_owned()), "{:?}", deployment.notes);
}

#[test]
fn kernels_with_one_label_get_a_pod_each_that_looks_for_itself() {
    let deployment = made_of(&[image("v4l2loopback", "5.10.109"), image("v4l2loopback", "5.10.109+")], &options());
    let sets = names(&deployment, "DaemonSet");
    assert_eq!(sets.len(), 2);
    let pods: Vec<_> = sets.iter().map(|name| &find(&deployment, "DaemonSet", name)["spec"]["template"]).collect();
    let selected = |pod: &Value| pod["spec"]["nodeSelector"].clone();
    assert_eq!(selected(pods[0]), selected(pods[1]));
    for (pod, kernel, other) in [(pods[0], "5.10.109", "5.10.109+"), (pods[1], "5.10.109+", "5.10.109")] {
        assert_eq!(pod["metadata"]["annotations"]["kmodforge.io/kernel"], kernel);
        let loader = &pod["spec"]["containers"][0];
        let load = loader["command"][2].as_str().unwrap();
        assert!(load.contains(&format!("if [ \"$(uname -r)\" != {kernel} ]; then\n")), "{load}");
        let ready = loader["readinessProbe"]["exec"]["command"][2].as_str().unwrap();
        assert!(ready.contains(&format!("\n{other}) exit 0 ;;\n")), "{ready}");
    }
    assert!(deployment.notes.contains(&"nodes with 5.10.109 and with 5.10.109+ look alike: pods ask `uname -r`, and idle on the others".to_owned()));
}

#[test]
fn the_next_version_of_a_driver_replaces_this_one() {
    let (now, mut next) = (image("v4l2loopback", "6.1.0-56-amd64"), image("v4l2loopback", "6.1.0-56-amd64"));
    next.version = "0.16.0".into();
    let selector = |image: FleetImage| {
        let deployment = made_of(&[image], &options());
        let name = names(&deployment, "DaemonSet").remove(0);
        (name.clone(), find(&deployment, "DaemonSet", &name)["spec"]["selector"].clone())
    };
    assert_eq!(selector(now), selector(next));
}

#[test]
fn a_plugin_serves_all_kernels_of_its_driver() {
    let deployment = made_of(&[needy("6.1.0-56-amd64"), needy("6.1.0-55-amd64")], &options());
    let plugin = find(&deployment, "DaemonSet", "v4l2loopback-device-plugin-debian-bookworm");
    let pod = &plugin["spec"]["template"]["spec"];
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"];
    assert_eq!(terms[1]["values"], serde_json::json!(["6.1.0-55-amd64", "6.1.0-56-amd64"]));
    assert!(pod["initContainers"][0]["command"][2].as_str().unwrap().contains("until grep"));
}

#[test]
fn each_driver_can_have_a_namespace() {
    let per_driver = Options { namespace_per: NamespacePer::Driver, labeller_image: Some("registry.example/kubectl:1".parse().unwrap()), ..options() };
    let deployment = made_of(&[image("ranged", "6.1.0-56-amd64"), image("v4l2loopback", "6.1.0-56-amd64")], &per_driver);
    assert_eq!(names(&deployment, "Namespace"), ["kmodforge-ranged", "kmodforge-v4l2loopback"]);
    assert_eq!(names(&deployment, "ClusterRole"), ["kmodforge-node-reporter"]);
    assert_eq!(names(&deployment, "ClusterRoleBinding").len(), 2);
    let of_ranged: Vec<_> = deployment.objects.iter().filter(|object| object.driver.as_deref() == Some("ranged")).collect();
    assert!(of_ranged.iter().all(|object| object.value["metadata"]["namespace"].as_str().is_none_or(|namespace| namespace == "kmodforge-ranged")));

    let long = Options { namespace: "n".repeat(60).parse().unwrap(), ..per_driver };
    let error = deployment_error(&[image("ranged", "6.1.0-56-amd64")], &long);
    assert_eq!(error, format!("`{}-ranged` cannot be the namespace of ranged", "n".repeat(60)));
}

fn deployment_error(images: &[FleetImage], options: &Options) -> String {
    deployment(images, options).unwrap_err().to_string()
}

#[test]
fn namespaces_of_the_cluster_are_left_alone() {
    let options = Options { namespace: "kube-system".parse().unwrap(), ..options() };
    let deployment = made_of(&[image("v4l2loopback", "6.1.0-56-amd64")], &options);
    assert_eq!(names(&deployment, "Namespace"), [""; 0]);
    let note = "the namespace `kube-system` must allow privileged pods: `pod-security.kubernetes.io/enforce`".to_owned();
    assert!(deployment.notes.contains(&note), "{:?}", deployment.notes);
}

#[test]
fn a_tag_per_architecture_gives_names_per_architecture() {
    let (amd64, mut arm64) = (image("v4l2loopback", "6.6.1-flatcar"), image("v4l2loopback", "6.6.1-flatcar"));
    arm64.arches = vec![Arch::Arm64];
    let names = names(&made_of(&[amd64, arm64], &options()), "DaemonSet");
    assert_eq!(names, ["v4l2loopback-debian-bookworm-6-6-1-flatcar-amd64", "v4l2loopback-debian-bookworm-6-6-1-flatcar-arm64"]);
}

#[test]
fn names_that_would_be_one_are_refused() {
    let error = deployment_error(&[image("v4l2loopback", "6.1.0-56"), image("v4l2loopback", "6.1.0.56")], &options());
    assert_eq!(error, "two `DaemonSet`s of v4l2loopback would be called `v4l2loopback-debian-bookworm-6-1-0-56-amd64`");
}

/// The script of the pod that reports, on a node with this kernel, until it sleeps; what it had `kubectl` do.
fn reported(deployment: &Deployment, kernel: &str) -> String {
    let pod = &find(deployment, "DaemonSet", "node-reporter")["spec"]["template"]["spec"];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let program = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    program("kubectl", &format!("{{ echo \"kubectl $*\"; [ \"$1\" != create ] || cat; }} >>{}", log.display()));
    program("uname", &format!("case $1 in -r) echo {kernel} ;; -m) echo x86_64 ;; esac"));
    program("sleep", "kill $PPID");
    let words: Vec<_> = pod["containers"][0]["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    let path = format!("{}:/usr/bin:/bin", folder.path().display());
    let mut script = std::process::Command::new(words[0]);
    script.args(&words[1..]).env_clear().env("PATH", path).env("NODE_NAME", "node-1");
    assert!(script.output().unwrap().status.success());
    std::fs::read_to_string(log).unwrap()
}

#[test]
fn nodes_are_told_by_their_raw_release() {
    let options = Options { labeller_image: Some("registry.example/kubectl:1".parse().unwrap()), catch_all: true, ..options() };
    let deployment = made_of(&[image("v4l2loopback", "5.10.109")], &options);
    let label = "kmodforge.io/v4l2loopback";
    assert_eq!(reported(&deployment, "5.10.109"), format!("kubectl label node node-1 --overwrite {label}.missing- {label}.ready-\n"));
    let told = reported(&deployment, "5.10.109+");
    assert!(told.ends_with(&format!("kubectl label node node-1 --overwrite {label}.ready- {label}.missing=5.10.109\n")), "{told}");
    assert!(told.contains("message: \"no image of v4l2loopback is for the kernel 5.10.109+ x86_64\"\n"), "{told}");
}
