//! A pool's jobs, as the runtime's listings, metrics and the report of its shutdown show them.

use super::job::Call;
use super::shared::Shared;
use crate::primitive::clock;
use crate::runtime::OffloadJob;
use crate::scheduler::Processes;

/// A job that a worker has.
pub(super) struct Listed {
    id: u64,
    job: OffloadJob,
    since: std::time::Instant,
}

impl Shared {
    /// The slot's worker gets a job.
    pub(super) fn begins(&self, slot: u64, id: u64, call: &Call) {
        let listed = Listed { id, job: describe(call), since: clock::now() };
        if let Some(slot) = self.state.lock().slots.get_mut(&slot) {
            slot.jobs.push(listed);
        }
    }

    /// The slot's worker has it no more.
    pub(super) fn ends(&self, slot: u64, id: u64) {
        let mut state = self.state.lock();
        let jobs = state.slots.get_mut(&slot).map(|slot| &mut slot.jobs);
        let ended = jobs.and_then(|jobs| {
            let at = jobs.iter().position(|listed| listed.id == id)?;
            Some(jobs.remove(at))
        });
        drop(state);
        drop(ended);
    }

    /// Notes jobs that end because the runtime does.
    pub(super) fn lose<'a>(&self, jobs: impl IntoIterator<Item = &'a Call>) {
        let runtime = self.runtime.shared();
        if runtime.is_closed() {
            runtime.processes.note_lost(jobs.into_iter().map(describe));
        }
    }

    /// The same of jobs that a worker had.
    pub(super) fn lose_running(&self, jobs: Vec<Listed>, worker: Option<u32>) {
        let runtime = self.runtime.shared();
        if runtime.is_closed() {
            runtime.processes.note_lost(jobs.iter().map(|job| job.describe(worker)));
        }
    }
}

/// A job for a listing.
fn describe(call: &Call) -> OffloadJob {
    let (function, name) = (call.entry.name(), call.context.name.clone());
    OffloadJob { function, name, task: call.task, worker: None, age: None }
}

impl Listed {
    fn describe(&self, worker: Option<u32>) -> OffloadJob {
        OffloadJob { worker, age: Some(self.since.elapsed()), ..self.job.clone() }
    }
}

impl Processes for Shared {
    fn look(&self) -> (Vec<OffloadJob>, usize, usize) {
        let state = self.state.lock();
        let running = state.slots.values();
        let running = running.flat_map(|slot| slot.jobs.iter().map(|job| job.describe(slot.pid)));
        let queued = state.queue.iter().map(|ticket| describe(&ticket.call));
        let workers = state.slots.values().filter(|slot| slot.pid.is_some()).count();
        (running.chain(queued).collect(), workers, state.resting.len())
    }
}
