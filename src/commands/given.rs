//! `--source`: a source that no profile describes, looked at, and given the profile that it lacks.

use std::collections::BTreeSet;
use std::path::Path;

use super::selection;
use super::session::{Session, host_arch};
use crate::arch::Arch;
use crate::cli::{Fallback, SourceArg, SourceArgs};
use crate::error::{Exit, Failure};
use crate::fetch::Kind;
use crate::fetch::source::{Outline, SourceError, SourceSpec, UnpackError, outline, prepare};
use crate::inference::{Given, Inferred, Place, infer};
use crate::kernel_index::{IndexRequest, SourcePackage, find_packages, newest_first};
use crate::plan::ChosenDistro;
use crate::profile::distro::{DistroProfile, Release};
use crate::profile::driver::Source;
use crate::ui::Ui;

/// Where packages are looked for.
pub struct Market<'a> {
    /// Distributions, with the release if one was named.
    pub distros: &'a [ChosenDistro],
    /// Architectures of the kernels; packages are taken for the first.
    pub arches: &'a [Arch],
    /// Repositories besides.
    pub fallbacks: &'a [Fallback],
}

/// Where packages have sources of modules.
const SOURCES: &str = "usr/src";

/// What builds after DKMS has no need of: DKMS itself.
const DKMS: &str = "dkms";

/// The profile of a source, from its files; says what was inferred.
///
/// # Errors
/// When the source cannot be had, or nothing tells how it is built.
pub async fn profile_of(session: &Session, source: &SourceArg, about: &SourceArgs, market: &Market<'_>, ui: &Ui) -> Result<Inferred, Failure> {
    let (name, version) = about.source_name.as_deref().map_or((None, None), |name| match name.split_once('@') {
        Some((name, version)) => (Some(name), Some(version)),
        None => (Some(name), None),
    });
    if about.source_sha256.is_some() && !matches!(source, SourceArg::Url(_)) {
        return Err(Failure::new(Exit::Usage, "`--source-sha256` is for the address of an archive").fact("found", source.to_string()));
    }
    let mut packages = about.build_packages.clone();
    let (place, outline, sha256) = match source {
        SourceArg::Directory(directory) => of_directory(session, directory).await?,
        SourceArg::Url(url) => of_url(session, url, about.source_sha256.as_deref(), ui).await?,
        SourceArg::Deb { name, version, suite } => {
            let package = find(session, name, (version.as_deref(), suite.as_deref()), market, ui).await?;
            let looked = of_package(session, &package).await?;
            packages.extend(build_dependencies(session, &package, market, ui).await?);
            looked
        }
    };
    let family = market.distros.first().map_or("apt", |(profile, _)| profile.family.name());
    let given = Given { place, outline: &outline, name, version, directory: about.source_directory.as_deref(), packages, family };
    let mut inferred = infer(&given)?;
    for source in &mut inferred.profile.versions[0].sources {
        if let Source::Path(path) = source {
            path.sha256 = sha256.clone().try_into().ok();
        }
    }
    inferred.says.iter().for_each(|sentence| ui.note(sentence));
    Ok(inferred)
}

/// A source in its one form: where it is, what it looks like, and the SHA-256 of the archive made of it.
type Looked = (Place, Outline, String);

async fn of_directory(session: &Session, directory: &Path) -> Result<Looked, Failure> {
    let unusable = |error: std::io::Error| {
        let failure = Failure::new(Exit::Usage, format!("the source `{}` cannot be read: {}", directory.display(), crate::error::io_words(&error)));
        failure.help("expected a directory, the `http://` or `https://` address of an archive, or `deb:PACKAGE`")
    };
    let path = std::fs::canonicalize(directory).map_err(unusable)?;
    if !path.is_dir() {
        return Err(Failure::new(Exit::Usage, format!("the source `{}` is a file", directory.display())).help("unpack it, or name its address: https://…"));
    }
    let prepared = prepare(&session.fetcher, &[SourceSpec::Path { directory: path.clone() }], Path::new("/")).await?;
    Ok((Place::Directory(path.display().to_string()), outline(&prepared)?, prepared.sha256))
}

async fn of_url(session: &Session, url: &str, sha256: Option<&str>, ui: &Ui) -> Result<Looked, Failure> {
    let sha256 = if let Some(sha256) = sha256 {
        sha256.to_owned()
    } else {
        let found = session.fetcher.digest_of(Kind::Source, url).await?;
        ui.warning(&format!("nothing tells that `{url}` is what it should be; if it is: --source-sha256 {found}"));
        found
    };
    let archive = |strip: usize| SourceSpec::Archive { url: url.to_owned(), sha256: sha256.clone(), strip, directory: ".".into() };
    let whole = prepare(&session.fetcher, &[archive(0)], Path::new("/")).await?;
    let mut files = outline(&whole)?;
    let top = files.files.first().and_then(|file| file.split_once('/')).map(|(top, _)| format!("{top}/"));
    let strip = usize::from(top.as_ref().is_some_and(|top| files.files.iter().all(|file| file.starts_with(top.as_str()))));
    if let Some(top) = top.filter(|_| strip == 1) {
        files = below(files, &top);
    }
    Ok((Place::Archive { url: url.to_owned(), sha256: sha256.clone(), strip }, files, sha256))
}

/// An outline without the directory that all of its paths begin with.
fn below(outline: Outline, top: &str) -> Outline {
    let inner = |path: String| path.strip_prefix(top).map(str::to_owned).unwrap_or(path);
    Outline { files: outline.files.into_iter().map(inner).collect(), texts: outline.texts.into_iter().map(|(path, text)| (inner(path), text)).collect() }
}

