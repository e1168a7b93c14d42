//! Kernels whose headers are in no repository: an image has them, with the compiler, or an archive does.

use crate::arch::Arch;
use crate::commands::session::Session;
use crate::error::{Exit, Failure};
use crate::fetch::{FetchError, Kind};
use crate::kernel::KernelRelease;
use crate::kernel_selector::KernelSelector;
use crate::package::{Package, PublishedKernel};
use crate::plan::ChosenDistro;
use crate::profile::distro::{Archives, DistroProfile};
use crate::reference::Reference;

/// Where the headers are, as whoever builds has said.
#[derive(Clone, Copy, Debug)]
pub struct Whereabouts<'a> {
    /// In an image.
    pub image: Option<&'a Reference>,
    /// In the archive of a version of the nodes' operating system.
    pub os_version: Option<&'a str>,
}

/// The kernels that are selected, as those of an image or of archives; nothing where repositories have them. Nobody lists those, so each must be named.
///
/// # Errors
/// When one is not named exactly, no distribution has such kernels, it is not said where the headers are, or an archive cannot be fetched.
pub async fn kernels(
    session: &Session,
    whereabouts: Whereabouts<'_>,
    distros: &[ChosenDistro],
    selectors: &[KernelSelector],
    arches: &[Arch],
) -> Result<Vec<PublishedKernel>, Failure> {
    match (whereabouts.image, whereabouts.os_version) {
        (Some(_), Some(_)) => Err(Failure::new(Exit::Usage, "headers are either in an image or in an archive")
            .fact("found", "an image (`--headers-image`, `headers_image`) and a version of the operating system (`--os-version`, `os_version`)")
            .help("leave one of them out")),
        (Some(image), None) => selectors.iter().map(|selector| in_image(image, distros, selector)).collect(),
        (None, Some(version)) => {
            let mut found = Vec::new();
            for selector in selectors {
                for arch in arches {
                    found.push(Box::pin(in_archive(session, version, distros, selector, *arch)).await?);
                }
            }
            Ok(found)
        }
        (None, None) => distros.iter().try_for_each(|(profile, _)| refuse(profile)).map(|()| Vec::new()),
    }
}

/// Refuses a distribution whose kernels no repository has the headers of.
///
/// # Errors
/// How to get them, if it is one.
pub fn refuse(profile: &DistroProfile) -> Result<(), Failure> {
    let kernels = &profile.kernels;
    if kernels.are_published() {
        return Ok(());
    }
    let place = if kernels.archives.is_some() { "they are part of an archive for each version of the operating system" } else { "they are part of an image" };
    let mut failure = Failure::new(Exit::Usage, format!("no repository has the headers of kernels of `{}`", profile.id)).fact("because", place);
    if let Some(archives) = &kernels.archives {
        failure = failure.help(format!("name the release exactly, and the nodes' version: --os-version VERSION ({})", archives.version_is));
    }
    if let Some(image) = &kernels.in_image {
        failure = failure.help(format!("name the release exactly, and the image: --headers-image IMAGE ({image})"));
    }
    Err(failure)
}

fn in_image(image: &Reference, distros: &[ChosenDistro], selector: &KernelSelector) -> Result<PublishedKernel, Failure> {
    let (release, _, flavour) = recognised(&format!("`{image}`"), distros, selector)?;
    Ok(PublishedKernel { headers_image: Some(image.to_string()), origin: image.to_string(), ..unknown(release, flavour) })
}

async fn in_archive(session: &Session, version: &str, distros: &[ChosenDistro], selector: &KernelSelector, arch: Arch) -> Result<PublishedKernel, Failure> {
    let (release, profile, flavour) = recognised(&format!("version `{version}` of the operating system"), distros, selector)?;
    let archives = profile.kernels.archives.as_ref().ok_or_else(|| {
        Failure::new(Exit::Usage, format!("kernels of `{}` are not told apart by a version of the operating system", profile.id))
            .fact("because", "their headers are in no archive that is called after it")
            .help("leave `--os-version` (`os_version`) out")
    })?;
    let url = archives.url(version, arch).ok_or_else(|| {
        let patterns: Vec<_> = archives.places.iter().map(|place| format!("`{}`", place.versions)).collect();
        Failure::new(Exit::Usage, format!("`{version}` is no version of `{}`", profile.id))
            .fact("expected", format!("a version that fits {}", patterns.join(" or ")))
            .help(format!("it is {}", archives.version_is))
    })?;
    let headers = packages(session, archives, version, &url, arch).await.map_err(|error| about(error, profile, version))?;
    Ok(PublishedKernel { headers, os_version: Some(version.to_owned()), origin: url, ..unknown(release, flavour) })
}

/// The archive with the headers and, if there is one, that with the compiler.
async fn packages(session: &Session, archives: &Archives, version: &str, url: &str, arch: Arch) -> Result<Vec<Package>, FetchError> {
    let mut urls = vec![url.to_owned()];
    if let Some(compiler) = &archives.compiler {
        let named_in = compiler.named_in(version, arch);
        let text = session.fetcher.cached(Kind::Package, &named_in).await?.bytes;
        urls.push(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned());
    }
    let mut packages = Vec::new();
    for url in urls {
        let file = session.fetcher.unlisted(Kind::Package, &url).await?;
        let name = url.rsplit('/').next().unwrap_or_default().to_owned();
        packages.push(Package { name, version: version.to_owned(), arch: arch.oci().to_owned(), url, sha256: file.sha256, size: file.size });
    }
    Ok(packages)
}

fn about(error: FetchError, profile: &DistroProfile, version: &str) -> Failure {
    let missing = error.is_missing();
    let failure = Failure::from(error);
    if missing { failure.help(format!("see whether `{}` has a version `{version}`: {}", profile.id, profile.homepage)) } else { failure }
}

/// The release that is named, whose it is, and its flavour.
fn recognised<'d>(place: &str, distros: &'d [ChosenDistro], selector: &KernelSelector) -> Result<(KernelRelease, &'d DistroProfile, String), Failure> {
    let Some(release) = selector.exact() else {
        return Err(Failure::new(Exit::Usage, format!("`{selector}` does not tell which kernel {place} has headers of"))
            .help("name the release exactly, as `uname -r` prints it"));
    };
    let Some((profile, told)) = distros.iter().find_map(|(profile, _)| Some((profile, profile.recognise(release)?))) else {
        let ids: Vec<_> = distros.iter().map(|(profile, _)| format!("`{}`", profile.id)).collect();
        return Err(Failure::new(Exit::Usage, format!("`{release}` is no kernel of {}", ids.join(" or ")))
            .help(format!("see whose it is: kmodforge kernels match {release}")));
    };
    Ok((release.clone(), profile, told.flavour))
}

/// A kernel of which no more is known.
fn unknown(release: KernelRelease, flavour: String) -> PublishedKernel {
    PublishedKernel {
        release,
        flavour,
        headers: Vec::new(),
        headers_image: None,
        os_version: None,
        image: Vec::new(),
        compilers: Vec::new(),
        backport: false,
        origin: String::new(),
    }
}
