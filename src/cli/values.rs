//! Values of options that are more than a word.

use std::path::PathBuf;
use std::str::FromStr;

use crate::builder::CacheEntry;

/// `debian`, or `debian:bookworm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistroArg {
    /// Id of the distro profile.
    pub id: String,
    /// The release to stay with.
    pub release: Option<String>,
}

/// `snapshot`, or `snapshot=20240101T000000Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Name of the fallback in the distro profile.
    pub name: String,
    /// What its URL is completed with.
    pub value: Option<String>,
}

/// A source without a profile: `./camera`, `https://…/camera-1.2.tar.gz`, `deb:camera-dkms`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceArg {
    /// A directory of this machine.
    Directory(PathBuf),
    /// The address of an archive.
    Url(String),
    /// A package of the distribution.
    Deb {
        /// Its name.
        name: String,
        /// The version to take; the newest if none is named.
        version: Option<String>,
        /// The suite or release to take it from; any if none is named.
        suite: Option<String>,
    },
}

/// Where images go besides a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An OCI layout in a folder.
    OciDir(PathBuf),
    /// An OCI layout in a tar file.
    OciArchive(PathBuf),
    /// The Docker Engine's images.
    Docker,
}

/// A secret of the build, and where its bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretArg {
    /// As `RUN --mount=type=secret,id=…` names it.
    pub id: String,
    /// Where its bytes are.
    pub source: SecretSource,
}

/// Where the bytes of a secret are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file.
    File(PathBuf),
    /// In an environment variable.
    Env(String),
}

/// Why the value of an option is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct InvalidValue {
    /// What it should look like.
    expected: &'static str,
}

fn expected<T>(expected: &'static str) -> Result<T, InvalidValue> {
    Err(InvalidValue { expected })
}

/// Splits at the first separator; neither part may be empty.
fn split_optional(text: &str, separator: char) -> Option<(String, Option<String>)> {
    match text.split_once(separator) {
        _ if text.is_empty() => None,
        Some((name, value)) if !name.is_empty() && !value.is_empty() => Some((name.to_owned(), Some(value.to_owned()))),
        Some(_) => None,
        None => Some((text.to_owned(), None)),
    }
}

impl FromStr for SourceArg {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        if let Some(package) = text.strip_prefix("deb:") {
            let (package, version) = package.split_once('=').map_or((package, None), |(package, version)| (package, Some(version.to_owned())));
            let (name, suite) = package.split_once('/').map_or((package, None), |(name, suite)| (name, Some(suite.to_owned())));
            let word = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.:~".contains(&b));
            let valid = word(name) && version.as_deref().is_none_or(word) && suite.as_deref().is_none_or(word) && (version.is_none() || suite.is_none());
            return if valid {
                Ok(Self::Deb { name: name.to_owned(), version, suite })
            } else {
                expected("`deb:PACKAGE`, `deb:PACKAGE=VERSION` or `deb:PACKAGE/SUITE`")
            };
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Ok(Self::Url(text.to_owned()));
        }
        if text.is_empty() || text.contains("://") {
            return expected("a directory, the `http://` or `https://` address of an archive, or `deb:PACKAGE`");
        }
        Ok(Self::Directory(text.into()))
    }
}

impl std::fmt::Display for SourceArg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Url(url) => f.write_str(url),
            Self::Deb { name, version: Some(version), .. } => write!(f, "deb:{name}={version}"),
            Self::Deb { name, suite: Some(suite), .. } => write!(f, "deb:{name}/{suite}"),
            Self::Deb { name, .. } => write!(f, "deb:{name}"),
        }
    }
}

impl FromStr for DistroArg {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match split_optional(text, ':') {
            Some((id, release)) => Ok(Self { id, release }),
            None => expected("`ID` or `ID:RELEASE`, `debian:bookworm` say"),
        }
    }
}

impl FromStr for Fallback {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match split_optional(text, '=') {
            Some((name, value)) => Ok(Self { name, value }),
            None => expected("`NAME` or `NAME=VALUE`, `snapshot=20240101T000000Z` say"),
        }
    }
}

impl FromStr for Output {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text.split_once(':') {
            None if text == "docker" => Ok(Self::Docker),
            Some(("oci", path)) if !path.is_empty() => Ok(Self::OciDir(path.into())),
            Some(("oci-archive", path)) if !path.is_empty() => Ok(Self::OciArchive(path.into())),
            _ => expected("`oci:DIR`, `oci-archive:FILE` or `docker`"),
        }
    }
}

impl FromStr for SecretArg {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        const FORM: &str = "`id=ID,src=FILE` or `id=ID,env=VARIABLE`";
        let (mut id, mut source, mut sources) = (None, None, 0);
        for (key, value) in attributes(text).ok_or(InvalidValue { expected: FORM })? {
            match key.as_str() {
                "id" => id = Some(value),
                "src" | "source" => (source, sources) = (Some(SecretSource::File(value.into())), sources + 1),
                "env" => (source, sources) = (Some(SecretSource::Env(value)), sources + 1),
                "type" if value == "file" || value == "env" => {}
                _ => return expected(FORM),
            }
        }
        match (id, source, sources) {
            (Some(id), Some(source), 1) => Ok(Self { id, source }),
            _ => expected(FORM),
        }
    }
}

/// Parses a cache source or target as buildx does: `type=registry,ref=…`; a bare reference means a registry.
pub(super) fn parse_cache(text: &str) -> Result<CacheEntry, InvalidValue> {
    const FORM: &str = "`type=KIND,NAME=VALUE…` or an image reference";
    if text.is_empty() {
        return expected(FORM);
    }
    if !text.contains('=') {
        return Ok(CacheEntry { kind: "registry".into(), attributes: vec![("ref".into(), text.to_owned())] });
    }
    let mut attributes = attributes(text).ok_or(InvalidValue { expected: FORM })?;
    let Some(kind) = attributes.iter().position(|(key, _)| key == "type") else {
        return expected(FORM);
    };
    let (_, kind) = attributes.remove(kind);
    Ok(CacheEntry { kind, attributes })
}

