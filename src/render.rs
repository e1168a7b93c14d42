//! A target → its Dockerfile and what must lie beside it, and the digest of everything that goes in. Pure.

mod authorities;
mod context;
mod inputs;
mod offline;
mod plain;
mod recipe;
mod repositories;

use std::collections::BTreeMap;

pub use authorities::APT_AUTHORITIES;
pub use context::{has_driver_toolchain, toolchain_stage};
pub use inputs::{fill_inputs, input_annotations, is_current};
pub use offline::{TOOLCHAIN, offline_dockerfile, packages, signatures, toolchain_key};
pub use plain::dockerfile_for_any_kernel;

use self::context::Context;
use crate::error::{Exit, Failure};
use crate::mirror::Mirrors;
use crate::plan::{PlannedDistro, PlannedDriver, Target};
use crate::record::SignerRecord;
use crate::template::{self, TemplateError};

/// Prefix of kmodforge's own annotations and labels.
pub const ANNOTATION: &str = "io.kmodforge.";

/// Label and annotation of an image with a module that taints the kernel as proprietary: `P`, the letter of the kernel's
/// `Documentation/admin-guide/tainted-kernels.rst`. Every module from outside of the kernel's tree sets `O` besides.
pub const TAINTS: &str = "io.kmodforge.taints";

/// Where the driver's source lies while it is compiled.
pub const SOURCE_DIR: &str = "/kmodforge/source";

/// What follows a `dkms.conf` in the builder.
const DKMS_SCRIPT: &str = include_str!("../templates/dkms/dkms.sh");

/// A target that cannot be rendered.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RenderError {
    /// The template and its context do not fit.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The driver's source lies on this machine, where no other builder finds it.
    #[error("the source of driver `{driver}` lies on this machine")]
    Local {
        /// The driver.
        driver: String,
    },
    /// Builders without mounts and contexts cannot be told how.
    #[error("a Dockerfile for any kernel cannot be written for packages of the family `{family}`")]
    NotPlain {
        /// The family.
        family: &'static str,
    },
    /// Steps or modules are known only once it is built, with the kernel at hand.
    #[error("driver `{driver}` tells its steps or modules only while it is built")]
    OnlyBuilt {
        /// The driver.
        driver: String,
    },
    /// A value in the driver's build names something unknown.
    #[error("driver `{driver}`: {message}")]
    Placeholder {
        /// The driver.
        driver: String,
        /// What is wrong.
        message: String,
    },
}

/// The target's Dockerfile, with what it fetches taken from `mirrors`.
///
/// # Errors
/// When the driver's build names an unknown placeholder.
pub fn dockerfile(target: &Target, mirrors: &Mirrors) -> Result<String, RenderError> {
    Ok(template::render(&template_name(target), &Context::of(target, mirrors)?)?)
}

/// The same, whose steps that fetch trust private authorities: the secrets `authorities` and `apt-authorities`.
///
/// # Errors
/// As [`dockerfile`].
pub fn dockerfile_with_authorities(target: &Target, mirrors: &Mirrors) -> Result<String, RenderError> {
    Ok(authorities::mount(&dockerfile(target, mirrors)?, target.distro.profile.family))
}

/// Small files that the Dockerfile adds from beside it, by name; the sources are there, too.
#[must_use]
pub fn scripts(target: &Target) -> Vec<(&'static str, &'static str)> {
    if target.driver.dkms().is_some() { vec![("dkms.sh", DKMS_SCRIPT)] } else { Vec::new() }
}

/// One template per family of packages.
fn template_name(target: &Target) -> String {
    format!("dockerfile/{}.Dockerfile.tera", target.distro.profile.family.name())
}

/// The image's labels: the `org.opencontainers.image.*` set and kmodforge's own, which carry the raw kernel release.
pub fn labels(target: &Target) -> BTreeMap<String, String> {
    let mut labels = any_kernel_labels(&target.driver, &target.distro);
    let Target { driver, kernel, .. } = target;
    labels.insert("org.opencontainers.image.title".into(), format!("{} {} for {}", driver.profile.id, driver.version().version, kernel.release));
    labels.insert(format!("{ANNOTATION}kernel"), kernel.release.to_string());
    labels.insert(format!("{ANNOTATION}arch"), target.arch.to_string());
    labels
}

/// Those labels that are the same for all kernels.
fn any_kernel_labels(driver: &PlannedDriver, distro: &PlannedDistro) -> BTreeMap<String, String> {
    let own = |name: &str| format!("{ANNOTATION}{name}");
    let oci = |name: &str| format!("org.opencontainers.image.{name}");
    let modules: Vec<_> = driver.modules().iter().filter(|module| module.load).map(|module| module.name.as_str()).collect();
    // Before the build nobody knows those that it finds itself.
    let module_label = (!driver.modules().is_empty()).then(|| (own("modules"), modules.join(" ")));
    BTreeMap::from([
        (oci("title"), format!("{} {}", driver.profile.id, driver.version().version)),
        (oci("description"), driver.profile.summary.clone()),
        (oci("version"), driver.version().version.to_string()),
        (oci("licenses"), driver.profile.licence.clone()),
        (oci("url"), driver.profile.homepage.clone()),
        (own("driver"), driver.profile.id.to_string()),
        (own("version"), driver.version().version.to_string()),
        (own("distro"), format!("{}:{}", distro.profile.id, distro.release.id)),
    ])
    .into_iter()
    .chain(module_label)
    .collect()
}

/// Labels that tell who signed the modules.
pub fn signer_labels(signer: &SignerRecord) -> [(String, String); 2] {
    [(format!("{ANNOTATION}signer"), signer.subject.clone()), (format!("{ANNOTATION}signer-certificate"), signer.certificate.clone())]
}

/// The platform that the stages which run programs need.
pub fn platform(target: &Target) -> &'static str {
    target.toolchain.build_arch.platform()
}

impl From<RenderError> for Failure {
    fn from(error: RenderError) -> Self {
        let failure = Self::new(Exit::Usage, error.to_string());
        match error {
            RenderError::Placeholder { .. } => failure.help("see the driver profile reference for the placeholders that there are"),
            RenderError::Local { .. } => failure.help("give its profile a source with a URL: `archive` or `deb`"),
            RenderError::NotPlain { .. } => failure.help("build with `kmodforge build`, and let the Module name the images"),
            RenderError::OnlyBuilt { .. } => failure.help("write a profile with `steps` and `modules`: `dkms` cannot be one of these steps"),
            RenderError::Template(_) => failure.help("this is a fault of kmodforge; please report it"),
        }
    }
}

#[cfg(test)]
#[path = "render/tests.rs"]
mod tests;
