//! Rewriting of everything that is fetched: images, package repositories, sources.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Prefixes and what takes their place; the longest that fits wins.
///
/// Profiles name the official places, so that an image's record and input digest do not depend on where its parts
/// were fetched from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mirrors {
    /// For base images: `"docker.io/library/": "127.0.0.1:5000/library/"`.
    pub images: BTreeMap<String, String>,
    /// For package repositories: `"http://ftp.debian.org/debian": "http://mirror.internal/debian"`.
    pub packages: BTreeMap<String, String>,
    /// For driver sources: `"https://github.com/": "https://proxy.internal/github/"`.
    pub sources: BTreeMap<String, String>,
    /// Mirrors of packages are frozen copies: their indexes are taken although they have expired.
    pub frozen: bool,
}

impl Mirrors {
    /// Where to pull a base image from.
    #[must_use]
    pub fn image(&self, reference: &str) -> String {
        rewrite(&self.images, reference)
    }

    /// Where to fetch a package, or the index of a repository.
    #[must_use]
    pub fn package(&self, url: &str) -> String {
        rewrite(&self.packages, url)
    }

    /// Where to fetch a source. Sources that are packages follow the rules for packages when no rule for sources fits.
    #[must_use]
    pub fn source(&self, url: &str) -> String {
        let rewritten = rewrite(&self.sources, url);
        if rewritten == url { self.package(url) } else { rewritten }
    }
}

fn rewrite(rules: &BTreeMap<String, String>, text: &str) -> String {
    rules
        .iter()
        .filter_map(|(prefix, replacement)| Some((prefix.len(), replacement, text.strip_prefix(prefix.as_str())?)))
        .max_by_key(|(length, ..)| *length)
        .map_or_else(|| text.to_owned(), |(_, replacement, rest)| format!("{replacement}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let mirrors = Mirrors {
            packages: [("http://a/".to_owned(), "http://m/all/".to_owned()), ("http://a/debian".to_owned(), "http://m/debian".to_owned())].into(),
            ..Mirrors::default()
        };
        assert_eq!(mirrors.package("http://a/debian/pool/x.deb"), "http://m/debian/pool/x.deb");
        assert_eq!(mirrors.package("http://a/other"), "http://m/all/other");
        assert_eq!(mirrors.package("http://b/"), "http://b/");
        assert_eq!(mirrors.source("http://a/debian/pool/x.deb"), "http://m/debian/pool/x.deb");
    }
}
