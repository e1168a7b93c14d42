//! Kernels whose headers are in no repository: an image has them, with the compiler.

use crate::error::{Exit, Failure};
use crate::kernel_selector::KernelSelector;
use crate::package::PublishedKernel;
use crate::plan::ChosenDistro;
use crate::reference::Reference;

/// The kernels that are selected, as those of an image. Nobody lists what an image has, so each must be named.
///
/// # Errors
/// When one is not named exactly, or no distribution has such kernels.
pub fn kernels(image: &Reference, distros: &[ChosenDistro], selectors: &[KernelSelector]) -> Result<Vec<PublishedKernel>, Failure> {
    selectors.iter().map(|selector| kernel(image, distros, selector)).collect()
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
