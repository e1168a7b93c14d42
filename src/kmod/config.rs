//! A kernel's `.config`.

use std::collections::{BTreeSet, HashMap};

/// The options of a kernel that are set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig(HashMap<Box<str>, Box<str>>);

impl KernelConfig {
    /// Reads `CONFIG_X=value` lines; everything else (`# CONFIG_X is not set`, comments) means that an option is off.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let options = text.lines().filter_map(|line| line.trim_end().split_once('=').filter(|(name, _)| name.starts_with("CONFIG_")));
        Self(options.map(|(name, value)| (name.into(), value.into())).collect())
    }

    /// Whether an option is built in or a module. The name begins with `CONFIG_`.
    #[must_use]
    pub fn is_on(&self, option: &str) -> bool {
        matches!(self.0.get(option).map(|value| &**value), Some("y" | "m"))
    }

    /// The text of an option, without its quotes.
    #[must_use]
    pub fn text(&self, option: &str) -> Option<&str> {
        let value = self.0.get(option)?;
        Some(value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value))
    }

    /// Options that differ, with their values here and there; `None` where one is not set.
    #[must_use]
    pub fn differences<'a>(&'a self, other: &'a Self) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
        let names: BTreeSet<&str> = self.0.keys().chain(other.0.keys()).map(|name| &**name).collect();
        let pair = |name| (name, self.0.get(name).map(|value| &**value), other.0.get(name).map(|value| &**value));
        names.into_iter().map(pair).filter(|(_, here, there)| here != there).collect()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_on() {
        let config = KernelConfig::parse(include_str!("../../tests/fixtures/kmod/6.1.0-56-amd64/config"));
        assert!(config.is_on("CONFIG_SMP") && config.is_on("CONFIG_VIDEO_DEV"));
        assert!(!config.is_on("CONFIG_PREEMPT") && !config.is_on("CONFIG_NOBODY_KNOWS") && !config.is_on("CONFIG_CC_VERSION_TEXT"));
        assert_eq!(config.text("CONFIG_CC_VERSION_TEXT"), Some("gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"));
        assert_eq!(config.text("CONFIG_LOCALVERSION"), Some(""));
        assert_eq!(config.text("CONFIG_PREEMPT"), None);
        assert!(KernelConfig::parse("").is_empty());
    }
}
