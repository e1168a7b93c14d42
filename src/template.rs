//! The template engine, with its quoting filters and its guards.
//!
//! Tera is not strict inside conditions: a name that does not exist counts as false there. Three guards make up for it
//! (tests of this module): every name in a template is a field of its context, conditions use top-level names only, and
//! optional fields are empty lists or texts rather than absent.

use std::collections::HashMap;
use std::sync::LazyLock;

use rust_embed::RustEmbed;
use serde::Serialize;
use tera::{Context, Kwargs, State, Tera};

use crate::reference::Digest;

#[derive(RustEmbed)]
#[folder = "templates/"]
struct Templates;

/// A template that cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template `{name}`: {message}")]
pub struct TemplateError {
    /// `dockerfile/apt.Dockerfile.tera`, or what a user's template is for.
    pub name: String,
    /// The engine's words.
    pub message: String,
}

static ENGINE: LazyLock<Result<Tera, TemplateError>> = LazyLock::new(|| {
    let mut engine = new_engine();
    let templates: Vec<_> = Templates::iter()
        .filter(|path| path.ends_with(".tera"))
        .filter_map(|path| Some((path.to_string(), String::from_utf8_lossy(&Templates::get(&path)?.data).into_owned())))
        .collect();
    engine.add_raw_templates(templates).map_err(|error| TemplateError { name: "templates/".into(), message: error.to_string() })?;
    Ok(engine)
});

fn new_engine() -> Tera {
    let mut engine = Tera::new();
    engine.autoescape_on(Vec::<&'static str>::new());
    engine.register_filter("sh", |text: &str, _: Kwargs, _: &State| quote_shell(text));
    engine.register_filter("label", |text: &str, _: Kwargs, _: &State| quote_label(text));
    engine
}

/// Renders one of the embedded templates.
///
/// # Errors
/// When the template names something that its context does not have; a fault of kmodforge.
pub fn render<C: Serialize>(name: &str, context: &C) -> Result<String, TemplateError> {
    let failed = |error: tera::Error| TemplateError { name: name.to_owned(), message: describe(&error) };
    let engine = ENGINE.as_ref().map_err(Clone::clone)?;
    engine.render(name, &Context::from_serialize(context).map_err(failed)?).map_err(failed)
}

/// An embedded file that is taken as it is.
///
/// # Errors
/// When there is no such file.
pub fn text(name: &str) -> Result<String, TemplateError> {
    let file = Templates::get(name).ok_or_else(|| TemplateError { name: name.to_owned(), message: "there is no such template".into() })?;
    Ok(String::from_utf8_lossy(&file.data).into_owned())
}

/// Digest of an embedded template's text, and of those that it includes.
///
/// # Errors
/// When there is no such template.
pub fn digest(name: &str) -> Result<&'static Digest, TemplateError> {
    static DIGESTS: LazyLock<HashMap<String, Digest>> =
        LazyLock::new(|| Templates::iter().filter_map(|path| Some((path.to_string(), Digest::of(&with_included(&path)?)))).collect());
    DIGESTS.get(name).ok_or_else(|| TemplateError { name: name.to_owned(), message: "there is no such template".into() })
}

/// A template's text, followed by those that it includes.
fn with_included(name: &str) -> Option<Vec<u8>> {
    let mut text = Templates::get(name)?.data.into_owned();
    let own = String::from_utf8_lossy(&text).into_owned();
    for included in own.split("{% include \"").skip(1).filter_map(|rest| rest.split('"').next()) {
        text.extend(with_included(included)?);
    }
    Some(text)
}

/// A template that a user wrote, parsed once.
pub struct UserTemplate {
    engine: Tera,
    what: &'static str,
}

impl UserTemplate {
    /// Parses a template.
    ///
    /// # Errors
    /// When its syntax is wrong.
    pub fn parse(what: &'static str, text: &str) -> Result<Self, TemplateError> {
        let mut engine = new_engine();
        engine.add_raw_template(what, text).map_err(|error| TemplateError { name: what.to_owned(), message: describe(&error) })?;
        Ok(Self { engine, what })
    }

    /// Renders it.
    ///
    /// # Errors
    /// When it names something that the context does not have.
    pub fn render<C: Serialize>(&self, context: &C) -> Result<String, TemplateError> {
        let failed = |error: tera::Error| TemplateError { name: self.what.to_owned(), message: describe(&error) };
        self.engine.render(self.what, &Context::from_serialize(context).map_err(failed)?).map_err(failed)
    }
}

/// An error with its causes: the engine keeps the useful part in the source.
fn describe(error: &tera::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text.trim().to_owned()
}

/// A text as one word of a POSIX shell inside a Dockerfile's `RUN`: left alone when it is harmless, else in single quotes.
///
/// A Dockerfile's own line structure cannot be quoted, so line breaks become `$'\n'` (the shells used are bash).
#[must_use]
pub fn quote_shell(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "%+,-./:=@_".contains(c);
    if !text.is_empty() && text.chars().all(harmless) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\'' => quoted.push_str("'\\''"),
            '\n' => quoted.push_str("'$'\\n''"),
            '\r' => quoted.push_str("'$'\\r''"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// A text as the value of a Dockerfile's `LABEL` or `ENV`: double-quoted, with nothing left to expand.
#[must_use]
pub fn quote_label(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' | '$' => quoted.extend(['\\', c]),
            '\n' | '\r' => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The names that an embedded template uses; for the guards' tests.
///
/// # Errors
/// When there is no such template.
#[cfg(test)]
pub fn names_used(template: &str) -> Result<Vec<String>, TemplateError> {
    let engine = ENGINE.as_ref().map_err(Clone::clone)?;
    let names = engine.get_template_variables(template).map_err(|error| TemplateError { name: template.to_owned(), message: error.to_string() })?;
    Ok(names.into_iter().map(ToOwned::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_words_survive_a_shell() {
        for text in ["plain-1.0", "", "a b", "it's", "$(id)", "`id`", "a;b", "a\nb", "\\", "~", "*", "\"", "a'\n'b"] {
            let output = std::process::Command::new("bash").args(["-c", &format!("printf %s {}", quote_shell(text))]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), text, "{text:?}");
            assert!(!quote_shell(text).contains('\n'), "a line break would end the Dockerfile's line");
        }
    }

    #[test]
    fn labels_expand_nothing() {
        assert_eq!(quote_label("a \"b\" $HOME \\"), r#""a \"b\" \$HOME \\""#);
    }

    #[test]
    fn conditions_use_top_level_names_only() {
        for path in Templates::iter().filter(|path| path.ends_with(".tera")) {
            let text = String::from_utf8(Templates::get(&path).unwrap().data.into_owned()).unwrap();
            for tag in text.split("{%").skip(1).filter_map(|rest| rest.split("%}").next()) {
                let words = tag.trim_matches(['-', ' ']);
                if words.starts_with("if ") || words.starts_with("elif ") {
                    assert!(!words.contains('.'), "{path}: `{words}` would be false, silently, if the name were wrong");
                }
            }
        }
    }

    #[test]
    fn a_users_template_that_names_nothing_known_is_refused() {
        #[derive(Serialize)]
        struct Names {
            version: &'static str,
        }
        let template = UserTemplate::parse("tag", "{{ version }}-{{ kernle }}").unwrap();
        let error = template.render(&Names { version: "1" }).unwrap_err();
        assert_eq!(error.name, "tag");
        assert!(error.message.contains("kernle"), "{}", error.message);
        assert!(UserTemplate::parse("tag", "{{ version").is_err());
    }
}
