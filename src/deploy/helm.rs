//! A Helm chart of the `DaemonSet`s that `deploy daemonset` makes.
//!
//! ```text
//! Chart.yaml  values.yaml  values.schema.json
//! objects/*.yaml     each object whole, with what templates ask about it
//! templates/         lay the values over the objects
//! ```
//!
//! The objects are data, not templates: their commands fit their image and no other, and nothing in them is for Helm to expand.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::str::FromStr;

use flate2::{Compression, GzBuilder};
use serde::Serialize;
use serde_json::{Value, json};

use super::daemonset::{AppArmor, DeployError, Options, deployment};
use super::fleet::FleetImage;
use super::manifest::{UnwritableObject, yaml};
use super::naming::InvalidDnsLabel;
use super::nodes::LabelKey;
use crate::image::tar::TarWriter;
use crate::rollout::System;
use crate::template::{self, TemplateError};

/// Media type of a chart's configuration (Helm, "OCI-based registries").
pub const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";
/// Media type of a packaged chart.
pub const CONTENT: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// Files that are taken as they are.
const STATIC: [&str; 4] = ["templates/_helpers.tpl", "templates/objects.yaml", "templates/login.yaml", "templates/NOTES.txt"];
/// Time of the files in a package: archives with the time 0 make some programs warn.
const PACKED: u64 = 1;

/// The name of a chart: lower-case letters, digits and `-` (Helm, "Chart names").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartName(String);

/// A version by Semantic Versioning 2.0.0, as Helm demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartVersion(String);

/// Why a text is no name or version of a chart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidChart(&'static str);

impl FromStr for ChartName {
    type Err = InvalidChart;

    fn from_str(text: &str) -> Result<Self, InvalidChart> {
        let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=63).contains(&text.len()) && text.chars().all(right) && text.starts_with(|c: char| c.is_ascii_lowercase()) && !text.ends_with('-');
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidChart("at most 63 lower-case letters, digits and `-`, a letter first")) }
    }
}

impl FromStr for ChartVersion {
    type Err = InvalidChart;

    fn from_str(text: &str) -> Result<Self, InvalidChart> {
        const FORM: InvalidChart = InvalidChart("a semantic version: `1.2.3`, `1.2.3-rc.1`, `1.2.3+build.5`");
        let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
        let (numbers, pre) = rest.split_once('-').map_or((rest, None), |(numbers, pre)| (numbers, Some(pre)));
        let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let pre_word = |text: &str| word(text) && (number(text) || !text.bytes().all(|byte| byte.is_ascii_digit()));
        let right = numbers.split('.').count() == 3
            && numbers.split('.').all(number)
            && pre.is_none_or(|pre| pre.split('.').all(pre_word))
            && build.is_none_or(|build| build.split('.').all(word));
        if right && text.len() <= 128 { Ok(Self(text.to_owned())) } else { Err(FORM) }
    }
}

impl ChartVersion {
    /// The tag of the chart in a registry, where `+` is not allowed.
    #[must_use]
    pub fn tag(&self) -> String {
        self.0.replace('+', "_")
    }
}

impl std::fmt::Display for ChartName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for ChartVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What values of a chart cannot change.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// The label that tells which kernel a node runs.
    pub kernel_label: LabelKey,
    /// The type that SELinux confines loaders to.
    pub selinux_type: String,
    /// The profile that AppArmor confines loaders to; `None`: the node's default.
    pub apparmor: Option<AppArmor>,
}

impl Fixed {
    /// With what the values say by default. A release brings its own namespace.
    fn options(self) -> Result<Options, InvalidDnsLabel> {
        let namespace = "default".parse()?;
        Ok(Options { kernel_label: self.kernel_label, selinux_type: self.selinux_type, apparmor: self.apparmor, ..Options::new(namespace) })
    }
}

/// A chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Its name.
    pub name: ChartName,
    /// Its version.
    pub version: ChartVersion,
    /// Its files, by path below its folder.
    pub files: BTreeMap<String, String>,
    metadata: Metadata,
}

/// `Chart.yaml`, and in a registry the same as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    api_version: &'static str,
    name: String,
    version: String,
    description: String,
    #[serde(rename = "type")]
    kind: &'static str,
    keywords: [&'static str; 3],
    home: &'static str,
}

/// What is in a file below `objects/`.
#[derive(Serialize)]
struct Entry<'a> {
    driver: &'a str,
    version: &'a str,
    kernel: &'a str,
    component: &'a str,
    system: &'a System,
    object: &'a Value,
}

/// Why there is no chart.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The `DaemonSet`s cannot be made.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// A file of kmodforge is wrong.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A part cannot be written.
    #[error("the chart cannot be written: {0}")]
    Internal(String),
}

impl From<UnwritableObject> for ChartError {
    fn from(error: UnwritableObject) -> Self {
        Self::Internal(error.to_string())
    }
}

