//! Rewriting of everything that is fetched: images, package repositories, sources.

mod package;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use package::PackageMirror;

/// Prefixes and what takes their place; the longest that fits wins.
///
/// Profiles name the official places, so that an image's record and input digest do not depend on where its parts
/// were fetched from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Mirrors {
    /// For base images: `"docker.io/library/": "127.0.0.1:5000/library/"`.
    pub images: BTreeMap<String, String>,
    /// For package repositories: `"http://ftp.debian.org/debian": "http://mirror.internal/debian"`, or a mapping with `url` and `trusted`.
    pub packages: BTreeMap<String, PackageMirror>,
    /// For driver sources: `"https://github.com/": "https://proxy.internal/github/"`.
    pub sources: BTreeMap<String, String>,
    /// Mirrors of packages are frozen copies: their indexes are taken although they, their signatures or the keys have expired since.
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
        longest(&self.packages, url).map_or_else(|| url.to_owned(), |(mirror, rest)| format!("{}{rest}", mirror.url))
    }

    /// Whether the place that a package repository is fetched from needs no signature.
    #[must_use]
    pub fn is_trusted(&self, url: &str) -> bool {
        longest(&self.packages, url).is_some_and(|(mirror, _)| mirror.trusted)
    }

    /// Where to fetch a source. Sources that are packages follow the rules for packages when no rule for sources fits.
    #[must_use]
    pub fn source(&self, url: &str) -> String {
        let rewritten = rewrite(&self.sources, url);
        if rewritten == url { self.package(url) } else { rewritten }
    }
}

fn rewrite(rules: &BTreeMap<String, String>, text: &str) -> String {
    longest(rules, text).map_or_else(|| text.to_owned(), |(replacement, rest)| format!("{replacement}{rest}"))
}

/// What the longest prefix that fits is replaced by, and what follows it.
fn longest<'r, 't, R>(rules: &'r BTreeMap<String, R>, text: &'t str) -> Option<(&'r R, &'t str)> {
    let fitting = rules.iter().filter_map(|(prefix, replacement)| Some((prefix.len(), replacement, text.strip_prefix(prefix.as_str())?)));
    fitting.max_by_key(|(length, ..)| *length).map(|(_, replacement, rest)| (replacement, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let mirrors = Mirrors {
            packages: [
                ("http://a/".to_owned(), "http://m/all/".into()),
                ("http://a/debian".to_owned(), PackageMirror { trusted: true, .."http://m/debian".into() }),
            ]
            .into(),
            ..Mirrors::default()
        };
        assert_eq!(mirrors.package("http://a/debian/pool/x.deb"), "http://m/debian/pool/x.deb");
        assert_eq!(mirrors.package("http://a/other"), "http://m/all/other");
        assert_eq!(mirrors.package("http://b/"), "http://b/");
        assert_eq!(mirrors.source("http://a/debian/pool/x.deb"), "http://m/debian/pool/x.deb");
        assert!(mirrors.is_trusted("http://a/debian") && !mirrors.is_trusted("http://a/other") && !mirrors.is_trusted("http://b/"));
    }
}
