//! Kernel Module Management: recipes for builds in the cluster, images for Modules that somebody has, and an API server that takes what is printed.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use kmodforge::kmm::ModuleFile;

use crate::files::{layers, saved_layers, tree, unpack};
use crate::forge::{Forge, newest, newest_trixie};
use crate::kubernetes::{documents, kubectl};
use crate::light::built;
use crate::stack::{docker, registry, run, scratch, setting, skopeo_copy};

/// The Dockerfile that KMM would build with, from what `deploy kmm` prints.
fn recipe(forge: &Forge, driver: &str, distro: &str) -> String {
    let printed = forge.run(&["deploy", "kmm", "--driver", driver, "--distro", distro, "--in-cluster-build"]).expect(0).stdout;
    let maps = documents(&printed).into_iter().filter(|object| object["kind"] == "ConfigMap").collect::<Vec<_>>();
    let [map] = maps.as_slice() else { panic!("{printed}") };
    map["data"]["dockerfile"].as_str().unwrap().to_owned()
}

/// Builds as KMM does: the Dockerfile alone, and four build arguments.
fn build_as_kmm_does(dockerfile: &str, kernel: &str, image: &str) {
    let mut build = Command::new("docker-buildx");
    build.env("DOCKER_HOST", setting("KMODFORGE_TEST_DOCKER")).args(["build", "--load", "--tag", image]);
    for (name, value) in [("KERNEL_FULL_VERSION", kernel), ("KERNEL_VERSION", kernel), ("MOD_NAME", "x"), ("MOD_NAMESPACE", "drivers")] {
        build.arg("--build-arg").arg(format!("{name}={value}"));
    }
    let mut child = build.arg("-").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(dockerfile.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{dockerfile}", String::from_utf8_lossy(&output.stderr));
}

fn builds_in_the_cluster(driver: &str, distro: &str, kernel: &str) {
    let forge = built();
    let dockerfile = recipe(forge, driver, distro);
    let image = format!("{}/in-cluster/{driver}:{kernel}", registry()).replace('+', "_");
    build_as_kmm_does(&dockerfile, kernel, &image);
    let archive = forge.path("in-cluster.tar");
    docker(&["save", "--output", archive.to_str().unwrap(), &image]);
    let theirs = tree(&saved_layers(&archive));
    let layout = scratch();
    skopeo_copy(&crate::light::pushed(driver, kernel), layout.path());
    let ours = tree(&layers(layout.path()));
    let modules = |files: &crate::files::Tree| files.keys().filter(|path| path.contains("lib/modules")).cloned().collect::<Vec<_>>();
    assert_eq!(modules(&theirs), modules(&ours));
    // KMM's pull check, and the program that 1.x runs.
    docker(&["run", "--rm", &image, "/bin/sh", "-c", "exit 0"]);
    let told = docker(&["run", "--rm", &image, "modprobe", "-d", "/opt", "-S", kernel, "--show-depends", &driver.replace('-', "_")]);
    assert!(told.contains(".ko"), "{told}");
    docker(&["push", &image]);
    forge.run(&["verify", &image, "--kernel", kernel, "--driver", driver]).expect(0).says("checks passed against");
}

#[test]
fn a_recipe_for_the_cluster_builds_without_a_context() {
    builds_in_the_cluster("v4l2loopback", "debian:bookworm", newest());
    builds_in_the_cluster("jool", "debian:trixie", newest_trixie());
}

#[test]
fn a_recipe_refuses_a_kernel_that_nobody_named() {
    let dockerfile = recipe(built(), "v4l2loopback", "debian:bookworm");
    let mut build = Command::new("docker-buildx");
    build.env("DOCKER_HOST", setting("KMODFORGE_TEST_DOCKER")).args(["build", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = build.spawn().unwrap();
    child.stdin.take().unwrap().write_all(dockerfile.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("no kernel is named: --build-arg KERNEL_FULL_VERSION=RELEASE"));
}

#[test]
fn images_for_a_module_are_built_signed_and_proven_under_its_names() {
    let kernel = newest_trixie();
    let forge = Forge::new("module", &format!("  - {{drivers: [jool], distros: [debian], kernels: [\"{kernel}\"]}}\n"));
    let module = format!(
        "apiVersion: kmm.sigs.x-k8s.io/v1beta1\nkind: Module\nmetadata: {{name: nat64, namespace: net}}\nspec:\n  selector: {{}}\n  moduleLoader:\n    container:\n      \
         modprobe: {{moduleName: jool}}\n      sign: {{keySecret: {{name: k}}, certSecret: {{name: c}}, filesToSign: ['/opt/lib/modules/*/extra/jool.ko']}}\n      \
         kernelMappings:\n      - regexp: '.'\n        containerImage: '{}/$MOD_NAMESPACE/$MOD_NAME:${{KERNEL_FULL_VERSION}}'\n",
        registry()
    );
    fs::write(forge.path("module.yaml"), module).unwrap();
    let openssl = |arguments: &[&str]| run(Command::new("openssl").args(arguments).current_dir(forge.folder.path()));
    openssl(&["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=modules"]);
    let of_module = ["--module", "module.yaml", "--kernel", kernel];
    let built = forge.run(&[&["build", "--push", "--sign-key", "key.pem", "--sign-cert", "cert.pem"], &of_module[..]].concat()).expect(0);
    let image = format!("{}/net/nat64:{}", registry(), kernel.replace('+', "_"));
    assert!(built.stdout.starts_with(&format!("{image}@sha256:")), "{}", built.stdout);

    let (layout, root) = (scratch(), scratch());
    skopeo_copy(&image, layout.path());
    let layers = layers(layout.path());
    unpack(&layers, root.path());
    let signed: Vec<_> = tree(&layers)
        .into_keys()
        .filter(|path| {
            Path::new(path).extension().is_some_and(|extension| extension == "ko")
                && fs::read(root.path().join(path)).unwrap().ends_with(b"~Module signature appended~\n")
        })
        .collect();
    assert_eq!(signed, [format!("opt/lib/modules/{kernel}/extra/jool.ko")]);
    forge.run(&[&["verify", "--cert", "cert.pem"], &of_module[..]].concat()).expect(0).says("checks passed against");
    forge.run(&[&["plan", "--sign-cert", "cert.pem"], &of_module[..]].concat()).expect(0).says("1 published");
}

#[test]
fn kmms_own_code_answers_as_written_down() {
    run(Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kmm-mappings.sh")).arg("--check"));
}

/// KMM's resource definitions, made of its schemas.
fn definition(group: &str, kind: &str, scope: &str, stored: &str, schemas: &str) -> String {
    let schemas: serde_json::Map<String, serde_json::Value> = serde_json::from_str(schemas).unwrap();
    let plural = format!("{}s", kind.to_lowercase());
    let versions: Vec<_> = schemas
        .into_iter()
        .map(|(name, schema)| serde_json::json!({ "storage": name == stored, "name": name, "served": true, "schema": { "openAPIV3Schema": schema } }))
        .collect();
    serde_json::json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": format!("{plural}.{group}") },
        "spec": { "group": group, "scope": scope, "names": { "kind": kind, "plural": plural, "singular": kind.to_lowercase(), "listKind": format!("{kind}List") }, "versions": versions },
    })
    .to_string()
}

#[test]
fn an_api_server_takes_modules() {
    let definitions = [
        definition("kmm.sigs.x-k8s.io", "Module", "Namespaced", "v1beta1", include_str!("../fixtures/kmm/modules-2.3.json")),
        definition("kmm.sigs.x-k8s.io", "PreflightValidation", "Cluster", "v1beta2", include_str!("../fixtures/kmm/preflightvalidations-2.3.json")),
        definition("hub.kmm.sigs.x-k8s.io", "ManagedClusterModule", "Cluster", "v1beta1", include_str!("../fixtures/kmm/managedclustermodules-2.3.json")),
    ];
    for definition in &definitions {
        kubectl(&["apply", "-f", "-"], definition);
    }
    for kind in ["modules.kmm.sigs.x-k8s.io", "preflightvalidations.kmm.sigs.x-k8s.io", "managedclustermodules.hub.kmm.sigs.x-k8s.io"] {
        kubectl(&["wait", "--for=condition=Established", "--timeout=60s", &format!("crd/{kind}")], "");
    }
    for namespace in ["kmm", "kmodforge"] {
        kubectl(&["apply", "-f", "-"], &format!(r#"{{"apiVersion": "v1", "kind": "Namespace", "metadata": {{"name": "{namespace}"}}}}"#));
    }
    let forge = built();
    let everything = [
        "deploy",
        "kmm",
        "kmodforge-record.json",
        "--in-cluster-build",
        "--sign-secrets",
        "key,certificate",
        "--toleration",
        "gpu:NoSchedule",
        "--pull-secret",
        "registry",
        "--ordered-upgrade",
        "--preflight",
        "6.1.0-99-amd64",
    ];
    for arguments in [
        &["deploy", "kmm", "kmodforge-record.json", "--namespace", "kmm"][..],
        &everything,
        &["deploy", "kmm", "kmodforge-record.json", "--hub", "--cluster-selector", "fleet=edge"],
    ] {
        let printed = forge.run(arguments).expect(0).stdout;
        let taken = kubectl(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"], &printed);
        assert_eq!(taken.lines().count(), documents(&printed).len(), "{taken}\n{printed}");
        if let Ok(file) = ModuleFile::read("printed", &printed) {
            assert_eq!(file.modules.len(), 3);
        }
    }
}
