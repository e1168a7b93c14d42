//! Project files that are well-formed and cannot be meant.

use super::sign::{KeyFault, check_key};
use super::{DriverSelector, Exclude, MatrixRow, ProjectFile};
use crate::arch::Arch;
use crate::error::Failure;
use crate::kernel_selector::KernelSelector;
use crate::profile::Profiles;
use crate::profile::distro::DistroProfile;
use crate::profile::driver::DriverProfile;
use crate::reference::Reference;
use crate::yaml::{Impossible, Source, Trail, nearest};

/// Why a project file cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A list or template needs content.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// Something is listed twice.
    #[error("`{0}` is listed twice")]
    Duplicate(String),
    /// `repository` and `image` say the same thing differently.
    #[error("`image` and `repository` cannot stand together")]
    TwoNames,
    /// Not the name of a repository.
    #[error("`{value}` is not a repository: {reason}")]
    Repository {
        /// The text.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key that may not be named here.
    #[error(transparent)]
    Key(KeyFault),
    /// Not the place of a key.
    #[error("this is not the place of a key")]
    KeyPlace(String),
    /// A name that no profile has.
    #[error("unknown {kind} `{name}`")]
    Unknown {
        /// `driver`, `distro`, `version`.
        kind: &'static str,
        /// What was written.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An architecture that none of the row's distributions has.
    #[error("no distro of this row has `{arch}`")]
    Arch {
        /// The architecture.
        arch: Arch,
        /// What they have.
        known: Vec<Arch>,
    },
    /// `latest` where it means nothing.
    #[error("`{0}` cannot be excluded")]
    ExcludedLatest(String),
    /// An exclude without keys.
    #[error("this exclude names nothing")]
    EmptyExclude,
    /// An exclude that leaves out something which is not there.
    #[error("this exclude fits nothing: the row has no {kind} `{name}`")]
    FitsNothing {
        /// `driver`, `distro`, `kernel`, `architecture`.
        kind: &'static str,
        /// What was written.
        name: String,
    },
    /// Excludes that leave nothing of a row.
    #[error("nothing is left of this row: its excludes fit everything")]
    FitsEverything,
}

type Result<T> = std::result::Result<T, Impossible<Reason>>;

/// What the file alone tells.
pub(super) fn check_file(file: &ProjectFile, source: &Source) -> Result<()> {
    if file.repository.is_some() && file.image.is_some() {
        return Err(source.impossible(&Trail::to("image"), Reason::TwoNames));
    }
    for (key, value) in [("image", &file.image), ("tag", &file.tag)] {
        if value.as_ref().is_some_and(|template| template.trim().is_empty()) {
            return Err(source.impossible(&Trail::to(key), Reason::Empty(key)));
        }
    }
    if file.profiles.as_ref().is_some_and(|profiles| profiles.as_os_str().is_empty()) {
        return Err(source.impossible(&Trail::to("profiles"), Reason::Empty("profiles")));
    }
    if let Some(repository) = &file.repository {
        check_repository(repository).map_err(|reason| source.impossible(&Trail::to("repository"), reason))?;
    }
    check_keys(file, source)?;
    let matrix = Trail::to("matrix");
    if let Some(rows) = &file.matrix {
        some(source, &matrix, "matrix", rows)?;
    }
    for (index, row) in file.rows().iter().enumerate() {
        check_lists(source, &matrix.then(index), row)?;
    }
    Ok(())
}

/// Secrets, and what would run programs, are for whoever runs kmodforge to name.
fn check_keys(file: &ProjectFile, source: &Source) -> Result<()> {
    if let Some(sign) = &file.sign {
        let trail = Trail::to("sign");
        if *sign == super::Sign::default() {
            return Err(source.impossible(&trail, Reason::Empty("sign")));
        }
        if let Some(key) = &sign.key {
            let place = trail.then("key");
            check_key(key).map_err(|fault| match fault {
                Ok(fault) => unnamable(source, &place, fault),
                Err(expected) => source.impossible(&place, Reason::KeyPlace(expected)),
            })?;
        }
        for (name, path) in [("certificate", &sign.certificate), ("passphrase_file", &sign.passphrase_file)] {
            if path.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                return Err(source.impossible(&trail.then(name), Reason::Empty(name)));
            }
        }
    }
    if let Some(key) = file.attach.as_ref().and_then(|attach| attach.cosign_key.as_ref()) {
        let trail = Trail::to("attach").then("cosign_key");
        if key.contains("-----BEGIN") {
            return Err(unnamable(source, &trail, KeyFault::Key));
        }
        if key.trim_start_matches("env://").is_empty() {
            return Err(source.impossible(&trail, Reason::Empty("cosign_key")));
        }
    }
    Ok(())
}

