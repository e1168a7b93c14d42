//! The device plugins of drivers, only where the modules are loaded.

use k8s_openapi::api::core::v1::{Capabilities, Container, EnvVar, NodeSelectorRequirement, PodSpec, SeccompProfile, SecurityContext};

use super::pod::{arches, command, common, host_path, mount, one_of, placed, small};
use super::{DeployError, Options, Role, daemon_set, label_of};
use crate::deploy::fleet::FleetImage;
use crate::deploy::loader::Loader;
use crate::deploy::manifest::Object;
use crate::deploy::naming::name;
use crate::deploy::nodes::Selection;
use crate::rollout::DevicePlugin;

/// Where a kubelet looks for device plugins.
const SOCKETS: &str = "/var/lib/kubelet/device-plugins";

/// One `DaemonSet` per driver, system and architectures: what a plugin needs does not change with the kernel.
pub(super) fn objects(images: &[FleetImage], selections: &[Selection], options: &Options) -> Result<Vec<Object>, DeployError> {
    let pairs: Vec<_> = images.iter().zip(selections).filter(|(image, _)| image.rollout.hints.device_plugin.is_some()).collect();
    let same = |a: &&FleetImage, b: &&FleetImage| (&a.driver, &a.distro, &a.distro_release, &a.arches) == (&b.driver, &b.distro, &b.distro_release, &b.arches);
    let mut objects = Vec::new();
    for (at, (image, _)) in pairs.iter().enumerate() {
        let Some(plugin) = &image.rollout.hints.device_plugin else { continue };
        if pairs[..at].iter().any(|(other, _)| same(other, image)) {
            continue;
        }
        let group: Vec<_> = pairs.iter().filter(|(other, _)| same(other, image)).collect();
        let wanted = where_loaded(image, group.iter().map(|(_, selection)| *selection), options);
        let system = [image.driver.as_str(), "device-plugin", &image.distro, &image.distro_release];
        let several = pairs.iter().any(|(other, _)| (&other.driver, &other.distro_release) == (&image.driver, &image.distro_release) && !same(other, image));
        let tail: Vec<_> = image.arches.iter().filter(|_| several).map(|arch| arch.oci()).collect();
        let name = name(&[&system[..], &tail].concat());
        let role = Role { component: "device-plugin", app: &image.driver, version: Some(&image.version) };
        let pod = pod(image, plugin, wanted, options);
        let namespace = options.namespace_of(&image.driver)?;
        objects.push(Object::new(Some(&image.driver), &daemon_set(&name, &namespace, &role, &std::collections::BTreeMap::new(), pod, options))?);
    }
    Ok(objects)
}

/// Nodes that a loader is on; those of them that say it has loaded, if they are labelled.
fn where_loaded<'a>(image: &FleetImage, selections: impl Iterator<Item = &'a Selection>, options: &Options) -> Vec<NodeSelectorRequirement> {
    let mut wanted = arches(&image.arches);
    if options.labeller_image.is_some() {
        wanted.push(NodeSelectorRequirement { key: format!("{}.ready", label_of(&image.driver)), operator: "Exists".into(), values: None });
        return wanted;
    }
    let mut kernels: Vec<_> = selections.filter_map(|selection| selection.labels.get(options.kernel_label.as_str()).cloned()).collect();
    kernels.sort();
    kernels.dedup();
    if !kernels.is_empty() {
        wanted.push(one_of(options.kernel_label.as_str(), kernels));
    }
    wanted
}

fn pod(image: &FleetImage, plugin: &DevicePlugin, wanted: Vec<NodeSelectorRequirement>, options: &Options) -> PodSpec {
    let loader = Loader { rollout: &image.rollout, kernel: &image.kernel, neighbours: &[] };
    let strict = SecurityContext { run_as_non_root: Some(true), run_as_user: Some(65534), read_only_root_filesystem: Some(true), ..harmless() };
    let gate = Container {
        name: "wait".into(),
        image: Some(image.image.to_string()),
        command: Some(command(&loader.wait())),
        security_context: Some(strict),
        ..small()
    };
    let paths: Vec<_> = [SOCKETS].into_iter().chain(plugin.host_paths.iter().map(String::as_str)).enumerate().collect();
    let text = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let env: Vec<_> = plugin.env.iter().map(|(name, value)| EnvVar { name: name.clone(), value: Some(value.clone()), ..EnvVar::default() }).collect();
    PodSpec {
        init_containers: Some(vec![gate]),
        containers: vec![Container {
            name: "device-plugin".into(),
            image: Some(plugin.image.clone()),
            command: text(&plugin.command),
            args: text(&plugin.args),
            env: (!env.is_empty()).then_some(env),
            security_context: Some(if plugin.privileged { SecurityContext { privileged: Some(true), ..SecurityContext::default() } } else { harmless() }),
            volume_mounts: Some(paths.iter().map(|(at, path)| mount(&format!("host-{at}"), path, false)).collect()),
            ..small()
        }],
        volumes: Some(paths.iter().map(|(at, path)| host_path(&format!("host-{at}"), path, "")).collect()),
        affinity: placed(wanted),
        node_selector: (!options.node_selector.is_empty()).then(|| options.node_selector.clone()),
        ..common(options)
    }
}

fn harmless() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".into()]), add: None }),
        seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".into(), ..SeccompProfile::default() }),
        ..SecurityContext::default()
    }
}
