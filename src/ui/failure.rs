//! Failures and findings, as [`Failure`]'s `Display` lays them out, in colour.

use super::paint::{Paint, Tone};
use super::text::printable;
use crate::error::{Exit, Failure};
use crate::finding::{Finding, Severity};

/// The failure's lines, without the last line break.
pub(super) fn lay_out(failure: &Failure, paint: Paint) -> String {
    titled("error", Tone::Alarm, failure, paint)
}

/// A finding's lines: `warning[id]: message`, then its facts.
pub(super) fn finding(finding: &Finding, paint: Paint) -> String {
    let mut told = Failure::new(Exit::CheckFailed, &finding.message).id(&finding.check);
    for (label, value) in [("file", &finding.file), ("found", &finding.found), ("expected", &finding.expected)] {
        if let Some(value) = value {
            told = told.fact(label, value);
        }
    }
    if let Some(help) = &finding.help {
        told = told.help(help);
    }
    let tone = match finding.severity {
        Severity::Note => Tone::Strong,
        Severity::Warning => Tone::Caution,
        Severity::Error => Tone::Alarm,
    };
    titled(&finding.severity.to_string(), tone, &told, paint)
}

fn titled(title: &str, tone: Tone, failure: &Failure, paint: Paint) -> String {
    let title = failure.id.as_ref().map_or_else(|| format!("{title}:"), |id| format!("{title}[{id}]:"));
    let mut text = format!("{} {}", paint.tone(&title, tone), paint.tone(&printable(&failure.headline), Tone::Strong));
    if let Some(snippet) = &failure.snippet {
        for line in printable(snippet).lines() {
            text.push('\n');
            text.push_str(&snippet_line(line, paint));
        }
    }
    let columns = failure.label_columns();
    for (label, value) in &failure.facts {
        fact(&mut text, (label, columns), value, Tone::Quiet, paint);
    }
    for help in &failure.help {
        fact(&mut text, ("help", columns), help, Tone::Advice, paint);
    }
    text
}

/// `label     value`, further lines below the value.
fn fact(text: &mut String, (label, columns): (&str, usize), value: &str, tone: Tone, paint: Paint) {
    let value = printable(value);
    let mut lines = value.lines();
    text.push_str("\n  ");
    text.push_str(&paint.tone(label, tone));
    text.push_str(&" ".repeat(columns.saturating_sub(label.chars().count())));
    text.push_str(lines.next().unwrap_or_default());
    for line in lines {
        text.push('\n');
        text.push_str(&" ".repeat(columns + 2));
        text.push_str(line);
    }
}

/// Colours the markers below a source line (`^^^^ expected …`), and keeps arrows and rulers in the background.
fn snippet_line(line: &str, paint: Paint) -> String {
    let Some((gutter, rest)) = line.split_once('|') else {
        return paint.tone(line, Tone::Quiet);
    };
    let gutter = paint.tone(&format!("{gutter}|"), Tone::Quiet);
    if rest.trim_start().starts_with('^') { format!("{gutter}{}", paint.tone(rest, Tone::Bad)) } else { format!("{gutter}{rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml_mistake() -> Failure {
        Failure::new(Exit::Usage, "unknown key `kernles`")
            .snippet("  --> kmodforge.yaml:7:5\n   |\n 7 |     kernles: [\"6.1.*\"]\n   |     ^^^^^^^ expected one of `drivers`, `kernels`")
            .fact("looked in", "kmodforge.yaml\nnowhere else")
            .help("did you mean `kernels`?")
    }

    #[test]
    fn without_colour_it_is_what_display_says() {
        for failure in [yaml_mistake(), Failure::new(Exit::CheckFailed, "`a.ko` is wrong").id("symbol-crc").fact("a very long label", "value")] {
            assert_eq!(lay_out(&failure, Paint::new(false)), failure.to_string());
        }
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let coloured = lay_out(&yaml_mistake(), Paint::new(true));
        assert!(coloured.starts_with("\x1b[1;31merror:\x1b[0m \x1b[1munknown key"), "{coloured:?}");
        assert!(coloured.contains("\x1b[31m     ^^^^^^^ expected one of `drivers`, `kernels`\x1b[0m"), "{coloured:?}");
        assert!(coloured.contains("\x1b[36mhelp\x1b[0m       did you mean"), "{coloured:?}");
        assert_eq!(printable(&coloured), yaml_mistake().to_string());
    }

    #[test]
    fn findings_name_their_check() {
        let warning = Finding::new("firmware", Severity::Warning, "`a.ko` may ask for `x.bin`").file("/opt/a.ko").differs("none", "`x.bin`").help("add it");
        assert_eq!(
            finding(&warning, Paint::new(false)),
            "warning[firmware]: `a.ko` may ask for `x.bin`\n  file      /opt/a.ko\n  found     none\n  expected  `x.bin`\n  help      add it"
        );
    }
}