async fn of_package(session: &Session, found: &SourcePackage) -> Result<Looked, Failure> {
    let package = &found.package;
    // What else a package holds (examples, lists of modules) is not the source, and may link to anywhere.
    let spec = SourceSpec::Deb { url: package.url.clone(), sha256: package.sha256.clone(), directory: SOURCES.into() };
    let prepared = prepare(&session.fetcher, &[spec], Path::new("/")).await.map_err(|error| match error {
        SourceError::Unusable { error: UnpackError::Missing { .. }, .. } => without_source(&package.name),
        error => error.into(),
    })?;
    let files = outline(&prepared)?;
    let whole = |path: String| format!("{SOURCES}/{path}");
    let files =
        Outline { files: files.files.into_iter().map(whole).collect(), texts: files.texts.into_iter().map(|(path, text)| (whole(path), text)).collect() };
    let place = Place::Deb {
        name: package.name.clone(),
        version: package.version.clone(),
        url: package.url.clone(),
        sha256: package.sha256.clone(),
        summary: found.summary.clone(),
        homepage: found.homepage.clone(),
    };
    Ok((place, files, package.sha256.clone()))
}

fn without_source(package: &str) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("the package `{package}` has no source of a driver"));
    failure.fact("expected", format!("files in {SOURCES}")).help("Debian calls packages with sources of drivers `…-dkms`: apt search -n -- '-dkms$'")
}

/// The releases that packages are looked for in.
fn releases<'a>(market: &Market<'a>) -> impl Iterator<Item = (&'a DistroProfile, &'a Release)> {
    market.distros.iter().flat_map(|(profile, pinned)| {
        let named = move |release: &&Release| pinned.as_ref().is_none_or(|id| *id == release.id);
        profile.releases.iter().filter(named).map(move |release| (profile.as_ref(), release))
    })
}

async fn packages_named(session: &Session, market: &Market<'_>, names: &BTreeSet<String>, every_component: bool) -> Result<Vec<SourcePackage>, Failure> {
    let arch = market.arches.first().copied().unwrap_or_else(host_arch);
    let mut found = Vec::new();
    for (distro, release) in releases(market) {
        let fallbacks = selection::fallback_repositories(release, market.fallbacks)?;
        let request = IndexRequest { distro, release, arch, build_arch: host_arch(), fallbacks: &fallbacks, keyrings: session.catalog.keyrings() };
        found.extend(find_packages(&session.fetcher, &request, names, every_component).await?);
    }
    newest_first(&mut found);
    Ok(found)
}

/// The package that was named, in its newest version or the one that was named.
async fn find(session: &Session, name: &str, (version, suite): (Option<&str>, Option<&str>), market: &Market<'_>, ui: &Ui) -> Result<SourcePackage, Failure> {
    let found = packages_named(session, market, &BTreeSet::from([name.to_owned()]), true).await?;
    let fits = |package: &&SourcePackage| {
        version.is_none_or(|version| version == package.package.version) && suite.is_none_or(|suite| suite == package.suite || suite == package.release)
    };
    let others: Vec<_> = found.iter().map(|package| format!("{} in {}", package.package.version, package.suite)).collect();
    let Some(chosen) = found.iter().find(fits) else {
        let places: BTreeSet<_> = releases(market).map(|(distro, release)| format!("{} {}", distro.id, release.id)).collect();
        let wanted = [version.map(|version| format!(" {version}")), suite.map(|suite| format!(" of {suite}"))].into_iter().flatten().collect::<String>();
        let failure = Failure::new(Exit::Failed, format!("there is no package `{name}`{wanted}"));
        let failure = failure.fact("looked in", format!("{} (every component)", places.into_iter().collect::<Vec<_>>().join(", ")));
        let failure = if others.is_empty() { failure } else { failure.fact("found", others.join(", ")) };
        return Err(failure.help("look for it with `apt search`; another release's: --distro ID:RELEASE, or deb:PACKAGE/SUITE"));
    };
    ui.note(&format!("source: {name} {} from {}", chosen.package.version, chosen.suite));
    if let Some(place) = &chosen.unverified {
        ui.note(&format!("{place} is trusted without a signature"));
    }
    Ok(chosen.clone())
}

/// What a package depends on besides DKMS, as far as the builder's repositories have it.
async fn build_dependencies(session: &Session, package: &SourcePackage, market: &Market<'_>, ui: &Ui) -> Result<Vec<String>, Failure> {
    let groups: Vec<_> = package.depends.iter().filter(|group| !group.iter().any(|name| name == DKMS)).collect();
    let names: BTreeSet<String> = groups.iter().flat_map(|group| group.iter().cloned()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let found: BTreeSet<_> = packages_named(session, market, &names, false).await?.into_iter().map(|found| found.package.name).collect();
    let mut needed = Vec::new();
    for group in groups {
        let there: Vec<_> = group.iter().filter(|name| found.contains(*name)).map(String::as_str).collect();
        if there.is_empty() {
            ui.note(&format!("{} depends on {}, which the builder's repositories do not have: left out", package.package.name, group.join(" or ")));
        } else {
            needed.push(there.join("|"));
        }
    }
    if !needed.is_empty() {
        ui.note(&format!("build packages: {}, which {} depends on", needed.join(", "), package.package.name));
    }
    Ok(needed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_something_else_is_told_from_one_with_a_source() {
        assert_eq!(
            without_source("bash").to_string(),
            "error: the package `bash` has no source of a driver\n  expected  files in usr/src\n  \
             help      Debian calls packages with sources of drivers `…-dkms`: apt search -n -- '-dkms$'"
        );
    }
}
