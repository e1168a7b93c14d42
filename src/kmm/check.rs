//! What KMM's webhook refuses (`internal/webhook/module.go`), so that no Module is taken for one that a cluster would take.

use super::pattern;
use super::types::{Container, Modprobe, Module, Sign};
use crate::yaml::Trail;

/// How long name and namespace of a Module may be together: the strictest of all versions since 2.1.
pub const NAMES_LENGTH: usize = 40;

/// Why a cluster does not take a Module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no such resource, or not in that version.
    #[error("there is no Module of `{0}`")]
    ApiVersion(String),
    /// A device plugin alone.
    #[error("the Module loads no kernel module")]
    NoLoader,
    /// No name.
    #[error("the Module has no name")]
    NoName,
    /// Too long together.
    #[error("name and namespace `{name}` and `{namespace}` have {} characters together", name.len() + namespace.len())]
    NamesTooLong {
        /// The name.
        name: String,
        /// The namespace.
        namespace: String,
    },
    /// The image depends on the namespace, which is not given.
    #[error("the image's name depends on the Module's namespace, which is not given")]
    NoNamespace,
    /// A list that needs an entry.
    #[error("there is no kernel mapping")]
    NoMapping,
    /// `literal` and `regexp`.
    #[error("a mapping has both `literal` and `regexp`")]
    BothMatchers,
    /// Neither.
    #[error("a mapping has neither `literal` nor `regexp`")]
    NoMatcher,
    /// Not RE2.
    #[error("`{pattern}` is not a regular expression")]
    Regexp {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No image on either level.
    #[error("a mapping has no image")]
    NoImage,
    /// Neither tag nor digest.
    #[error("the image `{0}` has neither tag nor digest")]
    NoTag(String),
    /// The old and the new field.
    #[error("both `inTreeModuleToRemove` and `inTreeModulesToRemove` are used")]
    BothRemovals,
    /// `moduleName` and `rawArgs`, or neither.
    #[error("`modprobe` must have either `moduleName` or `rawArgs` with `load` and `unload`")]
    ModuleName,
    /// `modulesLoadingOrder` is not as it must be.
    #[error("`modulesLoadingOrder` {0}")]
    LoadingOrder(&'static str),
    /// Nothing to sign.
    #[error("`sign` names no `filesToSign`")]
    NothingToSign,
    /// A file that is not among the modules.
    #[error("`{file}` is not below `dirName`, `{dir_name}`")]
    OutsideDirName {
        /// The file.
        file: String,
        /// Where modules lie.
        dir_name: String,
    },
}

/// Where the container's settings are.
fn container() -> Trail {
    Trail::to("spec").then("moduleLoader").then("container")
}

/// Finds the first thing that a cluster would refuse, and where it is.
pub(super) fn check(module: &Module) -> Result<(), (Trail, Problem)> {
    let name = module.metadata.name.clone().unwrap_or_default();
    let namespace = module.metadata.namespace.clone().unwrap_or_default();
    if name.is_empty() {
        return Err((Trail::to("metadata"), Problem::NoName));
    }
    if name.len() + namespace.len() > NAMES_LENGTH {
        return Err((Trail::to("metadata").then("name"), Problem::NamesTooLong { name, namespace }));
    }
    let Some(loader) = &module.spec.module_loader else { return Err((Trail::to("spec"), Problem::NoLoader)) };
    check_modprobe(&loader.container.modprobe).map_err(|problem| (container().then("modprobe"), problem))?;
    check_images(&loader.container, namespace.is_empty())?;
    check_mappings(&loader.container)
}

fn check_modprobe(modprobe: &Modprobe) -> Result<(), Problem> {
    let named = modprobe.module_name.as_deref().is_some_and(|name| !name.is_empty());
    let raw = modprobe.raw_args.clone().unwrap_or_default();
    if named && !(raw.load.is_empty() && raw.unload.is_empty()) || !named && (raw.load.is_empty() || raw.unload.is_empty()) {
        return Err(Problem::ModuleName);
    }
    let order = &modprobe.modules_loading_order;
    if order.is_empty() {
        return Ok(());
    }
    if order.len() < 2 {
        return Err(Problem::LoadingOrder("must have at least two entries"));
    }
    if !named || modprobe.module_name.as_ref() != order.first() {
        return Err(Problem::LoadingOrder("must begin with `moduleName`"));
    }
    if order.iter().collect::<std::collections::BTreeSet<_>>().len() < order.len() {
        return Err(Problem::LoadingOrder("names a module twice"));
    }
    Ok(())
}

fn check_images(container: &Container, nameless: bool) -> Result<(), (Trail, Problem)> {
    if container.kernel_mappings.is_empty() {
        return Err((self::container().then("kernelMappings"), Problem::NoMapping));
    }
    let of_mappings = container.kernel_mappings.iter().enumerate().map(|(index, mapping)| {
        let trail = self::container().then("kernelMappings").then(index);
        (trail, &mapping.container_image)
    });
    for (trail, image) in of_mappings.chain([(self::container(), &container.container_image)]) {
        let trail = trail.then("containerImage");
        let inherited = trail != self::container().then("containerImage") && container.container_image.is_empty();
        if image.is_empty() && inherited {
            return Err((trail, Problem::NoImage));
        }
        if !image.is_empty() && !image.contains([':', '@']) {
            return Err((trail, Problem::NoTag(image.clone())));
        }
        if nameless && image.contains("MOD_NAMESPACE") {
            return Err((trail, Problem::NoNamespace));
        }
    }
    Ok(())
}

fn check_mappings(container: &Container) -> Result<(), (Trail, Problem)> {
    let dir_name = container.modprobe.dir_name();
    let all = self::container();
    let (plural, singular) = (container.in_tree_modules_to_remove.is_some(), container.in_tree_module_to_remove.is_some());
    if plural && singular {
        return Err((all.then("inTreeModuleToRemove"), Problem::BothRemovals));
    }
    check_sign(&all, container.sign.as_ref(), dir_name)?;
    for (index, mapping) in container.kernel_mappings.iter().enumerate() {
        let trail = all.then("kernelMappings").then(index);
        let of = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        match (of(&mapping.literal), of(&mapping.regexp)) {
            (Some(_), Some(_)) => return Err((trail.then("regexp"), Problem::BothMatchers)),
            (None, None) => return Err((trail, Problem::NoMatcher)),
            (None, Some(pattern)) => {
                pattern::compile(&pattern).map_err(|reason| (trail.then("regexp"), Problem::Regexp { pattern: pattern.clone(), reason }))?;
            }
            (Some(_), None) => {}
        }
        if (plural || mapping.in_tree_modules_to_remove.is_some()) && (singular || mapping.in_tree_module_to_remove.is_some()) {
            return Err((trail, Problem::BothRemovals));
        }
        check_sign(&trail, mapping.sign.as_ref(), dir_name)?;
    }
    Ok(())
}

fn check_sign(trail: &Trail, sign: Option<&Sign>, dir_name: &str) -> Result<(), (Trail, Problem)> {
    let Some(sign) = sign else { return Ok(()) };
    let trail = trail.then("sign");
    if sign.files_to_sign.is_empty() {
        return Err((trail, Problem::NothingToSign));
    }
    let below = format!("{dir_name}/");
    match sign.files_to_sign.iter().position(|file| !file.starts_with(&below)) {
        Some(index) => {
            let file = sign.files_to_sign[index].clone();
            Err((trail.then("filesToSign").then(index), Problem::OutsideDirName { file, dir_name: dir_name.to_owned() }))
        }
        None => Ok(()),
    }
}

impl Problem {
    /// What was expected instead, for below the token.
    pub(super) fn label(&self) -> String {
        match self {
            Self::ApiVersion(_) => format!("expected `{}`", super::API_VERSION),
            Self::NoLoader => "expected `moduleLoader`".into(),
            Self::NoName => "expected `name`".into(),
            Self::NamesTooLong { .. } => format!("KMM takes {NAMES_LENGTH}"),
            Self::NoNamespace => "`MOD_NAMESPACE` in here".into(),
            Self::NoMapping => "expected at least one entry".into(),
            Self::BothMatchers | Self::NoMatcher | Self::BothRemovals | Self::ModuleName => "expected one of the two".into(),
            Self::Regexp { reason, .. } => reason.clone(),
            Self::NoImage => "expected an image, here or in `container`".into(),
            Self::NoTag(_) => "expected `IMAGE:TAG` or `IMAGE@DIGEST`".into(),
            Self::LoadingOrder(_) => "the first is loaded last".into(),
            Self::NothingToSign => "expected at least one file".into(),
            Self::OutsideDirName { dir_name, .. } => format!("expected `{dir_name}/…`"),
        }
    }
}
