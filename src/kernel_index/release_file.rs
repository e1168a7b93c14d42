//! A repository's `InRelease` or `Release` file: which indexes it has, and their digests. From this file on, every index and every package is
//! verified by its SHA-256.

use std::collections::{BTreeSet, HashMap};

/// The parts of a Release file that matter (<https://wiki.debian.org/DebianRepository/Format>).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReleaseFile {
    /// `Suite` and `Codename`.
    pub(super) names: Vec<String>,
    /// `Valid-Until`: as it is written, and in seconds since 1970.
    pub(super) valid_until: Option<(String, u64)>,
    /// `Acquire-By-Hash: yes`: indexes can be fetched by their digests.
    pub(super) by_hash: bool,
    /// `NotAutomatic: yes` (backports): nothing is taken from it unless it is asked for.
    pub(super) not_automatic: bool,
    /// Packages for all architectures have an index of their own, which the others do not repeat.
    pub(super) separate_all: bool,
    /// SHA-256 of the indexes by their paths below the suite.
    pub(super) sha256: HashMap<String, String>,
}

impl ReleaseFile {
    /// Reads the text that is signed, without the signature.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut file = Self::default();
        let (mut field, mut all, mut no_separate) = ("", false, false);
        for line in text.lines() {
            if let Some(entry) = line.strip_prefix([' ', '\t']) {
                if field == "SHA256" {
                    file.add_digest(entry)?;
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                if line.trim().is_empty() {
                    continue;
                }
                return Err("a line in it is no field");
            };
            let value = value.trim();
            field = name;
            match name {
                "Valid-Until" => file.valid_until = Some((value.to_owned(), seconds(value).ok_or("its `Valid-Until` is no date")?)),
                "Suite" | "Codename" => file.names.push(value.to_owned()),
                "Acquire-By-Hash" => file.by_hash = value == "yes",
                "NotAutomatic" => file.not_automatic = value == "yes",
                "Architectures" => all = value.split_whitespace().any(|arch| arch == "all"),
                "No-Support-for-Architecture-all" => no_separate = value == "Packages",
                _ => {}
            }
        }
        file.separate_all = all && !no_separate;
        if file.sha256.is_empty() { Err("it has no SHA-256 digests") } else { Ok(file) }
    }

    /// Components that have an index for one of the architectures, in alphabetical order.
    pub(super) fn components(&self, arches: &[&str]) -> BTreeSet<String> {
        let component = |path: &str| {
            let (component, rest) = path.split_once("/binary-")?;
            let (arch, file) = rest.split_once('/')?;
            let fits = arches.contains(&arch) && file.starts_with("Packages") && !component.ends_with("/debian-installer");
            fits.then(|| component.to_owned())
        };
        self.sha256.keys().filter_map(|path| component(path)).collect()
    }

    fn add_digest(&mut self, entry: &str) -> Result<(), &'static str> {
        let mut words = entry.split_whitespace();
        let (Some(sha256), Some(_size), Some(path)) = (words.next(), words.next(), words.next()) else {
            return Err("an entry below `SHA256` is incomplete");
        };
        if path.contains("/Packages") || path.starts_with("Packages") {
            self.sha256.insert(path.to_owned(), sha256.to_owned());
        }
        Ok(())
    }
}

/// `Wed, 25 Nov 2026 22:17:41 UTC` in seconds since 1970.
fn seconds(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<_> = date.split_whitespace().collect();
    let [_, day, month, year, time, zone] = words.as_slice() else { return None };
    if !["UTC", "GMT", "+0000"].contains(zone) {
        return None;
    }
    let clock: Vec<u64> = time.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let [hours @ 0..24, minutes @ 0..60, seconds @ 0..=60] = clock.as_slice() else { return None };
    let month = MONTHS.iter().position(|name| name == month)? as u64 + 1;
    let (year, day) = (year.parse().ok().filter(|year| *year < 10_000)?, day.parse().ok().filter(|day| *day <= 31)?);
    let days = days_since_1970(year, month, day)?;
    Some(days * 86_400 + hours * 3600 + minutes * 60 + seconds)
}

/// Days of the Gregorian calendar, counted in years that begin in March, so that the leap day comes last.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day.checked_sub(1)?;
    (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: oldstable-security\n\
        Valid-Until: Wed, 25 Nov 2026 22:17:41 UTC\nAcquire-By-Hash: yes\nNotAutomatic: yes\nArchitectures: all amd64\n\
        No-Support-for-Architecture-all: Packages\nMD5Sum:\n 00 1 main/binary-amd64/Packages\nSHA256:\n 11 1 main/binary-amd64/Packages.xz\n 22 1 main/Contents-amd64\n";

    #[test]
    fn reads_what_matters() {
        let file = ReleaseFile::parse(TEXT).unwrap();
        assert_eq!(file.sha256, HashMap::from([("main/binary-amd64/Packages.xz".to_owned(), "11".to_owned())]));
        assert_eq!(file.names, ["oldstable-security"]);
        assert!(file.by_hash && file.not_automatic && !file.separate_all);
        assert_eq!(file.valid_until, Some(("Wed, 25 Nov 2026 22:17:41 UTC".to_owned(), 1_795_645_061)));
    }

    #[test]
    fn an_index_for_all_architectures_is_separate_unless_it_says_otherwise() {
        let file = |extra: &str| ReleaseFile::parse(&format!("Architectures: all amd64\n{extra}SHA256:\n 11 1 main/binary-all/Packages\n")).unwrap();
        assert!(file("").separate_all && !file("No-Support-for-Architecture-all: Packages\n").separate_all);
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(ReleaseFile::parse("").unwrap_err(), "it has no SHA-256 digests");
        assert_eq!(ReleaseFile::parse("<html>\n").unwrap_err(), "a line in it is no field");
        assert_eq!(ReleaseFile::parse("Valid-Until: tomorrow\n").unwrap_err(), "its `Valid-Until` is no date");
        assert_eq!(ReleaseFile::parse("SHA256:\n 11\n").unwrap_err(), "an entry below `SHA256` is incomplete");
    }

    #[test]
    fn dates_are_counted_from_1970() {
        for (date, expected) in
            [("Thu, 01 Jan 1970 00:00:00 UTC", 0), ("Tue, 29 Feb 2000 12:00:00 UTC", 951_825_600), ("Fri, 31 Dec 2027 23:59:59 GMT", 1_830_297_599)]
        {
            assert_eq!(seconds(date), Some(expected), "{date}");
        }
        let largest = u64::MAX;
        for date in [
            "Thu, 01 Jan 1970 00:00:00 CET".to_owned(),
            format!("Thu, 01 Jan {largest} 00:00:00 UTC"),
            format!("Thu, {largest} Jan 2026 00:00:00 UTC"),
            format!("Thu, 01 Jan 2026 {largest}:00:00 UTC"),
            "Thu, 01 Jan 2026 00:60:00 UTC".to_owned(),
        ] {
            assert_eq!(seconds(&date), None, "{date}");
        }
    }
}
