//! Names and tags of images.

use serde::Serialize;

use super::{PlannedDistro, PlannedDriver};
use crate::arch::Arch;
use crate::error::{Exit, Failure};
use crate::package::PublishedKernel;
use crate::reference::{InvalidReference, Reference};
use crate::template::{TemplateError, UserTemplate};

/// The tag when the user gives no template.
pub const DEFAULT_TAG: &str = "{{ driver.version }}-{{ kernel.tag }}";

/// How images are called.
pub struct Naming {
    image: Option<UserTemplate>,
    repository: String,
    tag: UserTemplate,
}

/// A name or tag that cannot be.
#[derive(Clone, Debug, thiserror::Error)]
pub enum NamingError {
    /// The template is wrong.
    #[error("the {} template cannot be rendered", .0.name)]
    Template(TemplateError),
    /// What came out is no reference or tag.
    #[error("{invalid}")]
    Invalid {
        /// What is wrong.
        invalid: InvalidReference,
        /// The template that made it.
        template: String,
    },
}

/// What a tag or image template may name.
#[derive(Serialize)]
struct Names<'a> {
    driver: DriverNames<'a>,
    distro: DistroNames<'a>,
    kernel: KernelNames<'a>,
    arch: &'a str,
}

#[derive(Serialize)]
struct DriverNames<'a> {
    id: &'a str,
    version: String,
}

#[derive(Serialize)]
struct DistroNames<'a> {
    id: &'a str,
    release: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct KernelNames<'a> {
    release: &'a str,
    tag: String,
    version: String,
    flavour: &'a str,
}

impl Naming {
    /// `repository` is the part before the driver's id (`registry.example/drivers`); `image` a template that replaces both.
    ///
    /// # Errors
    /// When a template's syntax is wrong or the repository is no image name.
    pub fn new(repository: &str, image: Option<&str>, tag: Option<&str>) -> Result<Self, NamingError> {
        let repository = repository.trim_end_matches('/').to_owned();
        if image.is_none() {
            let example: Result<Reference, _> = format!("{repository}/driver").parse();
            example.map_err(|invalid| NamingError::Invalid { invalid: InvalidReference { text: repository.clone(), ..invalid }, template: "--repo".into() })?;
        }
        let image = image.map(|text| UserTemplate::parse("image", text)).transpose().map_err(NamingError::Template)?;
        let tag = UserTemplate::parse("tag", tag.unwrap_or(DEFAULT_TAG)).map_err(NamingError::Template)?;
        Ok(Self { image, repository, tag })
    }

    /// The image of a target.
    ///
    /// # Errors
    /// When a template names what does not exist, or the result is no reference.
    pub fn image(&self, driver: &PlannedDriver, distro: &PlannedDistro, kernel: &PublishedKernel, arch: Arch) -> Result<Reference, NamingError> {
        let safe = |text: &str| text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect::<String>();
        let names = Names {
            driver: DriverNames { id: driver.profile.id.as_str(), version: safe(driver.version().version.as_str()) },
            distro: DistroNames {
                id: distro.profile.id.as_str(),
                release: distro.release.id.as_str(),
                version: distro.release.version.as_deref().unwrap_or_default(),
            },
            kernel: KernelNames {
                release: kernel.release.as_str(),
                tag: kernel.release.tag(),
                version: kernel.release.version().to_string(),
                flavour: &kernel.flavour,
            },
            arch: arch.oci(),
        };
        let name = match &self.image {
            Some(template) => template.render(&names).map_err(NamingError::Template)?,
            None => format!("{}/{}", self.repository, names.driver.id),
        };
        let tag = self.tag.render(&names).map_err(NamingError::Template)?;
        let invalid = |invalid: InvalidReference, template: &str| NamingError::Invalid { invalid, template: template.to_owned() };
        let reference: Reference = name.parse().map_err(|error| invalid(error, "image"))?;
        reference.with_tag(&tag).map_err(|error| invalid(error, "tag"))
    }
}

impl From<NamingError> for Failure {
    fn from(error: NamingError) -> Self {
        let failure = Self::new(Exit::Usage, error.to_string());
        match error {
            NamingError::Template(error) => failure
                .fact("found", error.message.trim_start_matches("error: "))
                .help("a template may name `driver.id`, `driver.version`, `distro.id`, `distro.release`, `distro.version`, `kernel.release`, `kernel.tag`, `kernel.version`, `kernel.flavour` and `arch`"),
            NamingError::Invalid { template, .. } => match template.as_str() {
                "--repo" => failure.help("a repository looks like `registry.example/drivers`; the driver's id is added to it"),
                "tag" => failure.fact("made by", "the tag template").help("`{{ kernel.tag }}` is the kernel release made safe for tags"),
                other => failure.fact("made by", format!("the {other} template")).help("an image looks like `registry.example/drivers/name`; its tag is made by another template"),
            },
        }
    }
}