/// `registry/name` without tag and digest; a registry alone is not enough to be unambiguous.
fn check_repository(repository: &str) -> std::result::Result<(), Reason> {
    let invalid = |reason: &str| Reason::Repository { value: repository.escape_debug().to_string(), reason: reason.to_owned() };
    let reference: Reference = repository.parse().map_err(|error: crate::reference::InvalidReference| invalid(&error.reason))?;
    if reference.tag.is_some() || reference.digest.is_some() {
        return Err(invalid("tags and digests are made per target"));
    }
    Ok(())
}

fn check_lists(source: &Source, trail: &Trail, row: &MatrixRow) -> Result<()> {
    list(source, &trail.then("drivers"), "drivers", &row.drivers)?;
    list(source, &trail.then("kernels"), "kernels", &row.kernels)?;
    if let Some(distros) = &row.distros {
        list(source, &trail.then("distros"), "distros", distros)?;
    }
    if let Some(arches) = &row.arches {
        list(source, &trail.then("arches"), "arches", arches)?;
    }
    for (index, exclude) in row.exclude.iter().enumerate() {
        let trail = trail.then("exclude").then(index);
        let Exclude { driver, distro, kernel, arch } = exclude;
        if driver.is_none() && distro.is_none() && kernel.is_none() && arch.is_none() {
            return Err(source.impossible(&trail, Reason::EmptyExclude));
        }
        if let Some(latest) = kernel.as_ref().filter(|kernel| kernel.newest().is_some()) {
            return Err(source.impossible(&trail.then("kernel"), Reason::ExcludedLatest(latest.to_string())));
        }
    }
    Ok(())
}

/// At least one entry, none twice.
fn list<T: ToString>(source: &Source, trail: &Trail, what: &'static str, entries: &[T]) -> Result<()> {
    some(source, trail, what, entries)?;
    let names: Vec<_> = entries.iter().map(ToString::to_string).collect();
    for (index, name) in names.iter().enumerate() {
        if names[..index].contains(name) {
            return Err(source.impossible(&trail.then(index), Reason::Duplicate(name.clone())));
        }
    }
    Ok(())
}

fn some<T>(source: &Source, trail: &Trail, what: &'static str, entries: &[T]) -> Result<()> {
    if entries.is_empty() { Err(source.impossible(trail, Reason::Empty(what))) } else { Ok(()) }
}

/// A key where it may not be. Messages end up in logs, so they do not repeat it.
fn unnamable(source: &Source, trail: &Trail, fault: KeyFault) -> Impossible<Reason> {
    let mut impossible = source.impossible(trail, Reason::Key(fault));
    if matches!(fault, KeyFault::Key | KeyFault::Pin) {
        let spot = &mut impossible.spot;
        spot.line = spot.line.chars().take(spot.place.column.saturating_sub(1)).chain(['…']).collect();
        spot.place.width = 1;
    }
    impossible
}

