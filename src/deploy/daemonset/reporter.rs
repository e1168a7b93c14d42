//! What tells the cluster which nodes have their drivers: a pod per node with `kubectl`, the only one that may speak to the API.
//!
//! ```text
//! kmodforge.io/<driver>.ready=<version>     while its modules are live
//! kmodforge.io/<driver>.missing=<kernel>    no image serves the node's kernel; an Event says so too
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, DownwardAPIProjection, DownwardAPIVolumeFile, EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath,
    ObjectFieldSelector, PodSpec, ProjectedVolumeSource, SeccompProfile, SecurityContext, ServiceAccount, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::pod::{command, common, mount, one_of, placed, small};
use super::{DeployError, Options, Role, daemon_set, label_of};
use crate::deploy::fleet::FleetImage;
use crate::deploy::manifest::Object;
use crate::deploy::naming::{DnsLabel, name};
use crate::deploy::nodes::{cut, label_value};
use crate::kmod::kernel_name;
use crate::reference::Reference;
use crate::template::quote_shell;

const NAME: &str = "node-reporter";
/// Where programs in pods look for their login.
const LOGIN: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Account, rights and pods for each namespace.
pub(super) fn objects(namespaces: &BTreeMap<DnsLabel, Vec<&FleetImage>>, image: &Reference, options: &Options) -> Result<Vec<Object>, DeployError> {
    let role = format!("kmodforge-{NAME}");
    let mut objects = vec![Object::new(None, &rights(&role, options.catch_all))?];
    for (namespace, images) in namespaces {
        let driver = (namespaces.len() > 1).then(|| images[0].driver.as_str());
        let local = || ObjectMeta { name: Some(NAME.into()), namespace: Some(namespace.to_string()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata: local(), automount_service_account_token: Some(false), ..ServiceAccount::default() };
        let binding = ClusterRoleBinding {
            metadata: ObjectMeta { name: Some(name(&["kmodforge", NAME, namespace.as_str()])), ..ObjectMeta::default() },
            role_ref: RoleRef { api_group: "rbac.authorization.k8s.io".into(), kind: "ClusterRole".into(), name: role.clone() },
            subjects: Some(vec![Subject { kind: "ServiceAccount".into(), name: NAME.into(), namespace: Some(namespace.to_string()), ..Subject::default() }]),
        };
        let what = Role { component: NAME, app: "kmodforge", version: None };
        let pods = daemon_set(NAME, namespace, &what, &BTreeMap::new(), pod(image, &script(images, options.catch_all), options), options);
        objects.extend([Object::new(driver, &account)?, Object::new(driver, &binding)?, Object::new(driver, &pods)?]);
    }
    Ok(objects)
}

/// Labels are written by patching the node; Kubernetes knows no smaller right.
fn rights(name: &str, events: bool) -> ClusterRole {
    let rule = |resource: &str, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    let mut rules = vec![rule("nodes", &["get", "patch"])];
    if events {
        rules.push(rule("events", &["create"]));
    }
    ClusterRole { metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }, rules: Some(rules), ..ClusterRole::default() }
}

/// A field of the pod. The version is what an API server fills in; left out, every `kubectl apply` would see a difference.
fn field(path: &str) -> ObjectFieldSelector {
    ObjectFieldSelector { field_path: path.to_owned(), api_version: Some("v1".into()) }
}

fn pod(image: &Reference, script: &str, options: &Options) -> PodSpec {
    let node = EnvVarSource { field_ref: Some(field("spec.nodeName")), ..EnvVarSource::default() };
    PodSpec {
        service_account_name: Some(NAME.into()),
        containers: vec![Container {
            name: "reporter".into(),
            image: Some(image.to_string()),
            command: Some(command(script)),
            env: Some(vec![
                EnvVar { name: "NODE_NAME".into(), value_from: Some(node), ..EnvVar::default() },
                EnvVar { name: "HOME".into(), value: Some("/tmp".into()), ..EnvVar::default() },
            ]),
            security_context: Some(SecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(65534),
                read_only_root_filesystem: Some(true),
                allow_privilege_escalation: Some(false),
                capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
                seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
                ..SecurityContext::default()
            }),
            volume_mounts: Some(vec![mount("login", LOGIN, true), mount("tmp", "/tmp", false)]),
            ..small()
        }],
        volumes: Some(vec![login(), Volume { name: "tmp".into(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }]),
        affinity: Some(placed(vec![one_of("kubernetes.io/os", ["linux".to_owned()])])),
        node_selector: (!options.node_selector.is_empty()).then(|| options.node_selector.clone()),
        ..common(options)
    }
}

