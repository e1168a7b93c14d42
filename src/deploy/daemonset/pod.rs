//! The pod that loads a driver's modules on a node.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, ExecAction, HostPathVolumeSource, Lifecycle, LifecycleHandler, LocalObjectReference, NodeAffinity, NodeSelector,
    NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Probe, ResourceRequirements, SELinuxOptions, SeccompProfile, SecurityContext, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{OWN, Options, Role, daemon_set};
use crate::arch::Arch;
use crate::deploy::fleet::FleetImage;
use crate::deploy::loader::{FIRMWARE, Loader, NODE, SEARCH_PATH, SEARCH_PATH_DIRECTORY};
use crate::deploy::naming::DnsLabel;
use crate::deploy::nodes::{ARCH, Selection};

/// How long unloading may take, in seconds.
const GRACE: i64 = 30;

/// The `DaemonSet` of an image.
pub(super) fn loader(image: &FleetImage, selection: &Selection, name: &str, namespace: &DnsLabel, options: &Options) -> DaemonSet {
    let loader = Loader { rollout: &image.rollout, kernel: &image.kernel, neighbours: &selection.neighbours };
    let mut annotations = BTreeMap::from([(format!("{OWN}kernel"), image.kernel.to_string())]);
    if let Some(why) = &image.rollout.hints.privileged {
        annotations.insert(format!("{OWN}privileged"), why.clone());
    }
    let (volumes, init_containers) = firmware(image, &loader, options);
    let mut all_volumes = vec![host_path("modules", "/lib/modules", "Directory")];
    all_volumes.extend(volumes);
    let pod = PodSpec {
        init_containers: (!init_containers.is_empty()).then_some(init_containers),
        containers: vec![Container {
            name: "loader".into(),
            image: Some(image.image.to_string()),
            command: Some(command(&loader.load())),
            readiness_probe: Some(Probe {
                exec: Some(ExecAction { command: Some(shell(loader.ready())) }),
                period_seconds: Some(10),
                timeout_seconds: Some(5),
                ..Probe::default()
            }),
            lifecycle: loader.unload().map(|script| Lifecycle {
                pre_stop: Some(LifecycleHandler { exec: Some(ExecAction { command: Some(shell(script)) }), ..LifecycleHandler::default() }),
                ..Lifecycle::default()
            }),
            security_context: Some(confined(image, true, options)),
            volume_mounts: Some(vec![mount("modules", &format!("{NODE}/lib/modules"), true)]),
            ..small()
        }],
        volumes: Some(all_volumes),
        affinity: placed(arches(&image.arches)),
        node_selector: Some(selection.labels.iter().chain(&options.node_selector).map(|(key, value)| (key.clone(), value.clone())).collect()),
        termination_grace_period_seconds: Some(GRACE),
        ..common(options)
    };
    let role = Role { component: "module-loader", app: &image.driver, version: Some(&image.version) };
    daemon_set(name, namespace, &role, &annotations, pod, options)
}

/// What copies firmware before anything is loaded: the only container that may write to the node.
fn firmware(image: &FleetImage, loader: &Loader<'_>, options: &Options) -> (Vec<Volume>, Vec<Container>) {
    let Some(script) = loader.firmware() else { return (Vec::new(), Vec::new()) };
    let mut volumes = vec![host_path("firmware", &image.rollout.firmware_directory, "DirectoryOrCreate")];
    let mut mounts = vec![mount("firmware", FIRMWARE, false)];
    if loader.search_path().is_some() {
        volumes.push(host_path("firmware-search", SEARCH_PATH_DIRECTORY, "Directory"));
        mounts.push(mount("firmware-search", SEARCH_PATH, false));
    }
    let container = Container {
        name: "firmware".into(),
        image: Some(image.image.to_string()),
        command: Some(command(&script)),
        security_context: Some(confined(image, false, options)),
        volume_mounts: Some(mounts),
        ..small()
    };
    (volumes, vec![container])
}

