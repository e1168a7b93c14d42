//! The profiles there are: embedded ones, and those of a directory that add to them or replace them.

mod refusal;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

pub use refusal::Refusal;
use rust_embed::RustEmbed;

use crate::error::{Exit, Failure};
use crate::kernel::KernelRelease;
use crate::openpgp::{Keyring, KeyringError, Keyrings};
use crate::profile::distro::{DistroProfile, Proof, Recognised};
use crate::profile::driver::DriverProfile;
use crate::profile::{ProfileError, Profiles};
use crate::yaml::{Source, Spot, Trail, nearest};

#[derive(RustEmbed)]
#[folder = "distros/"]
struct EmbeddedDistros;

#[derive(RustEmbed)]
#[folder = "drivers/"]
struct EmbeddedDrivers;

#[derive(RustEmbed)]
#[folder = "keyrings/"]
struct EmbeddedKeyrings;

/// Where keyrings are.
const KEYRINGS: &str = "keyrings";

/// A profile with the file it comes from.
#[derive(Clone, Debug)]
pub struct Entry<P> {
    /// The profile.
    pub profile: P,
    /// Its text.
    pub text: String,
    /// Where it is; none: it is part of the program.
    pub file: Option<PathBuf>,
}

/// The profiles there are, by id.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    drivers: BTreeMap<String, Entry<DriverProfile>>,
    distros: BTreeMap<String, Entry<DistroProfile>>,
    keyrings: Keyrings,
    refusals: Vec<Refusal>,
}

