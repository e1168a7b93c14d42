//! `DaemonSet`s that load drivers: one per driver, system and kernel, on the nodes that run that kernel.

mod options;
mod plugin;
mod pod;
mod reporter;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec};
use k8s_openapi::api::core::v1::{Namespace, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::fleet::FleetImage;
use super::manifest::{Object, UnwritableObject};
use super::naming::{DnsLabel, InvalidDnsLabel, name};
use super::nodes::{NFD_KERNEL, Selection, SelectionError, cut, label_value, select};
use crate::error::counted;
pub use options::{AppArmor, InvalidOption, NamespacePer, NodeLabel, Options, PRIORITY_CLASS, SELINUX_TYPE, TolerationArg, Update};

/// Beginning of labels and annotations that are ours.
const OWN: &str = "kmodforge.io/";
/// The label by which namespaces allow pods what a loader needs (Pod Security Admission).
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
/// Namespaces that a cluster has by itself, beside those that begin with `kube-`.
const DEFAULT: &str = "default";

/// What is to be applied, and what people should know about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// The objects, in the order that they are to be made in.
    pub objects: Vec<Object>,
    /// How many there are, what they select, what was assumed.
    pub notes: Vec<String>,
}

/// Why images cannot be deployed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeployError {
    /// Nodes cannot be told apart.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// The namespace of a driver has no valid name.
    #[error("`{name}` cannot be the namespace of {driver}")]
    Namespace {
        /// What it would be called.
        name: String,
        /// The driver.
        driver: String,
        /// What is wrong with it.
        reason: InvalidDnsLabel,
    },
    /// Two images would make objects of one name.
    #[error("two `DaemonSet`s of {driver} would be called `{name}`")]
    SameName {
        /// The driver.
        driver: String,
        /// The name.
        name: String,
        /// The kernels.
        kernels: [String; 2],
    },
    /// An object cannot be written.
    #[error(transparent)]
    Unwritable(#[from] UnwritableObject),
}

/// Everything that brings the images to their nodes.
///
/// # Errors
/// When nodes cannot be told apart, or a name cannot be.
pub fn deployment(images: &[FleetImage], options: &Options) -> Result<Deployment, DeployError> {
    let selections = select(images, &options.kernel_label)?;
    let names = names(images)?;
    let mut namespaces: BTreeMap<DnsLabel, Vec<&FleetImage>> = BTreeMap::new();
    for image in images {
        namespaces.entry(options.namespace_of(&image.driver)?).or_default().push(image);
    }
    let mut objects = Vec::new();
    for (namespace, images) in &namespaces {
        if !is_the_cluster_s(namespace) {
            let driver = (options.namespace_per == NamespacePer::Driver).then(|| images[0].driver.as_str());
            objects.push(Object::new(driver, &made(namespace))?);
        }
    }
    let mut loaders = Vec::new();
    for ((image, selection), name) in images.iter().zip(&selections).zip(names) {
        let namespace = options.namespace_of(&image.driver)?;
        loaders.push(Object::new(Some(&image.driver), &pod::loader(image, selection, &name, &namespace, options))?);
    }
    objects.extend(loaders);
    let plugins = plugin::objects(images, &selections, options)?;
    objects.extend(plugins);
    if let Some(image) = &options.labeller_image {
        objects.extend(reporter::objects(&namespaces, image, options)?);
    }
    let notes = notes(images, &selections, &namespaces, &objects, options);
    Ok(Deployment { objects, notes })
}

/// A name per image. The driver's version is no part of it: the next version replaces this one.
fn names(images: &[FleetImage]) -> Result<Vec<String>, DeployError> {
    let plain: Vec<_> = images.iter().map(|image| name(&[&image.driver, &image.distro, &image.distro_release, image.kernel.as_str()])).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in &plain {
        *counts.entry(name).or_default() += 1;
    }
    let with_arch = |image: &FleetImage| {
        let arches: Vec<_> = image.arches.iter().map(|arch| arch.oci()).collect();
        name(&[&image.driver, &image.distro, &image.distro_release, image.kernel.as_str(), &arches.join("-")])
    };
    let names: Vec<_> = images.iter().zip(&plain).map(|(image, plain)| if counts[plain.as_str()] > 1 { with_arch(image) } else { plain.clone() }).collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        if let Some(other) = seen.insert(name, at) {
            let kernels = [&images[other], &images[at]].map(|image| format!("{} {} for {}", image.driver, image.version, image.kernel));
            return Err(DeployError::SameName { driver: images[at].driver.clone(), name: name.clone(), kernels });
        }
    }
    Ok(names)
}

/// Namespaces that exist before anybody makes them are left as they are.
fn is_the_cluster_s(namespace: &DnsLabel) -> bool {
    namespace.as_str() == DEFAULT || namespace.as_str().starts_with("kube-")
}

fn made(namespace: &DnsLabel) -> Namespace {
    let labels = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "kmodforge".to_owned()), (POD_SECURITY.to_owned(), "privileged".to_owned())]);
    Namespace { metadata: ObjectMeta { name: Some(namespace.to_string()), labels: Some(labels), ..ObjectMeta::default() }, ..Namespace::default() }
}

/// What a `DaemonSet` is.
struct Role<'a> {
    /// `module-loader`.
    component: &'static str,
    /// What it serves.
    app: &'a str,
    version: Option<&'a str>,
}

