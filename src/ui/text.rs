//! Texts that fit: sizes, times, widths.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Columns that a text takes, escape sequences not counted.
pub(super) fn width(text: &str) -> usize {
    if text.contains('\x1b') { strip_escapes(text).width() } else { text.width() }
}

/// The text, or as much of its beginning as fits, with `…` for the rest. Expects no escape sequences.
pub(super) fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut short, mut used) = (String::new(), 0);
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used >= columns {
            break;
        }
        short.push(c);
    }
    if columns > 0 {
        short.truncate(short.trim_end().len());
        short.push('…');
    }
    short
}

/// The text with blanks after it.
pub(super) fn pad(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(width(text))))
}

/// The text with blanks before it.
pub(super) fn pad_left(text: &str, columns: usize) -> String {
    format!("{}{text}", " ".repeat(columns.saturating_sub(width(text))))
}

/// What others wrote, made safe to show: no escape sequences, no control characters, of a line that was overwritten (`\r`) what was left in the end.
pub(super) fn printable(text: &str) -> String {
    let lines = text.split('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = line.rsplit('\r').next().unwrap_or_default().replace('\t', "    ");
        strip_escapes(&line).chars().filter(|c| !c.is_control()).collect::<String>()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Takes out control sequences (`ESC [ … letter`), operating system commands (`ESC ] … BEL`) and other two-character escapes (ECMA-48, 5.3 and 5.4).
fn strip_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\x1b' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('[') => {
                chars.find(|c| ('\x40'..='\x7e').contains(c));
            }
            Some(']') => {
                let mut before = ' ';
                chars.find(|c| *c == '\x07' || (std::mem::replace(&mut before, *c) == '\x1b' && *c == '\\'));
            }
            _ => {}
        }
    }
    plain
}

/// `512 B`, `31 kB`, `4.2 MB`: powers of 1000, two digits where one would be too coarse.
#[must_use]
pub fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut unit, mut rest) = (1000_u64, &["kB", "MB", "GB", "TB"][..]);
    // 999,500 bytes would round to `1000 kB`.
    while rest.len() > 1 && bytes >= unit.saturating_mul(999) + unit / 2 {
        (unit, rest) = (unit * 1000, &rest[1..]);
    }
    let tenths = bytes.saturating_mul(10).saturating_add(unit / 2) / unit;
    if tenths < 100 { format!("{}.{} {}", tenths / 10, tenths % 10, rest[0]) } else { format!("{} {}", bytes.saturating_add(unit / 2) / unit, rest[0]) }
}

/// `9.8s`, `1:53`, `1:02:03`.
pub(super) fn time(time: Duration) -> String {
    let tenths = (time.as_millis() + 50) / 100;
    if tenths < 600 { format!("{}.{}s", tenths / 10, tenths % 10) } else { clock(time) }
}

/// `0:53`, `1:53`, `1:02:03`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = (time.as_millis() + 500) / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `19:22:03`: the time of day, UTC, of a moment since 1970.
pub(super) fn time_of_day(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `sha256:1f3c9a…`, as tables show digests.
pub(super) fn short_digest(digest: &str) -> String {
    match digest.char_indices().nth(13) {
        Some((end, _)) if digest.starts_with("sha256:") => format!("{}…", &digest[..end]),
        _ => digest.to_owned(),
    }
}

/// A duration of so many seconds; none for what cannot be one.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_two_digits_or_more() {
        let shown = [0, 999, 1000, 4_249, 9_949, 9_950, 31_400, 999_499, 999_500, 4_200_000, 72_000_000_000, u64::MAX].map(size);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "4.2 kB", "9.9 kB", "10 kB", "31 kB", "999 kB", "1.0 MB", "4.2 MB", "72 GB", "18446744 TB"]);
    }

    #[test]
    fn times_change_their_form_at_a_minute_and_at_an_hour() {
        let shown = [0, 9_849, 59_949, 59_950, 113_000, 3_599_499, 3_723_000].map(|ms| time(Duration::from_millis(ms)));
        assert_eq!(shown, ["0.0s", "9.8s", "59.9s", "1:00", "1:53", "59:59", "1:02:03"]);
        assert_eq!(time_of_day(Duration::from_secs(1_795_245_723)), "07:22:03");
    }

    #[test]
    fn shortens_by_columns_not_characters() {
        assert_eq!(shorten("compile", 7), "compile");
        assert_eq!(shorten("compile", 6), "compi…");
        assert_eq!(shorten("漢字漢字", 5), "漢字…");
        assert_eq!(shorten("RUN make -C x", 5), "RUN…");
        assert_eq!((shorten("abc", 1), shorten("abc", 0)), ("…".into(), String::new()));
        assert_eq!((width("\x1b[32m✓\x1b[0m done"), width("漢字")), (6, 4));
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        assert_eq!(printable("\x1b[31mred\x1b[0m\x1b]0;title\x07!\x1b]8;;u\x1b\\x"), "red!x");
        assert_eq!(printable("10 %\r50 %\r100 %\r\nnext\tcolumn\x07"), "100 %\nnext    column");
        assert_eq!(printable("cut off \x1b["), "cut off ");
    }

    #[test]
    fn digests_are_shortened_only_if_they_are_digests() {
        assert_eq!(short_digest("sha256:1f3c9a77d0e2"), "sha256:1f3c9a…");
        assert_eq!(short_digest("not a digest at all"), "not a digest at all");
    }
}
