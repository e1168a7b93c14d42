//! Images of kernels to come, built and signed in the cluster.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use super::{KmmError, KmmVersion, Settings, metadata};
use crate::deploy::fleet::FleetImage;
use crate::kernel::KernelRelease;
use crate::kmm::{Build, KernelMapping, Named, Sign};

/// How images of kernels to come are made.
#[derive(Clone, Debug, Default)]
pub struct InClusterBuild {
    /// A recipe per driver, version and release of a distribution.
    pub recipes: Vec<Recipe>,
    /// Secrets with key and certificate for signatures.
    pub sign: Option<(String, String)>,
    /// Labels of the nodes that build.
    pub selector: BTreeMap<String, String>,
}

/// A Dockerfile that makes images for the kernels of a distribution's release.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// `v4l2loopback`.
    pub driver: String,
    /// `0.15.4`.
    pub version: String,
    /// `debian`.
    pub distro: String,
    /// `bookworm`.
    pub distro_release: String,
    /// The Dockerfile.
    pub dockerfile: String,
    /// Directories below the release that modules lie in: `extra`.
    pub directories: Vec<String>,
}

impl InClusterBuild {
    /// A recipe and a mapping for each release of a distribution and each series of kernels that there are images for: kernels whose
    /// releases differ from theirs in numbers alone.
    pub(super) fn mappings(&self, name: &str, images: &[&FleetImage], settings: &Settings) -> Result<Vec<(ConfigMap, KernelMapping)>, KmmError> {
        let mut releases: BTreeMap<(&str, &str, &str), Vec<&FleetImage>> = BTreeMap::new();
        for image in images {
            releases.entry((&image.version, &image.distro, &image.distro_release)).or_default().push(image);
        }
        let single = releases.len() == 1;
        releases.into_values().map(|images| self.mapping(name, single, &images, settings)).collect()
    }

    fn mapping(&self, name: &str, single: bool, images: &[&FleetImage], settings: &Settings) -> Result<(ConfigMap, KernelMapping), KmmError> {
        let image = images[0];
        let recipe = self.recipe(image)?;
        let config_map = if single {
            format!("{name}-dockerfile")
        } else {
            format!("{name}-{}-{}-dockerfile", image.version, image.distro_release).to_lowercase().replace(['_', '+', '~'], "-")
        };
        let mut series: Vec<String> = images.iter().map(|image| series(&image.kernel)).collect();
        series.sort();
        series.dedup();
        if series.iter().any(|series| series.contains('+')) && images.iter().any(|image| image.kernel.directory().contains('+')) {
            settings.version.must_have("names for images of kernels with `+` in their release", KmmVersion::SAFE_TAGS)?;
        }
        let regexp = match series.as_slice() {
            [one] => format!("^{one}$"),
            several => format!("^({})$", several.join("|")),
        };
        let mapping = KernelMapping {
            regexp: Some(regexp),
            container_image: image_of_any_kernel(image)?,
            build: Some(Build { dockerfile_config_map: Named::new(config_map.as_str()), selector: self.build_selector(images), ..Build::default() }),
            sign: self.sign.as_ref().map(|(key, certificate)| Sign {
                key_secret: Named::new(key),
                cert_secret: Named::new(certificate),
                files_to_sign: files_to_sign(recipe, image, settings.version),
                ..Sign::default()
            }),
            ..KernelMapping::default()
        };
        let data = BTreeMap::from([("dockerfile".to_owned(), recipe.dockerfile.clone())]);
        // A hub builds in the namespace of its operator, whatever that is.
        let namespace = settings.hub.is_none().then_some(settings.namespace.as_str());
        Ok((ConfigMap { metadata: metadata(&config_map, namespace), data: Some(data), ..ConfigMap::default() }, mapping))
    }

    fn recipe(&self, image: &FleetImage) -> Result<&Recipe, KmmError> {
        let fits = |recipe: &&Recipe| {
            recipe.driver == image.driver && recipe.version == image.version && recipe.distro == image.distro && recipe.distro_release == image.distro_release
        };
        self.recipes.iter().find(fits).ok_or_else(|| KmmError::NoRecipe {
            driver: image.driver.clone(),
            version: image.version.clone(),
            distro: image.distro.clone(),
            release: image.distro_release.clone(),
        })
    }

