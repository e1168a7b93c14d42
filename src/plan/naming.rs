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
    os_version: String,
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
                os_version: safe(kernel.os_version.as_deref().unwrap_or_default()),
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
                .help("a template may name `driver.id`, `driver.version`, `distro.id`, `distro.release`, `distro.version`, `kernel.release`, `kernel.tag`, `kernel.version`, `kernel.flavour`, `kernel.os_version` and `arch`"),
            NamingError::Invalid { template, .. } => match template.as_str() {
                "--repo" => failure.help("a repository looks like `registry.example/drivers`; the driver's id is added to it"),
                "tag" => failure.fact("made by", "the tag template").help("`{{ kernel.tag }}` is the kernel release made safe for tags"),
                other => failure.fact("made by", format!("the {other} template")).help("an image looks like `registry.example/drivers/name`; its tag is made by another template"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::plan::Target;

    fn name(image: Option<&str>, tag: Option<&str>, target: &Target) -> Result<String, NamingError> {
        let naming = Naming::new("registry.example:5000/drivers/", image, tag)?;
        naming.image(&target.driver, &target.distro, &target.kernel, target.arch).map(|image| image.to_string())
    }

    fn failure(image: Option<&str>, tag: Option<&str>) -> String {
        Failure::from(name(image, tag, &fixture::target("v4l2loopback", "6.1.0-56-amd64")).unwrap_err()).to_string()
    }

    #[test]
    fn templates_may_name_everything_about_a_target() {
        let target = fixture::target("v4l2loopback", "6.1.0-56-cloud-amd64");
        assert_eq!(name(None, None, &target).unwrap(), "registry.example:5000/drivers/v4l2loopback:0.15.3-6.1.0-56-cloud-amd64");
        let tag = "{{ distro.id }}{{ distro.version }}-{{ distro.release }}-{{ kernel.version }}-{{ kernel.flavour }}-{{ arch }}-{{ driver.id }}";
        assert_eq!(
            name(Some("ghcr.io/me/{{ driver.id }}-{{ arch }}"), Some(tag), &target).unwrap(),
            "ghcr.io/me/v4l2loopback-amd64:debian12-bookworm-6.1-cloud-amd64-v4l2loopback"
        );
    }

    #[test]
    fn characters_that_no_tag_may_have_are_replaced() {
        let mut target = fixture::target("v4l2loopback", "6.1.0-56-amd64");
        for (release, tag) in [("6.12.107+deb12-amd64", "0.15.3-6.12.107_deb12-amd64"), ("5.10.109+", "0.15.3-5.10.109"), ("6.1~rc1", "0.15.3-6.1_rc1")] {
            target.kernel = fixture::kernel(release).into();
            assert_eq!(name(None, None, &target).unwrap(), format!("registry.example:5000/drivers/v4l2loopback:{tag}"));
        }
    }

    #[test]
    fn templates_that_cannot_be_rendered_are_refused_in_words() {
        let unclosed = failure(None, Some("{{ driver.version"));
        assert!(unclosed.starts_with("error: the tag template cannot be rendered\n  found     "), "{unclosed}");
        let unknown = failure(Some("ghcr.io/{{ drvier }}"), None);
        assert!(unknown.starts_with("error: the image template cannot be rendered\n  found     "), "{unknown}");
        assert!(unknown.contains("drvier") && unknown.contains("a template may name `driver.id`, `driver.version`"), "{unknown}");
    }

    #[test]
    fn names_that_no_registry_takes_are_refused() {
        assert_eq!(
            failure(None, Some("{{ kernel.release }}/{{ arch }}")),
            "error: `6.1.0-56-amd64/amd64` is not a tag: `/` is not allowed in it\n  made by   the tag template\n  help      `{{ kernel.tag }}` is the kernel release made safe for tags"
        );
        assert_eq!(
            failure(None, Some(&"x".repeat(129))),
            format!(
                "error: `{}` is not a tag: it has 129 characters, registries take 128\n  made by   the tag template\n  help      `{{{{ kernel.tag }}}}` is the kernel release made safe for tags",
                "x".repeat(129)
            )
        );
        assert_eq!(
            failure(Some("GHCR.io/Me/{{ driver.id }}"), None),
            "error: `GHCR.io/Me/v4l2loopback` is not an image reference: repository names are lower case\n  made by   the image template\n  help      an image looks like `registry.example/drivers/name`; its tag is made by another template"
        );
        let repository = Naming::new("registry.example/$(id)", None, None).err().map(Failure::from).unwrap();
        assert_eq!(
            repository.to_string(),
            "error: `registry.example/$(id)` is not an image reference: expected `registry/name[:tag][@sha256:…]` in lower case\n  help      a repository looks like `registry.example/drivers`; the driver's id is added to it"
        );
    }
}
