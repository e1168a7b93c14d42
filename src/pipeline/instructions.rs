//! What a builder is told about a target: online, what to fetch; offline, what lies beside the Dockerfile.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;

use super::TargetError;
use crate::builder::{Content, ContextFile};
use crate::fetch::{FetchError, Fetcher, Kind};
use crate::plan::Target;
use crate::reference::Digest;
use crate::render;

/// A target's Dockerfile, and the files that it finds beside it whichever stage is solved; the driver's source is not among them.
#[derive(Clone, Debug)]
pub struct Instructions {
    /// The Dockerfile.
    pub dockerfile: Arc<str>,
    /// Toolchain and packages where they come from a bundle, else nothing.
    pub files: Vec<ContextFile>,
}

impl Instructions {
    /// Those for a target. `base_digests`: of base images, by the references in profiles.
    ///
    /// # Errors
    /// When the target cannot be rendered, or the bundle lacks something.
    pub async fn of(target: &Target, fetcher: &Fetcher, base_digests: &BTreeMap<String, Digest>) -> Result<Self, TargetError> {
        let Some(bundle) = fetcher.bundle().cloned() else {
            let render = if fetcher.has_authorities() { render::dockerfile_with_authorities } else { render::dockerfile };
            return Ok(Self { dockerfile: render(target, fetcher.mirrors())?.into(), files: Vec::new() });
        };
        let dockerfile = render::offline_dockerfile(target, fetcher.mirrors())?.into();
        let packages = render::packages(target).map(async |(path, package)| {
            let file = fetcher.verified(Kind::Package, &package.url, &package.sha256).await?;
            Ok::<_, FetchError>(ContextFile { path, content: Content::File { path: file, sha256: package.sha256.clone() } })
        });
        let mut files = try_join_all(packages).await.map_err(TargetError::from)?;
        for (path, url) in render::signatures(target) {
            files.extend(signature(fetcher, &url).await?.map(|bytes| ContextFile { path, content: Content::Bytes(bytes.into()) }));
        }
        let (key, what) = (render::toolchain_key(target, base_digests.get(target.build_image()))?, toolchain_name(target));
        let toolchain = super::target::blocking(move || {
            let (path, sha256) = bundle.toolchain(&key, &what).map_err(FetchError::from)?;
            Ok(Content::File { path, sha256: sha256.to_owned() })
        });
        files.push(ContextFile { path: render::TOOLCHAIN.to_owned(), content: toolchain.await? });
        Ok(Self { dockerfile, files })
    }
}

/// A signature that is a file of its own. Trusted repositories need not have any, and steps that miss one say so.
pub(super) async fn signature(fetcher: &Fetcher, url: &str) -> Result<Option<Vec<u8>>, FetchError> {
    match fetcher.cached(Kind::Package, url).await {
        Ok(file) => Ok(Some(file.bytes)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A toolchain as messages name it.
pub(super) fn toolchain_name(target: &Target) -> String {
    let own = if render::has_driver_toolchain(target) { format!(" with packages of {}", target.driver.profile.id) } else { String::new() };
    format!("toolchain of {} {} for {}: {}{own}", target.distro.profile.id, target.distro.release.id, target.arch, target.toolchain.compiler)
}