/// The capability to load modules and no other; none of the node's namespaces; a root that cannot be written to.
fn confined(image: &FleetImage, loads: bool, options: &Options) -> SecurityContext {
    let selinux = SELinuxOptions { type_: Some(options.selinux_type.clone()), ..SELinuxOptions::default() };
    let context = SecurityContext {
        run_as_user: Some(0),
        read_only_root_filesystem: Some(true),
        se_linux_options: Some(selinux),
        app_armor_profile: options.apparmor.as_ref().map(super::AppArmor::profile),
        ..SecurityContext::default()
    };
    if loads && image.rollout.hints.privileged.is_some() {
        return SecurityContext { privileged: Some(true), ..context };
    }
    SecurityContext {
        privileged: Some(false),
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: loads.then(|| vec!["SYS_MODULE".into()]) }),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
        ..context
    }
}

/// What all pods have in common.
pub(super) fn common(options: &Options) -> PodSpec {
    let secrets: Vec<_> = options.pull_secrets.iter().map(|name| LocalObjectReference { name: name.to_string() }).collect();
    let tolerations: Vec<_> = options.tolerations.iter().map(super::TolerationArg::toleration).collect();
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        priority_class_name: Some(options.priority_class.clone()),
        image_pull_secrets: (!secrets.is_empty()).then_some(secrets),
        tolerations: (!tolerations.is_empty()).then_some(tolerations),
        ..PodSpec::default()
    }
}

/// What all containers have in common: they sleep most of the time, and their last words are what `kubectl describe` shows.
pub(super) fn small() -> Container {
    let requests = BTreeMap::from([("cpu".to_owned(), Quantity("1m".into())), ("memory".to_owned(), Quantity("16Mi".into()))]);
    Container {
        image_pull_policy: Some("IfNotPresent".into()),
        termination_message_policy: Some("FallbackToLogsOnError".into()),
        resources: Some(ResourceRequirements { requests: Some(requests), ..ResourceRequirements::default() }),
        ..Container::default()
    }
}

/// Nodes of these architectures.
pub(super) fn arches(arches: &[Arch]) -> Vec<NodeSelectorRequirement> {
    vec![one_of(ARCH, arches.iter().map(|arch| arch.oci().to_owned()))]
}

pub(super) fn one_of(key: &str, values: impl IntoIterator<Item = String>) -> NodeSelectorRequirement {
    NodeSelectorRequirement { key: key.to_owned(), operator: "In".into(), values: Some(values.into_iter().collect()) }
}

/// Nodes that fulfil all of this.
pub(super) fn placed(requirements: Vec<NodeSelectorRequirement>) -> Option<Affinity> {
    let terms = vec![NodeSelectorTerm { match_expressions: Some(requirements), ..NodeSelectorTerm::default() }];
    let node =
        NodeAffinity { required_during_scheduling_ignored_during_execution: Some(NodeSelector { node_selector_terms: terms }), ..NodeAffinity::default() };
    Some(Affinity { node_affinity: Some(node), ..Affinity::default() })
}

/// A script as a container's command, in which the kubelet takes `$$` for `$` (`$(NAME)` stays, where no variable has that name).
pub(super) fn command(script: &str) -> Vec<String> {
    shell(script.replace("$$", "$$$$"))
}

/// A script for a probe or a hook.
fn shell(script: String) -> Vec<String> {
    vec!["/bin/sh".into(), "-c".into(), script]
}

pub(super) fn host_path(name: &str, path: &str, kind: &str) -> Volume {
    let source = HostPathVolumeSource { path: path.to_owned(), type_: Some(kind.to_owned()) };
    Volume { name: name.to_owned(), host_path: Some(source), ..Volume::default() }
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount { name: name.to_owned(), mount_path: path.to_owned(), read_only: read_only.then_some(true), ..VolumeMount::default() }
}
