//! Live lines on a terminal: finished targets scroll up and stay, running ones live at the bottom, then one bar.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::Duration;

use super::Renderer;
use super::run::{Distinction, Run, Running, result};
use crate::builder::BuildEvent;
use crate::error::Failure;
use crate::finding::Severity;
use crate::pipeline::event::{Event, Phase, TargetIndex};
use crate::record::{Outcome, TargetLabel, TargetRecord};
use crate::ui::paint::{Paint, Tone};
use crate::ui::summary::tone;
use crate::ui::text::{pad, pad_left, printable, short_digest, shorten, size, time, width};
use crate::ui::{Ui, failure, lock};

/// One after the other, every [`super::TICK`].
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The columns of the bar, where there is room for all of it.
const BAR: usize = 22;

/// The columns that a finished target's result takes.
const RESULT: usize = 34;

/// Shows a run as live lines.
pub(super) struct Tty {
    ui: Ui,
    paint: Paint,
    run: Run,
    names: Names,
    /// The builder's warnings that were told: the same Dockerfile is solved for many targets.
    warned: HashSet<String>,
    frame: usize,
}

/// Names of targets, in columns.
#[derive(Default)]
struct Names {
    distinction: Distinction,
    /// All targets are of the same driver and version.
    one_driver: bool,
    driver: usize,
    kernel: usize,
    rest: usize,
}

impl Names {
    fn of(targets: &[TargetLabel]) -> Self {
        let distinction = Distinction::of(targets);
        let widest = |text: &dyn Fn(&TargetLabel) -> String| targets.iter().map(|label| width(&text(label))).max().unwrap_or(0);
        Self {
            distinction,
            one_driver: targets.windows(2).all(|pair| (&pair[0].driver, &pair[0].version) == (&pair[1].driver, &pair[1].version)),
            driver: widest(&driver),
            kernel: widest(&|label| label.kernel.clone()),
            rest: widest(&|label| distinction.parts(label).join("  ")),
        }
    }

    /// The name, padded, if so many columns are left beside it; else as short as it can be told.
    fn lay_out(&self, label: &TargetLabel, columns: usize, beside: usize) -> String {
        let rest = self.distinction.parts(label).join("  ");
        let mut padded = format!("{}  {}", pad(&driver(label), self.driver), pad(&label.kernel, self.kernel));
        if self.rest > 0 {
            let _ = write!(padded, "  {}", pad(&rest, self.rest));
        }
        if width(&padded) + beside <= columns {
            return padded;
        }
        let driver = if self.one_driver { String::new() } else { driver(label) };
        [driver, label.kernel.clone(), rest].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("  ")
    }
}

fn driver(label: &TargetLabel) -> String {
    format!("{} {}", label.driver, label.version)
}

impl Tty {
    pub(super) fn new(ui: Ui) -> Self {
        let paint = ui.shared.err_paint;
        Self { ui, paint, run: Run::default(), names: Names::default(), warned: HashSet::new(), frame: 0 }
    }

    fn draw(&self, now: Duration) {
        let mut screen = lock(&self.ui.shared.screen);
        let (columns, rows) = screen.size();
        let lines = if self.run.targets.is_empty() { Vec::new() } else { self.live(columns, rows, now) };
        screen.draw(lines);
    }

    /// The live lines; one row stays free for the cursor, and for what the user types.
    fn live(&self, columns: usize, rows: usize, now: Duration) -> Vec<String> {
        let room = rows.saturating_sub(3).max(1);
        let shown = if self.run.running.len() > room { room - 1 } else { room };
        let mut lines: Vec<String> = self.run.running.iter().take(shown).filter_map(|running| self.running(running, columns, now)).collect();
        let hidden = self.run.running.len().saturating_sub(shown);
        if hidden > 0 {
            lines.push(self.paint.tone(&shorten(&format!(" … and {hidden} more at work"), columns), Tone::Quiet));
        }
        lines.push(self.bar(columns, now));
        lines
    }

    /// ` ⠹ v4l2loopback 0.15.3  6.1.0-56-amd64  compile  RUN make -C /usr/src/…  3.2s`.
    fn running(&self, running: &Running, columns: usize, now: Duration) -> Option<String> {
        let name = self.names.lay_out(self.run.targets.get(running.target)?, columns, 32);
        let elapsed = pad_left(&time(now.saturating_sub(running.since)), 6);
        let phase = pad(running.phase.map_or("", Phase::name), 8);
        let spinner = SPINNER[(self.frame + running.target) % SPINNER.len()];
        // Blanks: before and after the mark, around the phase, before the time; the last column stays free.
        let room = columns.saturating_sub(3 + width(&name) + 2 + phase.len() + 2 + 2 + elapsed.len() + 1);
        if room < 8 {
            let forms = [format!(" {spinner} {name}  {}  {}", phase.trim_end(), elapsed.trim_start()), format!(" {spinner} {name}  {}", phase.trim_end())];
            let form = forms.iter().find(|form| width(form) < columns);
            return Some(form.map_or_else(|| shorten(&format!(" {spinner} {name}"), columns), Clone::clone));
        }
        let doing = pad(&shorten(&printable(running.doing()).replace('\n', " "), room), room.min(48));
        Some(format!(" {} {name}  {phase}  {doing}  {}", self.paint.tone(spinner, Tone::Advice), self.paint.tone(&elapsed, Tone::Quiet)))
    }

