//! How users say which kernels they mean: `6.1.0-56-amd64`, `6.1.0-5*-amd64`, `/regex/`, `latest:2`.

use std::fmt;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel::{KernelRelease, RELEASE_LENGTH};

/// Kernels that a user means.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum KernelSelector {
    /// One release.
    Exact(KernelRelease),
    /// Releases that a shell pattern fits as a whole: `*`, `?`, `[0-9]`, `[!0-9]`, `{a,b}`.
    Glob(Pattern),
    /// Releases in which a regular expression finds something: `/^6\.1\..*-cloud-/`.
    Regex(Pattern),
    /// The newest ones: `latest`, `latest:3`. Always at least one.
    Latest(usize),
}

/// A compiled pattern and how it was written.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

/// Why a text selects no kernels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a kernel selector: {reason}", text.escape_debug())]
pub struct InvalidSelector {
    /// What was given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl KernelSelector {
    /// Whether a release is meant. `latest` means every release here: which ones are the newest depends on what else there is, see
    /// [`Self::newest`].
    #[must_use]
    pub fn matches(&self, release: &KernelRelease) -> bool {
        match self {
            Self::Exact(exact) => exact == release,
            Self::Glob(pattern) | Self::Regex(pattern) => pattern.regex.is_match(release.as_str()),
            Self::Latest(_) => true,
        }
    }

    /// How many of the newest releases are meant, if it is their age that counts.
    #[must_use]
    pub fn newest(&self) -> Option<usize> {
        match self {
            Self::Latest(count) => Some(*count),
            _ => None,
        }
    }

    /// The release, if there can be only one.
    #[must_use]
    pub fn exact(&self) -> Option<&KernelRelease> {
        match self {
            Self::Exact(release) => Some(release),
            _ => None,
        }
    }
}

impl FromStr for KernelSelector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, InvalidSelector> {
        let invalid = |reason: String| InvalidSelector { text: text.to_owned(), reason };
        if text.is_empty() {
            return Err(invalid("it is empty".into()));
        }
        if text == "latest" {
            return Ok(Self::Latest(1));
        }
        if let Some(count) = text.strip_prefix("latest:") {
            let count = count.parse().ok().filter(|count| (1..=1000).contains(count) && !text.ends_with('+'));
            return count.map(Self::Latest).ok_or_else(|| invalid("expected a number from 1 to 1000 after `latest:`".into()));
        }
        if let Some(rest) = text.strip_prefix('/') {
            let pattern = rest.strip_suffix('/').ok_or_else(|| invalid("a regular expression ends with `/`".into()))?;
            return compile(text, pattern).map(Self::Regex).map_err(invalid);
        }
        if text.contains(['*', '?', '[', '{']) {
            let pattern = glob_to_regex(text).map_err(invalid)?;
            return compile(text, &pattern).map(Self::Glob).map_err(invalid);
        }
        text.parse().map(Self::Exact).map_err(|error: crate::kernel::InvalidRelease| invalid(error.reason))
    }
}

fn compile(text: &str, pattern: &str) -> Result<Pattern, String> {
    if pattern.is_empty() {
        return Err("the regular expression is empty".into());
    }
    let regex = RegexBuilder::new(pattern).size_limit(1 << 20).build().map_err(|error| {
        let message = error.to_string();
        message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
    })?;
    Ok(Pattern { text: text.into(), regex })
}

/// The regular expression for a shell pattern over releases. Only what a release can contain may stand in it.
fn glob_to_regex(glob: &str) -> Result<String, String> {
    if glob.len() > 4 * RELEASE_LENGTH {
        return Err(format!("it has {} characters, at most {} make sense", glob.len(), 4 * RELEASE_LENGTH));
    }
    if glob.contains("..") {
        return Err("`..` is not allowed in it".into());
    }
    let mut regex = String::from("^");
    let mut in_braces = false;
    let mut chars = glob.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' => regex.push_str(".*"),
            '?' => regex.push('.'),
            '[' => regex.push_str(&character_class(&mut chars)?),
            '{' if in_braces => return Err("`{` inside `{…}` is not supported".into()),
            '{' => {
                in_braces = true;
                regex.push_str("(?:");
            }
            '}' if in_braces => {
                in_braces = false;
                regex.push(')');
            }
            ',' if in_braces => regex.push('|'),
            c if is_release_char(c) => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            c => return Err(format!("`{}` is not allowed in it", c.escape_default())),
        }
    }
    if in_braces {
        return Err("`{` without `}`".into());
    }
    regex.push('$');
    Ok(regex)
}

/// The rest of `[…]`, for a regular expression.
fn character_class(chars: &mut std::str::Chars<'_>) -> Result<String, String> {
    let class: String = chars.by_ref().take_while(|c| *c != ']').collect();
    let (negation, members) = match class.strip_prefix(['!', '^']) {
        Some(members) => ("^", members),
        None => ("", class.as_str()),
    };
    let closed = !class.is_empty() && !members.is_empty();
    if let Some(c) = members.chars().find(|c| !is_release_char(*c)) {
        return Err(format!("`{}` is not allowed in it", c.escape_default()));
    }
    if !closed {
        return Err("`[` without members and `]`".into());
    }
    let members = members.replace('~', r"\~").replace('.', r"\.");
    let (members, minus) = match members.strip_suffix('-') {
        Some(members) => (members.to_owned(), r"\-"),
        None => (members, ""),
    };
    Ok(format!("[{negation}{members}{minus}]"))
}

