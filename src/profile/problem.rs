//! What can be wrong with a profile that is well-formed, and how it is said.

use super::placeholder::PlaceholderError;
use crate::error::Failure;
use crate::kernel::KernelVersion;
use crate::yaml::{Source, Spot, Trail, YamlError, nearest};

/// Why a profile cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// It is no YAML, or not the YAML of a profile.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// What it says cannot be.
    #[error("{}:{}:{}: {problem}", spot.file, spot.place.line, spot.place.column)]
    Problem {
        /// Where.
        spot: Box<Spot>,
        /// What.
        problem: Problem,
    },
}

/// Something that a profile says and that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A list or mapping needs an entry.
    #[error("`{0}` is empty")]
    Empty(&'static str),
    /// A name is used twice where it must be unique.
    #[error("{what} `{value}` is listed twice")]
    Duplicate {
        /// `version`, `module`…
        what: &'static str,
        /// The name.
        value: String,
    },
    /// A text does not follow the grammar of what it stands for.
    #[error("{} is not {what}", if value.is_empty() { "an empty text".to_owned() } else { format!("`{value}`") })]
    Malformed {
        /// `a package name`…
        what: &'static str,
        /// The text.
        value: String,
        /// The grammar, in words.
        expected: &'static str,
    },
    /// The regex engine's words.
    #[error("`{pattern}` is not a regular expression")]
    Regex {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        message: String,
    },
    /// A pattern lacks a group that is read.
    #[error("the pattern has no group `{0}`")]
    MissingGroup(&'static str),
    /// A pattern has a group that nobody reads.
    #[error("unknown group `{name}`")]
    UnknownGroup {
        /// The group.
        name: String,
        /// What is read.
        expected: &'static [&'static str],
    },
    /// A template with a mistake in its placeholders.
    #[error(transparent)]
    Placeholder(#[from] PlaceholderError),
    /// A template that must depend on something does not.
    #[error("`{{{0}}}` does not occur")]
    MissingPlaceholder(&'static str),
    /// Bounds that exclude each other.
    #[error("no kernel is at least {min} and below {below}")]
    EmptyRange {
        /// The oldest.
        min: KernelVersion,
        /// The first that is too new.
        below: KernelVersion,
    },
    /// Every kernel that is supported has the driver itself.
    #[error("no kernel is left to build for: the driver is in the kernel since {since}, and the oldest supported one is {min}")]
    AlwaysInTree {
        /// The first kernel that has it.
        since: KernelVersion,
        /// The oldest that is supported.
        min: KernelVersion,
    },
    /// Kernels that have the driver are said to be supported.
    #[error("`below: {below}` contradicts `in_tree`: the driver is in the kernel since {since}")]
    InTreeBelow {
        /// The first kernel that has it.
        since: KernelVersion,
        /// The first that is too new.
        below: KernelVersion,
    },
    /// An option must be on and off.
    #[error("`{0}` is required and forbidden")]
    ConfigContradiction(String),
    /// Nothing says whose signature a repository has.
    #[error("nothing says who signs the repository `{0}`")]
    NoKeyring(String),
    /// Nothing says whose signatures a release's packages have.
    #[error("nothing says who signs the packages of the release `{0}`")]
    NoPackageKeys(String),
    /// A repository has a keyring and needs none.
    #[error("`trusted` and `keyring` contradict each other")]
    SignedAndTrusted,
    /// A key without which profiles of the family say too little.
    #[error("profiles of the family `{family}` need `{key}`")]
    FamilyNeeds {
        /// The family.
        family: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A key that means nothing in the family.
    #[error("`{key}` means nothing in the family `{family}`")]
    FamilyHasNo {
        /// The family.
        family: &'static str,
        /// The key.
        key: &'static str,
    },
    /// A build by `dkms.conf` has another step.
    #[error("`dkms` is not the only step")]
    DkmsAmongOthers,
    /// A module's file has another name than the module.
    #[error("`{file}` is not the file of module `{module}`")]
    ModuleFile {
        /// The module.
        module: String,
        /// Its file.
        file: String,
    },
}

impl Problem {
    /// What is wrong with a regular expression, without the drawing of it that the engine adds.
    pub(super) fn regex(pattern: &str, error: &regex::Error) -> Self {
        let message = error.to_string();
        let message = message.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        Self::Regex { pattern: pattern.to_owned(), message }
    }

    pub(super) fn malformed(what: &'static str, value: &str, expected: &'static str) -> Self {
        Self::Malformed { what, value: value.escape_debug().to_string(), expected }
    }

    fn label(&self) -> String {
        match self {
            Self::Empty(_) => "expected at least one entry".into(),
            Self::Duplicate { .. } | Self::ConfigContradiction(_) => "the second one is here".into(),
            Self::Malformed { expected, .. } => format!("expected {expected}"),
            Self::Regex { message, .. } => message.clone(),
            Self::MissingGroup(group) => format!("expected `(?P<{group}>…)`"),
            Self::UnknownGroup { expected, .. } => format!("expected `{}`", expected.join("`, `")),
            Self::Placeholder(PlaceholderError::Unknown { expected, .. }) if expected.is_empty() => "no placeholders are known here".into(),
            Self::Placeholder(PlaceholderError::Unknown { expected, .. }) => format!("expected `{{{}}}`", expected.join("}`, `{")),
            Self::Placeholder(PlaceholderError::Unbalanced { .. }) => "in this value".into(),
            Self::MissingPlaceholder(name) => format!("expected `{{{name}}}` somewhere in it"),
            Self::DkmsAmongOthers => "expected no step beside it: a `dkms.conf` has its own".into(),
            Self::EmptyRange { .. } | Self::AlwaysInTree { .. } | Self::InTreeBelow { .. } => "this range".into(),
            Self::NoKeyring(_) => "expected `keyring` here or at the top of the file, or `trusted: true` here".into(),
            Self::NoPackageKeys(_) => "expected `package_keys` here, or `trusted: true` in each of its repositories".into(),
            Self::SignedAndTrusted => "expected one of them".into(),
            Self::FamilyNeeds { .. } => "the family is said here".into(),
            Self::FamilyHasNo { .. } => "expected nothing here".into(),
            Self::ModuleFile { module, .. } => format!("expected a path that ends in `{module}.ko`"),
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Placeholder(PlaceholderError::Unknown { name, expected }) => {
                nearest(name, expected.iter().copied()).map(|name| format!("did you mean `{{{name}}}`?"))
            }
            Self::UnknownGroup { name, expected } => nearest(name, expected.iter().copied()).map(|name| format!("did you mean `{name}`?")),
            _ => None,
        }
    }
}

impl From<ProfileError> for Failure {
    fn from(error: ProfileError) -> Self {
        match error {
            ProfileError::Yaml(error) => error.into(),
            ProfileError::Problem { spot, problem } => {
                let failure = spot.failure(problem.to_string(), &problem.label());
                match problem.help() {
                    Some(help) => failure.help(help),
                    None => failure,
                }
            }
        }
    }
}

/// Checks that name the place of what they reject.
pub(super) struct Checker<'a>(pub(super) &'a Source);

impl Checker<'_> {
    pub(super) fn fail(&self, trail: &Trail, problem: impl Into<Problem>) -> ProfileError {
        ProfileError::Problem { spot: Box::new(self.0.spot(trail)), problem: problem.into() }
    }

    pub(super) fn fail_key(&self, trail: &Trail, problem: impl Into<Problem>) -> ProfileError {
        ProfileError::Problem { spot: Box::new(self.0.key_spot(trail)), problem: problem.into() }
    }

    /// At least one entry.
    pub(super) fn some<T>(&self, trail: &Trail, what: &'static str, entries: &[T]) -> Result<(), ProfileError> {
        if entries.is_empty() { Err(self.fail(trail, Problem::Empty(what))) } else { Ok(()) }
    }

    /// No name twice; `trail` is the list's, `key` the entries' key for the name, if they are mappings.
    pub(super) fn unique<'n>(
        &self,
        trail: &Trail,
        key: Option<&str>,
        what: &'static str,
        names: impl IntoIterator<Item = impl Into<std::borrow::Cow<'n, str>>>,
    ) -> Result<(), ProfileError> {
        let mut seen = std::collections::BTreeSet::new();
        for (index, name) in names.into_iter().enumerate() {
            let name = name.into();
            if seen.contains(&name) {
                let entry = trail.then(index);
                let entry = key.map_or(entry.clone(), |key| entry.then(key));
                return Err(self.fail(&entry, Problem::Duplicate { what, value: name.into_owned() }));
            }
            seen.insert(name);
        }
        Ok(())
    }

    /// A value of some grammar.
    pub(super) fn form(
        &self,
        trail: &Trail,
        value: &str,
        (what, expected): (&'static str, &'static str),
        holds: impl Fn(&str) -> bool,
    ) -> Result<(), ProfileError> {
        if holds(value) { Ok(()) } else { Err(self.fail(trail, Problem::malformed(what, value, expected))) }
    }

    /// A key of some grammar.
    pub(super) fn key(
        &self,
        trail: &Trail,
        key: &str,
        (what, expected): (&'static str, &'static str),
        holds: impl Fn(&str) -> bool,
    ) -> Result<(), ProfileError> {
        if holds(key) { Ok(()) } else { Err(self.fail_key(&trail.then(key), Problem::malformed(what, key, expected))) }
    }

    /// A web address.
    pub(super) fn url(&self, trail: &Trail, value: &str) -> Result<(), ProfileError> {
        let grammar = ("a URL", "`http://…` or `https://…` without spaces");
        self.form(trail, value, grammar, |url| {
            let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or_default();
            !rest.is_empty() && !rest.starts_with('/') && !url.contains(|c: char| c.is_whitespace() || c.is_control() || "'\"\\`$".contains(c))
        })
    }

    /// A package's name, or several with `|` between them.
    pub(super) fn packages(&self, trail: &Trail, packages: &[String], alternatives: bool) -> Result<(), ProfileError> {
        for (index, package) in packages.iter().enumerate() {
            let names: Vec<_> = if alternatives { package.split('|').collect() } else { vec![package.as_str()] };
            for name in names {
                let grammar = ("a package name", "lower-case letters, digits, `+`, `-` and `.`");
                self.form(&trail.then(index), name, grammar, |name| {
                    name.starts_with(|c: char| c.is_ascii_alphanumeric())
                        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-._".contains(&b))
                })?;
            }
        }
        self.unique(trail, None, "package", packages.iter().map(String::as_str))
    }

    /// Variables of `make` or of the environment, with placeholders in their values.
    pub(super) fn variables(
        &self,
        trail: &Trail,
        variables: &std::collections::BTreeMap<String, String>,
        placeholders: &[&'static str],
    ) -> Result<(), ProfileError> {
        for (name, value) in variables {
            let grammar = ("the name of a variable", "letters, digits, `_`, `-` and `.`");
            self.key(trail, name, grammar, |name| {
                name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
            })?;
            self.text(&trail.then(name.as_str()), value, placeholders)?;
        }
        Ok(())
    }

    /// One line of text with placeholders.
    pub(super) fn text(&self, trail: &Trail, value: &str, placeholders: &[&'static str]) -> Result<(), ProfileError> {
        self.form(trail, value, ("one line of text", "no line breaks and no control characters"), |value| !value.contains(char::is_control))?;
        super::placeholder::check(value, placeholders).map_err(|error| self.fail(trail, error))
    }
}
