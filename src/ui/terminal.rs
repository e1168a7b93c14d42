//! What is known about the place that is printed to.

use std::io::IsTerminal as _;

use terminal_size::{Height, Width, terminal_size_of};

use super::ColorChoice;
use crate::env;

/// Asks for columns and rows, which change while the program runs.
pub(super) type SizeFn = Box<dyn Fn() -> Option<(usize, usize)> + Send>;

/// Facts about standard output and standard error.
pub(super) struct Terminal {
    pub(super) out_is_tty: bool,
    pub(super) err_is_tty: bool,
    /// `TERM` is `dumb`: no colours, no cursor movement.
    pub(super) dumb: bool,
    /// What the environment wishes: `NO_COLOR` (<https://no-color.org>) or `CLICOLOR=0` no colours, `CLICOLOR_FORCE` colours everywhere.
    pub(super) color: Option<bool>,
    /// `COLUMNS`, exported by the user.
    pub(super) columns: Option<usize>,
    pub(super) size: SizeFn,
}

impl Terminal {
    pub(super) fn detect() -> Self {
        Self {
            out_is_tty: std::io::stdout().is_terminal(),
            err_is_tty: std::io::stderr().is_terminal(),
            dumb: env::var("TERM").is_some_and(|term| term == "dumb"),
            color: wish(&env::var),
            columns: env::var("COLUMNS").and_then(|value| value.parse().ok()).filter(|columns| *columns > 0),
            size: Box::new(|| {
                let (Width(columns), Height(rows)) = terminal_size_of(std::io::stderr()).or_else(|| terminal_size_of(std::io::stdout()))?;
                Some((columns.into(), rows.into()))
            }),
        }
    }

    /// Whether standard error can show live lines.
    pub(super) fn draws(&self) -> bool {
        self.err_is_tty && !self.dumb
    }

    pub(super) fn colors(&self, choice: ColorChoice, is_terminal: bool) -> bool {
        match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => self.color.unwrap_or(is_terminal && !self.dumb),
        }
    }

    /// Columns to lay out for; none where lines may be as long as they like.
    pub(super) fn width(&self, wanted: Option<usize>, is_terminal: bool) -> Option<usize> {
        wanted.or(self.columns).or_else(|| if is_terminal { Some((self.size)()?.0) } else { None })
    }
}

fn wish(var: &dyn Fn(&str) -> Option<String>) -> Option<bool> {
    if var("NO_COLOR").is_some() || var("CLICOLOR").is_some_and(|value| value == "0") {
        return Some(false);
    }
    var("CLICOLOR_FORCE").is_some_and(|value| value != "0").then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terminal() -> Terminal {
        Terminal { out_is_tty: true, err_is_tty: true, dumb: false, color: None, columns: None, size: Box::new(|| Some((100, 30))) }
    }

    #[test]
    fn colours_only_terminals_unless_told_otherwise() {
        assert!(terminal().colors(ColorChoice::Auto, true));
        assert!(!terminal().colors(ColorChoice::Auto, false));
        assert!(terminal().colors(ColorChoice::Always, false));
        assert!(!terminal().colors(ColorChoice::Never, true));
        assert!(!Terminal { dumb: true, ..terminal() }.colors(ColorChoice::Auto, true));
        assert!(Terminal { color: Some(true), ..terminal() }.colors(ColorChoice::Auto, false));
        assert!(!Terminal { color: Some(false), ..terminal() }.colors(ColorChoice::Auto, true));
        assert!(Terminal { color: Some(false), ..terminal() }.colors(ColorChoice::Always, true));
    }

    #[test]
    fn the_environment_may_wish_for_colours_or_none() {
        let wish = |set: &[(&str, &str)]| wish(&|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()));
        assert_eq!(wish(&[]), None);
        assert_eq!(wish(&[("CLICOLOR_FORCE", "1")]), Some(true));
        assert_eq!(wish(&[("CLICOLOR_FORCE", "0"), ("CLICOLOR", "1")]), None);
        assert_eq!(wish(&[("CLICOLOR", "0")]), Some(false));
        assert_eq!(wish(&[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")]), Some(false));
    }

    #[test]
    fn lays_out_for_terminals_only_unless_told_a_width() {
        assert_eq!(terminal().width(None, true), Some(100));
        assert_eq!(terminal().width(None, false), None);
        assert_eq!(Terminal { columns: Some(72), ..terminal() }.width(None, false), Some(72));
        assert_eq!(Terminal { columns: Some(72), ..terminal() }.width(Some(60), true), Some(60));
    }

    #[test]
    fn dumb_terminals_show_plain_lines() {
        assert!(terminal().draws());
        assert!(!Terminal { dumb: true, ..terminal() }.draws());
        assert!(!Terminal { err_is_tty: false, ..terminal() }.draws());
    }
}
