//! Colours. Every text must be understandable without them.

/// What a colour means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    /// Done: green.
    Good,
    /// Skipped, slow, doubtful: yellow.
    Caution,
    /// Failed: red.
    Bad,
    /// The word `error`: red and bold.
    Alarm,
    /// What to do: cyan.
    Advice,
    /// What repeats: dim.
    Quiet,
    /// Headings: bold.
    Strong,
}

impl Tone {
    /// Parameters of "select graphic rendition" (ECMA-48, 8.3.117).
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Caution => "33",
            Self::Bad => "31",
            Self::Alarm => "1;31",
            Self::Advice => "36",
            Self::Quiet => "2",
            Self::Strong => "1",
        }
    }
}

/// Colours, or leaves texts as they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Paint {
    pub(super) fn new(on: bool) -> Self {
        Self { on }
    }

    pub(super) fn tone(self, text: &str, tone: Tone) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{}m{text}\x1b[0m", tone.code()) } else { text.to_owned() }
    }

    pub(super) fn maybe(self, text: &str, tone: Option<Tone>) -> String {
        tone.map_or_else(|| text.to_owned(), |tone| self.tone(text, tone))
    }
}