    /// KMM loses the Module's selector on the way to a build pod, and a build makes an image for the machine that it runs on.
    fn build_selector(&self, images: &[&FleetImage]) -> BTreeMap<String, String> {
        let mut selector = self.selector.clone();
        if let Some(arch) = images.iter().flat_map(|image| &image.arches).min() {
            selector.entry("kubernetes.io/arch".into()).or_insert_with(|| arch.oci().to_owned());
        }
        selector
    }

    pub(super) fn assumptions(&self, settings: &Settings) -> Vec<String> {
        let mut assumptions = vec![
            "images of kernels to come are built in the cluster, from the distribution's own index, and checked by nobody: build them before, where you can"
                .to_owned(),
        ];
        if settings.hub.is_some() {
            assumptions.push("the hub builds in the namespace of its operator, where ConfigMaps and secrets must be: kubectl apply -n NAMESPACE".into());
        }
        if let Some((key, certificate)) = self.sign.as_ref().filter(|_| settings.hub.is_none()) {
            assumptions.push(format!(
                "secrets `{key}` (key `key`) and `{certificate}` (key `cert`) are in namespace `{}`; KMM signs what it builds, and nothing else",
                settings.namespace
            ));
        }
        assumptions
    }
}

/// The image's name with KMM's variable in the place of the kernel.
fn image_of_any_kernel(image: &FleetImage) -> Result<String, KmmError> {
    let named = crate::reference::Reference { digest: None, ..image.image.clone() };
    let tag = image.image.tag.as_deref().unwrap_or_default();
    let kernel = image.kernel.tag();
    if !tag.contains(&kernel) {
        return Err(KmmError::TagWithoutKernel(named.to_string()));
    }
    Ok(format!("{}:{}", named.name(), tag.replacen(&kernel, "${KERNEL_FULL_VERSION}", 1)))
}

/// A regular expression for the kernels that follow one: every number behind the second may be another. Never ends in `\+`.
fn series(kernel: &KernelRelease) -> String {
    let release = kernel.directory();
    let mut pattern = String::new();
    let mut numbers = 0;
    let mut rest = release;
    let mut before = None;
    while let Some(c) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let after = rest[digits..].chars().next();
        let alone = digits > 0 && before.is_none_or(|c| ".-+".contains(c)) && after.is_none_or(|c| !c.is_ascii_alphabetic());
        if alone && numbers >= 2 {
            pattern.push_str("[0-9]+");
        }
        numbers += usize::from(alone);
        let taken = digits.max(1);
        if !(alone && numbers > 2) {
            if ".+".contains(c) {
                pattern.push('\\');
            }
            pattern.push_str(&rest[..taken]);
        }
        before = rest[..taken].chars().last().or(Some(c));
        rest = &rest[taken..];
    }
    pattern
}

/// Patterns since KMM 2.6; before, exact paths, in which KMM puts its variable.
fn files_to_sign(recipe: &Recipe, image: &FleetImage, version: KmmVersion) -> Vec<String> {
    if version >= KmmVersion::PATTERNS {
        return recipe.directories.iter().map(|directory| format!("/opt/lib/modules/*/{directory}/*.ko")).collect();
    }
    let modules = image.rollout.loads.iter().map(|load| &load.module);
    let directory = recipe.directories.first().map_or("extra", String::as_str);
    modules.map(|module| format!("/opt/lib/modules/${{KERNEL_FULL_VERSION}}/{directory}/{module}.ko")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_what_differs_in_numbers() {
        for (kernel, expected) in [
            ("6.1.0-56-amd64", r"6\.1\.[0-9]+-[0-9]+-amd64"),
            ("6.1.0-56-cloud-amd64", r"6\.1\.[0-9]+-[0-9]+-cloud-amd64"),
            ("6.12.117+deb12-amd64", r"6\.12\.[0-9]+\+deb12-amd64"),
            ("7.2.13+deb14-arm64-16k", r"7\.2\.[0-9]+\+deb14-arm64-16k"),
            ("5.14.0-570.12.1.el9_6.x86_64", r"5\.14\.[0-9]+-[0-9]+\.[0-9]+\.[0-9]+\.el9_6\.x86_64"),
            ("5.10.109+", r"5\.10\.[0-9]+"),
        ] {
            let kernel: KernelRelease = kernel.parse().unwrap();
            let pattern = series(&kernel);
            assert_eq!(pattern, expected);
            assert!(regex::Regex::new(&format!("^{pattern}$")).unwrap().is_match(kernel.directory()), "{kernel}");
        }
    }
}
