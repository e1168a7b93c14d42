//! Versions of pacman's packages (vercmp(8)): `epoch:version-release`.

use std::cmp::Ordering;

/// Compares two versions: epoch, then version, then release where both have one.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left_epoch, left_version, left_release) = super::rpm::split(left);
    let (right_epoch, right_version, right_release) = super::rpm::split(right);
    let releases = || left_release.zip(right_release).map_or(Ordering::Equal, |(left, right)| part(left, right));
    part(left_epoch, right_epoch).then_with(|| part(left_version, right_version)).then_with(releases)
}

/// Alternates between numbers and words; what is neither separates, and more of it is later.
fn part(mut left: &str, mut right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    loop {
        let (left_rest, right_rest) = (without_separators(left), without_separators(right));
        if left_rest.is_empty() || right_rest.is_empty() {
            return ends(left, right);
        }
        let separators = (left.len() - left_rest.len()).cmp(&(right.len() - right_rest.len()));
        if separators.is_ne() {
            return separators;
        }
        let numbers = left_rest.starts_with(|c: char| c.is_ascii_digit());
        let ((one, left_next), (other, right_next)) = (super::rpm::segment(left_rest, numbers), super::rpm::segment(right_rest, numbers));
        let order = match (other.is_empty(), numbers) {
            // A number is later than a word.
            (true, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, true) => super::number(one).cmp(&super::number(other)),
            (false, false) => one.cmp(other),
        };
        if order.is_ne() {
            return order;
        }
        (left, right) = (left_next, right_next);
    }
}

fn without_separators(text: &str) -> &str {
    text.trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
}

/// When one has come to its end: a word after a number makes it earlier (`1.0rc1`), everything else later.
fn ends(left: &str, right: &str) -> Ordering {
    let is_word = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic());
    match (left.is_empty(), right.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => {
            if is_word(right) {
                Ordering::Greater
            } else {
                Ordering::Less
            }
        }
        (false, _) => {
            if is_word(left) {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel_index::version::assert_ascending;

    #[test]
    fn versions_compare_as_vercmp_does() {
        // Each is later than the one before it; pacman's `vercmp` agrees.
        let ascending = [
            "1.0alpha-1",
            "1.0beta-1",
            "1.0rc1-1",
            "1.0-1",
            "1.0.a-1",
            "1.0.1-1",
            "1.0.1.1-1",
            "1.2-1",
            "1.10-1",
            "1.10-1.1",
            "1.10-2",
            "6.8.arch1-1",
            "6.8.1.arch1-1",
            "6.16.8.arch3-1",
            "6.16.8.zen3-1",
            "6.16.10.arch1-1",
            "20220101-1",
            "1:0.1-1",
        ];
        assert_ascending(compare, &ascending);
        for (left, right) in [("1.0-1", "1.0"), ("1.0-1", "0:1.0-1"), ("1.01-1", "1.1-1")] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
        assert_eq!(compare("1..0-1", "1.0-1"), Ordering::Greater);
    }
}