/// What the file and the profiles tell together.
pub(super) fn check_matrix(file: &ProjectFile, source: &Source, profiles: &dyn Profiles) -> Result<()> {
    let (drivers, distros) = (profiles.drivers(), profiles.distros());
    for (index, row) in file.rows().iter().enumerate() {
        let trail = Trail::to("matrix").then(index);
        for (index, selector) in row.drivers.iter().enumerate() {
            check_driver(selector, &drivers).map_err(|reason| source.impossible(&trail.then("drivers").then(index), reason))?;
        }
        let distros = row_distros(row, &distros).map_err(|(index, reason)| source.impossible(&trail.then("distros").then(index), reason))?;
        let arches = row_arches(row, &distros).map_err(|(index, reason)| source.impossible(&trail.then("arches").then(index), reason))?;
        let row = Row { entry: row, distros, arches };
        for (index, exclude) in row.entry.exclude.iter().enumerate() {
            row.check_exclude(exclude).map_err(|(key, reason)| source.impossible(&trail.then("exclude").then(index).then(key), reason))?;
        }
        if row.is_excluded() {
            return Err(source.impossible(&trail.then("exclude"), Reason::FitsEverything));
        }
    }
    Ok(())
}

fn check_driver(selector: &DriverSelector, drivers: &[&DriverProfile]) -> std::result::Result<(), Reason> {
    let Some(driver) = drivers.iter().find(|driver| driver.id == selector.driver) else {
        let known = drivers.iter().map(|driver| driver.id.to_string()).collect();
        return Err(Reason::Unknown { kind: "driver", name: selector.driver.to_string(), known });
    };
    match &selector.version {
        Some(version) if driver.version(version.as_str()).is_none() => {
            let known = driver.versions.iter().map(|version| version.version.to_string()).collect();
            Err(Reason::Unknown { kind: "version", name: version.to_string(), known })
        }
        _ => Ok(()),
    }
}

/// The distributions that a row can be about. The number of the entry comes with what is wrong with it.
fn row_distros<'a>(row: &MatrixRow, distros: &[&'a DistroProfile]) -> std::result::Result<Vec<&'a DistroProfile>, (usize, Reason)> {
    let Some(wanted) = &row.distros else { return Ok(distros.to_vec()) };
    let find = |(index, id): (usize, &crate::profile::Id)| {
        let known = || distros.iter().map(|distro| distro.id.to_string()).collect();
        let found = distros.iter().find(|distro| distro.id == *id).copied();
        found.ok_or_else(|| (index, Reason::Unknown { kind: "distro", name: id.to_string(), known: known() }))
    };
    wanted.iter().enumerate().map(find).collect()
}

fn row_arches(row: &MatrixRow, distros: &[&DistroProfile]) -> std::result::Result<Vec<Arch>, (usize, Reason)> {
    let known: Vec<_> = Arch::ALL.into_iter().filter(|arch| distros.iter().any(|distro| distro.arches.contains(arch))).collect();
    let Some(wanted) = &row.arches else { return Ok(known) };
    match wanted.iter().enumerate().find(|(_, arch)| !known.contains(arch)) {
        Some((index, arch)) => Err((index, Reason::Arch { arch: *arch, known })),
        None => Ok(wanted.clone()),
    }
}

/// A row with what it leaves to the profiles filled in.
struct Row<'a> {
    entry: &'a MatrixRow,
    distros: Vec<&'a DistroProfile>,
    arches: Vec<Arch>,
}

