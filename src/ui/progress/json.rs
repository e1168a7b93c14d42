//! One JSON object per line. `docs/progress-json.md` describes them, `docs/progress.schema.json` is their schema.

use std::time::Duration;

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use super::Renderer;
use crate::builder::BuildEvent;
use crate::error::Failure;
use crate::finding::Finding;
use crate::pipeline::event::Event;
use crate::record::{Record, TargetLabel, TargetRecord};
use crate::ui::Ui;

/// The JSON Schema of the lines.
#[must_use]
pub fn progress_schema() -> Schema {
    schema_for!(Line)
}

/// One line of `--progress json`.
#[derive(Debug, Serialize, JsonSchema)]
struct Line {
    /// Seconds since 1970, to the millisecond.
    time: f64,
    #[serde(flatten)]
    event: JsonEvent,
}

/// What happened. `target` is a position in the `targets` of the line `started`.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(in crate::ui) enum JsonEvent {
    /// The run begins with these targets; what was published before or is not possible is not among them.
    Started { targets: Vec<TargetLabel> },
    /// Something about the run as a whole.
    Note { text: String },
    /// A worker took a target.
    TargetStarted { target: usize },
    /// A target entered a phase: `fetch`, `toolchain`, `headers`, `compile`, `check`, `sign`, `boot`, `assemble`, `publish`, `attach`.
    Phase { target: usize, phase: String },
    /// What a target does within its phase: what a boot has come to.
    Doing { target: usize, text: String },
    /// A step of the builder began.
    StepStarted { target: usize, step: String, name: String },
    /// A step of the builder is done.
    StepDone { target: usize, step: String, name: String, cached: bool, seconds: f64 },
    /// A line that a step printed.
    Log { target: usize, step: String, line: String },
    /// Bytes moved so far between the builder and this side.
    Transfer { target: usize, what: String, bytes: u64 },
    /// Bytes uploaded so far to the registry, of how many.
    Upload { target: usize, bytes: u64, total: u64 },
    /// Something that may go wrong later, about a target or about the run.
    Warning {
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<usize>,
        text: String,
    },
    /// What a check found in an image, about a target of a run or about an image that was to be verified.
    Finding {
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<usize>,
        finding: Finding,
    },
    /// A target is done, one way or another.
    TargetFinished {
        target: usize,
        record: Box<TargetRecord>,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<JsonFailure>,
        seconds: f64,
    },
    /// Something failed that is not a target.
    Error { failure: JsonFailure },
    /// The run is over; `path` is where its record is.
    Summary { record: Box<Record>, path: String },
    /// What the program does (`-vv`, `KMODFORGE_LOG`); for people, its form changes.
    Trace { text: String },
}

/// What failed, why, and what to do.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::ui) struct JsonFailure {
    /// Name of the check that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// One sentence.
    headline: String,
    /// Excerpt of the file with the mistake.
    #[serde(skip_serializing_if = "Option::is_none")]
    snippet: Option<String>,
    /// Facts in the order of reading.
    facts: Vec<JsonFact>,
    /// What to do, most likely first.
    help: Vec<String>,
    /// The exit status that it leads to.
    exit: u8,
}

/// A labelled fact.
#[derive(Debug, Serialize, JsonSchema)]
struct JsonFact {
    /// `found`, `expected`, `step`, `log`.
    label: String,
    /// May have several lines.
    value: String,
}

impl From<&Failure> for JsonFailure {
    fn from(failure: &Failure) -> Self {
        let Failure { id, headline, snippet, facts, help, exit } = failure.clone();
        let facts = facts.into_iter().map(|(label, value)| JsonFact { label, value }).collect();
        Self { id, headline, snippet, facts, help, exit: exit as u8 }
    }
}

impl JsonEvent {
    /// The line, without its end.
    pub(in crate::ui) fn line(self, now: Duration) -> String {
        let line = Line { time: milliseconds(now), event: self };
        // Texts, numbers and lists of them can always be written.
        serde_json::to_string(&line).unwrap_or_default()
    }
}

fn milliseconds(time: Duration) -> f64 {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}

/// Shows a run as JSON lines.
pub(super) struct Json {
    ui: Ui,
}

impl Json {
    pub(super) fn new(ui: Ui) -> Self {
        Self { ui }
    }
}

impl Renderer for Json {
    fn event(&mut self, event: &Event, now: Duration) {
        self.ui.print(&translate(event).line(now));
    }

    fn tick(&mut self, _: Duration) {}

    fn finish(&mut self, _: Duration) {}
}

fn translate(event: &Event) -> JsonEvent {
    match event.clone() {
        Event::Started { targets } => JsonEvent::Started { targets: targets.to_vec() },
        Event::Note(text) => JsonEvent::Note { text },
        Event::TargetStarted(target) => JsonEvent::TargetStarted { target },
        Event::Phase(target, phase) => JsonEvent::Phase { target, phase: phase.name().to_owned() },
        Event::Doing(target, text) => JsonEvent::Doing { target, text },
        Event::Build(target, event) => match event {
            BuildEvent::StepStarted { step, name } => JsonEvent::StepStarted { target, step, name },
            BuildEvent::StepDone { step, name, cached, time } => JsonEvent::StepDone { target, step, name, cached, seconds: milliseconds(time) },
            BuildEvent::Log { step, line } => JsonEvent::Log { target, step, line },
            BuildEvent::Transfer { what, bytes } => JsonEvent::Transfer { target, what, bytes },
            BuildEvent::Warning(text) => JsonEvent::Warning { target: Some(target), text },
        },
        Event::Upload { target, bytes, total } => JsonEvent::Upload { target, bytes, total },
        Event::TargetFinished { target, record, failure, time } => {
            JsonEvent::TargetFinished { target, record, failure: failure.as_deref().map(JsonFailure::from), seconds: milliseconds(time) }
        }
    }
}