/// Why there is no catalogue, or not what was looked for in it.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// A profile is wrong.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// A file or directory cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// `--profiles` names a directory without profiles.
    #[error("{} has neither `drivers` nor `distros`", .0.display())]
    NoProfiles(PathBuf),
    /// A file holds no keys.
    #[error("`{}` is no keyring: {error}", file.display())]
    Keyring {
        /// The file.
        file: PathBuf,
        /// Why.
        error: KeyringError,
    },
    /// A distribution's repositories are signed by a keyring that is not there.
    #[error("unknown keyring `{name}`")]
    UnknownKeyring {
        /// Where it is named.
        spot: Box<Spot>,
        /// Its name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A profile's file is not called after its id.
    #[error("{} holds the profile `{id}`", file.display())]
    FileName {
        /// The file.
        file: PathBuf,
        /// The id in it.
        id: String,
    },
    /// Nothing of that name.
    #[error("unknown {kind} `{name}`")]
    Unknown {
        /// `driver` or `distro`.
        kind: &'static str,
        /// What was looked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A driver does not have that version.
    #[error("{driver} has no version `{version}`")]
    UnknownVersion {
        /// The driver.
        driver: String,
        /// What was looked for.
        version: String,
        /// What there is, newest first.
        known: Vec<String>,
    },
    /// No distribution has such kernels.
    #[error("no distro profile recognises `{kernel}`")]
    NotRecognised {
        /// The release.
        kernel: KernelRelease,
        /// Every distribution.
        known: Vec<String>,
    },
    /// Nothing can be built for that distribution.
    #[error("no modules can be built for {}", .0.name)]
    Refused(Refusal),
    /// Several distributions have such kernels.
    #[error("`{kernel}` can be a kernel of {}", .distros.join(" and of "))]
    Ambiguous {
        /// The release.
        kernel: KernelRelease,
        /// Those that recognise it.
        distros: Vec<String>,
    },
}

/// The kinds of profiles.
trait Kind: Sized {
    const NAME: &'static str;
    /// The directory of the kind's files.
    const DIRECTORY: &'static str;
    fn load(file: &str, text: &str) -> Result<Self, ProfileError>;
    fn id(&self) -> &str;
}

impl Kind for DriverProfile {
    const NAME: &'static str = "driver";
    const DIRECTORY: &'static str = "drivers";

    fn load(file: &str, text: &str) -> Result<Self, ProfileError> {
        Self::load(file, text)
    }

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Kind for DistroProfile {
    const NAME: &'static str = "distro";
    const DIRECTORY: &'static str = "distros";

    fn load(file: &str, text: &str) -> Result<Self, ProfileError> {
        Self::load(file, text)
    }

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Catalog {
    /// The profiles that are part of the program.
    pub fn embedded() -> Result<Self, CatalogError> {
        let (drivers, distros) = (embedded::<DriverProfile, EmbeddedDrivers>()?, embedded::<DistroProfile, EmbeddedDistros>()?);
        let catalog = Self { drivers, distros, keyrings: embedded_keyrings()?, refusals: Refusal::embedded()? };
        catalog.check_keyrings(&catalog.distros)?;
        Ok(catalog)
    }

    /// Adds the profiles of `DIR/drivers/*.yaml` and `DIR/distros/*.yaml`, and the keyrings `DIR/keyrings/*.asc` and `*.gpg`; one with a known name
    /// replaces the known one.
    pub fn with_dir(mut self, directory: &Path) -> Result<Self, CatalogError> {
        let (drivers, distros) = (read::<DriverProfile>(directory)?, read::<DistroProfile>(directory)?);
        let keyrings = read_keyrings(directory)?;
        if drivers.is_none() && distros.is_none() && keyrings.is_empty() {
            return Err(CatalogError::NoProfiles(directory.to_owned()));
        }
        self.keyrings.extend(keyrings);
        self.drivers.extend(drivers.unwrap_or_default());
        let distros = distros.unwrap_or_default();
        self.check_keyrings(&distros)?;
        self.distros.extend(distros);
        Ok(self)
    }

    /// Keyrings of repositories, by name.
    #[must_use]
    pub fn keyrings(&self) -> &Keyrings {
        &self.keyrings
    }

    /// Whether there is every keyring that a distribution names.
    ///
    /// # Errors
    /// Where one is named that is not there.
    pub fn check_keyrings_of(&self, profile: &DistroProfile, document: &Source) -> Result<(), CatalogError> {
        let unknown = |name: &crate::profile::Id| !self.keyrings.contains_key(name.as_str());
        let fail = |trail: Trail, name: &crate::profile::Id| CatalogError::UnknownKeyring {
            spot: Box::new(document.spot(&trail)),
            name: name.to_string(),
            known: self.keyrings.keys().cloned().collect(),
        };
        if let Some(name) = profile.keyring.as_ref().filter(|name| unknown(name)) {
            return Err(fail(Trail::to("keyring"), name));
        }
        for (number, release) in profile.releases.iter().enumerate() {
            let release_trail = Trail::to("releases").then(number);
            let own = (release_trail.then("repositories"), &release.repositories);
            let fallbacks = release.fallbacks.iter().enumerate();
            let fallbacks = fallbacks.map(|(number, fallback)| (release_trail.then("fallbacks").then(number).then("repositories"), &fallback.repositories));
            for (trail, repositories) in std::iter::once(own).chain(fallbacks) {
                for (number, repository) in repositories.iter().enumerate() {
                    if let Some(name) = repository.keyring.as_ref().filter(|name| unknown(name)) {
                        return Err(fail(trail.then(number).then("keyring"), name));
                    }
                }
            }
        }
        Ok(())
    }

    fn check_keyrings(&self, distros: &BTreeMap<String, Entry<DistroProfile>>) -> Result<(), CatalogError> {
        for entry in distros.values() {
            let built_in = || format!("distros/{}.yaml", entry.profile.id);
            let name = entry.file.as_ref().map_or_else(built_in, |file| file.display().to_string());
            let document = Source::read(&name, &entry.text).map_err(ProfileError::from)?;
            self.check_keyrings_of(&entry.profile, &document)?;
        }
        Ok(())
    }

    /// Adds a driver; one with a known id replaces the known one.
    pub fn add_driver(&mut self, entry: Entry<DriverProfile>) {
        self.drivers.insert(entry.profile.id.to_string(), entry);
    }

    /// A driver by its id.
    pub fn driver(&self, id: &str) -> Result<&DriverProfile, CatalogError> {
        self.driver_entry(id).map(|entry| &entry.profile)
    }

    /// A distribution by its id.
    pub fn distro(&self, id: &str) -> Result<&DistroProfile, CatalogError> {
        self.distro_entry(id).map(|entry| &entry.profile)
    }

    /// A driver with its file.
    pub fn driver_entry(&self, id: &str) -> Result<&Entry<DriverProfile>, CatalogError> {
        find(&self.drivers, id)
    }

    /// A distribution with its file.
    pub fn distro_entry(&self, id: &str) -> Result<&Entry<DistroProfile>, CatalogError> {
        match self.refusals.iter().find(|refusal| refusal.id == id && !self.distros.contains_key(id)) {
            Some(refusal) => Err(CatalogError::Refused(refusal.clone())),
            None => find(&self.distros, id),
        }
    }

    /// Every driver with its file, by id.
    pub fn driver_entries(&self) -> impl Iterator<Item = &Entry<DriverProfile>> {
        self.drivers.values()
    }

    /// Every distribution with its file, by id.
    pub fn distro_entries(&self) -> impl Iterator<Item = &Entry<DistroProfile>> {
        self.distros.values()
    }

    /// The distributions that are meant where none is named: those that are proven on their own mirrors, and those that users have added.
    pub fn usual_distros(&self) -> impl Iterator<Item = &DistroProfile> {
        let usual = |entry: &&Entry<DistroProfile>| entry.file.is_some() || entry.profile.proven == Proof::RealMirror;
        self.distros.values().filter(usual).map(|entry| &entry.profile)
    }

    /// The one distribution that a kernel can be of.
    pub fn recognise(&self, kernel: &KernelRelease) -> Result<&DistroProfile, CatalogError> {
        match self.recognised_by(kernel)[..] {
            [(distro, _)] => Ok(distro),
            [] => Err(match self.refusals.iter().find(|refusal| refusal.recognises(kernel)) {
                Some(refusal) => CatalogError::Refused(refusal.clone()),
                None => CatalogError::NotRecognised { kernel: kernel.clone(), known: self.distros.keys().cloned().collect() },
            }),
            ref several => {
                let distros = several.iter().map(|(distro, _)| distro.id.to_string()).collect();
                Err(CatalogError::Ambiguous { kernel: kernel.clone(), distros })
            }
        }
    }

    /// Every distribution that a kernel can be of, with what its name tells.
    #[must_use]
    pub fn recognised_by(&self, kernel: &KernelRelease) -> Vec<(&DistroProfile, Recognised)> {
        self.distros.values().filter_map(|entry| Some((&entry.profile, entry.profile.recognise(kernel)?))).collect()
    }
}

impl Profiles for Catalog {
    fn drivers(&self) -> Vec<&DriverProfile> {
        self.drivers.values().map(|entry| &entry.profile).collect()
    }

    fn distros(&self) -> Vec<&DistroProfile> {
        self.distros.values().map(|entry| &entry.profile).collect()
    }
}

fn find<'a, P: Kind>(entries: &'a BTreeMap<String, Entry<P>>, id: &str) -> Result<&'a Entry<P>, CatalogError> {
    entries.get(id).ok_or_else(|| CatalogError::Unknown { kind: P::NAME, name: id.to_owned(), known: entries.keys().cloned().collect() })
}

fn embedded<P: Kind, E: RustEmbed>() -> Result<BTreeMap<String, Entry<P>>, CatalogError> {
    let mut entries = BTreeMap::new();
    for name in E::iter().filter(|name| name.ends_with(".yaml")) {
        let bytes = E::get(&name).map(|file| file.data).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let profile = P::load(&format!("{}/{name}", P::DIRECTORY), &text)?;
        entries.insert(profile.id().to_owned(), Entry { profile, text, file: None });
    }
    Ok(entries)
}

fn embedded_keyrings() -> Result<Keyrings, CatalogError> {
    let mut keyrings = Keyrings::new();
    for name in EmbeddedKeyrings::iter() {
        let bytes = EmbeddedKeyrings::get(&name).map(|file| file.data).unwrap_or_default();
        add_keyring(&mut keyrings, Path::new(KEYRINGS).join(&*name), &bytes)?;
    }
    Ok(keyrings)
}

fn read_keyrings(directory: &Path) -> Result<Keyrings, CatalogError> {
    let directory = directory.join(KEYRINGS);
    let mut keyrings = Keyrings::new();
    if directory.exists() {
        for file in files(&directory, &["asc", "gpg"])? {
            let bytes = std::fs::read(&file).map_err(|error| CatalogError::Unreadable { path: file.clone(), error })?;
            add_keyring(&mut keyrings, file, &bytes)?;
        }
    }
    Ok(keyrings)
}

fn add_keyring(keyrings: &mut Keyrings, file: PathBuf, bytes: &[u8]) -> Result<(), CatalogError> {
    let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let keyring = Keyring::parse(&name, bytes).map_err(|error| CatalogError::Keyring { file, error })?;
    keyrings.insert(name, keyring);
    Ok(())
}

/// The files of a directory with one of these endings, sorted.
fn files(directory: &Path, endings: &[&str]) -> Result<BTreeSet<PathBuf>, CatalogError> {
    let unreadable = |error| CatalogError::Unreadable { path: directory.to_owned(), error };
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| endings.iter().any(|ending| extension == *ending)) {
            files.insert(path);
        }
    }
    Ok(files)
}