impl Row<'_> {
    /// An exclude must fit something. Of patterns that is not known before the kernels are.
    fn check_exclude(&self, exclude: &Exclude) -> std::result::Result<(), (&'static str, Reason)> {
        let nothing = |key, kind, name: String| Err((key, Reason::FitsNothing { kind, name }));
        if let Some(driver) = exclude.driver.as_ref().filter(|driver| !self.entry.drivers.iter().any(|other| overlap(driver, other))) {
            return nothing("driver", "driver", driver.to_string());
        }
        if let Some(distro) = exclude.distro.as_ref().filter(|id| !self.distros.iter().any(|distro| distro.id == **id)) {
            return nothing("distro", "distro", distro.to_string());
        }
        if let Some(arch) = exclude.arch.filter(|arch| !self.arches.contains(arch)) {
            return nothing("arch", "architecture", arch.to_string());
        }
        let may_fit = |selector: &KernelSelector, kernel: &KernelSelector| match (selector.exact(), kernel.exact()) {
            (Some(release), _) => kernel.matches(release),
            (None, Some(release)) => selector.matches(release),
            (None, None) => true,
        };
        match &exclude.kernel {
            Some(kernel) if !self.entry.kernels.iter().any(|selector| may_fit(selector, kernel)) => nothing("kernel", "kernel", kernel.to_string()),
            _ => Ok(()),
        }
    }

    /// Whether the excludes certainly fit every combination.
    fn is_excluded(&self) -> bool {
        let fits_kernel = |exclude: &Exclude, selector: &KernelSelector| {
            let Some(kernel) = &exclude.kernel else { return true };
            kernel == selector || selector.exact().is_some_and(|release| kernel.matches(release))
        };
        let fits_driver = |exclude: &Exclude, wanted: &DriverSelector| {
            exclude.driver.as_ref().is_none_or(|driver| driver.driver == wanted.driver && (driver.version.is_none() || driver.version == wanted.version))
        };
        self.entry.drivers.iter().all(|driver| {
            self.entry.kernels.iter().all(|kernel| {
                self.distros.iter().all(|distro| {
                    self.arches.iter().all(|arch| {
                        self.entry.exclude.iter().any(|exclude| {
                            fits_driver(exclude, driver)
                                && fits_kernel(exclude, kernel)
                                && exclude.distro.as_ref().is_none_or(|id| *id == distro.id)
                                && exclude.arch.is_none_or(|excluded| excluded == *arch)
                        })
                    })
                })
            })
        })
    }
}

/// Whether two selectors can mean the same version of a driver.
fn overlap(left: &DriverSelector, right: &DriverSelector) -> bool {
    left.driver == right.driver && (left.version.is_none() || right.version.is_none() || left.version == right.version)
}

impl From<Impossible<Reason>> for Failure {
    fn from(Impossible { spot, reason }: Impossible<Reason>) -> Self {
        let label = match &reason {
            Reason::Empty("image" | "tag" | "profiles" | "certificate" | "passphrase_file" | "cosign_key") => "expected text".into(),
            Reason::Key(fault) => fault.label().into(),
            Reason::KeyPlace(expected) => format!("expected {expected}"),
            Reason::Empty(_) => "expected at least one entry".into(),
            Reason::Duplicate(_) => "the second one is here".into(),
            Reason::TwoNames => "expected one of them".into(),
            Reason::Repository { .. } => "expected `registry/name`".into(),
            // More than can be read at a glance.
            Reason::Unknown { kind, known, .. } if known.len() > 24 => format!("expected a {kind} that `kmodforge profile list` shows"),
            Reason::Unknown { known, .. } => format!("expected `{}`", known.join("`, `")),
            Reason::Arch { known, .. } => format!("expected `{}`", known.iter().map(Arch::to_string).collect::<Vec<_>>().join("`, `")),
            Reason::ExcludedLatest(_) => "expected a release or a pattern".into(),
            Reason::EmptyExclude => "expected `driver`, `distro`, `kernel` or `arch`".into(),
            Reason::FitsNothing { .. } => "leave it out".into(),
            Reason::FitsEverything => "leave the row out, or exclude less".into(),
        };
        let failure = spot.failure(reason.to_string(), &label);
        match &reason {
            Reason::Unknown { name, known, .. } => match nearest(name, known.iter().map(String::as_str)) {
                Some(word) => failure.help(format!("did you mean `{word}`?")),
                None => failure,
            },
            Reason::Key(fault) => failure.help(fault.help()),
            _ => failure,
        }
    }
}
