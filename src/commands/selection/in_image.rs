//! Kernels whose headers are in no repository: an image has them, with the compiler.

use crate::error::{Exit, Failure};
use crate::kernel_selector::KernelSelector;
use crate::package::PublishedKernel;
use crate::plan::ChosenDistro;
use crate::profile::distro::DistroProfile;
use crate::reference::Reference;

/// The kernels that are selected, as those of an image; nothing where repositories have them. Nobody lists what an image has, so each must be named.
///
/// # Errors
/// When one is not named exactly, no distribution has such kernels, or only an image can have the headers and none is named.
pub fn kernels(image: Option<&Reference>, distros: &[ChosenDistro], selectors: &[KernelSelector]) -> Result<Vec<PublishedKernel>, Failure> {
    match image {
        Some(image) => selectors.iter().map(|selector| kernel(image, distros, selector)).collect(),
        None => distros.iter().try_for_each(|(profile, _)| refuse_unlisted(profile)).map(|()| Vec::new()),
    }
}

/// Refuses a distribution whose kernels no repository has the headers of.
///
/// # Errors
/// How to get them, if it is one.
pub fn refuse_unlisted(profile: &DistroProfile) -> Result<(), Failure> {
    let Some(image) = &profile.kernels.in_image else { return Ok(()) };
    Err(Failure::new(Exit::Usage, format!("no repository has the headers of kernels of `{}`", profile.id))
        .fact("because", "they are part of an image")
        .help(format!("name the release exactly, and the image: --headers-image IMAGE ({image})")))
}

fn kernel(image: &Reference, distros: &[ChosenDistro], selector: &KernelSelector) -> Result<PublishedKernel, Failure> {
    let Some(release) = selector.exact() else {
        return Err(Failure::new(Exit::Usage, format!("`{selector}` does not tell which kernel `{image}` has headers of"))
            .help("name the release exactly, as `uname -r` prints it"));
    };
    let Some(told) = distros.iter().find_map(|(profile, _)| profile.recognise(release)) else {
        let ids: Vec<_> = distros.iter().map(|(profile, _)| format!("`{}`", profile.id)).collect();
        return Err(Failure::new(Exit::Usage, format!("`{release}` is no kernel of {}", ids.join(" or ")))
            .help(format!("see whose it is: kmodforge kernels match {release}")));
    };
    Ok(PublishedKernel {
        release: release.clone(),
        flavour: told.flavour,
        headers: Vec::new(),
        headers_image: Some(image.to_string()),
        image: Vec::new(),
        compilers: Vec::new(),
        backport: false,
        origin: image.to_string(),
    })
}
