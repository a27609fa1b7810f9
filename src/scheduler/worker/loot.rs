//! Whether stealing pays: what a thief learns from what it has stolen.
//!
//! To run a task elsewhere, the thief fetches the lines of its cell, of its future and of the queue from
//! the victim's core, and the victim gets the queue's back, and later the memory. That is 0.1 to 0.5 µs a
//! task, on both sides. Tasks whose polls are shorter are done sooner where they are, and at half the
//! CPU time or less. So a thief measures: a theft whose polls took it less than [`WORTH`] each was not
//! worth it. Then it sleeps for a moment, and *spares* its victim meanwhile: the victim calls nobody for
//! what it pushes, and no thief stays awake for that. Each such theft in a row doubles the moment.
//!
//! It only delays stealing from the deque of a worker that is awake. For anything else the thief sleeps
//! like every sleeper: the injector, the poller and its timers call it.

use crate::primitive::{clock, in_model};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long the polls of stolen tasks have to take, on average.
const WORTH: Duration = Duration::from_micros(1);
/// How long a thief sleeps after a theft that was not worth it, at first and at most. A theft of 32 such tasks
/// takes 5 to 20 µs.
const MIN_REST: Duration = Duration::from_micros(100);
const MAX_REST: Duration = Duration::from_micros(400);

/// What one worker knows of its thefts.
#[derive(Debug)]
pub(super) struct Loot {
    last: Cell<Option<Theft>>,
    /// How long it sleeps after the next theft that was not worth it.
    rest: Cell<Duration>,
}

/// From whom, when, and how many polls the thief had made before.
#[derive(Debug, Clone, Copy)]
struct Theft {
    victim: usize,
    at: Instant,
    polls: u64,
}

/// For how long to leave whom alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rest {
    pub(super) victim: usize,
    pub(super) time: Duration,
}

impl Loot {
    pub(super) fn new() -> Self {
        Self { last: Cell::new(None), rest: Cell::new(MIN_REST) }
    }

    /// Notes a theft, made after `polls` polls.
    pub(super) fn taken(&self, victim: usize, polls: u64) {
        if !in_model() {
            self.last.set(Some(Theft { victim, at: clock::now(), polls }));
        }
    }

    /// The thief is out of work, after `polls` polls. Gives whom to spare if the last theft was not worth it.
    pub(super) fn judge(&self, polls: u64) -> Option<Rest> {
        let Theft { victim, at, polls: before } = self.last.take()?;
        self.decide(victim, polls - before, clock::now().duration_since(at))
    }

    fn decide(&self, victim: usize, polls: u64, took: Duration) -> Option<Rest> {
        if took.as_nanos() >= WORTH.as_nanos() * u128::from(polls) {
            self.rest.set(MIN_REST);
            return None;
        }
        let time = self.rest.get();
        self.rest.set((2 * time).min(MAX_REST));
        Some(Rest { victim, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_theft_that_was_not_worth_it_makes_the_rest_longer() {
        let loot = Loot::new();
        let poor = || loot.decide(3, 32, 31 * WORTH).map(|rest| (rest.victim, rest.time));
        for time in [1, 2, 4, 4].map(|n| n * MIN_REST) {
            assert_eq!(poor(), Some((3, time)));
        }
        assert_eq!(loot.decide(3, 32, 32 * WORTH), None);
        assert_eq!(poor(), Some((3, MIN_REST)), "that one was worth it");
    }

    #[test]
    fn a_theft_is_judged_once() {
        let loot = Loot::new();
        assert_eq!(loot.judge(7), None);
        loot.taken(1, 7);
        assert_eq!(loot.judge(1_000_007).map(|rest| rest.victim), Some(1));
        assert_eq!(loot.judge(1_000_007), None);
    }
}
