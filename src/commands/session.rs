//! What the verbs have in common: profiles, project file, mirrors, caches.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::arch::Arch;
use crate::bundle::Bundle;
use crate::catalog::Catalog;
use crate::cli::{GlobalArgs, OfflineArgs, ProjectArgs, RegistryArgs};
use crate::credentials::Credentials;
use crate::env;
use crate::error::{Exit, Failure, io_words};
use crate::fetch::{FetchOptions, Fetcher, Origin, Timeouts};
use crate::kernel_memory::KernelMemory;
use crate::mirror::Mirrors;
use crate::plan::Plan;
use crate::project::Project;
use crate::reference::Reference;
use crate::registry::{Registry, RegistryOptions};

/// Seconds that a kernel index is taken as fresh; so long a repeated command asks no repository.
const INDEX_FRESH: Duration = Duration::from_mins(1);

/// Everything that a verb starts from.
pub struct Session {
    /// Profiles.
    pub catalog: Catalog,
    /// The project file, if there is one.
    pub project: Option<Project>,
    /// Where things are fetched from, and kept.
    pub fetcher: Arc<Fetcher>,
    /// Configurations of kernels.
    pub memory: KernelMemory,
    /// The cache folder.
    pub cache: PathBuf,
}

impl Session {
    /// Loads profiles and project file.
    ///
    /// # Errors
    /// When one of them is wrong.
    pub fn open(global: &GlobalArgs, project: &ProjectArgs) -> Result<Self, Failure> {
        Self::with_origin(global, project, Origin::Network)
    }

    /// As [`Self::open`], and everything is taken from a bundle if the arguments name one.
    ///
    /// # Errors
    /// When one of the files is wrong, or there is no bundle.
    pub fn open_in_gap(global: &GlobalArgs, project: &ProjectArgs, gap: &OfflineArgs) -> Result<Self, Failure> {
        let bundle = gap.offline.as_deref().map(Bundle::open).transpose()?;
        Self::with_origin(global, project, bundle.map_or(Origin::Network, |bundle| Origin::Bundle(Arc::new(bundle))))
    }

    /// As [`Self::open`], with everything from there.
    ///
    /// # Errors
    /// When one of the files is wrong.
    pub fn with_origin(global: &GlobalArgs, project: &ProjectArgs, origin: Origin) -> Result<Self, Failure> {
        let (catalog, project) = load_catalog(global, project)?;
        let cache = global.cache_dir.clone().unwrap_or_else(env::cache_dir);
        let mut options = FetchOptions::new(project.as_ref().map(|project| project.content.mirrors.clone()).unwrap_or_default(), cache.clone());
        options.max_age = INDEX_FRESH;
        options.origin = origin;
        options.identity = client_certificate();
        options.extra_ca = authorities();
        options.logins = logins();
        if let Some(patience) = patience()? {
            options.timeouts = Timeouts { connect: options.timeouts.connect.min(patience), read: patience };
        }
        let fetcher = Arc::new(Fetcher::new(options)?);
        Ok(Self { catalog, project, fetcher, memory: KernelMemory::new(&cache), cache })
    }

    /// The project's mirrors.
    pub fn mirrors(&self) -> Mirrors {
        self.fetcher.mirrors().clone()
    }

