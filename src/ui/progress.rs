//! Shows a run while it goes on.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::{Mode, Ui};
use crate::env;
use crate::pipeline::event::Event;

pub(super) mod json;
mod plain;
mod run;
mod tty;

pub use json::progress_schema;

/// How often live lines move.
const TICK: Duration = Duration::from_millis(100);

/// A run that is being shown, until the last sender of events is gone.
pub struct ProgressHandle {
    events: UnboundedSender<Event>,
    task: JoinHandle<()>,
}

impl ProgressHandle {
    pub(super) fn start(ui: Ui) -> Self {
        let (events, receiver) = unbounded_channel();
        Self { events, task: tokio::spawn(show(renderer(ui), receiver)) }
    }

    /// Where events go.
    #[must_use]
    pub fn events(&self) -> UnboundedSender<Event> {
        self.events.clone()
    }

    /// Shows what is left, once every clone of the sender is dropped, and takes the live lines off the screen.
    pub async fn finish(self) {
        let Self { events, task } = self;
        drop(events);
        // It ends by a panic or by the runtime's end only; neither concerns the run.
        let _ = task.await;
    }
}

/// One way to show a run. `now` is the time since 1970.
trait Renderer: Send {
    fn event(&mut self, event: &Event, now: Duration);
    fn tick(&mut self, now: Duration);
    fn finish(&mut self, now: Duration);
}

fn renderer(ui: Ui) -> Box<dyn Renderer> {
    match ui.shared.mode {
        Mode::Tty => Box::new(tty::Tty::new(ui)),
        Mode::Plain => Box::new(plain::Plain::new(ui)),
        Mode::Json => Box::new(json::Json::new(ui)),
        Mode::Quiet => Box::new(Quiet { ui }),
    }
}

async fn show(mut renderer: Box<dyn Renderer>, mut events: UnboundedReceiver<Event>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            _ = ticks.tick() => renderer.tick(env::now()),
            event = events.recv() => match event {
                Some(event) => renderer.event(&event, env::now()),
                None => break,
            },
        }
    }
    renderer.finish(env::now());
}

/// Nothing but failures.
struct Quiet {
    ui: Ui,
}

impl Renderer for Quiet {
    fn event(&mut self, event: &Event, _: Duration) {
        if let Event::TargetFinished { failure: Some(failure), .. } = event {
            self.ui.failure(failure);
        }
    }

    fn tick(&mut self, _: Duration) {}

    fn finish(&mut self, _: Duration) {}
}

/// Shows the events of a run up to a moment, with ticks between them.
#[cfg(test)]
pub(super) fn replay(ui: &Ui, events: &[(Duration, Event)], until: Duration, finish: bool) {
    let mut renderer = renderer(ui.clone());
    for (time, event) in events.iter().filter(|(time, _)| *time <= until) {
        renderer.event(event, *time);
        renderer.tick(*time);
    }
    renderer.tick(until);
    if finish {
        renderer.finish(until);
    }
}
