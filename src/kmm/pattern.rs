//! Regular expressions as Go's `regexp` reads them (<https://github.com/google/re2/wiki/Syntax>), for an engine that differs in details.

use regex::{Regex, RegexBuilder};

/// The highest count that Go takes in `{n,m}`.
const REPEAT: u32 = 1000;

/// Compiles an expression.
///
/// # Errors
/// What is wrong with it, in a few words.
pub(super) fn compile(pattern: &str) -> Result<Regex, String> {
    RegexBuilder::new(&translate(pattern)?).size_limit(1 << 22).build().map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
        error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}

/// The same expression in the words of this engine.
fn translate(pattern: &str) -> Result<String, String> {
    let mut translated = String::with_capacity(pattern.len());
    let mut rest = pattern;
    // Whether what stands before can be repeated, and whether it has been.
    let (mut repeatable, mut repeated) = (false, false);
    while let Some(c) = rest.chars().next() {
        let (length, text) = match c {
            '\\' if rest.starts_with("\\Q") => {
                let quoted = &rest[2..];
                let end = quoted.find("\\E");
                (end.map_or(rest.len(), |end| end + 4), regex::escape(&quoted[..end.unwrap_or(quoted.len())]))
            }
            '\\' => escape(rest, false)?,
            '[' => class(rest)?,
            '{' => match counted(rest)? {
                Some(length) => (length, rest[..length].to_owned()),
                // What is no count is a brace.
                None => (1, r"\{".to_owned()),
            },
            '}' => (1, r"\}".to_owned()),
            c => (c.len_utf8(), c.to_string()),
        };
        let is_repetition = matches!(c, '*' | '+' | '?') && repeatable || c == '{' && length > 1;
        if is_repetition && repeated {
            return Err(format!("`{}` cannot be repeated", &rest[..length]));
        }
        rest = &rest[length..];
        translated.push_str(&text);
        if is_repetition && let Some(lazy) = rest.strip_prefix('?') {
            translated.push('?');
            rest = lazy;
        }
        repeated = is_repetition;
        repeatable = !matches!(c, '(' | '|');
    }
    Ok(translated)
}

/// An escape, for here. Go takes no letter that it does not know, and its classes are those of ASCII.
fn escape(rest: &str, in_class: bool) -> Result<(usize, String), String> {
    let Some(escaped) = rest[1..].chars().next() else { return Err("a `\\` at the end".into()) };
    let length = 1 + escaped.len_utf8();
    let set = |members: &str, negated: bool| match (in_class, negated) {
        (true, false) => members.to_owned(),
        (_, negated) => format!("[{}{members}]", if negated { "^" } else { "" }),
    };
    match escaped {
        'd' | 'D' => Ok((length, set("0-9", escaped == 'D'))),
        'w' | 'W' => Ok((length, set("0-9A-Za-z_", escaped == 'W'))),
        's' | 'S' => Ok((length, set(r"\t\n\f\r ", escaped == 'S'))),
        'b' | 'B' => Ok((length, format!(r"(?-u:\{escaped})"))),
        // Word boundaries of this engine, in Go the signs themselves.
        '<' | '>' => Ok((length, escaped.to_string())),
        'p' | 'P' => {
            let name = rest[2..].strip_prefix('{').and_then(|name| name.find('}')).map_or(1, |end| end + 2);
            Ok((rest.len().min(length + name), rest.get(..length + name).unwrap_or(rest).to_owned()))
        }
        'x' => {
            let digits = rest[2..].strip_prefix('{').and_then(|digits| digits.find('}')).map_or(2, |end| end + 2);
            Ok((rest.len().min(length + digits), rest.get(..length + digits).unwrap_or(rest).to_owned()))
        }
        'C' => Ok((length, "(?s:.)".into())),
        '1'..='9' => Err("backreferences are not supported".into()),
        c if c.is_ascii_alphanumeric() && !"Azafnrtv0".contains(c) => Err(format!("unknown escape `\\{c}`")),
        '0' => Ok((length, r"\x00".into())),
        c if c.is_ascii_punctuation() || c.is_ascii_alphanumeric() => Ok((length, rest[..length].to_owned())),
        c => Ok((length, c.to_string())),
    }
}

