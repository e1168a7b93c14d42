//! Cache imports and exports: what this builder can do, and what the client has to add.
//!
//! Backends by daemon: `cmd/buildkitd/main.go` of moby/buildkit, `builder/builder-next/controller.go` of moby/moby;
//! the values taken from the environment: `build/opt.go` of docker/buildx.

use std::collections::HashMap;

use bollard_buildkit_proto::moby::buildkit::v1::CacheOptionsEntry;
use serde::Serialize;

use super::facts::Facts;
use crate::builder::{CacheEntry, SolveError};

/// Which way the cache goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// `--cache-from`.
    Import,
    /// `--cache-to`.
    Export,
}

/// Looks up an environment variable.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A cache as the `cache-imports` attribute spells it.
#[derive(Serialize)]
struct Import<'a> {
    #[serde(rename = "Type")]
    kind: &'a str,
    #[serde(rename = "Attrs")]
    attributes: std::collections::BTreeMap<&'a str, &'a str>,
}

/// The value of the frontend's attribute `cache-imports`: daemons ignore `Cache.Imports` when there is a frontend.
pub(super) fn imports(entries: &[CacheEntry], facts: &Facts, lookup: Lookup) -> Result<Option<String>, SolveError> {
    if entries.is_empty() {
        return Ok(None);
    }
    let entries = complete(entries, Way::Import, facts, lookup)?;
    let imports: Vec<Import> = entries
        .iter()
        .map(|entry| Import { kind: &entry.r#type, attributes: entry.attrs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect() })
        .collect();
    let text = serde_json::to_string(&imports).map_err(|error| SolveError::Unsupported(error.to_string()))?;
    Ok(Some(text))
}

/// The exports of the request.
pub(super) fn exports(entries: &[CacheEntry], facts: &Facts, lookup: Lookup) -> Result<Vec<CacheOptionsEntry>, SolveError> {
    complete(entries, Way::Export, facts, lookup)
}

fn complete(entries: &[CacheEntry], way: Way, facts: &Facts, lookup: Lookup) -> Result<Vec<CacheOptionsEntry>, SolveError> {
    let complete_one = |entry: &CacheEntry| {
        check(&entry.kind, way, facts)?;
        let mut attrs: HashMap<String, String> = entry.attributes.iter().cloned().collect();
        match entry.kind.as_str() {
            "registry" => need(&entry.kind, &attrs, "ref", "")?,
            "gha" => {
                fill(&mut attrs, lookup, &GHA);
                if lookup("ACTIONS_CACHE_SERVICE_V2").is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1") {
                    attrs.entry("version".to_owned()).or_insert_with(|| "2".to_owned());
                }
                need("gha", &attrs, "token", "; it is ACTIONS_RUNTIME_TOKEN, which GitHub gives to actions only")?;
            }
            "s3" => fill(&mut attrs, lookup, &S3),
            _ => {}
        }
        Ok(CacheOptionsEntry { r#type: entry.kind.clone(), attrs })
    };
    entries.iter().map(complete_one).collect()
}

/// Attributes of the GitHub Actions cache, and the variables in which a runner hands them out.
const GHA: [(&str, &str); 3] = [("token", "ACTIONS_RUNTIME_TOKEN"), ("url", "ACTIONS_CACHE_URL"), ("url_v2", "ACTIONS_RESULTS_URL")];

/// Attributes of the S3 cache, and the variables of the AWS tools.
const S3: [(&str, &str); 5] = [
    ("access_key_id", "AWS_ACCESS_KEY_ID"),
    ("secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("session_token", "AWS_SESSION_TOKEN"),
    ("region", "AWS_REGION"),
    ("region", "AWS_DEFAULT_REGION"),
];

fn fill(attributes: &mut HashMap<String, String>, lookup: Lookup, sources: &[(&str, &str)]) {
    for (name, variable) in sources {
        if !attributes.contains_key(*name)
            && let Some(value) = lookup(variable)
        {
            attributes.insert((*name).to_owned(), value);
        }
    }
}

fn need(kind: &str, attributes: &HashMap<String, String>, name: &str, hint: &str) -> Result<(), SolveError> {
    match attributes.get(name) {
        Some(value) if !value.is_empty() => Ok(()),
        _ => Err(SolveError::Unsupported(format!("the cache `type={kind}` needs `{name}=…`{hint}"))),
    }
}

/// Refuses what would be ignored, or fail late.
fn check(kind: &str, way: Way, facts: &Facts) -> Result<(), SolveError> {
    let name = facts.name();
    let refuse = |why: String| Err(SolveError::Unsupported(why));
    let verb = if way == Way::Import { "import" } else { "export" };
    let engine = facts.engine.is_some();
    match kind {
        "inline" => {
            refuse("cache `type=inline` is kept inside an image that the builder makes, and kmodforge makes the image itself: use `type=registry`".to_owned())
        }
        "local" => refuse("cache `type=local` is not supported: use `type=registry`, with a registry on this machine if need be".to_owned()),
        "registry" | "gha" if engine && !facts.snapshotter && way == Way::Export => refuse(format!(
            "{name} cannot export cache `type={kind}`, as its image store is not containerd's: use a `buildkitd`, or turn on the containerd image store"
        )),
        "gha" | "s3" | "azblob" if facts.old => refuse(format!("{name} is too old to {verb} cache `type={kind}`: it needs BuildKit 0.11")),
        "gha" if engine && !facts.snapshotter => refuse(format!("{name} cannot {verb} cache `type=gha`, as its image store is not containerd's")),
        "s3" | "azblob" if engine => refuse(format!("{name} cannot {verb} cache `type={kind}`: no Docker Engine can; use a `buildkitd`")),
        "registry" | "gha" | "s3" | "azblob" => Ok(()),
        other => refuse(format!("there is no cache `type={other}`; expected `registry`, `s3`, `gha` or `azblob`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, attributes: &[(&str, &str)]) -> CacheEntry {
        CacheEntry { kind: kind.to_owned(), attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect() }
    }

    fn engine(version: &str) -> Facts {
        Facts { engine: Some(version.to_owned()), old: version.starts_with("20."), snapshotter: false, ..Facts::default() }
    }

    fn buildkitd() -> Facts {
        Facts { buildkit: Some("0.32.2".to_owned()), snapshotter: true, ..Facts::default() }
    }

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "ACTIONS_RUNTIME_TOKEN" => "tok",
            "ACTIONS_RESULTS_URL" => "https://results",
            "ACTIONS_CACHE_SERVICE_V2" => "True",
            "AWS_ACCESS_KEY_ID" => "key",
            "AWS_SECRET_ACCESS_KEY" => "secret",
            "AWS_REGION" => "eu",
            "AWS_DEFAULT_REGION" => "us",
            _ => return None,
        };
        Some(value.to_owned())
    }

    #[test]
    fn imports_travel_as_the_frontends_attribute() {
        let entries = [entry("registry", &[("ref", "r.example/cache")])];
        let text = imports(&entries, &engine("20.10.24"), &environment).unwrap().unwrap();
        assert_eq!(text, r#"[{"Type":"registry","Attrs":{"ref":"r.example/cache"}}]"#);
        assert_eq!(imports(&[], &engine("20.10.24"), &environment).unwrap(), None);
    }

    #[test]
    fn the_environment_completes_what_was_not_given() {
        let made = exports(&[entry("gha", &[("scope", "x")]), entry("s3", &[("bucket", "b"), ("access_key_id", "mine")])], &buildkitd(), &environment).unwrap();
        let gha = &made[0].attrs;
        assert_eq!((gha["token"].as_str(), gha["url_v2"].as_str(), gha["version"].as_str(), gha["scope"].as_str()), ("tok", "https://results", "2", "x"));
        let s3 = &made[1].attrs;
        assert_eq!((s3["access_key_id"].as_str(), s3["secret_access_key"].as_str(), s3["region"].as_str()), ("mine", "secret", "eu"));
        let outside = exports(&[entry("gha", &[])], &buildkitd(), &|_| None).unwrap_err();
        assert_eq!(outside.to_string(), "the cache `type=gha` needs `token=…`; it is ACTIONS_RUNTIME_TOKEN, which GitHub gives to actions only");
    }

    #[test]
    fn refuses_what_the_builder_would_ignore() {
        let old_buildkitd = Facts { old: true, ..Facts::default() };
        for (kind, facts, message) in [
            (
                "registry",
                engine("20.10.24"),
                "Docker Engine 20.10.24 cannot export cache `type=registry`, as its image store is not containerd's: use a `buildkitd`, or turn on the containerd image store",
            ),
            ("s3", engine("28.5.2"), "Docker Engine 28.5.2 cannot export cache `type=s3`: no Docker Engine can; use a `buildkitd`"),
            ("gha", old_buildkitd, "buildkitd is too old to export cache `type=gha`: it needs BuildKit 0.11"),
            ("local", buildkitd(), "cache `type=local` is not supported: use `type=registry`, with a registry on this machine if need be"),
            (
                "inline",
                buildkitd(),
                "cache `type=inline` is kept inside an image that the builder makes, and kmodforge makes the image itself: use `type=registry`",
            ),
            ("ftp", buildkitd(), "there is no cache `type=ftp`; expected `registry`, `s3`, `gha` or `azblob`"),
            ("registry", buildkitd(), "the cache `type=registry` needs `ref=…`"),
        ] {
            let error = exports(&[entry(kind, &[])], &facts, &environment).unwrap_err();
            assert_eq!(error.to_string(), message);
        }
    }
}
