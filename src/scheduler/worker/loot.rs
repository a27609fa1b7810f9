//! Whether stealing pays: what a thief learns from what it has stolen.
//!
//! To run a task elsewhere, the thief fetches the lines of its cell, of its future and of the queue from
//! the victim's core, and the victim gets the queue's back, and later the memory. That is 0.1 to 0.5 µs a
//! task, on both sides. Tasks whose polls are shorter are done sooner where they are, and at half the
//! CPU time or less. So a thief measures: a theft whose polls took it less than [`WORTH`] each was not
//! worth it. Then it sleeps for a moment, and *spares* its victim meanwhile: the victim calls nobody for
//! what it pushes, and no thief stays awake for that. Each such theft in a row doubles the moment.
//!
//! It only delays stealing from the deque of a worker that is at work: one that is inside the same poll as
//! at the theft, and has brought no new tasks since, is not spared. For anything else the thief sleeps
//! like every sleeper: the injector, the poller and its timers call it.

use crate::primitive::{clock, in_model};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How long the thief's polls since the theft have to take, on average.
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

#[derive(Debug, Clone, Copy)]
struct Theft {
    victim: usize,
    at: Instant,
    /// How many polls the thief had made.
    polls: u64,
    of_victim: State,
}

/// What a victim has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    pub(super) polls: u64,
    /// The length of its deque.
    pub(super) queued: usize,
}

impl State {
    /// Whether it does something beside what it did `before`.
    fn is_at_work_since(self, before: Self) -> bool {
        self.polls != before.polls || self.queued > before.queued
    }
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
    pub(super) fn taken(&self, victim: usize, polls: u64, of_victim: State) {
        if !in_model() {
            self.last.set(Some(Theft { victim, at: clock::now(), polls, of_victim }));
        }
    }

    /// The thief is out of work, after `polls` polls. Gives whom to spare if the last theft was not worth it.
    pub(super) fn judge(&self, polls: u64, of: impl FnOnce(usize) -> State) -> Option<Rest> {
        let Theft { victim, at, polls: before, of_victim } = self.last.take()?;
        let took = clock::now().duration_since(at);
        match of(victim).is_at_work_since(of_victim) {
            true => self.decide(victim, polls - before, took),
            false => None,
        }
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

    const IDLE: State = State { polls: 5, queued: 2 };
    const BUSY: State = State { polls: 6, queued: 2 };

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
        assert_eq!(loot.judge(7, |_| BUSY), None);
        loot.taken(1, 7, IDLE);
        assert_eq!(loot.judge(1_000_007, |_| BUSY).map(|rest| rest.victim), Some(1));
        assert_eq!(loot.judge(1_000_007, |_| BUSY), None);
    }

    #[test]
    fn who_is_stuck_in_a_poll_is_not_spared() {
        let loot = Loot::new();
        let judge = |now| {
            loot.taken(1, 0, IDLE);
            loot.judge(1_000_000, |_| now).is_some()
        };
        assert!(!judge(IDLE));
        assert!(!judge(State { queued: 1, ..IDLE }), "others take from it");
        assert!(judge(State { queued: 3, ..IDLE }), "it spawns");
        assert!(judge(BUSY));
    }
}
