//! What works here.

use super::paint::{Paint, Tone};
use super::text::{pad, printable, width};

/// How a part of the environment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoctorState {
    /// Works.
    Ok,
    /// Works, but slowly.
    Slow,
    /// Not set up.
    Off,
    /// Does not work.
    Failed,
}

impl DoctorState {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Off => "off",
            Self::Failed => "failed",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Slow | Self::Off => Tone::Caution,
            Self::Failed => Tone::Bad,
        }
    }
}

/// What is known about one part of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoctorLine {
    /// `builder`, `registry`.
    pub name: String,
    /// How it is.
    pub state: DoctorState,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

/// The lines, each with its end. Texts are wrapped between words; remedies stand below them.
pub(super) fn lay_out(lines: &[DoctorLine], columns: Option<usize>, paint: Paint) -> String {
    let names = lines.iter().map(|line| width(&line.name)).max().unwrap_or(0).max(9);
    let indent = names + 2 + "failed".len() + 2;
    let room = columns.map(|columns| columns.saturating_sub(indent).max(20));
    let mut out = String::new();
    for DoctorLine { name, state, text, remedy } in lines {
        let state = paint.tone(state.name(), state.tone());
        let mut head = format!("{}  {}  ", pad(&printable(name), names), pad(&state, 6));
        let remedy = remedy.iter().flat_map(|remedy| wrap(remedy, room)).map(|line| paint.tone(&line, Tone::Advice));
        for line in wrap(text, room).into_iter().chain(remedy) {
            out += format!("{head}{line}").trim_end();
            out.push('\n');
            head = " ".repeat(indent);
        }
    }
    out
}

/// Breaks a text between words; words longer than the room stay whole.
fn wrap(text: &str, room: Option<usize>) -> Vec<String> {
    let mut lines = Vec::new();
    for line in printable(text).split('\n') {
        let mut current = String::new();
        for word in line.split(' ') {
            if !current.is_empty() && room.is_some_and(|room| width(&current) + 1 + width(word) > room) {
                lines.push(std::mem::take(&mut current));
            }
            if !current.is_empty() {
                current.push(' ');
            }
            current += word;
        }
        lines.push(current);
    }
    lines
}
