//! Versions of RPM packages (rpm-version(7)): `epoch:version-release`.

use std::cmp::Ordering;

/// Compares two versions: epoch, then version, then release.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left_version, left_release) = split(left);
    let (right_epoch, right_version, right_release) = split(right);
    let epochs = part(left_epoch, right_epoch);
    epochs.then_with(|| part(left_version, right_version)).then_with(|| part(left_release.unwrap_or_default(), right_release.unwrap_or_default()))
}

/// Compares a package's version to that of a dependency, which need not name a release.
pub(super) fn compare_to_bound(version: &str, bound: &str) -> Ordering {
    match split(bound) {
        (_, _, Some(_)) => compare(version, bound),
        (..) => compare(version.rsplit_once('-').map_or(version, |(version, _)| version), bound),
    }
}

/// Epoch, version, and release if there is one.
pub(super) fn split(version: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (version, release) = rest.rsplit_once('-').map_or((rest, None), |(version, release)| (version, Some(release)));
    (epoch, version, release)
}

/// Alternates between numbers and words; what is neither separates. `~` comes before everything, `^` after the end and before the rest.
fn part(mut left: &str, mut right: &str) -> Ordering {
    let separator = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
    loop {
        (left, right) = (left.trim_start_matches(separator), right.trim_start_matches(separator));
        match (left.starts_with('~'), right.starts_with('~')) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (true, true) => {
                (left, right) = (&left[1..], &right[1..]);
                continue;
            }
            (false, false) => {}
        }
        match (left.starts_with('^'), right.starts_with('^')) {
            (true, true) => {
                (left, right) = (&left[1..], &right[1..]);
                continue;
            }
            (true, false) => return if right.is_empty() { Ordering::Greater } else { Ordering::Less },
            (false, true) => return if left.is_empty() { Ordering::Less } else { Ordering::Greater },
            (false, false) => {}
        }
        if left.is_empty() || right.is_empty() {
            return left.len().cmp(&right.len());
        }
        let numbers = left.starts_with(|c: char| c.is_ascii_digit());
        let ((one, left_rest), (other, right_rest)) = (segment(left, numbers), segment(right, numbers));
        let order = match (other.is_empty(), numbers) {
            // A number is newer than a word.
            (true, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) => super::number(one).cmp(&super::number(other)),
            (false, false) => one.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
}

/// The digits or letters that a text starts with, and the rest.
pub(super) fn segment(text: &str, digits: bool) -> (&str, &str) {
    let is_one = |c: char| if digits { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
    text.split_at(text.find(|c| !is_one(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_index::version::assert_ascending;

    #[test]
    fn versions_compare_as_rpm_does() {
        // Each is later than the one before it; `rpmdev-vercmp` and rpm's own test suite agree.
        let ascending = [
            "1.0~rc1-1",
            "1.0-1",
            "1.0^20240101-1",
            "1.0.a-1",
            "1.0.1-1",
            "1.0.1.1-1",
            "1.2-1.el9",
            "1.10-1.el9",
            "1.10-2.el9",
            "5.14.0-503.11.1.el9_5",
            "5.14.0-503.15.1.el9_5",
            "5.14.0-570.12.1.el9_6",
            "20220101-1",
            "1:0.1-1",
        ];
        assert_ascending(compare, &ascending);
        for (left, right) in [("1.0-1", "1.00-1"), ("1.0-1", "0:1.0-1"), ("1_0-1", "1.0-1")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
    }

    #[test]
    fn a_bound_without_a_release_is_met_by_all() {
        assert_eq!(compare_to_bound("5.14.0-503.el9", "5.14.0"), Ordering::Equal);
        assert_eq!(compare_to_bound("5.14.0-503.el9", "5.14.0-503.el9"), Ordering::Equal);
        assert_eq!(compare_to_bound("5.14.0-503.el9", "5.14.0-504.el9"), Ordering::Less);
        assert_eq!(compare_to_bound("1:5-1", "5"), Ordering::Greater);
    }
}