/// A class. Brackets and doubled signs inside of it have a meaning here, and none in Go.
fn class(rest: &str) -> Result<(usize, String), String> {
    let mut translated = String::from("[");
    let mut at = 1;
    if rest[at..].starts_with('^') {
        translated.push('^');
        at += 1;
    }
    let first = at;
    loop {
        let inner = &rest[at..];
        let Some(c) = inner.chars().next() else { return Err("`[` without `]`".into()) };
        match c {
            ']' if at > first => return Ok((at + 1, translated + "]")),
            '[' if inner.starts_with("[:") && inner.contains(":]") => {
                let end = inner.find(":]").unwrap_or_default() + 2;
                translated.push_str(&inner[..end]);
                at += end;
            }
            '\\' => {
                let (length, text) = escape(inner, true)?;
                translated.push_str(&text);
                at += length;
            }
            c => {
                if matches!(c, '[' | ']' | '&' | '~') {
                    translated.push('\\');
                }
                translated.push(c);
                at += c.len_utf8();
            }
        }
    }
}

/// How long `{n}`, `{n,}` or `{n,m}` is; `None` if it is something else.
fn counted(rest: &str) -> Result<Option<usize>, String> {
    let Some(end) = rest.find('}') else { return Ok(None) };
    let (least, most) = rest[1..end].split_once(',').unwrap_or((&rest[1..end], ""));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(least) || !(most.is_empty() || is_number(most)) {
        return Ok(None);
    }
    let too_many = |text: &str| !text.is_empty() && text.parse::<u32>().map_or(true, |count| count > REPEAT);
    if too_many(least) || too_many(most) {
        return Err(format!("`{}` counts further than {REPEAT}", &rest[..=end]));
    }
    Ok(Some(end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_refuses_is_refused() {
        for (pattern, reason) in [
            ("(", "unclosed group"),
            ("6.1)", "unopened group"),
            ("[6", "`[` without `]`"),
            ("6**", "`*` cannot be repeated"),
            ("6{2}{3}", "`{3}` cannot be repeated"),
            ("6{1001}", "`{1001}` counts further than 1000"),
            (r"(6)\1", "backreferences are not supported"),
            (r"\h", r"unknown escape `\h`"),
            ("(?=6)", "look-around, including look-ahead and look-behind, is not supported"),
            ("*6", "repetition operator missing expression"),
            ("6\\", "a `\\` at the end"),
        ] {
            assert_eq!(compile(pattern).map(|regex| regex.to_string()), Err(reason.to_owned()), "{pattern}");
        }
    }

    #[test]
    fn what_differs_between_the_engines_is_as_in_go() {
        for (pattern, text) in [
            (r"^\Q6.1+\E-", "6.1+-"),
            (r"^\Q6.1", "6.1"),
            ("^6{x}", "6{x}"),
            ("a{,2}", "a{,2}"),
            ("^[[a]$", "["),
            ("^[]a]$", "]"),
            ("^[^]a]$", "b"),
            ("^[a&&b]+$", "&a"),
            ("^[[:alpha:]_~~-]+$", "a_~-"),
            ("^a+?b*?$", "aab"),
            ("^6(?:\\.1|)?$", "6.1"),
            (r"^\x36\x{2e}1\C$", "6.1x"),
            (r"^\<$", "<"),
            (r"^\d\D\w\W\s\S$", "1a_- x"),
            (r"^[\d.]+[^\D]$", "6.1"),
            (r"\bamd64\b", "6.1-amd64"),
            ("^.$", "ü"),
            (r"^\_\-$", "_-"),
            ("}", "}"),
        ] {
            assert!(compile(pattern).unwrap().is_match(text), "{pattern} {text}");
        }
        assert!(!compile("^[a&&b]+$").unwrap().is_match("c"));
        assert!(!compile("a.b").unwrap().is_match("a\nb"));
        assert!(!compile(r"^\d$").unwrap().is_match("٣"));
    }
}
