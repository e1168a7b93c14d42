//! Shell patterns.

/// Whether a name fits a shell pattern: `*`, `?` and `[…]`, where `*` matches `/` as well.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern, name);
    // What follows the last `*`, and where it was tried.
    let mut retry: Option<(&str, &str)> = None;
    loop {
        if let Some(rest) = pattern.strip_prefix('*') {
            retry = Some((rest, name));
            pattern = rest;
        } else if pattern.is_empty() && name.is_empty() {
            return true;
        } else if let Some((pattern_rest, name_rest)) = step(pattern, name) {
            (pattern, name) = (pattern_rest, name_rest);
        } else {
            let Some((rest, tried)) = retry else { return false };
            let Some(c) = tried.chars().next() else { return false };
            (pattern, name) = (rest, &tried[c.len_utf8()..]);
            retry = Some((rest, name));
        }
    }
}

/// Matches one character.
fn step<'p, 'n>(pattern: &'p str, name: &'n str) -> Option<(&'p str, &'n str)> {
    let c = name.chars().next()?;
    let name = &name[c.len_utf8()..];
    if let Some(rest) = pattern.strip_prefix('?') {
        return Some((rest, name));
    }
    if let Some((class, rest)) = pattern.strip_prefix('[').and_then(|pattern| pattern.split_once(']')) {
        let (wanted, class) = class.strip_prefix(['!', '^']).map_or((true, class), |class| (false, class));
        return (in_class(class, c) == wanted).then_some((rest, name));
    }
    Some((pattern.strip_prefix(c)?, name))
}

/// Whether a class (`a-z_`) has a character.
fn in_class(class: &str, c: char) -> bool {
    let class: Vec<char> = class.chars().collect();
    class.contains(&c) || class.windows(3).any(|range| range[1] == '-' && (range[0]..=range[2]).contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, name) in
            [("*", ""), ("*", "a/b"), ("a*c", "abbc"), ("a?c", "abc"), ("[a-c]x", "bx"), ("[!a-c]x", "dx"), ("a**b", "ab"), ("*.bin", "nvidia/1/gsp.bin")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("", "a"), ("a", ""), ("a?c", "ac"), ("[a-c]x", "dx"), ("a*c", "ab"), ("*.bin", "gsp.bin.xz")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
