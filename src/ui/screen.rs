//! Standard error: lines that stay, and below them lines that are redrawn in place.

use std::io::Write;

use super::terminal::SizeFn;
use super::text::width;

/// Standard error.
///
/// Live lines are erased by counting the rows they take *now*: terminals wrap long lines anew when their window gets narrower.
pub(super) struct Screen {
    stream: Box<dyn Write + Send>,
    size: SizeFn,
    fixed_width: Option<usize>,
    /// The live lines on the screen; the cursor is at the beginning of the line below them.
    live: Vec<String>,
}

impl Screen {
    pub(super) fn new(stream: Box<dyn Write + Send>, size: SizeFn, fixed_width: Option<usize>) -> Self {
        Self { stream, size, fixed_width, live: Vec::new() }
    }

    /// Columns and rows that live lines may take.
    pub(super) fn size(&self) -> (usize, usize) {
        let (columns, rows) = (self.size)().unwrap_or((80, 24));
        (self.fixed_width.map_or(columns, |fixed| fixed.min(columns)).max(1), rows.max(2))
    }

    /// Prints lines that stay.
    pub(super) fn print(&mut self, text: &str) {
        let live = std::mem::take(&mut self.live);
        let frame = format!("{}{text}\n", self.erase(&live));
        self.show(frame, live);
    }

    /// Replaces the live lines.
    pub(super) fn draw(&mut self, lines: Vec<String>) {
        if lines == self.live && self.fits(&lines) {
            return;
        }
        let before = std::mem::take(&mut self.live);
        let frame = self.erase(&before);
        self.show(frame, lines);
    }

    /// Does something while the screen has no live lines: writes to standard output, which may be the same terminal.
    pub(super) fn apart(&mut self, act: impl FnOnce()) {
        let live = std::mem::take(&mut self.live);
        let frame = self.erase(&live);
        self.write(&frame);
        act();
        self.show(String::new(), live);
    }

    /// Writes a frame and live lines below it, in one piece, so that nothing flickers.
    fn show(&mut self, mut frame: String, live: Vec<String>) {
        for line in &live {
            frame.push_str(line);
            frame.push('\n');
        }
        self.live = live;
        self.write(&frame);
    }

    /// What takes these lines off the screen, row by row.
    ///
    /// "Erase in page" would be shorter, but tmux takes it for `clear` when the first line is at the top, and keeps every frame in its history.
    fn erase(&self, live: &[String]) -> String {
        let columns = (self.size)().map_or(80, |(columns, _)| columns.max(1));
        let rows: usize = live.iter().map(|line| width(line).div_ceil(columns).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A{}\x1b[{rows}A", "\x1b[K\x1b[B".repeat(rows)) }
    }

    fn fits(&self, lines: &[String]) -> bool {
        let (columns, _) = self.size();
        lines.iter().all(|line| width(line) <= columns)
    }

    /// Standard error may be closed; there is nobody to tell.
    fn write(&mut self, frame: &str) {
        if !frame.is_empty() {
            let _ = self.stream.write_all(frame.as_bytes()).and_then(|()| self.stream.flush());
        }
    }
}
