//! What is known about a run from its events: names of targets, what each is busy with, how many are done.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::builder::BuildEvent;
use crate::error::counted;
use crate::finding::Severity;
use crate::pipeline::event::{Event, Phase, TargetIndex};
use crate::record::{Outcome, TargetLabel, TargetRecord};
use crate::ui::text;

/// A run, as far as it was told.
#[derive(Default)]
pub(super) struct Run {
    pub(super) targets: Arc<[TargetLabel]>,
    /// When it began, since 1970.
    pub(super) started: Duration,
    /// In the order in which they began.
    pub(super) running: Vec<Running>,
    pub(super) finished: usize,
    pub(super) failed: usize,
}

/// A target that is being worked on.
pub(super) struct Running {
    pub(super) target: TargetIndex,
    /// When it began, since 1970.
    pub(super) since: Duration,
    pub(super) phase: Option<Phase>,
    /// Steps that run: id and name, the youngest last.
    steps: Vec<(String, String)>,
    /// What it is busy with that is no step of the builder: `transferring context 4.2 MB`, `loading zfs`.
    other: Option<String>,
}

impl Running {
    /// What it is busy with, without the phase: a step's command, a transfer, what a boot does.
    pub(super) fn doing(&self) -> &str {
        let step = self.steps.last().map(|(_, name)| command(name));
        self.other.as_deref().or(step).unwrap_or_default()
    }
}

/// `RUN make …` of `[build 2/5] RUN make …`.
fn command(step: &str) -> &str {
    match step.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((_, command)) => command,
        None => step,
    }
}

impl Run {
    /// Takes notice of an event, after it was shown.
    pub(super) fn observe(&mut self, event: &Event, now: Duration) {
        match event {
            Event::Started { targets } => *self = Self { targets: Arc::clone(targets), started: now, ..Self::default() },
            Event::Note(_) => {}
            Event::TargetStarted(target) => {
                self.running.push(Running { target: *target, since: now, phase: None, steps: Vec::new(), other: None });
            }
            Event::Phase(target, phase) => {
                if let Some(running) = self.running_mut(*target) {
                    (running.phase, running.other) = (Some(*phase), None);
                    running.steps.clear();
                }
            }
            Event::Doing(target, words) => {
                if let Some(running) = self.running_mut(*target) {
                    running.other = Some(words.clone());
                }
            }
            Event::Build(target, event) => {
                if let Some(running) = self.running_mut(*target) {
                    observe_build(running, event);
                }
            }
            Event::Upload { target, bytes, total } => {
                if let Some(running) = self.running_mut(*target) {
                    running.other = Some(format!("{} of {}", text::size(*bytes), text::size(*total)));
                }
            }
            Event::TargetFinished { target, record, .. } => {
                self.running.retain(|running| running.target != *target);
                self.finished += 1;
                self.failed += usize::from(matches!(record.outcome, Outcome::Failed | Outcome::Rejected));
            }
        }
    }

    pub(super) fn is_running(&self, target: TargetIndex) -> bool {
        self.running.iter().any(|running| running.target == target)
    }

    pub(super) fn phase(&self, target: TargetIndex) -> Option<Phase> {
        self.running.iter().find(|running| running.target == target)?.phase
    }

    fn running_mut(&mut self, target: TargetIndex) -> Option<&mut Running> {
        self.running.iter_mut().find(|running| running.target == target)
    }

    /// `2 of 4 targets, 1 failed · 0:53`.
    pub(super) fn counts(&self, now: Duration) -> String {
        let total = self.targets.len();
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        format!("{} of {}{failed} · {}", self.finished, counted(total, "target"), text::clock(now.saturating_sub(self.started)))
    }
}

fn observe_build(running: &mut Running, event: &BuildEvent) {
    match event {
        BuildEvent::StepStarted { step, name } => {
            running.other = None;
            running.steps.retain(|(id, _)| id != step);
            running.steps.push((step.clone(), name.clone()));
        }
        BuildEvent::StepDone { step, .. } => {
            running.other = None;
            running.steps.retain(|(id, _)| id != step);
        }
        BuildEvent::Transfer { what, bytes } => running.other = Some(format!("{what} {}", text::size(*bytes))),
        BuildEvent::Log { .. } | BuildEvent::Warning(_) => {}
    }
}

/// Which parts of their labels tell the targets of a run apart; the others are left out of their names.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Distinction {
    pub(super) distro: bool,
    pub(super) arch: bool,
}

impl Distinction {
    pub(super) fn of(targets: &[TargetLabel]) -> Self {
        let distros: HashSet<_> = targets.iter().map(|label| (&label.distro, &label.distro_release)).collect();
        let arches: HashSet<_> = targets.iter().map(|label| &label.arch).collect();
        Self { distro: distros.len() > 1, arch: arches.len() > 1 }
    }

    /// Distro release and arch, as far as they tell targets apart.
    pub(super) fn parts(self, label: &TargetLabel) -> Vec<&str> {
        let release = if label.distro_release.is_empty() { &label.distro } else { &label.distro_release };
        let mut parts = Vec::new();
        if self.distro {
            parts.push(release.as_str());
        }
        if self.arch {
            parts.push(label.arch.as_str());
        }
        parts
    }
}

/// `built, 14 checks passed, 1 warning`.
pub(super) fn result(record: &TargetRecord) -> String {
    let mut told = record.why.clone();
    if record.outcome == Outcome::Built && record.checks > 0 {
        let _ = write!(told, ", {} passed", counted(record.checks, "check"));
    }
    if let Some(boot) = record.boot.as_ref().filter(|_| record.outcome == Outcome::Built) {
        let _ = write!(told, ", booted {:.1}s", boot.seconds);
        match boot.together_with.len() {
            0 => {}
            1 => told += " with another driver",
            others => told.extend([" with ", &others.to_string(), " other drivers"]),
        }
    }
    match record.findings.iter().filter(|finding| finding.severity == Severity::Warning).count() {
        0 => {}
        1 => told += ", 1 warning",
        warnings => told.extend([", ", &warnings.to_string(), " warnings"]),
    }
    told
}
