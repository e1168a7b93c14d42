//! What people and programs see: the only place that prints.
//!
//! Standard output carries data (digests, tables that were asked for, JSON, YAML); everything else goes to standard error.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::env;
use crate::error::{Exit, Failure};
use crate::finding::{Finding, Severity};
use crate::record::Record;

mod doctor;
mod failure;
mod paint;
mod plan;
mod progress;
mod screen;
mod summary;
mod table;
mod terminal;
mod text;

pub use doctor::{DoctorLine, DoctorState};
pub use plan::{PlanCounts, PlanRow};
pub use progress::{ProgressHandle, progress_schema};
pub use text::size;

use paint::{Paint, Tone};
use progress::json::{JsonEvent, JsonFailure};
use screen::Screen;
use table::Table;
use terminal::Terminal;

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProgressMode {
    /// Live lines on a terminal, else plain ones.
    #[default]
    Auto,
    /// Live lines.
    Tty,
    /// One line per event.
    Plain,
    /// One JSON object per line; then everything on standard error is such a line.
    Json,
}

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColorChoice {
    /// On terminals, unless `NO_COLOR` or `TERM=dumb` speak against it; elsewhere with `CLICOLOR_FORCE`.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// What the user wants to see.
#[derive(Clone, Copy, Debug, Default)]
pub struct UiOptions {
    /// How progress is shown.
    pub progress: ProgressMode,
    /// When to colour.
    pub color: ColorChoice,
    /// 1 shows build logs.
    pub verbose: u8,
    /// Nothing but failures, unless progress is JSON.
    pub quiet: bool,
    /// Columns to lay out for, in place of the terminal's.
    pub width: Option<usize>,
}

/// The printer. Clones print to the same place.
#[derive(Clone)]
pub struct Ui {
    shared: Arc<Shared>,
}

struct Shared {
    mode: Mode,
    verbose: u8,
    out_paint: Paint,
    err_paint: Paint,
    out_width: Option<usize>,
    err_width: Option<usize>,
    out: Mutex<Out>,
    screen: Mutex<Screen>,
}

/// [`ProgressMode`] and quiet, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Tty,
    Plain,
    Json,
    Quiet,
}

/// Standard output, and what went wrong with it.
struct Out {
    stream: Box<dyn Write + Send>,
    /// Nobody reads any more, or writing failed: nothing is written from here on.
    closed: bool,
    error: Option<std::io::Error>,
}

impl Ui {
    /// The printer for this process.
    #[must_use]
    pub fn new(options: UiOptions) -> Self {
        Self::on(Terminal::detect(), options, Box::new(std::io::stdout()), Box::new(std::io::stderr()))
    }

