//! What the daemon's status stream means: records of steps, bars and bytes, turned into events and kept for the error message.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use bollard_buildkit_proto::google::protobuf::Timestamp;
use bollard_buildkit_proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use tokio::sync::mpsc::UnboundedSender;

use self::lines::Lines;
use crate::builder::BuildEvent;

mod lines;

/// How many lines of a step are kept for the error message.
const TAIL: usize = 30;

/// The steps of one solve.
pub(super) struct Progress {
    events: UnboundedSender<BuildEvent>,
    steps: HashMap<String, Step>,
    /// Bytes of every layer that a step fetches, and of every other transfer, by step and bar.
    bars: HashMap<String, HashMap<String, u64>>,
}

/// What is known about a step (a vertex, in `BuildKit`'s words).
#[derive(Default)]
pub(super) struct Step {
    pub(super) name: String,
    /// What the daemon says went wrong; empty if nothing did.
    pub(super) error: String,
    /// When it ended, if it did.
    pub(super) completed: Option<(i64, i32)>,
    tail: VecDeque<String>,
    output: HashMap<i64, Lines>,
    /// Reported as running.
    running: bool,
    /// Reported as done at least once.
    done: bool,
}

impl Step {
    /// The last lines that it printed.
    pub(super) fn log(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    /// The builder's own business: loading the Dockerfile, asking registries for tokens.
    pub(super) fn is_internal(&self) -> bool {
        self.name.starts_with("[internal]") || self.name.starts_with("[auth]")
    }

    /// Ended by its own error, not because something else failed or was cancelled.
    pub(super) fn has_failed(&self) -> bool {
        self.completed.is_some() && !self.error.is_empty() && !self.error.ends_with("context canceled")
    }
}

impl Progress {
    /// Nobody needs to listen to the events.
    pub(super) fn new(events: UnboundedSender<BuildEvent>) -> Self {
        Self { events, steps: HashMap::new(), bars: HashMap::new() }
    }

    /// Takes in one message. Steps end after the lines that came with their end.
    pub(super) fn take(&mut self, message: StatusResponse) {
        let StatusResponse { vertexes, statuses, logs, warnings } = message;
        for vertex in &vertexes {
            self.begin(vertex);
        }
        for status in statuses {
            self.advance(status);
        }
        for log in &logs {
            self.print(log);
        }
        for vertex in vertexes {
            self.end(vertex);
        }
        for warning in &warnings {
            self.tell(BuildEvent::Warning(wording(warning)));
        }
    }

    /// No more messages will come: unfinished lines are lines.
    pub(super) fn finish(&mut self) {
        let digests: Vec<String> = self.steps.keys().cloned().collect();
        for digest in digests {
            self.flush(&digest);
        }
    }

    /// A step by its digest.
    pub(super) fn step(&self, digest: &str) -> Option<&Step> {
        self.steps.get(digest)
    }

    /// The steps that failed, the first one first.
    pub(super) fn failed(&self) -> Vec<&Step> {
        let mut failed: Vec<&Step> = self.steps.values().filter(|step| step.has_failed()).collect();
        failed.sort_by_key(|step| (step.completed, step.name.clone()));
        failed
    }

    fn tell(&self, event: BuildEvent) {
        // Nobody listening is no reason to stop.
        let _ = self.events.send(event);
    }

    fn begin(&mut self, vertex: &Vertex) {
        let step = self.steps.entry(vertex.digest.clone()).or_default();
        step.name.clone_from(&vertex.name);
        let started = key(vertex.started.as_ref());
        // A step may be evaluated again, when another one needs its result; old daemons also repeat records.
        let begins = started.is_some() && vertex.completed.is_none() && !step.running && started > step.completed;
        let first = vertex.completed.is_some() && !step.done && !step.running;
        if begins || (first && vertex.error.is_empty()) {
            step.running = true;
            if !step.is_internal() {
                let event = BuildEvent::StepStarted { step: vertex.digest.clone(), name: vertex.name.clone() };
                self.tell(event);
            }
        }
    }

