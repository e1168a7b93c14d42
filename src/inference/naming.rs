//! What a source is called, and its version.

use super::build::{Build, Kind};
use super::{Given, InferenceError, Place};
use crate::profile::{Id, Version};

/// Endings of archives, and of what distributions call packages with sources.
const ENDINGS: [&str; 6] = [".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar", ".deb"];

/// The version of what has none.
const NO_VERSION: &str = "0";

/// A name for a source.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) id: Id,
    pub(super) version: Version,
    /// For people.
    pub(super) says: String,
}

/// What somebody says, else a package's own name, else what dkms.conf plainly says, else what the place looks like.
pub(super) fn name(given: &Given<'_>, build: &Build) -> Result<Called, InferenceError> {
    let conf = conf_text(given, build).unwrap_or_default();
    let (from_conf, version_of_conf) = (literal(conf, "PACKAGE_NAME"), literal(conf, "PACKAGE_VERSION"));
    let (from_place, version_of_place) = of_place(&given.place);
    let package = match &given.place {
        Place::Deb { name, .. } => Some(name.strip_suffix("-dkms").unwrap_or(name)),
        _ => None,
    };
    let id = match given.name {
        Some(name) => name.parse().map_err(InferenceError::Name)?,
        None => [package, from_conf, Some(from_place)]
            .into_iter()
            .flatten()
            .find_map(as_id)
            .ok_or_else(|| InferenceError::Name(format!("`{from_place}` is not a name")))?,
    };
    let found = [version_of_conf, version_of_place].into_iter().flatten().find_map(|text| text.parse::<Version>().ok());
    let version = match (given.version, found.clone()) {
        (Some(version), _) => version.parse().map_err(InferenceError::Name)?,
        (None, Some(found)) => found,
        (None, None) => NO_VERSION.parse().map_err(InferenceError::Name)?,
    };
    let unknown = given.version.is_none() && found.is_none();
    let says = format!("name: {id}, version {version}{}", if unknown { ": nothing tells it; say it with --source-name NAME@VERSION" } else { "" });
    Ok(Called { id, version, says })
}

fn conf_text<'a>(given: &Given<'a>, build: &Build) -> Option<&'a str> {
    let path = if build.directory == "." { "dkms.conf".to_owned() } else { format!("{}/dkms.conf", build.directory) };
    given.outline.texts.get(&path).filter(|_| build.kind == Kind::Dkms).map(String::as_str)
}

/// The value of an assignment that needs no shell to be understood.
fn literal<'a>(conf: &'a str, name: &str) -> Option<&'a str> {
    let value = conf.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix('='))?.trim();
    let value = value.split_once('#').map_or(value, |(value, _)| value.trim_end());
    let inner = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(value);
    (!inner.is_empty() && inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+~-".contains(&b))).then_some(inner)
}

/// `camera` and `1.2` of `camera-1.2`, `camera_1.2` and `…/camera-v1.2.tar.gz`; of `…/camera/archive/refs/tags/v1.2.tar.gz`, too.
fn of_place(place: &Place) -> (&str, Option<&str>) {
    let (path, package_version) = match place {
        Place::Directory(path) => (path.as_str(), None),
        Place::Archive { url, .. } => (url.split(['?', '#']).next().unwrap_or_default(), None),
        Place::Deb { name, version, .. } => (name.as_str(), Some(upstream(version))),
    };
    let mut parts = path.trim_end_matches('/').rsplit('/');
    let last = parts.next().unwrap_or_default();
    let stem = ENDINGS.iter().find_map(|ending| last.strip_suffix(ending)).unwrap_or(last);
    let is_version = |text: &str| text.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    if is_version(stem) && matches!(place, Place::Archive { .. }) {
        let repository = parts.find(|part| !matches!(*part, "archive" | "refs" | "tags" | "releases" | "download" | "heads" | "-") && !is_version(part));
        return (repository.unwrap_or("source"), Some(stem.trim_start_matches('v')));
    }
    let split = stem.match_indices(['-', '_']).find(|(at, _)| is_version(&stem[at + 1..]));
    match split {
        Some((at, _)) => (&stem[..at], package_version.or(Some(stem[at + 1..].trim_start_matches('v')))),
        None => (stem, package_version),
    }
}

/// The upstream part of a Debian version.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
}

/// A name with what no id may have replaced.
fn as_id(name: &str) -> Option<Id> {
    let id: String = name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    id.trim_start_matches(['-', '.', '_']).chars().take(40).collect::<String>().parse().ok()
}