/// A `DaemonSet` around a pod. What selects its pods never changes, as the API demands.
fn daemon_set(name: &str, namespace: &DnsLabel, role: &Role<'_>, annotations: &BTreeMap<String, String>, pod: PodSpec, options: &Options) -> DaemonSet {
    let chosen =
        BTreeMap::from([("app.kubernetes.io/component".to_owned(), role.component.to_owned()), ("app.kubernetes.io/instance".to_owned(), name.to_owned())]);
    let mut labels = chosen.clone();
    labels.insert("app.kubernetes.io/name".into(), cut(&label_value(role.app)).to_owned());
    labels.insert("app.kubernetes.io/managed-by".into(), "kmodforge".into());
    labels.extend(role.version.map(|version| ("app.kubernetes.io/version".to_owned(), cut(&label_value(version)).to_owned())));
    let annotations = (!annotations.is_empty()).then(|| annotations.clone());
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_string()),
        labels: Some(labels.clone()),
        annotations: annotations.clone(),
        ..ObjectMeta::default()
    };
    let template = PodTemplateSpec { metadata: Some(ObjectMeta { labels: Some(labels), annotations, ..ObjectMeta::default() }), spec: Some(pod) };
    DaemonSet {
        metadata,
        spec: Some(DaemonSetSpec {
            selector: LabelSelector { match_labels: Some(chosen), ..LabelSelector::default() },
            template,
            update_strategy: Some(options.update.strategy()),
            ..DaemonSetSpec::default()
        }),
        ..DaemonSet::default()
    }
}

/// How the keys of a node's labels about a driver begin: `kmodforge.io/v4l2loopback`, followed by `.ready` or `.missing`.
fn label_of(driver: &str) -> String {
    format!("{OWN}{driver}")
}

/// More images than this are counted, not listed.
const LISTED: usize = 20;

fn notes(
    images: &[FleetImage],
    selections: &[Selection],
    namespaces: &BTreeMap<DnsLabel, Vec<&FleetImage>>,
    objects: &[Object],
    options: &Options,
) -> Vec<String> {
    let mut notes = vec![counts(objects)];
    for (image, selection) in images.iter().zip(selections).take(LISTED) {
        notes.push(format!("{} {} for {} ({} {}): nodes with {selection}", image.driver, image.version, image.kernel, image.distro, image.distro_release));
    }
    if images.len() > LISTED {
        notes.push(format!("… and {} more", images.len() - LISTED));
    }
    if options.kernel_label.as_str() == NFD_KERNEL || selections.iter().any(|selection| selection.labels.len() > 1) {
        notes.push(format!("nodes must run Node Feature Discovery: it sets `{NFD_KERNEL}`"));
    } else {
        notes.push(format!("nodes must have `{}`: their kernel release, other characters than letters, digits, `-`, `_` and `.` as `_`", options.kernel_label));
    }
    for (image, selection) in images.iter().zip(selections).filter(|(_, selection)| !selection.neighbours.is_empty()) {
        let others: Vec<_> = selection.neighbours.iter().map(ToString::to_string).collect();
        notes.push(format!("nodes with {} and with {} look alike: pods ask `uname -r`, and idle on the others", image.kernel, others.join(", ")));
    }
    for namespace in namespaces.keys() {
        notes.push(if is_the_cluster_s(namespace) {
            format!("the namespace `{namespace}` must allow privileged pods: `{POD_SECURITY}`")
        } else {
            format!("the namespace `{namespace}` is made, and allows privileged pods: loaders mount folders of the node")
        });
    }
    notes.extend(facts(images));
    if options.labeller_image.is_none() {
        notes.push("nodes get no label when modules are loaded: that needs an image with `kubectl` and a shell (--labeller-image)".into());
    }
    notes
}

/// What is special about drivers, once each.
fn facts(images: &[FleetImage]) -> Vec<String> {
    let mut facts = BTreeSet::new();
    for FleetImage { driver, rollout, .. } in images {
        if let Some(why) = &rollout.hints.privileged {
            facts.insert(format!("{driver}: its containers are privileged: {why}"));
        }
        if rollout.firmware {
            facts.insert(format!("{driver}: firmware is copied to `{}` of the nodes, and stays there", rollout.firmware_directory));
        }
        if !rollout.unload {
            facts.insert(format!("{driver}: its modules stay loaded when pods end; nodes get another build when they restart"));
        }
        if !rollout.remove_first.is_empty() {
            facts.insert(format!("{driver}: {} of the kernel is unloaded first", rollout.remove_first.join(", ")));
        }
    }
    facts.into_iter().collect()
}

/// `5 objects: 1 Namespace, 4 DaemonSets`.
fn counts(objects: &[Object]) -> String {
    let mut kinds: Vec<(&str, usize)> = Vec::new();
    for object in objects {
        match kinds.iter_mut().find(|(kind, _)| *kind == object.kind()) {
            Some((_, count)) => *count += 1,
            None => kinds.push((object.kind(), 1)),
        }
    }
    let kinds: Vec<_> = kinds.into_iter().map(|(kind, count)| counted(count, kind)).collect();
    format!("{} objects: {}", objects.len(), kinds.join(", "))
}

#[cfg(test)]
#[path = "daemonset/tests.rs"]
mod tests;
