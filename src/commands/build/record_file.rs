//! The record on disk, which grows while the run goes on.

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::commands::part::Part;
use crate::env;
use crate::error::{Exit, Failure, io_words};
use crate::pipeline;
use crate::plan::Plan;
use crate::record::{Outcome, Record, SCHEMA, TargetRecord};

/// A record that is written after each target, so that a later failure loses nothing.
pub(super) struct RecordFile<'a> {
    path: &'a Path,
    started: Duration,
    state: Mutex<Kept>,
}

struct Kept {
    record: Record,
    /// No sooner is it written again: writing many thousands of targets takes long, and must not take most of the time.
    next: Duration,
}

impl<'a> RecordFile<'a> {
    /// A record in which nothing is done yet; nothing is written either.
    pub(super) fn new(path: &'a Path, plan: &Plan, builder: &str, started: Duration) -> Self {
        let record = Record {
            schema: SCHEMA,
            tool: format!("kmodforge {}", env!("CARGO_PKG_VERSION")),
            started: started.as_secs(),
            seconds: 0.0,
            builder: builder.to_owned(),
            targets: plan.targets.iter().map(|target| pipeline::blank_record(target, Outcome::Cancelled, "not begun")).collect(),
        };
        Self { path, started, state: Mutex::new(Kept { record, next: Duration::ZERO }) }
    }

    /// Takes down what became of a target.
    pub(super) fn keep(&self, index: usize, result: &TargetRecord) {
        let mut kept = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        kept.record.targets[index] = result.clone();
        let before = env::now();
        if result.outcome != Outcome::Published && before >= kept.next {
            // Tried again, and told, at the end.
            let _ = write(self.path, &kept.record);
            let after = env::now();
            kept.next = after + after.saturating_sub(before) * 20;
        }
    }

    /// The whole record, and whether it could be written.
    pub(super) fn finish(self) -> (Record, Result<(), Failure>) {
        let mut record = self.state.into_inner().unwrap_or_else(PoisonError::into_inner).record;
        record.seconds = env::now().saturating_sub(self.started).as_secs_f64();
        let written = write(self.path, &record).map_err(|error| {
            Failure::new(Exit::Failed, format!("the record `{}` cannot be written: {}", self.path.display(), io_words(&error)))
                .help("choose another place: --record FILE; what was pushed stays pushed")
        });
        (record, written)
    }
}

/// Whole or not at all: a reader never sees half a record.
fn write(path: &Path, record: &Record) -> std::io::Result<()> {
    let part = Part::of(path)?;
    let mut writer = BufWriter::new(part.file());
    serde_json::to_writer_pretty(&mut writer, record)?;
    writer.flush()?;
    drop(writer);
    part.publish(false)
}