/// The profiles of a kind in a directory; none if it has no such directory.
fn read<P: Kind>(directory: &Path) -> Result<Option<BTreeMap<String, Entry<P>>>, CatalogError> {
    let directory = directory.join(P::DIRECTORY);
    if !directory.exists() {
        return Ok(None);
    }
    let mut entries = BTreeMap::new();
    for file in files(&directory, &["yaml", "yml"])? {
        let text = std::fs::read_to_string(&file).map_err(|error| CatalogError::Unreadable { path: file.clone(), error })?;
        let profile = P::load(&file.display().to_string(), &text)?;
        if file.file_name().is_none_or(|name| *name != *format!("{}.yaml", profile.id())) {
            return Err(CatalogError::FileName { id: profile.id().to_owned(), file });
        }
        entries.insert(profile.id().to_owned(), Entry { profile, text, file: Some(file) });
    }
    Ok(Some(entries))
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        let failure = Failure::new(Exit::Usage, error.to_string());
        match error {
            CatalogError::Profile(error) => error.into(),
            CatalogError::Unreadable { .. } => failure,
            CatalogError::Keyring { .. } => failure.fact("expected", "OpenPGP public keys, as `gpg --export` writes them"),
            CatalogError::UnknownKeyring { spot, name, known } => {
                let failure = spot.failure(failure.headline, &format!("expected `{}`", known.join("`, `")));
                suggest(failure, &name, &known).help(format!("add it: --profiles DIR with {KEYRINGS}/{name}.asc"))
            }
            CatalogError::NoProfiles(_) => failure.help("profiles are files `drivers/<id>.yaml` and `distros/<id>.yaml` in it"),
            CatalogError::FileName { file, id } => {
                let right = file.with_file_name(format!("{id}.yaml"));
                failure.help(if right.exists() {
                    format!("{} holds it, too: give one of them another `id`", right.display())
                } else {
                    format!("rename it to {}", right.display())
                })
            }
            CatalogError::Unknown { kind, name, known } => {
                let failure = suggest(failure, &name, &known);
                tell_known(failure, &known).help(format!("list them: kmodforge profile list; add one: --profiles DIR with {kind}s/{name}.yaml"))
            }
            CatalogError::UnknownVersion { version, known, .. } => suggest(failure, &version, &known).fact("known", known.join(", ")),
            CatalogError::NotRecognised { known, .. } => failure.fact("looked at", known.join(", ")).help("add a profile for its distribution: --profiles DIR"),
            CatalogError::Refused(Refusal { because, instead, .. }) => Failure::new(Exit::Unsupported, failure.headline).fact("because", because).help(instead),
            CatalogError::Ambiguous { distros, .. } => {
                distros.iter().fold(failure, |failure, distro| failure.help(format!("say which one it is: --distro {distro}")))
            }
        }
    }
}

/// The names that there are, while they can be read at a glance.
pub(crate) fn tell_known(failure: Failure, known: &[String]) -> Failure {
    const GLANCE: usize = 24;
    if known.len() <= GLANCE { failure.fact("known", known.join(", ")) } else { failure }
}

fn suggest(failure: Failure, name: &str, known: &[String]) -> Failure {
    match nearest(name, known.iter().map(String::as_str)) {
        Some(word) => failure.help(format!("did you mean `{word}`?")),
        None => failure,
    }
}

#[cfg(test)]
mod tests;
