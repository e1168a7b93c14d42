//! Modules of Kernel Module Management, and kernels of a cluster's nodes.

use axum::extract::Request;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use snapbox::{assert_data_eq, str};

use crate::world::World;

const MODULE: &str = r"
apiVersion: kmm.sigs.x-k8s.io/v1beta1
kind: Module
metadata: {name: camera, namespace: drivers}
spec:
  selector: {camera: 'yes'}
  moduleLoader:
    container:
      modprobe: {moduleName: kmf-core}
      kernelMappings:
        - literal: 6.1.0-56-amd64
          containerImage: REGISTRY/camera/fixed:56
        - regexp: '^6\.1\.0-5[56]-amd64$'
          containerImage: 'REGISTRY/$MOD_NAMESPACE/$MOD_NAME:1-${KERNEL_FULL_VERSION}'
          build: {dockerfileConfigMap: {name: recipe}}
";

impl World {
    async fn with_module(from: &str, to: &str) -> Self {
        let world = Self::new().await;
        assert!(MODULE.contains(from), "{from}");
        world.write("module.yaml", &MODULE.replacen(from, to, 1));
        world
    }

    async fn module_refused(from: &str, to: &str, arguments: &[&str]) -> String {
        let world = Self::with_module(from, to).await;
        let ran = world.run(&[&["plan", "--module", "module.yaml", "--no-registry"], arguments].concat()).await;
        assert_eq!(ran.out, "");
        ran.errors()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn images_get_the_names_that_a_module_expects() {
    let world = World::with_module("", "").await;
    let build = ["build", "--module", "module.yaml", "--kernel", "6.1.0-55-amd64", "--kernel", "6.1.0-56-amd64", "--push"];
    let ran = world.run(&build).await.ended(0);
    assert_data_eq!(
        ran.out.as_str(),
        str![[r"
REGISTRY/camera/fixed:56@sha256:DIGEST
REGISTRY/drivers/camera:1-6.1.0-55-amd64@sha256:DIGEST

"]]
    );
    let told = "Module `camera`: built by the profile of `kmf`, not by the Dockerfile of ConfigMap `recipe`, which is not in the file; KMM builds nothing that it can pull";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert_eq!(world.run(&build).await.ended(0).out, ran.out);
    assert_eq!(world.bench.solved("artifacts").len(), 2, "what is published is not built again");

    let jobs = world.run(&["plan", "--module", "module.yaml", "--kernel", "6.1.0-55-amd64", "--no-registry", "--format", "github"]).await.ended(0);
    assert!(jobs.out.contains("--module=module.yaml --kernel=6.1.0-55-amd64"), "{}", jobs.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn kernels_of_a_pattern_that_no_mapping_matches_are_left_alone() {
    let world = World::with_module("", "").await;
    let ran = world.run(&["plan", "--module", "module.yaml", "--kernel", "6.1.0-5*-amd64", "--no-registry", "--format", "json"]).await.ended(0);
    let plan: Value = serde_json::from_str(&ran.out).unwrap();
    let images: Vec<_> = plan["targets"].as_array().unwrap().iter().map(|target| target["image"].as_str().unwrap()).collect();
    assert_eq!(images, ["REGISTRY/camera/fixed:56", "REGISTRY/drivers/camera:1-6.1.0-55-amd64"]);
    assert!(ran.err.contains("left out: 6.1.0-54-amd64: no mapping of Module `camera` matches it; KMM leaves its nodes alone"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_that_kmodforge_cannot_serve() {
    let kernel: &[&str] = &["--kernel", "6.1.0-56-amd64"];
    let sign = |file: &str| format!("      sign: {{keySecret: {{name: k}}, certSecret: {{name: c}}, filesToSign: ['{file}']}}\n      kernelMappings");
    let mut told = World::module_refused("", "", &["--kernel", "6.1.0-54-amd64"]).await;
    told += &World::module_refused("", "", &[]).await;
    told += &World::module_refused("", "", &["--kernel", "6.1.0-56-amd64", "--driver", "v4l2loopback"]).await;
    told += &World::module_refused("kmf-core", "nothing", kernel).await;
    told += &World::module_refused("{moduleName: kmf-core}", "{rawArgs: {load: [a], unload: [a]}}", kernel).await;
    told += &World::module_refused("kmf-core}", "kmf-core, dirName: /modules}", kernel).await;
    told += &World::module_refused("kmf-core}", "kmf-core, firmwarePath: /firmware}", kernel).await;
    let digest = format!("fixed@sha256:{}", "0".repeat(64));
    told += &World::module_refused("fixed:56", &digest, kernel).await;
    told += &World::module_refused("fixed:56", "Fixed:56", kernel).await;
    told += &World::module_refused("1-${KERNEL_FULL_VERSION}", "${KERNEL_X", &["--kernel", "6.1.0-55-amd64"]).await;
    told += &World::module_refused("      kernelMappings", &sign("/opt/lib/modules/${KERNEL_FULL_VERSION}/kmf_core.ko"), kernel).await;
    told += &World::module_refused("literal: 6.1.0-56-amd64", "regexp: '.'", &["--kernel", "6.1.0-5*-amd64"]).await;
    told += &World::module_refused("selector", "selectors", kernel).await;
    assert_data_eq!(
        told,
        str![[r"
error: no mapping of Module `camera` matches 6.1.0-54-amd64
  file      module.yaml
  mappings  literal `6.1.0-56-amd64`
            regexp `^6/.1/.0-5[56]-amd64$`
  help      KMM leaves nodes with that kernel alone: add a mapping, or leave the kernel out
exit 2
error: no kernel is selected
  help      name those that the Module's nodes run: --kernel RELEASE, --kernels-from FILE or --from-cluster
exit 2
error: driver `v4l2loopback` does not make `kmf-core`, the module of Module `camera`
  file      module.yaml
  help      leave --driver out, or name the driver that makes it
exit 2
error: no driver profile makes `nothing`, the module of Module `camera`
  file      module.yaml
  help      write one (docs/driver-profiles.md), and name its folder: --profiles DIR
exit 2
error: Module `camera` does not tell which kernel module it loads
  file      module.yaml
  help      name the driver that makes it: --driver NAME
exit 2
error: Module `camera` looks for `dirName` elsewhere than kmodforge puts it
  found     /modules
  expected  /opt
  help      change `modprobe.dirName` of the Module
exit 2
error: Module `camera` looks for `firmwarePath` elsewhere than kmodforge puts it
  found     /firmware
  expected  none: driver `kmf` has no firmware, and KMM fails where there is nothing to copy
  help      change `modprobe.firmwarePath` of the Module
exit 2
error: Module `camera` names its image for 6.1.0-56-amd64 by a digest
  file      module.yaml
  image     REGISTRY/camera/fixed@sha256:DIGEST
  help      only an image that exists has one: name it by a tag, build it, and then write down its digest
exit 2
error: the image of Module `camera` for 6.1.0-56-amd64 is none: repository names are lower case
  file      module.yaml
  image     REGISTRY/camera/Fixed:56
exit 2
error: Module `camera` names no usable image for 6.1.0-55-amd64: `REGISTRY/$MOD_NAMESPACE/$MOD_NAME:${KERNEL_X` cannot be expanded: `${` without `}`
  file      module.yaml
exit 2
error: Module `camera` signs a file that its image for 6.1.0-56-amd64 does not have
  found     /opt/lib/modules/6.1.0-56-amd64/kmf_core.ko
  expected  /opt/lib/modules/6.1.0-56-amd64/extra/kmf_core.ko
  help      correct `filesToSign` of the Module
exit 2
error: the Modules name one image for several kernels: `REGISTRY/camera/fixed:56`
  kernels   kmf 1.0 for 6.1.0-56-amd64 (debian bookworm, amd64)
            kmf 1.0 for 6.1.0-55-amd64 (debian bookworm, amd64)
  help      tell them apart: `${KERNEL_FULL_VERSION}` in `containerImage` of the Module
exit 2
error: unknown key `selectors`
  --> module.yaml:6:3
   |
 6 |   selectors: {camera: 'yes'}
   |   ^^^^^^^^^ expected one of `moduleLoader`, `devicePlugin`, `dra`, `imageRepoSecret`, `imageRebuildTriggerGeneration`, `selector`, `tolerations`
  help      did you mean `selector`?
exit 2

"]]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_wants_signatures_needs_a_key() {
    let sign = "      sign: {keySecret: {name: k}, certSecret: {name: c}, filesToSign: [/opt/lib/modules/*/extra/kmf_core.ko]}\n      kernelMappings";
    let world = World::with_module("      kernelMappings", sign).await;
    world.run(&["plan", "--module", "module.yaml", "--kernel", "6.1.0-56-amd64", "--no-registry"]).await.ended(0);
    let ran = world.run(&["build", "--module", "module.yaml", "--kernel", "6.1.0-56-amd64", "--push"]).await;
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: the Module wants `REGISTRY/camera/fixed:56` signed, and there is no key to sign with
  help      name key and certificate: --sign-key FILE|pkcs11:…|exec:COMMAND --sign-cert FILE
  help      KMM signs nothing that it can pull; for images without signatures remove `sign` from the Module
exit 2

"]]
    );
    assert_eq!(world.bench.solved("artifacts"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_looks_for_the_images_of_a_module() {
    let world = World::with_module("", "").await;
    let ran = world.run(&["verify", "--module", "module.yaml", "--kernel", "6.1.0-55-amd64", "--kernel", "6.1.0-56-amd64"]).await;
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: `REGISTRY/drivers/camera:1-6.1.0-55-amd64` holds no image for the architectures asked for
error: `REGISTRY/camera/fixed:56` holds no image for the architectures asked for
exit 1

"]]
    );
    let ran = world.run(&["verify", "--module", "module.yaml", "--kernel", "6.1.0-5*"]).await;
    assert_data_eq!(
        ran.errors(),
        str![[r"
error: `6.1.0-5*` names no kernel to verify an image for
  expected  a release, as `uname -r` prints it
exit 2

"]]
    );
}

/// An API server with these nodes: name, kernel, label `camera`.
async fn cluster(world: &World, nodes: &'static [(&'static str, &'static str, &'static str)]) {
    let node = |(name, kernel, camera): &(&str, &str, &str)| {
        json!({
            "metadata": { "name": name, "labels": { "camera": camera } },
            "status": { "nodeInfo": {
                "kernelVersion": kernel, "architecture": "amd64", "operatingSystem": "linux", "osImage": "Debian GNU/Linux 12 (bookworm)", "bootID": "", "machineID": "",
                "systemUUID": "", "containerRuntimeVersion": "", "kubeletVersion": "v1.34.1", "kubeProxyVersion": "",
            } },
        })
    };
    let list = json!({ "apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": nodes.iter().map(node).collect::<Vec<_>>() });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |request: Request| {
        let list = list.clone();
        async move {
            match request.uri().path() {
                "/api/v1/nodes" => axum::Json(list).into_response(),
                _ => axum::http::StatusCode::NOT_FOUND.into_response(),
            }
        }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap() });
    world.write(
        "kubeconfig",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\nclusters: [{{name: test, cluster: {{server: 'http://{address}'}}}}]\n\
             contexts: [{{name: test, context: {{cluster: test, user: reader}}}}]\nusers: [{{name: reader, user: {{token: secret}}}}]\n"
        ),
    );
}

const CLUSTER: [&str; 3] = ["--from-cluster", "--kubeconfig", "kubeconfig"];

#[tokio::test(flavor = "multi_thread")]
async fn kernels_come_from_the_nodes_of_a_cluster() {
    let world = World::new().await;
    cluster(
        &world,
        &[("a", "6.1.0-56-amd64", "yes"), ("b", "6.1.0-56-amd64", "no"), ("c", "6.1.0-55-amd64", "yes"), ("d", "5.10.109+", "yes"), ("e", "5.10.109", "yes")],
    )
    .await;
    let listed = world.run(&[&["kernels", "list"], &CLUSTER[..]].concat()).await.ended(0);
    assert_data_eq!(
        listed.out,
        str![[r"
KERNEL          ARCH   NODES  SYSTEM                          DISTRO   NAMES
6.1.0-56-amd64  amd64  2      Debian GNU/Linux 12 (bookworm)  debian   a, b
6.1.0-55-amd64  amd64  1      Debian GNU/Linux 12 (bookworm)  debian   c
5.10.109+       amd64  1      Debian GNU/Linux 12 (bookworm)  cos      d
5.10.109        amd64  1      Debian GNU/Linux 12 (bookworm)  unknown  e

"]]
    );
    assert_data_eq!(
        listed.err,
        str![[r"
warning: different kernels of nodes share the label value `5.10.109`: `5.10.109` (e) and `5.10.109+` (d)

"]]
    );
    let text = world.run(&[&["kernels", "list", "--format", "text"], &CLUSTER[..]].concat()).await.ended(0);
    assert_eq!(text.out, "6.1.0-56-amd64\n6.1.0-55-amd64\n5.10.109+\n5.10.109\n");

    let planned = world.run(&[&["plan", "--driver", "kmf", "--no-registry", "--format", "github"], &CLUSTER[..]].concat()).await.ended(0);
    for kernel in ["6.1.0-56-amd64", "6.1.0-55-amd64"] {
        assert!(planned.out.contains(&format!("--kernel={kernel}\"")), "{}", planned.out);
    }
    assert!(planned.err.contains("left out: 5.10.109+: no repository has the headers of kernels of `cos` (d)"), "{}", planned.err);
    assert!(planned.err.contains("left out: 5.10.109: no distro profile recognises it (e)"), "{}", planned.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_counts_for_the_nodes_that_it_selects() {
    let world = World::with_module("", "").await;
    cluster(&world, &[("a", "6.1.0-56-amd64", "no"), ("b", "6.1.0-55-amd64", "yes"), ("c", "6.1.0-54-amd64", "yes")]).await;
    let planned = world.run(&[&["plan", "--module", "module.yaml", "--no-registry", "--format", "json"], &CLUSTER[..]].concat()).await.ended(0);
    let plan: Value = serde_json::from_str(&planned.out).unwrap();
    let images: Vec<_> = plan["targets"].as_array().unwrap().iter().map(|target| target["image"].as_str().unwrap()).collect();
    assert_eq!(images, ["REGISTRY/drivers/camera:1-6.1.0-55-amd64"]);
    assert!(planned.err.contains("left out: 6.1.0-54-amd64: no mapping"), "{}", planned.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_that_cannot_be_asked() {
    let world = World::new().await;
    let mut told = String::new();
    told += &world.run(&["plan", "--driver", "kmf", "--from-cluster"]).await.errors();
    world.write("kubeconfig", "apiVersion: v1\nkind: Config\ncontexts: []\n");
    told += &world.run(&[&["kernels", "list"], &CLUSTER[..]].concat()).await.errors();
    told += &world.run(&["plan", "--driver", "kmf", "--kernel", "latest", "--context", "x"]).await.errors();
    assert_data_eq!(
        told,
        str![[r"
error: there is no cluster to ask: no kubeconfig was found
  looked in  DIR/home/.kube/config, the cluster that this runs in (there is none)
  help       name one: --kubeconfig FILE, or the variable KUBECONFIG
exit 2
error: the kubeconfig `kubeconfig` cannot be used: it has no current context
  help      what kubectl can use works here too: kubectl --kubeconfig FILE get nodes
exit 2
error: the following required arguments were not provided:
  --from-cluster
exit 2

"]]
    );
}
