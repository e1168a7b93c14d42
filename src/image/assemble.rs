//! Puts layers, configuration and manifest together. The same files and the same [`ImageSpec`] give the same digest, anywhere.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use crate::arch::Arch;
use crate::error::{Exit, Failure};

use super::artifacts::{Artifacts, ArtifactsError, FIRMWARE, MODULES, TOOLS};
use super::cache::LayerCache;
use super::layer::{Compression, Content, Layer, LayerError};
use super::manifest::{Blob, CONFIG, Config, Descriptor, History, MANIFEST, Manifest, Platform, RootFs, RunConfig};
use super::{ANNOTATION_PREFIX, FileError};

/// Everything about an image that is not in its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSpec {
    /// What it runs on.
    pub arch: Arch,
    /// Seconds since 1970 for every time in the image (`SOURCE_DATE_EPOCH`).
    pub epoch: u64,
    /// How its layers are compressed.
    pub compression: Compression,
    /// Labels of the configuration; `docker inspect` shows them.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the manifest; those that begin with [`ANNOTATION_PREFIX`] are repeated in the index.
    pub annotations: BTreeMap<String, String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// What a container does: sleep, so that a driver is loaded only when somebody says so.
    pub cmd: Vec<String>,
}

impl ImageSpec {
    /// An image that sleeps, with zstd layers and the time 0.
    #[must_use]
    pub fn new(arch: Arch) -> Self {
        Self {
            arch,
            epoch: 0,
            compression: Compression::default(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
            cmd: vec!["sleep".into(), "infinity".into()],
        }
    }
}

/// An image for one architecture, complete on disk and in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// What it runs on.
    pub arch: Arch,
    /// The manifest.
    pub manifest: Blob,
    /// The configuration.
    pub config: Blob,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    /// Annotations of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// Bytes of manifest, configuration and compressed layers: what a first pull transfers.
    pub total_size: u64,
}

impl Image {
    /// How an index names the image: with platform, and the annotations that tell what it was made from.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        let repeated = self.annotations.iter().filter(|(name, _)| name.starts_with(ANNOTATION_PREFIX));
        Descriptor {
            platform: Some(Platform::linux(self.arch)),
            annotations: repeated.map(|(name, value)| (name.clone(), value.clone())).collect(),
            ..self.manifest.descriptor()
        }
    }
}

/// Makes the image of one target: layers tools, firmware (if there is any) and modules.
///
/// The first two come from `cache`; the modules' layer is written into the folder `work`, where it must stay until the image is published.
/// Reads and writes files and computes; call it where blocking is allowed.
///
/// # Errors
/// When there are no tools or no modules, the firmware's tar is refused, or a file cannot be read or written.
pub fn assemble(artifacts: &Artifacts, firmware: Option<&Path>, spec: &ImageSpec, cache: &LayerCache, work: &Path) -> Result<Image, AssembleError> {
    let tools = Content::new(artifacts, TOOLS, false, spec.epoch);
    let modules = Content::new(artifacts, MODULES, false, spec.epoch);
    for (content, name) in [(&tools, TOOLS), (&modules, MODULES)] {
        if !content.has_files() {
            return Err(AssembleError::Empty(name));
        }
    }
    let mut layers = vec![cache.layer(TOOLS, &tools, spec.compression)?];
    if let Some(tar) = firmware {
        let firmware = Artifacts::open_firmware(tar)?;
        let content = Content::new(&firmware, FIRMWARE, true, spec.epoch);
        if content.has_files() {
            layers.push(cache.layer(FIRMWARE, &content, spec.compression)?);
        }
    }
    layers.push(write_modules(&modules, spec.compression, work)?);
    Ok(describe(spec, layers))
}

/// Not cached: no other target has the same modules.
fn write_modules(content: &Content<'_>, compression: Compression, work: &Path) -> Result<Layer, AssembleError> {
    let (diff_id, tar_size) = content.identify()?;
    let path = work.join("modules.layer");
    let (digest, size) = content.compress(compression, tar_size, &path)?;
    Ok(Layer { name: MODULES, digest, diff_id, size, tar_size, media_type: compression.media_type().to_owned(), path })
}

fn describe(spec: &ImageSpec, layers: Vec<Layer>) -> Image {
    let ImageSpec { arch, epoch, compression: _, labels, annotations, env, cmd } = spec;
    let created = Some(rfc3339(*epoch));
    let config = Blob::json(
        CONFIG,
        &Config {
            created: created.clone(),
            architecture: arch.oci().into(),
            os: "linux".into(),
            config: RunConfig { env: Some(env.clone()), cmd: Some(cmd.clone()), labels: Some(labels.clone()) },
            rootfs: RootFs { kind: "layers".into(), diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect() },
            history: layers.iter().map(|layer| History { created: created.clone(), created_by: Some(format!("kmodforge: {}", layer.name)) }).collect(),
        },
    );
    let manifest = Blob::json(
        MANIFEST,
        &Manifest {
            schema_version: 2,
            media_type: Some(MANIFEST.into()),
            config: config.descriptor(),
            layers: layers.iter().map(Layer::descriptor).collect(),
            annotations: annotations.clone(),
        },
    );
    let total_size = manifest.size() + config.size() + layers.iter().map(|layer| layer.size).sum::<u64>();
    Image { arch: *arch, manifest, config, layers, annotations: annotations.clone(), total_size }
}

impl Layer {
    /// How a manifest names the layer.
    #[must_use]
    pub fn descriptor(&self) -> Descriptor {
        Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.clone(),
            size: self.size,
            platform: None,
            annotations: BTreeMap::new(),
            other: BTreeMap::new(),
        }
    }
}

/// `1970-01-01T00:00:00Z` and later, by Howard Hinnant's `civil_from_days`.
#[must_use]
pub fn rfc3339(epoch: u64) -> String {
    let (days, second) = (epoch / 86_400 + 719_468, epoch % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// The builder's tar has nothing for a layer that every image needs.
    #[error("the builder's tar has no files below `{0}/`")]
    Empty(&'static str),
    /// A tar is refused.
    #[error(transparent)]
    Artifacts(#[from] ArtifactsError),
    /// A layer could not be made.
    #[error(transparent)]
    Layer(#[from] LayerError),
}

impl From<AssembleError> for Failure {
    fn from(error: AssembleError) -> Self {
        match error {
            AssembleError::Empty(_) => Self::new(Exit::Failed, error.to_string()).help("the Dockerfile's stage `artifacts` must fill this directory"),
            AssembleError::Artifacts(error) | AssembleError::Layer(LayerError::Artifacts(error)) => error.into(),
            AssembleError::Layer(LayerError::File(error)) => error.into(),
            AssembleError::Layer(LayerError::Write(error)) => Self::new(Exit::Failed, format!("cannot write a layer: {error}")),
        }
    }
}

impl From<FileError> for AssembleError {
    fn from(error: FileError) -> Self {
        Self::Layer(error.into())
    }
}
