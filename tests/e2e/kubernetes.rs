//! Manifests, as the schemas of Kubernetes and a real `kube-apiserver` see them.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::daemonset::{DRIVER, REPOSITORY, built};
use crate::forge::{Forge, newest, oldest};
use crate::stack::{run, setting};

/// The documents of a stream.
pub(crate) fn documents(stream: &str) -> Vec<Value> {
    let parts = stream.split("---\n").filter(|part| !part.trim().is_empty());
    parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{error}\n{part}"))).collect()
}

/// What has this name in a list.
#[track_caller]
pub(crate) fn find<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().and_then(|list| list.iter().find(|item| item["name"] == name)).unwrap_or_else(|| panic!("no `{name}` in {list}"))
}

/// `kubectl` on the API server of the stack; what it prints.
pub(crate) fn kubectl(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("kubectl")
        .env("KUBECONFIG", setting("KMODFORGE_TEST_KUBECONFIG"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "kubectl {arguments:?}: {}\n{input}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Validates against the schemas of the oldest and of the newest Kubernetes that the manifests are meant for.
pub(crate) fn validate(manifest: &Path) {
    for version in ["1.33", "1.37"] {
        run(Command::new("kubernetes-validate").args(["--strict", "--kubernetes-version", version]).arg(manifest));
    }
}

/// A forge with the record of what is published, in which one image asks for everything.
pub(crate) fn forge() -> Forge {
    let forge = Forge::new(REPOSITORY, "");
    let mut record = serde_json::to_value(built().record()).unwrap();
    for target in record["targets"].as_array_mut().unwrap() {
        if target["target"]["kernel"] == oldest() {
            let rollout = &mut target["rollout"];
            (rollout["firmware"], rollout["firmware_directory"]) = (json!(true), json!("/var/lib/firmware"));
            rollout["hints"] = json!({
                "privileged": "it writes to ports",
                "device_plugin": { "image": "registry.example/plugin:1", "args": ["-v"], "env": { "A": "1" }, "host_paths": ["/dev"], "privileged": true }
            });
        }
    }
    fs::write(forge.path("record.json"), record.to_string()).unwrap();
    forge
}

/// Everything that options can ask for.
const EVERYTHING: [&str; 20] = [
    "--namespace-per",
    "driver",
    "--kernel-label",
    "example.org/kernel",
    "--node-selector",
    "example.org/pool=drivers",
    "--toleration",
    "gpu=a100:NoSchedule",
    "--toleration",
    "*",
    "--pull-secret",
    "login",
    "--update",
    "rolling:10%",
    "--apparmor",
    "localhost:drivers",
    "--labeller-image",
    "registry.example/kubectl:1.35",
    "--catch-all",
    "--selinux-type=spc_t",
];

#[test]
fn an_api_server_takes_what_is_generated() {
    let forge = forge();
    for (namespace, options) in [("plain", &[][..]), ("everything", &EVERYTHING[..])] {
        let arguments = [&["deploy", "daemonset", "record.json", "--namespace", namespace], options].concat();
        let manifest = forge.run(&arguments).expect(0).stdout;
        fs::write(forge.path("manifest.yaml"), &manifest).unwrap();
        validate(&forge.path("manifest.yaml"));

        // A dry run knows no namespace that it would make.
        let namespaces: Vec<_> = documents(&manifest).into_iter().filter(|object| object["kind"] == "Namespace").collect();
        for namespace in namespaces {
            kubectl(&["apply", "--filename", "-"], &namespace.to_string());
        }
        kubectl(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "--filename", "-"], &manifest);
        let applied = kubectl(&["apply", "--validate=strict", "--filename", "-"], &manifest);
        assert_eq!(applied.lines().count(), documents(&manifest).len(), "{applied}");
        let again = kubectl(&["apply", "--filename", "-"], &manifest);
        assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{again}");
    }
}

/// The rights of what labels nodes: these and no others.
#[test]
fn the_reporter_may_label_nodes_and_nothing_else() {
    let forge = forge();
    let options = ["deploy", "daemonset", "record.json", "--namespace", "rights", "--labeller-image", "registry.example/kubectl:1", "--catch-all"];
    kubectl(&["apply", "--filename", "-"], &forge.run(&options).expect(0).stdout);
    let may = |verb: &str, what: &str| {
        let account = "system:serviceaccount:rights:node-reporter";
        let mut command = Command::new("kubectl");
        command.env("KUBECONFIG", setting("KMODFORGE_TEST_KUBECONFIG")).args(["auth", "can-i", verb, what, "--as", account, "--quiet"]);
        command.status().unwrap().success()
    };
    assert!(may("patch", "nodes") && may("get", "nodes") && may("create", "events"));
    assert!(!may("delete", "nodes") && !may("list", "secrets") && !may("create", "pods") && !may("list", "nodes"));
}

#[test]
fn kustomize_makes_the_same_objects() {
    let forge = forge();
    let stream = forge.run(&["deploy", "daemonset", "record.json", "--namespace", "tree"]).expect(0).stdout;
    let run_it = forge.run(&["deploy", "daemonset", "record.json", "--namespace", "tree", "--kustomize", "tree"]).expect(0);
    assert_eq!(run_it.stdout, "");
    let made = kubectl(&["kustomize", &forge.path("tree").display().to_string()], "");
    let names = |text: &str| {
        let mut names: Vec<_> = documents(text).iter().map(|object| format!("{} {}", object["kind"], object["metadata"]["name"])).collect();
        names.sort();
        names
    };
    assert_eq!(names(&made), names(&stream));
}

/// The registry is asked when there is no record: the same manifest comes out.
#[test]
fn records_and_the_registry_tell_the_same() {
    let target = built().target(DRIVER, newest()).target;
    let matrix = format!("  - {{drivers: [{DRIVER}], distros: [debian], kernels: [\"{}\"]}}\n", newest());
    let forge = Forge::new(REPOSITORY, &matrix);
    let mut record = built().record();
    record.targets.retain(|it| it.target == target);
    fs::write(forge.path("record.json"), serde_json::to_string(&record).unwrap()).unwrap();
    let of_record = forge.run(&["deploy", "daemonset", "record.json"]).expect(0).stdout;
    assert_eq!(forge.run(&["deploy", "daemonset"]).expect(0).stdout, of_record);
}