/// What Kubernetes would mount by itself, for this container alone.
fn login() -> Volume {
    let token = ServiceAccountTokenProjection { path: "token".into(), expiration_seconds: Some(3607), ..ServiceAccountTokenProjection::default() };
    let certificate = ConfigMapProjection {
        name: "kube-root-ca.crt".into(),
        items: Some(vec![KeyToPath { key: "ca.crt".into(), path: "ca.crt".into(), mode: None }]),
        ..ConfigMapProjection::default()
    };
    let namespace = DownwardAPIVolumeFile { path: "namespace".into(), field_ref: Some(field("metadata.namespace")), ..DownwardAPIVolumeFile::default() };
    let sources = vec![
        VolumeProjection { service_account_token: Some(token), ..VolumeProjection::default() },
        VolumeProjection { config_map: Some(certificate), ..VolumeProjection::default() },
        VolumeProjection { downward_api: Some(DownwardAPIProjection { items: Some(vec![namespace]) }), ..VolumeProjection::default() },
    ];
    Volume { name: "login".into(), projected: Some(ProjectedVolumeSource { sources: Some(sources), ..ProjectedVolumeSource::default() }), ..Volume::default() }
}

/// Compares the node's kernel with the raw releases that there are images for: labels would not do.
fn script(images: &[&FleetImage], catch_all: bool) -> String {
    let mut drivers: BTreeMap<&str, Vec<&FleetImage>> = BTreeMap::new();
    for image in images {
        drivers.entry(&image.driver).or_default().push(image);
    }
    let mut rounds = String::new();
    for (driver, images) in drivers {
        let label = quote_shell(&label_of(driver));
        rounds.push_str("    case $kernel in\n");
        for image in images {
            let kernels: Vec<_> = image.arches.iter().map(|arch| quote_shell(&format!("{} {}", image.kernel, arch.machine()))).collect();
            let modules: Vec<_> = image.rollout.loads.iter().map(|load| quote_shell(&kernel_name(&load.module))).collect();
            let version = label_value(&image.version);
            let _ = writeln!(rounds, "    {}) served {label} {} {} ;;", kernels.join(" | "), quote_shell(cut(&version)), modules.join(" "));
        }
        let _ = writeln!(rounds, "    *) unserved {label} {} ;;\n    esac", quote_shell(driver));
    }
    let missing = if catch_all { MISSING } else { "missing() { :; }\npresent() { :; }\n" };
    format!("{BEGIN}{missing}{FUNCTIONS}{rounds}{END}")
}

const BEGIN: &str = r#"trap 'exit 0' INT TERM
kernel="$(uname -r) $(uname -m)"
round=0
last=
"#;

/// An Event lives for an hour: it is made again before that.
const MISSING: &str = r#"value=$(uname -r | tr -c 'A-Za-z0-9._\n-' _ | cut -c 1-63 | sed 's/[^A-Za-z0-9]*$//')
present() { labels="$labels $1.missing-"; }
missing() {
    labels="$labels $1.missing=$value"
    [ $((round % 180)) -eq 0 ] || return 0
    now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
    kubectl create -f - <<EVENT
apiVersion: v1
kind: Event
metadata: { generateName: kmodforge-, namespace: default }
type: Warning
reason: NoDriverImage
message: "no image of $2 is for the kernel $kernel"
involvedObject: { apiVersion: v1, kind: Node, name: "$NODE_NAME", uid: "$NODE_NAME" }
source: { component: kmodforge, host: "$NODE_NAME" }
firstTimestamp: $now
lastTimestamp: $now
count: 1
EVENT
}
"#;

const FUNCTIONS: &str = r#"served() {
    present "$1"
    key=$1.ready version=$2
    shift 2
    for module; do
        grep -qs "^$module .* Live " /proc/modules || { labels="$labels $key-"; return; }
    done
    labels="$labels $key=$version"
}
unserved() {
    labels="$labels $1.ready-"
    missing "$@"
}
while :; do
    labels=
"#;

const END: &str = r#"    if [ "$labels" != "$last" ]; then
        # shellcheck disable=SC2086 # labels are words
        kubectl label node "$NODE_NAME" --overwrite $labels && last=$labels
    fi
    round=$((round + 1))
    sleep 10 &
    wait
done
"#;