    /// Folder that relative `path:` sources of a driver count from: that of its profile.
    pub fn driver_folder(&self, driver: &str) -> PathBuf {
        let file = self.catalog.driver_entry(driver).ok().and_then(|entry| entry.file.as_deref());
        file.and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_owned)
    }

    /// Those folders for all drivers of a plan, by id.
    pub fn driver_folders(&self, plan: &Plan) -> HashMap<String, PathBuf> {
        let folder = |driver: &str| (driver.to_owned(), self.driver_folder(driver));
        plan.targets.iter().map(|target| folder(target.driver.profile.id.as_str())).collect()
    }

    /// Registries that base images come from, by host and port: a private builder may speak plain HTTP to those on this machine.
    pub fn image_hosts(&self) -> Vec<String> {
        let hosts = self.fetcher.mirrors().images.values().filter_map(|image| image.parse::<Reference>().or_else(|_| format!("{image}x").parse()).ok());
        hosts.filter(Reference::is_loopback).map(|reference| reference.registry).collect()
    }

    /// The user's logins.
    ///
    /// # Errors
    /// When Docker's configuration cannot be read.
    pub fn credentials(&self) -> Result<Credentials, Failure> {
        Ok(Credentials::load(None)?)
    }

    /// A client for registries.
    ///
    /// # Errors
    /// When the credentials or certificates cannot be read.
    pub fn registry(&self, args: &RegistryArgs) -> Result<Registry, Failure> {
        let credentials = Arc::new(self.credentials()?);
        let options = RegistryOptions { plain_http: args.plain_http.clone(), ca: args.registry_ca.clone(), ..RegistryOptions::default() };
        Ok(Registry::new(options, credentials)?)
    }
}

/// File with the certificate and key that package repositories may ask for: a subscription's, say.
pub fn client_certificate() -> Option<PathBuf> {
    env::var("KMODFORGE_CLIENT_CERTIFICATE").map(PathBuf::from)
}

/// File with certificates of authorities to trust besides the system's.
pub fn authorities() -> Option<PathBuf> {
    env::var("KMODFORGE_CA").map(PathBuf::from)
}

/// File with logins for repositories and servers of sources.
pub fn logins() -> Option<PathBuf> {
    env::var("KMODFORGE_APT_AUTH").map(PathBuf::from)
}

/// Profiles and the project file, checked against each other.
///
/// # Errors
/// When one of them is wrong.
pub fn load_catalog(global: &GlobalArgs, project: &ProjectArgs) -> Result<(Catalog, Option<Project>), Failure> {
    let project = match &project.file {
        Some(file) => Some(Project::load(file)?),
        None => Project::find(Path::new("."))?,
    };
    let mut catalog = Catalog::embedded()?;
    for folder in [project.as_ref().and_then(Project::profiles), global.profiles.clone()].into_iter().flatten() {
        catalog = catalog.with_dir(&folder)?;
    }
    if let Some(project) = &project {
        project.check(&catalog)?;
    }
    Ok((catalog, project))
}

/// The architecture of this machine, where compilers run.
pub fn host_arch() -> Arch {
    if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::Amd64 }
}

/// How long servers of sources and packages may be silent: `KMODFORGE_TIMEOUT`, in seconds.
fn patience() -> Result<Option<Duration>, Failure> {
    let Some(text) = env::var("KMODFORGE_TIMEOUT") else { return Ok(None) };
    let seconds = text.parse().ok().filter(|seconds| (1..=3600).contains(seconds));
    let wrong = || {
        Failure::new(Exit::Usage, format!("`KMODFORGE_TIMEOUT` is `{}`", text.escape_debug())).fact("expected", "seconds to wait for a server, from 1 to 3600")
    };
    seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(wrong)
}

/// Time of everything in images: `SOURCE_DATE_EPOCH`, else 0.
///
/// # Errors
/// When the variable is no number.
pub fn source_date_epoch() -> Result<u64, Failure> {
    env::var("SOURCE_DATE_EPOCH").map_or(Ok(0), |text| {
        text.parse().map_err(|_| {
            Failure::new(Exit::Usage, format!("`SOURCE_DATE_EPOCH` is `{}`", text.escape_debug()))
                .fact("expected", "seconds since 1970, as `date +%s` prints them")
        })
    })
}

/// A folder that is removed with everything in it when the run ends.
///
/// # Errors
/// When it cannot be made.
pub fn temporary_folder() -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new().prefix("kmodforge-").tempdir().map_err(|error| {
        Failure::new(Exit::Failed, format!("no temporary folder can be made in `{}`: {}", env::temp_dir().display(), io_words(&error)))
            .help("set TMPDIR to a folder that can be written and has room")
    })
}
