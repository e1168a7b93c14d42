//! Targets that share a boot: those for the same kernel wait for each other, and the last one to arrive boots for all of them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;

use crate::boot::{BootError, Booter, Report, Subject};
use crate::plan::{State, Target};

/// A worker's place, of which there are as many as jobs. Who waits for other targets gives it to them meanwhile.
pub(super) struct Slot<'a> {
    slots: &'a Semaphore,
    permit: Option<SemaphorePermit<'a>>,
}

impl<'a> Slot<'a> {
    /// The next place that is free.
    pub(super) async fn take(slots: &'a Semaphore) -> Self {
        let mut slot = Self { slots, permit: None };
        slot.regain().await;
        slot
    }

    fn lend(&mut self) {
        self.permit = None;
    }

    async fn regain(&mut self) {
        // Never closed; without a permit there would merely be one more at work.
        self.permit = self.slots.acquire().await.ok();
    }
}

/// Who boots with whom, by position in the plan.
#[derive(Default)]
pub(super) struct Groups(HashMap<usize, Arc<Group>>);

/// The targets for one kernel.
struct Group {
    /// By position in the plan: `jool 4.1.15`.
    members: BTreeMap<usize, String>,
    state: Mutex<Gathering>,
}

/// Who has come, and how many are still on their way.
struct Gathering {
    missing: usize,
    waiting: Vec<Arrival>,
}

/// A target whose modules are ready; the target that boots for all has no sender.
struct Arrival {
    /// Its position in the plan.
    index: usize,
    subject: Subject,
    sender: Option<oneshot::Sender<Turn>>,
}

/// What a waiting target hears.
enum Turn {
    /// It is the one to boot for these.
    Lead(Vec<Arrival>),
    /// What the boot has shown; `None`: it must boot alone.
    Done(Option<Box<Report>>),
}

impl Groups {
    /// Targets that are going to be built and have their kernel in common; a target without others has no group.
    pub(super) fn of(targets: &[Target]) -> Self {
        let mut kernels: HashMap<_, BTreeMap<usize, String>> = HashMap::new();
        for (index, target) in targets.iter().enumerate().filter(|(_, target)| matches!(target.state, State::Build(_))) {
            let key = (target.arch, &target.kernel.release, &target.kernel.image, &target.distro.profile.id);
            kernels.entry(key).or_default().insert(index, format!("{} {}", target.driver.profile.id, target.driver.version().version));
        }
        let mut groups = HashMap::new();
        for members in kernels.into_values().filter(|members| members.len() > 1) {
            let state = Mutex::new(Gathering { missing: members.len(), waiting: Vec::new() });
            let group = Arc::new(Group { members, state });
            groups.extend(group.members.keys().map(|index| (*index, group.clone())));
        }
        Self(groups)
    }

    /// The order to work in: targets that wait for each other one after the other, so that few have to wait at a time.
    pub(super) fn order(&self, count: usize) -> Vec<usize> {
        let mut order: Vec<_> = (0..count).collect();
        order.sort_by_key(|index| self.0.get(index).and_then(|group| group.members.keys().next().copied()).unwrap_or(*index));
        order
    }

    /// The target's seat in its group. It must be dropped as soon as the target is not going to boot.
    pub(super) fn seat(&self, index: usize) -> Option<Seat> {
        self.0.get(&index).map(|group| Seat { index, group: group.clone(), used: false })
    }
}

impl Group {
    fn state(&self) -> MutexGuard<'_, Gathering> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One fewer is missing: if that was the last one, somebody who waits must boot.
    fn leave(&self) {
        let mut state = self.state();
        state.missing -= 1;
        while state.missing == 0 && !state.waiting.is_empty() {
            let mut party = std::mem::take(&mut state.waiting);
            let Some(leader) = party.iter_mut().find_map(|arrival| arrival.sender.take()) else { return };
            match leader.send(Turn::Lead(party)) {
                // It has been stopped meanwhile.
                Err(Turn::Lead(party)) => state.waiting = party.into_iter().filter(|arrival| arrival.sender.is_some()).collect(),
                _ => return,
            }
        }
    }
}

/// A target's part in the boot of its group.
pub(super) struct Seat {
    index: usize,
    group: Arc<Group>,
    used: bool,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.used {
            self.group.leave();
        }
    }
}

impl Seat {
    /// The other targets of the group: `jool 4.1.15`.
    pub(super) fn others(&self) -> Vec<String> {
        self.group.members.iter().filter(|(index, _)| **index != self.index).map(|(_, name)| name.clone()).collect()
    }

    /// Waits for the others and boots with them; then alone, if that boot was not clean.
    pub(super) async fn boot(
        mut self,
        booter: &Booter,
        subject: Subject,
        work: &Path,
        slot: &mut Slot<'_>,
        cancel: &CancellationToken,
    ) -> Result<Report, BootError> {
        let turn = match self.arrive(subject.clone()) {
            Ok(party) => Turn::Lead(party),
            Err(waiting) => {
                slot.lend();
                let turn = tokio::select! {
                    turn = waiting => turn.map_err(|_| BootError::Cancelled)?,
                    () = cancel.cancelled() => return Err(BootError::Cancelled),
                };
                slot.regain().await;
                turn
            }
        };
        let report = match turn {
            Turn::Done(report) => report,
            Turn::Lead(party) => lead(party, booter, work, cancel).await,
        };
        match report {
            Some(report) => Ok(*report),
            None => booter.check(&subject, work, cancel).await,
        }
    }

    /// All who have come, if nobody is missing any more; else what to wait for.
    fn arrive(&mut self, subject: Subject) -> Result<Vec<Arrival>, oneshot::Receiver<Turn>> {
        self.used = true;
        let mut state = self.group.state();
        state.missing -= 1;
        if state.missing == 0 {
            let mut party = std::mem::take(&mut state.waiting);
            party.push(Arrival { index: self.index, subject, sender: None });
            return Ok(party);
        }
        (subject.tell)("waiting for other drivers");
        let (sender, receiver) = oneshot::channel();
        state.waiting.push(Arrival { index: self.index, subject, sender: Some(sender) });
        Err(receiver)
    }
}

/// Boots for all who have come, in the order of the plan, and tells the others; what it has shown of the one without a sender.
async fn lead(mut party: Vec<Arrival>, booter: &Booter, work: &Path, cancel: &CancellationToken) -> Option<Box<Report>> {
    party.sort_by_key(|arrival| arrival.index);
    let (subjects, senders): (Vec<_>, Vec<_>) = party.into_iter().map(|arrival| (arrival.subject, arrival.sender)).unzip();
    // Those who are left alone need no others for that.
    let reports = if subjects.len() > 1 { booter.check_together(&subjects, work, cancel).await } else { vec![None] };
    let mut own = None;
    for (sender, report) in senders.into_iter().zip(reports) {
        let report = report.map(Box::new);
        match sender {
            // Whoever has been stopped does not hear it.
            Some(sender) => _ = sender.send(Turn::Done(report)),
            None => own = report,
        }
    }
    own
}

#[cfg(test)]
#[path = "together/tests.rs"]
mod tests;