/// `name=value` pairs in one line of CSV, as Docker's options are written: a field with a comma in it stands in double quotes.
fn attributes(text: &str) -> Option<Vec<(String, String)>> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut()?.push(c),
        }
    }
    let pair = |field: &String| {
        field.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty()).map(|(key, value)| (key.trim().to_lowercase(), value.to_owned()))
    };
    if quoted { None } else { fields.iter().map(pair).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distro_may_name_its_release() {
        assert_eq!("debian".parse(), Ok(DistroArg { id: "debian".into(), release: None }));
        assert_eq!("debian:bookworm".parse(), Ok(DistroArg { id: "debian".into(), release: Some("bookworm".into()) }));
        for text in ["", ":", "debian:", ":bookworm"] {
            assert_eq!(text.parse::<DistroArg>().unwrap_err().to_string(), "expected `ID` or `ID:RELEASE`, `debian:bookworm` say", "{text}");
        }
    }

    #[test]
    fn sources_are_directories_archives_or_packages() {
        let deb = |version: Option<&str>, suite: Option<&str>| SourceArg::Deb {
            name: "a-dkms".into(),
            version: version.map(Into::into),
            suite: suite.map(Into::into),
        };
        for (text, source) in [
            ("deb:a-dkms", deb(None, None)),
            ("deb:a-dkms=1:2.0~rc-3+b1", deb(Some("1:2.0~rc-3+b1"), None)),
            ("deb:a-dkms/trixie-backports", deb(None, Some("trixie-backports"))),
            ("https://a.example/a-1.tar.gz", SourceArg::Url("https://a.example/a-1.tar.gz".into())),
            ("../a", SourceArg::Directory("../a".into())),
        ] {
            assert_eq!(text.parse(), Ok(source.clone()));
            assert_eq!(source.to_string(), text);
        }
        for text in ["deb:", "deb:a=", "deb:a/", "deb:a/b=c", "deb:a b", "deb:$(id)"] {
            let error = text.parse::<SourceArg>().unwrap_err().to_string();
            assert_eq!(error, "expected `deb:PACKAGE`, `deb:PACKAGE=VERSION` or `deb:PACKAGE/SUITE`", "{text}");
        }
        for text in ["", "ftp://a.example/a.tar", "git://a.example/a"] {
            let error = text.parse::<SourceArg>().unwrap_err().to_string();
            assert_eq!(error, "expected a directory, the `http://` or `https://` address of an archive, or `deb:PACKAGE`", "{text}");
        }
    }

    #[test]
    fn fallback_may_have_a_value() {
        assert_eq!("snapshot".parse(), Ok(Fallback { name: "snapshot".into(), value: None }));
        assert_eq!("snapshot=a=b".parse(), Ok(Fallback { name: "snapshot".into(), value: Some("a=b".into()) }));
        assert_eq!("=x".parse::<Fallback>().unwrap_err().to_string(), "expected `NAME` or `NAME=VALUE`, `snapshot=20240101T000000Z` say");
    }

    #[test]
    fn outputs_are_layouts_or_the_engine() {
        assert_eq!("oci:/a:b".parse(), Ok(Output::OciDir("/a:b".into())));
        assert_eq!("oci-archive:a.tar".parse(), Ok(Output::OciArchive("a.tar".into())));
        assert_eq!("docker".parse(), Ok(Output::Docker));
        for text in ["oci", "oci:", "docker:x", "tar:a", ""] {
            assert_eq!(text.parse::<Output>().unwrap_err().to_string(), "expected `oci:DIR`, `oci-archive:FILE` or `docker`", "{text}");
        }
    }

    #[test]
    fn secrets_come_from_one_place() {
        let secret = |source| Ok(SecretArg { id: "key".into(), source });
        assert_eq!("id=key,src=/run/key".parse(), secret(SecretSource::File("/run/key".into())));
        assert_eq!("type=file,id=key,source=/run/key".parse(), secret(SecretSource::File("/run/key".into())));
        assert_eq!("env=TOKEN,id=key".parse(), secret(SecretSource::Env("TOKEN".into())));
        assert_eq!("id=key,\"src=/a,b\"".parse(), secret(SecretSource::File("/a,b".into())));
        for text in ["id=key", "src=/a", "id=key,src=a,env=B", "id=key,sorce=a", "key", "id=key,\"src=/a"] {
            assert_eq!(text.parse::<SecretArg>().unwrap_err().to_string(), "expected `id=ID,src=FILE` or `id=ID,env=VARIABLE`", "{text}");
        }
    }

    #[test]
    fn caches_are_written_as_for_buildx() {
        let entry = |kind: &str, attributes: &[(&str, &str)]| {
            Ok(CacheEntry { kind: kind.into(), attributes: attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() })
        };
        assert_eq!(parse_cache("type=registry,ref=r.example/c,mode=max"), entry("registry", &[("ref", "r.example/c"), ("mode", "max")]));
        assert_eq!(parse_cache("type=inline"), entry("inline", &[]));
        assert_eq!(parse_cache("r.example/c:1"), entry("registry", &[("ref", "r.example/c:1")]));
        for text in ["", "ref=r.example/c", "type=,ref=x", "type=registry,ref"] {
            assert_eq!(parse_cache(text).unwrap_err().to_string(), "expected `type=KIND,NAME=VALUE…` or an image reference", "{text}");
        }
    }
}
