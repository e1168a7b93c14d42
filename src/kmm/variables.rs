//! `$NAME`, `${NAME}` and `${NAME:-default}` in the texts of a Module, as `github.com/a8m/envsubst` 1.4.2 (`parse`) replaces them.
//!
//! What looks odd here is that library's behaviour: an unknown name is an empty text, `${A:-${B}}` is no default of a default, `$_` stays.

/// Why a text cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// `${` without `}`.
    #[error("`${{` without `}}`")]
    Unclosed,
    /// A lone `_` as a default: KMM's operator never comes back from it.
    #[error("`$_` inside of `${{…}}`")]
    Endless,
    /// The release has fewer than three parts.
    #[error("KMM expects three parts, divided by `.`, `,` or `-`, in every release")]
    TooFewParts,
}

/// Names and their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variables(Vec<(&'static str, String)>);

impl Variables {
    /// What a normalised release gives (`KernelComponentsAsEnvVars`).
    pub(super) fn of(release: &str) -> Result<Self, ExpandError> {
        let parts: Vec<&str> = release.split(['.', ',', '-']).collect();
        let [x, y, z, ..] = parts[..] else { return Err(ExpandError::TooFewParts) };
        Ok(Self(vec![
            ("KERNEL_FULL_VERSION", release.to_owned()),
            ("KERNEL_VERSION", release.to_owned()),
            ("KERNEL_XYZ", format!("{x}.{y}.{z}")),
            ("KERNEL_X", x.to_owned()),
            ("KERNEL_Y", y.to_owned()),
            ("KERNEL_Z", z.to_owned()),
        ]))
    }

    /// Adds a name.
    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, value.to_owned()));
        self
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// A text with every name replaced.
    pub(super) fn expand(&self, text: &str) -> Result<String, ExpandError> {
        let mut tokens = Lexer::read(text)?.into_iter().peekable();
        let mut expanded = String::new();
        while let Some(token) = tokens.next() {
            match token {
                Token::Variable(name) => expanded.push_str(self.get(name.strip_prefix('$').unwrap_or(name)).unwrap_or_default()),
                Token::Open if matches!(tokens.peek(), Some(Token::Variable(_))) => expanded.push_str(&self.substitute(&mut tokens)?),
                Token::Open => expanded.push_str("${"),
                Token::Close(text) | Token::Operator(text) | Token::Text(text) => expanded.push_str(text),
            }
        }
        Ok(expanded)
    }

    /// The value of `${…}` behind its opening.
    fn substitute<'t>(&self, tokens: &mut std::iter::Peekable<impl Iterator<Item = Token<'t>>>) -> Result<String, ExpandError> {
        let Some(Token::Variable(name)) = tokens.next() else { return Err(ExpandError::Unclosed) };
        let (mut operator, mut default) = (None, None);
        loop {
            match tokens.next() {
                Some(Token::Close(_)) => break,
                Some(Token::Variable(name)) => default = Some(self.get(name.strip_prefix('$').unwrap_or(name)).unwrap_or_default().to_owned()),
                Some(Token::Text(text)) => {
                    let mut text = text.to_owned();
                    while let Some(more) = tokens.next_if(|token| !matches!(token, Token::Close(_))) {
                        text.push_str(more.text());
                    }
                    default = Some(text);
                }
                Some(token) => operator = Some(token.text()),
                None => return Err(ExpandError::Endless),
            }
        }
        let value = self.get(name);
        Ok(match (operator, default) {
            (Some(":-" | ":="), Some(default)) => value.filter(|value| !value.is_empty()).map_or(default, ToOwned::to_owned),
            (Some("+" | ":+"), Some(default)) => value.map_or(String::new(), |_| default),
            (Some(_), Some(default)) => value.map_or(default, ToOwned::to_owned),
            _ => value.unwrap_or_default().to_owned(),
        })
    }
}

