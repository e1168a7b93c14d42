//! `{name}` in profile values, and what takes its place.

/// Names and their values, for [`expand`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placeholders(Vec<(&'static str, String)>);

impl Placeholders {
    /// Adds a name and its value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.push((name, value.into()));
        self
    }
}

/// Why a template cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderError {
    /// Nothing is known by that name here.
    #[error("unknown placeholder `{{{name}}}`")]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// What may stand there.
        expected: Vec<&'static str>,
    },
    /// A brace without its partner.
    #[error("a `{brace}` without its partner; a brace that is meant literally is doubled")]
    Unbalanced {
        /// `{` or `}`.
        brace: char,
    },
}

/// Replaces every `{name}` by its value. `{{` and `}}` are literal braces. Values are taken as they are: what looks like a
/// placeholder in them stays.
pub fn expand(template: &str, values: &Placeholders) -> Result<String, PlaceholderError> {
    replace(template, |name| {
        let value = values.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        value.ok_or_else(|| PlaceholderError::Unknown { name: name.to_owned(), expected: values.0.iter().map(|(known, _)| *known).collect() })
    })
}

/// Checks that a template uses no other names than these.
pub fn check(template: &str, allowed: &[&'static str]) -> Result<(), PlaceholderError> {
    let lookup = |name: &str| {
        if allowed.contains(&name) { Ok("") } else { Err(PlaceholderError::Unknown { name: name.to_owned(), expected: allowed.to_vec() }) }
    };
    replace(template, lookup).map(drop)
}

fn replace<'v>(template: &str, lookup: impl Fn(&str) -> Result<&'v str, PlaceholderError>) -> Result<String, PlaceholderError> {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let brace = if rest[at..].starts_with('{') { '{' } else { '}' };
        let after = &rest[at + 1..];
        if let Some(literal) = after.strip_prefix(brace) {
            text.push(brace);
            rest = literal;
        } else {
            let end = after.find(['{', '}']).filter(|end| brace == '{' && after[*end..].starts_with('}'));
            let end = end.ok_or(PlaceholderError::Unbalanced { brace })?;
            text.push_str(lookup(&after[..end])?);
            rest = &after[end + 1..];
        }
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_doubled_braces_are_kept() {
        let values = Placeholders::default().with("kernel", "6.1.0-56-amd64").with("cc", "{kernel}");
        assert_eq!(expand("linux-headers-{kernel}", &values).unwrap(), "linux-headers-6.1.0-56-amd64");
        assert_eq!(expand("{cc}{{x}} ${{HOME}}", &values).unwrap(), "{kernel}{x} ${HOME}");
        assert_eq!(expand("plain", &values).unwrap(), "plain");
    }

    #[test]
    fn what_is_unknown_or_unbalanced_is_refused() {
        let values = Placeholders::default().with("kernel", "k");
        assert_eq!(expand("{kernle}", &values).unwrap_err(), PlaceholderError::Unknown { name: "kernle".into(), expected: vec!["kernel"] });
        assert_eq!(check("a{kernel", &["kernel"]).unwrap_err(), PlaceholderError::Unbalanced { brace: '{' });
        assert_eq!(check("a}b", &["kernel"]).unwrap_err(), PlaceholderError::Unbalanced { brace: '}' });
        assert_eq!(check("{a{kernel}}", &["kernel"]).unwrap_err(), PlaceholderError::Unbalanced { brace: '{' });
        assert_eq!(check("{}", &[]).unwrap_err().to_string(), "unknown placeholder `{}`");
    }
}
