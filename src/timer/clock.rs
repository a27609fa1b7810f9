//! The clock of one runtime: the monotonic clock, or virtual time for tests.
//!
//! Virtual time belongs to the runtime and not to a thread, so it works with any number of workers.
//! A clock that was never paused costs one relaxed load more than `Instant::now`. Once paused it goes
//! through a mutex for the rest of its life, also after [`resume`](Clock::resume): that is a test, and
//! three modes on the fast path would serve nobody.
//!
//! This type only tells the time. Whoever advances it must fire the wheels after
//! ([`Timers::expire`](super::Timers::expire) for each); the scheduler does so, and advances by itself
//! when every worker is idle ([`Timers::earliest`](super::Timers::earliest)).

use super::tick;
use crate::primitive::Mutex;
use crate::primitive::atomic::{AtomicBool, Ordering::Relaxed};
use crate::primitive::clock;
use std::time::{Duration, Instant};

/// Tells a runtime's time.
#[derive(Debug)]
pub struct Clock {
    /// Whether `shown` is what the clock shows. Set once, by the first `pause`.
    is_virtual: AtomicBool,
    shown: Mutex<Shown>,
}

#[derive(Clone, Copy, Debug)]
enum Shown {
    /// Stands still at this instant.
    Paused(Instant),
    /// Showed `shown` when the real clock showed `real`, and runs since.
    Running { shown: Instant, real: Instant },
}

impl Shown {
    fn now(self) -> Instant {
        match self {
            Self::Paused(at) => at,
            Self::Running { shown, real } => {
                later(shown, clock::now().saturating_duration_since(real))
            }
        }
    }
}

impl Clock {
    /// A clock that shows real time.
    pub fn new() -> Self {
        // The origin of ticks is set now at the latest, so that no instant of this clock is before it.
        let real = clock::origin();
        Self {
            is_virtual: AtomicBool::new(false),
            shown: Mutex::new(Shown::Running { shown: real, real }),
        }
    }

    /// The present.
    #[inline]
    pub fn now(&self) -> Instant {
        // Relaxed: what it guards is in the mutex. A thread that has not yet seen a `pause` made by
        // another shows real time, as if it had asked before.
        if self.is_virtual.load(Relaxed) { self.virtual_now() } else { clock::now() }
    }

    #[cold]
    fn virtual_now(&self) -> Instant {
        self.shown.lock().now()
    }

    /// The tick that the present is in.
    pub fn now_tick(&self) -> u64 {
        tick::at_or_before(self.now())
    }

    /// The tick at which a timer that starts at `now` and ends at `deadline` fires.
    pub fn deadline_tick(&self, now: Instant, deadline: Instant) -> u64 {
        let duration = tick::count(deadline.saturating_duration_since(now));
        tick::coalesce(tick::at_or_after(deadline), duration)
    }

    /// How long it is from now to the beginning of `tick`: what a thread may sleep.
    ///
    /// `None` while the clock is paused: then no amount of sleeping gets there.
    pub fn until(&self, tick: u64) -> Option<Duration> {
        if self.is_paused() {
            return None;
        }
        Some(tick::begin(tick).saturating_duration_since(self.now()))
    }

    /// Stops the clock. `false` if it stood already.
    pub fn pause(&self) -> bool {
        let mut shown = self.shown.lock();
        if matches!(*shown, Shown::Paused(_)) {
            return false;
        }
        *shown = Shown::Paused(shown.now());
        // Relaxed: see `now`.
        self.is_virtual.store(true, Relaxed);
        true
    }

    /// Stops the clock at the instant that ticks count from: every exploration begins then.
    #[allow(dead_code)] // only model builds explore
    pub(crate) fn stand_at_origin(&self) {
        self.pause();
        *self.shown.lock() = Shown::Paused(clock::origin());
    }

    /// Lets a paused clock run on from what it shows. `false` if it ran already.
    pub fn resume(&self) -> bool {
        let mut shown = self.shown.lock();
        let Shown::Paused(at) = *shown else { return false };
        *shown = Shown::Running { shown: at, real: clock::now() };
        true
    }

    /// Whether the clock stands.
    pub fn is_paused(&self) -> bool {
        // Relaxed: see `now`.
        self.is_virtual.load(Relaxed) && matches!(*self.shown.lock(), Shown::Paused(_))
    }

    /// Moves a paused clock forward. `false`, and no change, if it is not paused.
    #[must_use]
    pub fn advance(&self, by: Duration) -> bool {
        self.set(|at| later(at, by))
    }

    /// Moves a paused clock forward to the beginning of `tick`, never back. `false`, and no change,
    /// if it is not paused.
    #[must_use]
    pub fn advance_to(&self, tick: u64) -> bool {
        self.set(|at| at.max(tick::begin(tick)))
    }

    fn set(&self, next: impl FnOnce(Instant) -> Instant) -> bool {
        let mut shown = self.shown.lock();
        let Shown::Paused(at) = *shown else { return false };
        *shown = Shown::Paused(next(at));
        true
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// `instant + by`, or the instant of the last tick where that cannot be held.
fn later(instant: Instant, by: Duration) -> Instant {
    instant.checked_add(by).unwrap_or_else(|| instant.max(tick::begin(tick::LAST)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_clock_that_was_never_paused_shows_real_time() {
        let clock = Clock::new();
        let before = Instant::now();
        let now = clock.now();
        assert!(before <= now && now <= Instant::now());
        assert!(!clock.is_paused() && !clock.advance(HOUR) && !clock.advance_to(tick::LAST));
        assert!(clock.now() < before + HOUR);
    }

    #[test]
    fn a_paused_clock_moves_only_when_told() {
        let clock = Clock::new();
        assert!(clock.pause() && !clock.pause());
        let at = clock.now();
        assert_eq!(clock.now(), at);
        assert!(clock.advance(HOUR));
        assert_eq!(clock.now(), at + HOUR);
        assert_eq!(clock.until(clock.now_tick() + 1), None);
        assert!(clock.advance_to(clock.now_tick() + 10));
        let later = clock.now();
        assert!(later > at + HOUR);
        assert!(clock.advance_to(0));
        assert_eq!(clock.now(), later, "never back");
    }

    #[test]
    fn a_resumed_clock_runs_on_from_what_it_showed() {
        let clock = Clock::new();
        clock.pause();
        assert!(clock.advance(HOUR));
        let at = clock.now();
        let real = Instant::now();
        assert!(clock.resume() && !clock.resume() && !clock.is_paused());
        let shown = clock.now() - at;
        assert!(shown <= real.elapsed());
        assert!(clock.until(tick::at_or_after(at + HOUR)).unwrap() > HOUR / 2);
        assert!(clock.pause());
        assert!(clock.now() >= at);
    }

    #[test]
    fn advancing_too_far_saturates() {
        let clock = Clock::new();
        clock.pause();
        assert!(clock.advance(Duration::MAX));
        let end = clock.now();
        assert!(clock.advance(Duration::MAX));
        assert!(clock.now() >= end);
    }

    #[test]
    fn a_deadline_is_never_early_and_late_by_a_thousandth() {
        let clock = Clock::new();
        let now = clock.now();
        for micros in [0u64, 1, 1000, 99_999, 200_001, 1_000_003, 60_000_000] {
            let duration = Duration::from_micros(micros);
            let fires = tick::begin(clock.deadline_tick(now, now + duration));
            assert!(fires >= now + duration);
            let late = fires - (now + duration);
            assert!(late < (duration / 1024).max(Duration::from_nanos(1 << 15)), "{late:?}");
        }
    }
}
