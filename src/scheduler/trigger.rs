//! What makes the flight recorder be written without a call: a report of the monitor, the panic of a task.
//!
//! The rings are copied at once, by the thread that noticed: a busy worker writes over its own within
//! milliseconds. The file is made by a job of the pool. Each kind of trigger is heard once in [`APART`], so that
//! who blocks again and again, or panics in a loop, costs a copy of the rings each ten seconds and no more.

use super::flight::Flight;
use super::{Shared, monitor};
use crate::blocking::Spec;
use crate::primitive::{Arc, Mutex, clock, fixed};
use std::time::{Duration, Instant};

/// Between two files for the same reason.
const APART: Duration = Duration::from_secs(10);

/// Why the flight recorder is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    SlowPoll,
    Rescue,
    Panic,
    Signal,
}

/// Who makes the file. Called on a thread that may block.
pub(crate) type Writer = Arc<dyn Fn(&Arc<Shared>, &Flight, Trigger) + Send + Sync>;

/// The writer, and when it was last called for each trigger.
pub(super) struct Triggers {
    writer: Writer,
    last: Mutex<[Option<Instant>; 4]>,
}

impl Triggers {
    pub(super) fn new(writer: Writer) -> Self {
        // No model sees it: nothing waits under it.
        Self { writer, last: fixed::mutex([None; 4]) }
    }

    /// Whether it is to be heard now.
    fn admits(&self, trigger: Trigger, now: Instant) -> bool {
        let last = &mut self.last.lock()[trigger as usize];
        // A person who sends a signal wants an answer.
        let is_due = trigger == Trigger::Signal
            || last.is_none_or(|last| now.saturating_duration_since(last) >= APART);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

impl Shared {
    fn triggered(&self, trigger: Trigger) -> Option<(Writer, Flight)> {
        let triggers = self.recorder.as_ref()?.triggers.as_ref()?;
        if !triggers.admits(trigger, clock::now()) {
            return None;
        }
        Some((triggers.writer.clone(), self.flight()?))
    }

    /// Something has happened whose history may be wanted.
    pub(super) fn trigger(self: &Arc<Self>, trigger: Trigger) {
        let Some((writer, flight)) = self.triggered(trigger) else { return };
        let shared = self.clone();
        let job = move || writer(&shared, &flight, trigger);
        // Also when the runtime ends, perhaps for that reason. Refused only without a thread for it.
        drop(self.pool.spawn(Spec { mandatory: true, ..monitor::report() }, job));
    }

    /// The same on a thread that may block, and has the file when this returns.
    pub(crate) fn trigger_here(self: &Arc<Self>, trigger: Trigger) {
        if let Some((writer, flight)) = self.triggered(trigger) {
            writer(self, &flight, trigger);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trigger_is_heard_once_in_a_while() {
        let triggers = Triggers::new(Arc::new(|_, _, _| {}));
        let start = clock::now();
        let admits =
            |trigger, millis| triggers.admits(trigger, start + Duration::from_millis(millis));
        assert!(admits(Trigger::Rescue, 0) && !admits(Trigger::Rescue, 1));
        assert!(admits(Trigger::Panic, 1), "another reason");
        // What was not heard puts nothing off.
        assert!(!admits(Trigger::Rescue, 9_999) && admits(Trigger::Rescue, 10_000));
        assert!(!admits(Trigger::Rescue, 10_001));
        assert!(admits(Trigger::Signal, 2) && admits(Trigger::Signal, 3));
    }
}