impl Chart {
    /// The chart for images.
    ///
    /// # Errors
    /// When their `DaemonSet`s cannot be made.
    pub fn new(images: &[FleetImage], fixed: Fixed, name: ChartName, version: ChartVersion) -> Result<Self, ChartError> {
        let options = fixed.options().map_err(|error| ChartError::Internal(error.to_string()))?;
        let deployment = deployment(images, &options)?;
        let metadata = Metadata {
            api_version: "v2",
            name: name.to_string(),
            version: version.to_string(),
            description: format!("Kernel modules by kmodforge: {}", versions(images)),
            kind: "application",
            keywords: ["kernel", "driver", "module"],
            home: "https://github.com/kmodforge/kmodforge",
        };
        let mut files = BTreeMap::from([("Chart.yaml".to_owned(), yaml("Chart.yaml", &metadata)?)]);
        for path in STATIC {
            files.insert(path.to_owned(), template::text(&format!("helm/{path}"))?);
        }
        for object in deployment.objects.iter().filter(|object| object.kind() == "DaemonSet") {
            let labels = &object.value["metadata"]["labels"];
            let kernel = object.value["metadata"]["annotations"][KERNEL].as_str().unwrap_or_default();
            let image = image_of(images, object.driver.as_deref(), &object.value, kernel);
            let image = image.ok_or_else(|| ChartError::Internal(format!("no image of {}", object.name())))?;
            let entry = Entry {
                driver: &image.driver,
                version: &image.version,
                kernel,
                component: labels["app.kubernetes.io/component"].as_str().unwrap_or_default(),
                system: &image.rollout.system,
                object: &object.value,
            };
            files.insert(format!("objects/{}.yaml", object.name()), yaml("objects", &entry)?);
        }
        let drivers: BTreeSet<&str> = images.iter().map(|image| image.driver.as_str()).collect();
        files.insert("values.yaml".into(), values(&drivers)?);
        files.insert("values.schema.json".into(), schema(&drivers)?);
        Ok(Self { name, version, files, metadata })
    }

    /// The configuration in a registry: `Chart.yaml` as JSON.
    #[must_use]
    pub fn config(&self) -> Vec<u8> {
        serde_json::to_vec(&self.metadata).unwrap_or_default()
    }

    /// The chart in one file; the same chart gives the same bytes.
    ///
    /// # Errors
    /// When it cannot be compressed.
    pub fn package(&self) -> io::Result<Vec<u8>> {
        let out = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(9));
        let mut tar = TarWriter::new(out, PACKED);
        // Helm takes the first file for the one that describes the chart.
        let (first, others): (Vec<_>, Vec<_>) = self.files.iter().partition(|(path, _)| *path == "Chart.yaml");
        for (path, text) in first.into_iter().chain(others) {
            tar.file(&format!("{}/{path}", self.name), false, text.len() as u64, &mut text.as_bytes())?;
        }
        tar.finish()?.finish()
    }

    /// `kmodforge-drivers-0.1.0.tgz`, as `helm package` calls it.
    #[must_use]
    pub fn package_name(&self) -> String {
        format!("{}-{}.tgz", self.name, self.version)
    }
}

/// The annotation with the raw release.
const KERNEL: &str = "kmodforge.io/kernel";

/// The image that an object is for: the one that one of its containers runs.
fn image_of<'a>(images: &'a [FleetImage], driver: Option<&str>, object: &Value, kernel: &str) -> Option<&'a FleetImage> {
    let pod = &object["spec"]["template"]["spec"];
    let lists = [&pod["initContainers"], &pod["containers"]];
    let runs = |image: &FleetImage| {
        let name = image.image.to_string();
        lists.iter().filter_map(|list| list.as_array()).flatten().any(|container| container["image"] == name.as_str())
    };
    let mut own = images.iter().filter(|image| Some(image.driver.as_str()) == driver && runs(image));
    if kernel.is_empty() { own.next() } else { own.find(|image| image.kernel.as_str() == kernel) }
}

/// `v4l2loopback 0.15.4, zfs 2.3.4`.
fn versions(images: &[FleetImage]) -> String {
    let versions: BTreeSet<_> = images.iter().map(|image| format!("{} {}", image.driver, image.version)).collect();
    versions.into_iter().collect::<Vec<_>>().join(", ")
}

fn values(drivers: &BTreeSet<&str>) -> Result<String, ChartError> {
    use std::fmt::Write as _;
    let mut text = template::text("helm/values.yaml")?;
    text.push_str("# Drivers: those that are switched off are not deployed.\ndrivers:\n");
    for driver in drivers {
        let _ = write!(text, "  {driver}:\n    enabled: true\n");
    }
    Ok(text)
}

fn schema(drivers: &BTreeSet<&str>) -> Result<String, ChartError> {
    let internal = |error: serde_json::Error| ChartError::Internal(error.to_string());
    let mut schema: Value = serde_json::from_str(&template::text("helm/values.schema.json")?).map_err(internal)?;
    let driver = json!({ "type": "object", "additionalProperties": false, "properties": { "enabled": { "type": "boolean" } } });
    let known: serde_json::Map<String, Value> = drivers.iter().map(|name| ((*name).to_owned(), driver.clone())).collect();
    schema["properties"]["drivers"] = json!({ "type": "object", "additionalProperties": false, "properties": known });
    Ok(serde_json::to_string_pretty(&schema).map_err(internal)? + "\n")
}

#[cfg(test)]
mod tests;
