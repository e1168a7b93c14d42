//! One line per event: `HH:MM:SS target step state`. Made for `grep` and for the logs of CI systems.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::Renderer;
use super::run::{Distinction, Run, result};
use crate::builder::BuildEvent;
use crate::error::{Failure, counted};
use crate::finding::Severity;
use crate::pipeline::event::{Event, TargetIndex};
use crate::record::{Outcome, TargetRecord};
use crate::ui::paint::{Paint, Tone};
use crate::ui::summary::tone;
use crate::ui::text::{printable, size, time, time_of_day};
use crate::ui::{Ui, failure};

/// A transfer is told again after this time, not before.
const TRANSFER_PAUSE: Duration = Duration::from_secs(5);

/// Shows a run as plain lines.
pub(super) struct Plain {
    ui: Ui,
    paint: Paint,
    run: Run,
    /// The targets' names: one word each.
    names: Vec<String>,
    /// When a target's transfer was told last.
    told: HashMap<(TargetIndex, String), Duration>,
}

impl Plain {
    pub(super) fn new(ui: Ui) -> Self {
        let paint = ui.shared.err_paint;
        Self { ui, paint, run: Run::default(), names: Vec::new(), told: HashMap::new() }
    }

    fn say(&self, now: Duration, who: &str, text: &str) {
        self.ui.print(&format!("{} {} {}", self.paint.tone(&time_of_day(now), Tone::Quiet), who, printable(text)));
    }

    fn say_of(&self, now: Duration, target: TargetIndex, text: &str) {
        if let Some(name) = self.names.get(target) {
            self.say(now, name, text);
        }
    }

    /// Says something about the phase that a target is in.
    fn say_in_phase(&self, now: Duration, target: TargetIndex, text: &str) {
        match self.run.phase(target) {
            Some(phase) => self.say_of(now, target, &format!("{} {text}", phase.name())),
            None => self.say_of(now, target, text),
        }
    }

    fn build(&mut self, now: Duration, target: TargetIndex, event: &BuildEvent) {
        match event {
            BuildEvent::StepStarted { name, .. } => self.say_in_phase(now, target, &format!("{name} started")),
            BuildEvent::StepDone { name, cached: true, .. } => self.say_in_phase(now, target, &format!("{name} cached")),
            BuildEvent::StepDone { name, time: taken, .. } => self.say_in_phase(now, target, &format!("{name} done {}", time(*taken))),
            BuildEvent::Log { line, .. } if self.ui.shared.verbose > 0 => self.say_in_phase(now, target, &format!("log {line}")),
            BuildEvent::Log { .. } => {}
            BuildEvent::Transfer { what, bytes } => {
                if self.is_due(now, target, what) {
                    self.say_in_phase(now, target, &format!("{what} {}", size(*bytes)));
                }
            }
            BuildEvent::Warning(text) => self.say_in_phase(now, target, &format!("warning: {text}")),
        }
    }

    /// Whether a transfer went on for long enough to be told (again).
    fn is_due(&mut self, now: Duration, target: TargetIndex, what: &str) -> bool {
        let last = self.told.entry((target, what.to_owned())).or_insert(now);
        let due = now.saturating_sub(*last) >= TRANSFER_PAUSE;
        if due {
            *last = now;
        }
        due
    }

    fn finish_target(&mut self, now: Duration, target: TargetIndex, record: &TargetRecord, failure: Option<&Failure>, taken: Duration) {
        let Some(name) = self.names.get(target) else { return };
        if record.outcome == Outcome::Cancelled && !self.run.is_running(target) {
            return;
        }
        let state = match record.outcome {
            Outcome::Built | Outcome::Published | Outcome::Fetched => "done",
            Outcome::Unsupported => "skipped",
            Outcome::Rejected => "rejected",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
        };
        let mut line = self.paint.tone(state, tone(record.outcome));
        let told = printable(&result(record));
        if told != state {
            let _ = write!(line, " {told}");
        }
        let _ = write!(line, " {}", time(taken));
        if record.pushed_bytes > 0 {
            let _ = write!(line, " +{}", size(record.pushed_bytes));
        }
        if let Some(digest) = &record.digest {
            let _ = write!(line, " {digest}");
        }
        self.ui.print(&format!("{} {name} {line}", self.paint.tone(&time_of_day(now), Tone::Quiet)));
        for finding in record.findings.iter().filter(|finding| finding.severity < Severity::Error) {
            self.ui.print(&failure::finding(finding, self.paint));
        }
        if let Some(failure) = failure {
            self.ui.failure(failure);
        }
    }
}

impl Renderer for Plain {
    fn event(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Started { targets } => {
                let distinction = Distinction::of(targets);
                self.names = targets
                    .iter()
                    .map(|label| {
                        let start = format!("{}@{}/{}", label.driver, label.version, label.kernel);
                        distinction.parts(label).iter().fold(start, |name, part| format!("{name}/{part}"))
                    })
                    .collect();
                self.say(now, "run", &format!("started, {}", counted(targets.len(), "target")));
            }
            Event::Note(text) => self.say(now, "run", text),
            Event::TargetStarted(target) => self.say_of(now, *target, "started"),
            Event::Phase(target, phase) => self.say_of(now, *target, &format!("{} started", phase.name())),
            Event::Doing(target, words) => self.say_in_phase(now, *target, words),
            Event::Build(target, event) => self.build(now, *target, event),
            Event::Upload { target, bytes, total } => {
                if self.is_due(now, *target, "upload") {
                    self.say_in_phase(now, *target, &format!("{} of {}", size(*bytes), size(*total)));
                }
            }
            Event::TargetFinished { target, record, failure, time } => self.finish_target(now, *target, record, failure.as_deref(), *time),
        }
        self.run.observe(event, now);
    }

    fn tick(&mut self, _: Duration) {}

    fn finish(&mut self, _: Duration) {}
}