    fn end(&mut self, vertex: Vertex) {
        let Some(completed) = key(vertex.completed.as_ref()) else { return };
        self.flush(&vertex.digest);
        let Some(step) = self.steps.get_mut(&vertex.digest) else { return };
        step.completed = Some(completed);
        step.error.clone_from(&vertex.error);
        let reported = std::mem::replace(&mut step.running, false);
        if !reported || !vertex.error.is_empty() || step.is_internal() {
            return;
        }
        step.done = true;
        let time = vertex.started.as_ref().zip(vertex.completed.as_ref()).map_or(Duration::ZERO, |(start, end)| between(start, end));
        self.tell(BuildEvent::StepDone { step: vertex.digest, name: vertex.name, cached: vertex.cached, time });
    }

    fn print(&mut self, log: &VertexLog) {
        let Some(step) = self.steps.get_mut(&log.vertex) else { return };
        let lines = step.output.entry(log.stream).or_default().push(&log.msg);
        self.show(&log.vertex, lines);
    }

    fn flush(&mut self, digest: &str) {
        let Some(step) = self.steps.get_mut(digest) else { return };
        let mut streams: Vec<_> = step.output.drain().collect();
        streams.sort_by_key(|(stream, _)| *stream);
        let rest = streams.into_iter().filter_map(|(_, lines)| lines.rest()).collect();
        self.show(digest, rest);
    }

    fn show(&mut self, digest: &str, lines: Vec<String>) {
        let Some(step) = self.steps.get_mut(digest) else { return };
        for line in lines {
            if step.tail.len() == TAIL {
                step.tail.pop_front();
            }
            step.tail.push_back(line.clone());
            if !step.is_internal() {
                // Nobody listening is no reason to stop.
                let _ = self.events.send(BuildEvent::Log { step: digest.to_owned(), line });
            }
        }
    }

    /// Layers of one image are one transfer; other bars stand for themselves.
    fn advance(&mut self, status: VertexStatus) {
        let Ok(bytes) = u64::try_from(status.current) else { return };
        let bar = if status.id.is_empty() { status.name } else { status.id };
        let layer = bar.starts_with("sha256:");
        // Unpacking has a bar of its own, named after the layer, without bytes.
        if bytes == 0 || bar.starts_with("extracting") {
            return;
        }
        let bars = self.bars.entry(status.vertex.clone()).or_default();
        let before = bars.insert(bar.clone(), bytes);
        if before == Some(bytes) {
            return;
        }
        let event = if layer {
            let sum = bars.iter().filter(|(bar, _)| bar.starts_with("sha256:")).map(|(_, bytes)| bytes).sum();
            let what = self.steps.get(&status.vertex).map_or_else(|| "fetching an image".to_owned(), |step| format!("fetching {}", image_of(&step.name)));
            BuildEvent::Transfer { what, bytes: sum }
        } else {
            BuildEvent::Transfer { what: bar.trim_end_matches(':').to_owned(), bytes }
        };
        self.tell(event);
    }
}

/// The image in `[build 1/4] FROM docker.io/library/debian:bookworm@sha256:…`.
fn image_of(name: &str) -> &str {
    let image = name.split("FROM ").nth(1).unwrap_or(name);
    image.split('@').next().unwrap_or(image)
}

fn wording(warning: &VertexWarning) -> String {
    let short = String::from_utf8_lossy(&warning.short);
    match warning.ranges.first().and_then(|range| range.start.as_ref()) {
        Some(start) if start.line > 0 => format!("{} (line {} of the Dockerfile)", short.trim(), start.line),
        _ => short.trim().to_owned(),
    }
}

fn key(time: Option<&Timestamp>) -> Option<(i64, i32)> {
    time.map(|time| (time.seconds, time.nanos))
}

fn between(start: &Timestamp, end: &Timestamp) -> Duration {
    let nanos = |time: &Timestamp| i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    Duration::from_nanos(u64::try_from(nanos(end) - nanos(start)).unwrap_or(0))
}

#[cfg(test)]
mod tests;