fn is_release_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._+~-".contains(c)
}

impl TryFrom<String> for KernelSelector {
    type Error = InvalidSelector;

    fn try_from(text: String) -> Result<Self, InvalidSelector> {
        text.parse()
    }
}

impl From<KernelSelector> for String {
    fn from(selector: KernelSelector) -> Self {
        selector.to_string()
    }
}

impl fmt::Display for KernelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(release) => f.write_str(release.as_str()),
            Self::Glob(pattern) | Self::Regex(pattern) => f.write_str(&pattern.text),
            Self::Latest(1) => f.write_str("latest"),
            Self::Latest(count) => write!(f, "latest:{count}"),
        }
    }
}

/// Selectors that are written alike are equal.
impl PartialEq for KernelSelector {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for KernelSelector {}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(selector: &str, releases: &[&str]) -> Vec<String> {
        let selector: KernelSelector = selector.parse().unwrap();
        releases.iter().filter(|release| selector.matches(&release.parse().unwrap())).map(ToString::to_string).collect()
    }

    const RELEASES: &[&str] = &["6.1.0-9-amd64", "6.1.0-55-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64", "6.12.117+deb13-amd64", "5.10.109+"];

    #[test]
    fn patterns_fit_whole_releases() {
        assert_eq!(matching("6.1.0-56-amd64", RELEASES), ["6.1.0-56-amd64"]);
        assert_eq!(matching("6.1.0-5*-amd64", RELEASES), ["6.1.0-55-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64"]);
        assert_eq!(matching("6.1.0-5?-amd64", RELEASES), ["6.1.0-55-amd64", "6.1.0-56-amd64"]);
        assert_eq!(matching("6.1.0-5[6-9]-amd64", RELEASES), ["6.1.0-56-amd64"]);
        assert_eq!(matching("6.1.0-5[!6]-amd64", RELEASES), ["6.1.0-55-amd64"]);
        assert_eq!(matching("6.1.0-{9,56}-amd64", RELEASES), ["6.1.0-9-amd64", "6.1.0-56-amd64"]);
        assert_eq!(matching("*+*", RELEASES), ["6.12.117+deb13-amd64", "5.10.109+"]);
        assert_eq!(matching("6.1?0-56-amd64", RELEASES), ["6.1.0-56-amd64"]);
    }

    #[test]
    fn regular_expressions_search() {
        assert_eq!(matching("/cloud/", RELEASES), ["6.1.0-56-cloud-amd64"]);
        assert_eq!(matching(r"/^6\.1\..*-5\d-amd64$/", RELEASES), ["6.1.0-55-amd64", "6.1.0-56-amd64"]);
    }

    #[test]
    fn latest_counts() {
        let selector = |text: &str| text.parse::<KernelSelector>().unwrap();
        assert_eq!(selector("latest").newest(), Some(1));
        assert_eq!(selector("latest:3").newest(), Some(3));
        assert_eq!(selector("6.1.0-56-amd64").newest(), None);
        for text in ["latest", "latest:3", "6.1.0-5*", "/x/", "6.1.0-56-amd64"] {
            assert_eq!(selector(text).to_string(), text);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, reason) in [
            ("", "it is empty"),
            ("6.1.0-$(id)", "`$` is not allowed in it"),
            ("6.1.0-56-amd64; reboot", "`;` is not allowed in it"),
            ("../../etc", "`/` is not allowed in it"),
            ("6.1..0-*", "`..` is not allowed in it"),
            ("6.1.0-*;reboot", "`;` is not allowed in it"),
            ("6.1.0-*/x", "`/` is not allowed in it"),
            ("6.1.0-{1,2", "`{` without `}`"),
            ("6.1.0-{1,{2}}", "`{` inside `{…}` is not supported"),
            ("6.1.0-[]", "`[` without members and `]`"),
            ("6.1.0-[a b]", "` ` is not allowed in it"),
            ("/6.1", "a regular expression ends with `/`"),
            ("//", "the regular expression is empty"),
            ("/(/", "unclosed group"),
            ("/", "a regular expression ends with `/`"),
            ("latest:0", "expected a number from 1 to 1000 after `latest:`"),
            ("latest:many", "expected a number from 1 to 1000 after `latest:`"),
            ("bookworm", "it does not start with a version such as `6.1`"),
        ] {
            let error = text.parse::<KernelSelector>().unwrap_err();
            assert_eq!((error.text.as_str(), error.reason.as_str()), (text, reason));
        }
        assert_eq!("6.1.0-$(id)".parse::<KernelSelector>().unwrap_err().to_string(), "`6.1.0-$(id)` is not a kernel selector: `$` is not allowed in it");
    }
}