    /// ` ━━━━━━━━━━━━╸─────────  2 of 4 targets · 0:53`.
    fn bar(&self, columns: usize, now: Duration) -> String {
        let counts = self.run.counts(now);
        let room = columns.saturating_sub(width(&counts) + 4).min(BAR);
        if room < 5 {
            return shorten(&format!(" {counts}"), columns);
        }
        let halves = 2 * room * self.run.finished.min(self.run.targets.len()) / self.run.targets.len();
        let done = format!("{}{}", "━".repeat(halves / 2), if halves % 2 == 1 { "╸" } else { "" });
        let rest = "─".repeat(room - halves.div_ceil(2));
        let tone = if self.run.failed > 0 { Tone::Bad } else { Tone::Good };
        format!(" {}{}  {counts}", self.paint.tone(&done, tone), self.paint.tone(&rest, Tone::Quiet))
    }

    fn finish_target(&self, target: TargetIndex, record: &TargetRecord, failure: Option<&Failure>, taken: Duration) {
        let Some(label) = self.run.targets.get(target) else { return };
        if record.outcome == Outcome::Cancelled && !self.run.is_running(target) {
            return;
        }
        let (columns, _) = lock(&self.ui.shared.screen).size();
        let name = self.names.lay_out(label, columns, 5 + width(&result(record)).min(30));
        self.ui.print(&finished(record, &name, taken, columns, self.paint));
        for finding in record.findings.iter().filter(|finding| finding.severity < Severity::Error) {
            self.ui.print(&failure::finding(finding, self.paint));
        }
        if let Some(failure) = failure {
            self.ui.failure(failure);
        }
    }

    fn log(&self, target: TargetIndex, line: &str) {
        if let Some(label) = self.run.targets.get(target) {
            let name = self.paint.tone(&format!("{} {} │", label.driver, label.kernel), Tone::Quiet);
            self.ui.print(&format!("   {name} {}", printable(line)));
        }
    }
}

/// ` ✓ v4l2loopback 0.15.3  6.1.0-55-amd64  built, 14 checks passed  9.8s  +31 kB  sha256:77d0e2…`.
///
/// Where room is scarce the digest goes first, then the size, then the time.
fn finished(record: &TargetRecord, name: &str, taken: Duration, columns: usize, paint: Paint) -> String {
    let tone = tone(record.outcome);
    let mark = match record.outcome {
        Outcome::Built | Outcome::Published | Outcome::Fetched => "✓",
        Outcome::Unsupported | Outcome::Cancelled => "-",
        Outcome::Rejected | Outcome::Failed => "✗",
    };
    let used = 3 + width(name) + 2;
    let text = printable(&result(record)).replace('\n', " ");
    let text = if used + width(&text) > columns { printable(&record.why).replace('\n', " ") } else { text };
    let grown = if record.pushed_bytes > 0 { format!("+{}", size(record.pushed_bytes)) } else { String::new() };
    let digest = record.digest.as_deref().map(short_digest).unwrap_or_default();
    let mut tail = vec![pad_left(&time(taken), 6), pad_left(&grown, 7), digest];
    let tail_width = |tail: &[String]| tail.iter().map(|part| width(part) + 2).sum::<usize>();
    let least = width(&text).min(RESULT);
    while !tail.is_empty() && used + least + tail_width(&tail) > columns {
        tail.pop();
    }
    let room = columns.saturating_sub(used + tail_width(&tail)).max(least);
    let text = pad(&shorten(&text, room), room.min(RESULT));
    let mut line = format!(" {} {name}  {}", paint.tone(mark, tone), paint.tone(&text, tone));
    for part in &tail {
        let _ = write!(line, "  {}", paint.tone(part, Tone::Quiet));
    }
    line.truncate(line.trim_end().len());
    line
}

impl Renderer for Tty {
    fn event(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Started { targets } => self.names = Names::of(targets),
            Event::Note(text) => self.ui.note(text),
            Event::Build(target, BuildEvent::Log { line, .. }) if self.ui.shared.verbose > 0 => self.log(*target, line),
            Event::Build(_, BuildEvent::Warning(text)) => {
                if self.warned.insert(text.clone()) {
                    self.ui.warning(text);
                }
            }
            Event::TargetFinished { target, record, failure, time } => self.finish_target(*target, record, failure.as_deref(), *time),
            Event::TargetStarted(_) | Event::Phase(..) | Event::Doing(..) | Event::Build(..) | Event::Upload { .. } => {}
        }
        self.run.observe(event, now);
    }

    fn tick(&mut self, now: Duration) {
        self.frame += 1;
        self.draw(now);
    }

    fn finish(&mut self, _: Duration) {
        lock(&self.ui.shared.screen).draw(Vec::new());
    }
}
