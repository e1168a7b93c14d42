//! Logins for servers of packages and sources, in the form that apt takes (`apt_auth.conf(5)`), so that one file serves kmodforge and the build.

use std::path::Path;

use super::{DiskProblem, FetchError};

/// Who to be, where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Logins(Vec<Login>);

/// An entry of the file.
#[derive(Clone, Default, PartialEq, Eq)]
struct Login {
    /// `https://mirror.internal/debian`, `mirror.internal:8443/debian`; without a scheme it is for HTTPS alone.
    machine: String,
    name: String,
    password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({})", self.machine)
    }
}

impl Logins {
    pub(super) fn load(path: &Path) -> Result<Self, FetchError> {
        let unusable = |reason: String| FetchError::Logins { path: path.to_owned(), reason };
        let text = std::fs::read_to_string(path).map_err(|error| unusable(DiskProblem::of(&error).to_string()))?;
        Self::parse(&text).map_err(unusable)
    }

    /// Reads words in pairs, as netrc has them: a `machine` begins an entry.
    fn parse(text: &str) -> Result<Self, String> {
        let words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
        let mut logins: Vec<Login> = Vec::new();
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("nothing follows its last `{word}`"))?.to_owned();
            match (word, logins.last_mut()) {
                ("machine", _) => logins.push(Login { machine: value, ..Login::default() }),
                ("login", Some(login)) => login.name = value,
                ("password", Some(login)) => login.password = value,
                // Not shown: it may be a password.
                _ => return Err("a word in it is none of `machine`, `login` and `password`, or stands before the first `machine`".to_owned()),
            }
        }
        if logins.is_empty() { Err("it names no `machine`".to_owned()) } else { Ok(Self(logins)) }
    }

    /// Name and password for an address; the first entry that fits counts.
    pub(super) fn of(&self, url: &str) -> Option<(&str, &str)> {
        let (scheme, rest) = url.split_once("://")?;
        let fits = |login: &&Login| {
            let (wanted, machine) = login.machine.split_once("://").unwrap_or(("https", &login.machine));
            let machine = machine.trim_end_matches('/');
            // A host without a port is meant on every port; a path ends with a whole part.
            let ends: &[char] = if machine.contains('/') { &['/'] } else { &['/', ':'] };
            wanted == scheme && rest.strip_prefix(machine).is_some_and(|rest| rest.is_empty() || rest.starts_with(ends))
        };
        self.0.iter().find(fits).map(|login| (login.name.as_str(), login.password.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_for_the_addresses_below_it() {
        let text = "# a comment\nmachine mirror.internal login a password 1\nmachine http://old.internal/debian\n  login b\n  password 2\n";
        let logins = Logins::parse(text).unwrap();
        for (url, login) in [
            ("https://mirror.internal/debian/x", Some("a")),
            ("https://mirror.internal:8443/debian/x", Some("a")),
            ("http://mirror.internal/debian/x", None),
            ("https://mirror.internal.evil.example/x", None),
            ("http://old.internal/debian/x", Some("b")),
            ("http://old.internal/debian-security/x", None),
            ("http://old.internal/x", None),
        ] {
            assert_eq!(logins.of(url).map(|(name, _)| name), login, "{url}");
        }
        assert!(!format!("{logins:?}").contains('2'), "passwords are not shown");
    }

    #[test]
    fn what_is_no_list_of_logins() {
        assert_eq!(Logins::parse("").unwrap_err(), "it names no `machine`");
        assert_eq!(Logins::parse("machine a login b password").unwrap_err(), "nothing follows its last `password`");
        let words = "a word in it is none of `machine`, `login` and `password`, or stands before the first `machine`";
        assert_eq!(Logins::parse("login a").unwrap_err(), words);
        assert_eq!(Logins::parse("machine a user b").unwrap_err(), words);
    }
}