/// A piece of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Text(&'t str),
    /// With its `$` outside of `${…}`.
    Variable(&'t str),
    /// `${`.
    Open,
    /// `}`, behind whatever nobody asked for.
    Close(&'t str),
    /// `:-` and the like.
    Operator(&'t str),
}

impl<'t> Token<'t> {
    fn text(self) -> &'t str {
        match self {
            Self::Text(text) | Self::Variable(text) | Self::Close(text) | Self::Operator(text) => text,
            Self::Open => "${",
        }
    }
}

/// Where reading has come to. The names of the methods are those of the library's states.
struct Lexer<'t> {
    text: &'t str,
    /// Where the piece that is being read begins, and where it has come to.
    start: usize,
    at: usize,
    /// Where the last piece began.
    last: usize,
    depth: usize,
    tokens: Vec<Token<'t>>,
}

enum State {
    Text,
    Variable,
    Operator,
    Substitution,
    Done,
}

impl<'t> Lexer<'t> {
    fn read(text: &'t str) -> Result<Vec<Token<'t>>, ExpandError> {
        let mut lexer = Self { text, start: 0, at: 0, last: 0, depth: 0, tokens: Vec::new() };
        let mut state = State::Text;
        loop {
            state = match state {
                State::Text => lexer.text(),
                State::Variable => lexer.variable(),
                State::Operator => lexer.operator()?,
                State::Substitution => lexer.substitution()?,
                State::Done => return Ok(lexer.tokens),
            };
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn emit(&mut self, token: impl FnOnce(&'t str) -> Token<'t>) {
        self.tokens.push(token(&self.text[self.start..self.at]));
        self.last = self.start;
        self.start = self.at;
    }

    fn emit_text(&mut self) {
        if self.at > self.start {
            self.emit(Token::Text);
        }
    }

    fn text(&mut self) -> State {
        while let Some(c) = self.peek() {
            if c != '$' {
                self.next();
                continue;
            }
            self.emit_text();
            self.next();
            match self.peek() {
                Some('$') => {
                    self.start = self.at;
                    self.next();
                    self.emit(Token::Text);
                }
                Some('{') => {
                    self.next();
                    self.depth += 1;
                    self.emit(|_| Token::Open);
                    return State::Operator;
                }
                Some(c) if is_name(c) => return State::Variable,
                _ => {}
            }
        }
        self.emit_text();
        State::Done
    }

    fn variable(&mut self) -> State {
        while self.peek().is_some_and(is_name) {
            self.next();
        }
        if matches!(&self.text[self.start..self.at], "_" | "$_") {
            return State::Text;
        }
        self.emit(Token::Variable);
        if self.depth > 0 { State::Operator } else { State::Text }
    }

    /// What follows `${`, or a name behind it.
    fn operator(&mut self) -> Result<State, ExpandError> {
        let c = self.next_inside()?;
        match c {
            '}' => return Ok(self.close()),
            c if is_name(c) && self.is_after_opening() => return Ok(State::Variable),
            '+' | '-' | '=' => self.emit(Token::Operator),
            ':' => {
                if matches!(self.next(), Some('-' | '=' | '+')) {
                    self.emit(Token::Operator);
                }
            }
            _ => {}
        }
        Ok(State::Substitution)
    }

    fn substitution(&mut self) -> Result<State, ExpandError> {
        let c = self.next_inside()?;
        match c {
            '}' => Ok(self.close()),
            '$' => Ok(State::Variable),
            c if is_name(c) && self.is_after_opening() => Ok(State::Variable),
            _ => {
                self.emit(Token::Text);
                Ok(State::Substitution)
            }
        }
    }

    fn next_inside(&mut self) -> Result<char, ExpandError> {
        self.next().filter(|c| !matches!(c, '\r' | '\n')).ok_or(ExpandError::Unclosed)
    }

    fn close(&mut self) -> State {
        self.depth -= 1;
        self.emit(Token::Close);
        State::Text
    }

    fn is_after_opening(&self) -> bool {
        self.text[self.last..].starts_with("${")
    }
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_in_kmm_is_refused() {
        let variables = Variables::of("6.1.0-56-amd64").unwrap();
        assert_eq!(variables.expand("a${KERNEL_X:-$_}"), Err(ExpandError::Endless));
        assert_eq!(variables.expand("a${KERNEL_X:-\n}"), Err(ExpandError::Unclosed));
        assert_eq!(variables.expand("a${"), Err(ExpandError::Unclosed));
        assert_eq!(variables.expand("ü$KERNEL_X-ß").unwrap(), "ü6-ß");
    }
}
