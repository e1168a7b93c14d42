//! Which image, build arguments and files a Module means for a kernel (`internal/module/kernelmapper.go`, `internal/buildsign/helper.go`).

use super::pattern;
use super::types::{Build, BuildArg, Container, KernelMapping, Module, RegistryTls, Sign};
use super::variables::{ExpandError, Variables};

/// What a Module means for a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// The release as mappings see it: without one trailing `+`.
    pub kernel: String,
    /// The image.
    pub image: String,
    /// How KMM would build it, with the four build arguments that it sets.
    pub build: Option<Build>,
    /// What it would sign, and with what.
    pub sign: Option<Sign>,
    /// How the registry is reached.
    pub registry_tls: RegistryTls,
    /// Files of the kernel's own modules that are unloaded first.
    pub in_tree_modules: Vec<String>,
}

/// Why a Module means no image for a kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoImage {
    /// KMM leaves such nodes alone.
    #[error("no mapping matches")]
    NoMapping,
    /// A name in a text cannot be replaced.
    #[error("`{text}` cannot be expanded: {reason}")]
    Expand {
        /// The text.
        text: String,
        /// Why.
        reason: ExpandError,
    },
    /// An expression that cannot be used.
    #[error("`{pattern}` is not a regular expression: {reason}")]
    Regexp {
        /// The pattern.
        pattern: String,
        /// Why.
        reason: String,
    },
}

impl Module {
    /// What the Module means for nodes with a kernel, `uname -r` as it is.
    ///
    /// # Errors
    /// When no mapping matches, or KMM itself would fail.
    pub fn resolve(&self, release: &str) -> Result<Resolution, NoImage> {
        let kernel = release.strip_suffix('+').unwrap_or(release);
        let loader = self.spec.module_loader.as_ref().ok_or(NoImage::NoMapping)?;
        let container = &loader.container;
        let mapping = find(&container.kernel_mappings, kernel)?;
        let expand = |variables: &Variables, text: &str| variables.expand(text).map_err(|reason| NoImage::Expand { text: text.to_owned(), reason });
        let image = if mapping.container_image.is_empty() { &container.container_image } else { &mapping.container_image };
        let normalised = normalise(kernel);
        let of_kernel = Variables::of(&normalised).map_err(|reason| NoImage::Expand { text: image.clone(), reason })?;
        let sign = merge_sign(container.sign.as_ref(), mapping.sign.as_ref());
        let sign = sign
            .map(|sign| {
                let unsigned_image = sign.unsigned_image.as_deref().map(|image| expand(&of_kernel, image)).transpose()?;
                let files_to_sign = sign.files_to_sign.iter().map(|file| expand(&of_kernel, file)).collect::<Result<_, _>>()?;
                Ok(Sign { unsigned_image, files_to_sign, ..sign })
            })
            .transpose()?;
        let (name, namespace) = (self.name(), self.namespace());
        let build = merge_build(container.build.as_ref(), mapping.build.as_ref()).map(|build| {
            let own =
                ["KERNEL_FULL_VERSION", "KERNEL_VERSION"].map(|name| (name, kernel)).into_iter().chain([("MOD_NAME", name), ("MOD_NAMESPACE", namespace)]);
            let own: Vec<_> = own.map(|(name, value)| BuildArg { name: name.to_owned(), value: value.to_owned() }).collect();
            Build { build_args: override_args(build.build_args, &own), ..build }
        });
        Ok(Resolution {
            kernel: kernel.to_owned(),
            image: expand(&of_kernel.with("MOD_NAME", name).with("MOD_NAMESPACE", namespace), image)?,
            build,
            sign,
            registry_tls: mapping.registry_tls.or(container.registry_tls).unwrap_or_default(),
            in_tree_modules: in_tree_modules(container, mapping),
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its namespace; empty where none is given.
    #[must_use]
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }
}

/// The first mapping that matches, whether it is literal or not.
fn find<'m>(mappings: &'m [KernelMapping], kernel: &str) -> Result<&'m KernelMapping, NoImage> {
    for mapping in mappings {
        if mapping.literal.as_deref().is_some_and(|literal| !literal.is_empty() && literal == kernel) {
            return Ok(mapping);
        }
        let Some(regexp) = mapping.regexp.as_deref().filter(|regexp| !regexp.is_empty()) else { continue };
        let compiled = pattern::compile(regexp).map_err(|reason| NoImage::Regexp { pattern: regexp.to_owned(), reason })?;
        if compiled.is_match(kernel) {
            return Ok(mapping);
        }
    }
    Err(NoImage::NoMapping)
}

/// The release as variables have it (`internal/kernel/kernel.go`).
fn normalise(kernel: &str) -> String {
    kernel.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

/// Of a build on both levels the mapping's recipe, arguments and secrets count; everything else is the container's.
fn merge_build(container: Option<&Build>, mapping: Option<&Build>) -> Option<Build> {
    let (Some(all), Some(own)) = (container, mapping) else { return container.or(mapping).cloned() };
    let mut build = all.clone();
    build.dockerfile_config_map = own.dockerfile_config_map.clone();
    build.build_args = override_args(build.build_args, &own.build_args);
    build.secrets.extend(own.secrets.iter().cloned());
    Some(build)
}

/// Arguments with those of the same name replaced in their places, and the others added, by name.
fn override_args(mut args: Vec<BuildArg>, own: &[BuildArg]) -> Vec<BuildArg> {
    let mut unused: std::collections::BTreeMap<&str, &BuildArg> = own.iter().map(|arg| (arg.name.as_str(), arg)).collect();
    let last = unused.clone();
    for arg in &mut args {
        if let Some(own) = last.get(arg.name.as_str()) {
            unused.remove(own.name.as_str());
            *arg = (*own).clone();
        }
    }
    args.extend(unused.into_values().cloned());
    args
}

/// Of signatures on both levels the mapping's secrets and image count, and the files of both.
fn merge_sign(container: Option<&Sign>, mapping: Option<&Sign>) -> Option<Sign> {
    let (Some(all), Some(own)) = (container, mapping) else { return container.or(mapping).cloned() };
    let mut sign = all.clone();
    if own.unsigned_image.as_deref().is_some_and(|image| !image.is_empty()) {
        sign.unsigned_image.clone_from(&own.unsigned_image);
    }
    sign.key_secret = own.key_secret.clone();
    sign.cert_secret = own.cert_secret.clone();
    sign.files_to_sign.extend(own.files_to_sign.iter().cloned());
    Some(sign)
}

/// A mapping's list replaces the container's; the old field wins over both.
fn in_tree_modules(container: &Container, mapping: &KernelMapping) -> Vec<String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(one) = given(&mapping.in_tree_module_to_remove).or_else(|| given(&container.in_tree_module_to_remove)) {
        return vec![one];
    }
    mapping.in_tree_modules_to_remove.clone().or_else(|| container.in_tree_modules_to_remove.clone()).unwrap_or_default()
}

/// Whether one of `filesToSign` names a file, as a shell's patterns do: `*` stands for no `/`.
#[must_use]
pub fn glob_fits(glob: &str, path: &str) -> bool {
    let (globs, parts): (Vec<_>, Vec<_>) = (glob.split('/').collect(), path.split('/').collect());
    globs.len() == parts.len() && globs.iter().zip(parts).all(|(glob, part)| crate::pattern::matches(glob, part))
}