    fn on(terminal: Terminal, options: UiOptions, out: Box<dyn Write + Send>, err: Box<dyn Write + Send>) -> Self {
        let mode = match options.progress {
            ProgressMode::Json => Mode::Json,
            _ if options.quiet => Mode::Quiet,
            ProgressMode::Tty => Mode::Tty,
            ProgressMode::Auto if terminal.draws() => Mode::Tty,
            ProgressMode::Auto | ProgressMode::Plain => Mode::Plain,
        };
        let shared = Shared {
            mode,
            verbose: options.verbose,
            out_paint: Paint::new(terminal.colors(options.color, terminal.out_is_tty)),
            err_paint: Paint::new(terminal.colors(options.color, terminal.err_is_tty)),
            out_width: terminal.width(options.width, terminal.out_is_tty),
            err_width: terminal.width(options.width, terminal.err_is_tty),
            out: Mutex::new(Out { stream: out, closed: false, error: None }),
            screen: Mutex::new(Screen::new(err, terminal.size, options.width)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Writes data to standard output as it is.
    ///
    /// When nobody reads any more (`| head`), the rest is dropped in silence; other mistakes are told by [`Ui::close`].
    pub fn data(&self, text: &str) {
        self.write_data(|stream| stream.write_all(text.as_bytes()));
    }

    /// Writes a value to standard output as JSON for people to read, piece by piece: it may be far larger than memory should hold.
    pub fn json_data(&self, value: &impl serde::Serialize) {
        self.write_data(|stream| {
            let mut buffer = std::io::BufWriter::with_capacity(1 << 16, stream);
            serde_json::to_writer_pretty(&mut buffer, value)?;
            buffer.write_all(b"\n")?;
            buffer.flush()
        });
    }

    fn write_data(&self, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
        let mut out = lock(&self.shared.out);
        if out.closed {
            return;
        }
        let Out { stream, closed, error } = &mut *out;
        lock(&self.shared.screen).apart(|| {
            if let Err(mistake) = write(stream.as_mut()).and_then(|()| stream.flush()) {
                *closed = true;
                *error = (mistake.kind() != std::io::ErrorKind::BrokenPipe).then_some(mistake);
            }
        });
    }

    /// Says something that is good to know.
    pub fn note(&self, text: &str) {
        match self.shared.mode {
            Mode::Quiet => {}
            Mode::Json => self.json(JsonEvent::Note { text: text.to_owned() }),
            Mode::Tty | Mode::Plain => self.print(&text::printable(text)),
        }
    }

    /// Says something that may go wrong later.
    pub fn warning(&self, text: &str) {
        match self.shared.mode {
            Mode::Quiet => {}
            Mode::Json => self.json(JsonEvent::Warning { target: None, text: text.to_owned() }),
            Mode::Tty | Mode::Plain => self.print(&format!("{} {}", self.shared.err_paint.tone("warning:", Tone::Caution), text::printable(text))),
        }
    }

    /// Says what a check found.
    pub fn finding(&self, finding: &Finding) {
        match (self.shared.mode, finding.severity) {
            (Mode::Json, _) => self.json(JsonEvent::Finding { target: None, finding: finding.clone() }),
            (Mode::Quiet, Severity::Note | Severity::Warning) => {}
            _ => self.print(&failure::finding(finding, self.shared.err_paint)),
        }
    }

    /// Says what failed, why, and what to do.
    pub fn failure(&self, failure: &Failure) {
        match self.shared.mode {
            Mode::Json => self.json(JsonEvent::Error { failure: JsonFailure::from(failure) }),
            _ => self.print(&failure::lay_out(failure, self.shared.err_paint)),
        }
    }

    /// Writes a table to standard output. Columns named `KERNEL` or `RELEASE` are never shortened.
    pub fn table(&self, headers: &[&str], rows: &[Vec<String>]) {
        self.data(&Table::plain(headers, rows).lay_out(self.shared.out_width, self.shared.out_paint));
    }

    /// Writes a plan to standard output, and its counts to standard error.
    pub fn plan_table(&self, rows: &[PlanRow], counts: PlanCounts) {
        if !rows.is_empty() {
            self.data(&plan::table(rows).lay_out(self.shared.out_width, self.shared.out_paint));
        }
        self.note(&counts.to_string());
    }

    /// Writes what works here to standard output.
    pub fn doctor(&self, lines: &[DoctorLine]) {
        self.data(&doctor::lay_out(lines, self.shared.out_width, self.shared.out_paint));
    }

    /// Tells how a run ended: a table of its targets, counts, and where the record is.
    pub fn summary(&self, record: &Record, path: &Path) {
        match self.shared.mode {
            Mode::Quiet => {}
            Mode::Json => self.json(JsonEvent::Summary { record: Box::new(record.clone()), path: path.display().to_string() }),
            Mode::Tty | Mode::Plain => self.print(&summary::lay_out(record, path, self.shared.err_width, self.shared.err_paint)),
        }
    }

    /// Starts to show a run. Must be called within a tokio runtime.
    pub fn progress(&self) -> ProgressHandle {
        ProgressHandle::start(self.clone())
    }

    /// Where log lines of the program itself go: above whatever is live on the screen.
    pub fn log_writer(&self) -> impl Write + use<> {
        LogWriter(self.clone())
    }

    /// Takes live lines off the screen, and tells whether standard output took everything.
    ///
    /// # Errors
    /// When something could not be written (a full disk, say).
    pub fn close(&self) -> Result<(), Failure> {
        lock(&self.shared.screen).draw(Vec::new());
        match lock(&self.shared.out).error.take() {
            Some(error) => Err(Failure::new(Exit::Failed, format!("standard output could not be written: {error}"))),
            None => Ok(()),
        }
    }

    /// Prints lines on standard error, above whatever is live there.
    fn print(&self, text: &str) {
        lock(&self.shared.screen).print(text);
    }

    fn json(&self, event: JsonEvent) {
        self.print(&event.line(env::now()));
    }
}

/// One write is one line or several, as `tracing` hands them over.
struct LogWriter(Ui);

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        match self.0.shared.mode {
            Mode::Json => self.0.json(JsonEvent::Trace { text: text.trim_end().to_owned() }),
            _ => self.0.print(text.trim_end_matches('\n')),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
