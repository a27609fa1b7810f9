//! How often a worker looks at the clock, the poller and the timers, and how long it sleeps at least.

use crate::primitive::in_model;
use std::time::Duration;

/// How much time should pass between two looks at the poller, the timers and the injector: what a
/// timer is late by on a busy worker, at most, plus one poll. A look costs 0.3 µs.
const INTERVAL: Duration = Duration::from_micros(50);
/// The bounds of that interval in polls: often enough when the estimate is wrong, rarely enough to
/// cost nothing.
pub(super) const MIN_INTERVAL: u32 = 2;
const MAX_INTERVAL: u32 = 256;

/// While timers come several to a wake-up, a worker sleeps at least so long for the next: between these
/// bounds, by how many come. 10,000 sleeps of 1 to 100 ms otherwise wake each worker at every tick, at a
/// third of tokio's efficiency; a lone ticker of 100 µs is as punctual as ever.
const MIN_NAP: Duration = Duration::from_micros(64);
const MAX_NAP: Duration = Duration::from_micros(1024);

/// How many polls fit into [`INTERVAL`], after `polls` polls took `elapsed`. Averaged over the last
/// few, so that one slow poll does not make the next hundred fast ones look for events each.
pub(super) fn next_interval(polls: u32, elapsed: Duration) -> u32 {
    if in_model() {
        return 2;
    }
    let fitting = u128::from(polls) * INTERVAL.as_nanos() / elapsed.as_nanos().max(1);
    let fitting = (fitting as u32).clamp(MIN_INTERVAL, MAX_INTERVAL);
    ((3 * polls + fitting + 2) / 4).clamp(MIN_INTERVAL, MAX_INTERVAL)
}

/// How long to sleep at least for the next timer, after a sleep at whose end `fired` timers were due.
pub(super) fn next_nap(nap: Duration, fired: usize) -> Duration {
    match fired {
        0 | 1 if nap <= MIN_NAP => Duration::ZERO,
        0 | 1 => nap / 2,
        2 => nap,
        _ => (2 * nap).clamp(MIN_NAP, MAX_NAP),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_that_come_together_wait_for_each_other() {
        let settle = |fired: usize| (0..10).fold(Duration::ZERO, |nap, _| next_nap(nap, fired));
        assert_eq!((settle(1), settle(2), settle(3)), (Duration::ZERO, Duration::ZERO, MAX_NAP));
        let ending = (0..5).fold(MAX_NAP, |nap, _| next_nap(nap, 1));
        assert_eq!(ending, Duration::ZERO);
    }

    #[test]
    fn the_interval_follows_the_cost_of_polls() {
        let settle = |poll: Duration| {
            (0..50).fold(MIN_INTERVAL, |polls, _| next_interval(polls, poll * polls))
        };
        assert!(settle(Duration::from_nanos(20)) > MAX_INTERVAL - 4);
        assert!((4..=6).contains(&settle(Duration::from_micros(10))));
        assert_eq!(settle(Duration::from_millis(10)), MIN_INTERVAL);
        assert!((20..=30).contains(&settle(Duration::from_micros(2))));
    }
}
