//! Suggestions for a kernel that nobody publishes.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::KernelRelease;

/// The releases that are most like the wanted one (or a pattern for it), best first: the same flavour before others,
/// then the more leading numbers in common, then the smaller the difference of the first number that differs.
#[must_use]
pub fn nearest<'a>(releases: impl IntoIterator<Item = &'a KernelRelease>, wanted: &str, count: usize) -> Vec<KernelRelease> {
    let (wanted_words, wanted_numbers) = (words(wanted), numbers(wanted));
    let mut ranked: Vec<_> = releases.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    ranked.sort_by_cached_key(|release| {
        let (words, numbers) = (words(release.as_str()), numbers(release.as_str()));
        let common = numbers.iter().zip(&wanted_numbers).take_while(|(a, b)| a == b).count();
        let at = |numbers: &[u64]| numbers.get(common).copied().unwrap_or(0);
        (words != wanted_words, Reverse(common), at(&numbers).abs_diff(at(&wanted_numbers)), Reverse((*release).clone()))
    });
    ranked.into_iter().take(count).cloned().collect()
}

/// The words of a release, which name its flavour: `cloud`, `amd64`.
fn words(release: &str) -> Vec<&str> {
    // A word that has digits in it, such as `amd64`, is a word; `deb12` says which release it is for, `56` is a number.
    let is_word = |part: &&str| part.starts_with(|c: char| c.is_ascii_alphabetic()) && !part.starts_with("deb");
    release.split(['-', '.', '+', '_', '~']).filter(is_word).collect()
}

/// The numbers of a release up to its flavour.
fn numbers(release: &str) -> Vec<u64> {
    release.split(['-', '.', '+', '_', '~']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suggest(wanted: &str) -> Vec<String> {
        let releases = ["6.1.0-54-amd64", "6.1.0-55-amd64", "6.1.0-56-amd64", "6.1.0-56-cloud-amd64", "6.12.95+deb12-amd64", "6.12.117+deb12-amd64"];
        let releases: Vec<_> = releases.iter().map(|text| text.parse().unwrap()).collect();
        nearest(&releases, wanted, 3).into_iter().map(String::from).collect()
    }

    #[test]
    fn suggests_the_same_flavour_and_the_nearest_numbers() {
        assert_eq!(suggest("6.1.0-99-amd64"), ["6.1.0-56-amd64", "6.1.0-55-amd64", "6.1.0-54-amd64"]);
        assert_eq!(suggest("6.1.0-99-cloud-amd64")[0], "6.1.0-56-cloud-amd64");
        assert_eq!(suggest("6.12.96+deb12-amd64")[..2], ["6.12.95+deb12-amd64", "6.12.117+deb12-amd64"]);
        assert_eq!(suggest("5.10.0-9*-amd64").len(), 3);
        assert_eq!(suggest("").len(), 3);
    }
}
