//! Versions of packages, and how they compare: Debian's (deb-version(7)), RPM's (rpm-version(7)) and pacman's (vercmp(8)).

mod alpm;
mod rpm;

use std::cmp::Ordering;

use crate::profile::distro::Family;

/// Compares two versions as the family's own programs do.
pub(super) fn compare_in(family: Family, left: &str, right: &str) -> Ordering {
    match family {
        Family::Apt => compare(left, right),
        Family::Dnf | Family::Zypper => rpm::compare(left, right),
        Family::Pacman => alpm::compare(left, right),
    }
}

/// Compares two versions: epoch, then upstream version, then revision; `~` sorts before everything, even the end.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left_upstream, left_revision) = split(left);
    let (right_epoch, right_upstream, right_revision) = split(right);
    let epochs = number(left_epoch).cmp(&number(right_epoch));
    epochs.then_with(|| compare_part(left_upstream, right_upstream)).then_with(|| compare_part(left_revision, right_revision))
}

fn split(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch, upstream, revision)
}

/// A number of any length: by its length without leading zeros, then by its digits.
fn number(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

/// Alternates between texts without digits and numbers.
fn compare_part(mut left: &str, mut right: &str) -> Ordering {
    loop {
        let (words, words_rest) = split_before(left, |c| c.is_ascii_digit());
        let (other_words, other_words_rest) = split_before(right, |c| c.is_ascii_digit());
        let (digits, rest) = split_before(words_rest, |c| !c.is_ascii_digit());
        let (other_digits, other_rest) = split_before(other_words_rest, |c| !c.is_ascii_digit());
        let order = compare_text(words, other_words).then_with(|| number(digits).cmp(&number(other_digits)));
        if order.is_ne() || rest.is_empty() && other_rest.is_empty() {
            return order;
        }
        (left, right) = (rest, other_rest);
    }
}

/// What comes before the first character of a kind, and the rest.
fn split_before(text: &str, is_next: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(is_next).unwrap_or(text.len()))
}

fn compare_text(left: &str, right: &str) -> Ordering {
    // `~` comes before the end of the text, the end before letters, letters before everything else.
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => 0,
        None => 1,
        Some(letter) if letter.is_ascii_alphabetic() => 2 + u16::from(*letter),
        Some(other) => 300 + u16::from(*other),
    };
    let length = left.len().max(right.len());
    (0..length).map(|at| weight(left.as_bytes().get(at)).cmp(&weight(right.as_bytes().get(at)))).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// `>=`, `=`… of a dependency, and the version it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    relation: Relation,
    version: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Earlier,
    NotLater,
    Exactly,
    NotEarlier,
    Later,
}

impl Bound {
    /// The inside of the parentheses: `>= 4.12~`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c| !"<=>".contains(c))?;
        let relation = match &text[..end] {
            "<<" => Relation::Earlier,
            "<=" => Relation::NotLater,
            "=" => Relation::Exactly,
            ">=" => Relation::NotEarlier,
            ">>" => Relation::Later,
            _ => return None,
        };
        Some(Self { relation, version: text[end..].trim().to_owned() })
    }

    pub(super) fn accepts(&self, family: Family, version: &str) -> bool {
        let order = match family {
            Family::Apt => compare(version, &self.version),
            Family::Dnf | Family::Zypper => rpm::compare_to_bound(version, &self.version),
            Family::Pacman => alpm::compare(version, &self.version),
        };
        match self.relation {
            Relation::Earlier => order.is_lt(),
            Relation::NotLater => order.is_le(),
            Relation::Exactly => order.is_eq(),
            Relation::NotEarlier => order.is_ge(),
            Relation::Later => order.is_gt(),
        }
    }
}

/// Each version is later than those before it, and equal to itself.
#[cfg(test)]
fn assert_ascending(compare: impl Fn(&str, &str) -> Ordering, versions: &[&str]) {
    for (at, left) in versions.iter().enumerate() {
        for (other, right) in versions.iter().enumerate() {
            assert_eq!(compare(left, right), at.cmp(&other), "{left} {right}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_dpkg_does() {
        // Each is later than the one before it; `dpkg --compare-versions` agrees.
        let ascending = [
            "1.0~rc1-1",
            "1.0-1~bpo12+1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1+deb12u1",
            "1.0-1.1",
            "1.0-2",
            "1.0a-1",
            "1.0+dfsg-1",
            "1.0.1-1",
            "1.2-1",
            "1.10-1",
            "6.1.170-3",
            "6.1.176-1",
            "6.12.95-1~bpo12+1",
            "6.12.117-1~deb12u1",
            "20221128-1",
            "1:0.1-1",
        ];
        assert_ascending(compare, &ascending);
        for (left, right) in [("1.0", "1.0-0"), ("0:1.0-1", "1.0-1"), ("1.01-1", "1.1-1"), ("1.0-1", "1.0-1")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
    }

    #[test]
    fn bounds_accept_what_they_say() {
        let accepts = |bound: &str, version| Bound::parse(bound).unwrap().accepts(Family::Apt, version);
        assert!(accepts(">= 4.12~", "4.12.1~deb12u1") && accepts(">= 4.12~", "4.12~") && !accepts(">= 4.12", "4.12~"));
        assert!(accepts("= 6.1.170-3", "6.1.170-3") && !accepts("= 6.1.170-3", "6.1.170-4"));
        assert!(accepts("<< 2", "1") && !accepts("<< 2", "2") && accepts("<= 2", "2") && accepts(">> 1", "2") && !accepts(">> 2", "2"));
        assert!(Bound::parse("2").is_none() && Bound::parse("== 2").is_none());
    }
}
