//! The polls that do not return, for the report of a shutdown that has waited for them.
//!
//! The monitor knows them too, where there is one; a shutdown looks for itself, so that its report does not
//! depend on the monitor's thresholds.

use super::gate::View;
use super::monitor::{Activity, SlowPoll, Subject};
use super::{Shared, current};
use crate::primitive::atomic::Ordering::*;
use crate::primitive::clock;
use crate::primitive::watch::{self, Frame, Sample, State};
use std::time::{Duration, Instant};

/// The polls that went on at some moment.
pub(crate) struct Polls {
    at: Instant,
    polls: Vec<(usize, u64, Sample)>,
}

impl Shared {
    /// The polls that go on now, but for the caller's own.
    pub(crate) fn running_polls(&self) -> Polls {
        let me = current::thread_number();
        let slots = self.slots_in_use().iter().enumerate();
        let polls = slots.filter_map(|(seat, slot)| {
            // Relaxed: written before the owner's first poll.
            let thread = slot.thread.load(Relaxed);
            match slot.gate.view() {
                View::Polling(poll) | View::Seized(poll) if thread != me => {
                    Some((seat, poll, watch::sample(thread)))
                }
                _ => None,
            }
        });
        Polls { polls: polls.collect(), at: clock::now() }
    }

    /// The tasks' polls that go on now, with the stacks of their threads. `before` says how long they do at
    /// least.
    pub(crate) fn stuck_polls(&self, before: &Polls) -> Vec<SlowPoll> {
        let now = self.running_polls();
        now.polls.iter().filter_map(|&poll| self.stuck(poll, before)).collect()
    }

    fn stuck(&self, (seat, poll, now): (usize, u64, Sample), before: &Polls) -> Option<SlowPoll> {
        let slot = &self.slots[seat];
        let (id, location) = slot.current.get()?;
        let name = self.name_of(id);
        let stack = self.stack_of(seat, poll);
        let view = slot.gate.view();
        // What was read above is of this poll only if it still goes on.
        if !view.is_of(poll) {
            return None;
        }
        let then = before.polls.iter().find(|then| (then.0, then.1) == (seat, poll));
        let elapsed = then.map_or(Duration::ZERO, |_| clock::now().duration_since(before.at));
        let cpu = now.cpu.zip(then.and_then(|then| then.2.cpu));
        let activity = match (now.state, cpu) {
            (_, Some((now, then))) if 2 * now.saturating_sub(then) >= elapsed => {
                Activity::Computing
            }
            (State::Blocked, _) => Activity::Blocked,
            _ => Activity::Unknown,
        };
        Some(SlowPoll {
            subject: Subject::Poll,
            id: Some(id),
            name,
            location: Some(location),
            elapsed,
            activity,
            is_rescued: matches!(view, View::Seized(_)),
            stack,
        })
    }

    /// What the thread of `seat` executes in that poll; nothing if it is over, or does not say. Takes long: for
    /// threads that may block.
    pub(super) fn stack_of(&self, seat: usize, poll: u64) -> Vec<Frame> {
        let slot = &self.slots[seat];
        if !slot.gate.view().is_of(poll) {
            return Vec::new();
        }
        // Relaxed: as in `running_polls`.
        let addresses = watch::stack::capture(slot.thread.load(Relaxed));
        // It is of this poll only if that still goes on.
        let addresses = addresses.filter(|_| slot.gate.view().is_of(poll));
        addresses.map(|addresses| watch::stack::name(&addresses)).unwrap_or_default()
    }
}
