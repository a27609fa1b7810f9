//! The clock of one runtime: the monotonic clock, or virtual time for tests.
//!
//! Virtual time belongs to the runtime and not to a thread, so it works with any number of workers.
//! A clock that was never paused costs one relaxed load more than `Instant::now`. Once paused it goes
//! through a mutex for the rest of its life, also after [`resume`](Clock::resume): that is a test, and
//! three modes on the fast path would serve nobody.
//!
//! A paused clock stops at deadlines, not at ticks: what waits for 5 s in a test has waited for 5 s, on each run. So
//! it remembers the deadlines that it was asked for, by their ticks, and a tick counts as reached with the last of
//! its deadlines, which is up to 33 µs before the tick begins. (By so much a timer from before the pause may be early.)
//!
//! This type only tells the time. Whoever advances it must fire the wheels after
//! ([`Timers::expire`](super::Timers::expire) for each); the scheduler does so, and advances by itself
//! when every worker is idle ([`Timers::earliest`](super::Timers::earliest)).

use super::tick::{self, Moment};
use crate::primitive::Mutex;
use crate::primitive::atomic::{AtomicBool, Ordering::Relaxed};
use crate::primitive::clock;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Tells a runtime's time.
#[derive(Debug)]
pub struct Clock {
    /// Whether `time` is what the clock shows. Set once, by the first `pause`.
    is_virtual: AtomicBool,
    time: Mutex<Virtual>,
}

#[derive(Debug)]
struct Virtual {
    shown: Shown,
    /// The last tick that it was moved to.
    reached: u64,
    /// The ticks after that for which a paused clock was asked, each with its last deadline. Those of timers that
    /// are gone stay until they are reached.
    deadlines: BTreeMap<u64, Instant>,
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
            time: Mutex::new(Virtual {
                shown: Shown::Running { shown: real, real },
                reached: 0,
                deadlines: BTreeMap::new(),
            }),
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
        self.time.lock().shown.now()
    }

    /// The tick that the present is in.
    pub fn now_tick(&self) -> u64 {
        // Relaxed: see `now`.
        match self.is_virtual.load(Relaxed) {
            false => tick::at_or_before(self.now().into()),
            true => {
                let time = self.time.lock();
                tick::at_or_before(time.shown.now().into()).max(time.reached)
            }
        }
    }

    /// The tick at which a timer that starts at `now` and ends at `deadline` fires: one that every wheel has
    /// reached, if that has passed.
    #[inline]
    pub fn deadline_tick(&self, now: Moment, deadline: Moment) -> u64 {
        if deadline <= now {
            return 0;
        }
        // Relaxed: see `now`.
        if self.is_virtual.load(Relaxed) {
            if let Some(tick) = self.stop_at(deadline) {
                return tick;
            }
        }
        tick::coalesce(tick::at_or_after(deadline), deadline.ticks_since(now))
    }

    #[cold]
    fn stop_at(&self, deadline: Moment) -> Option<u64> {
        self.time.lock().stop_at(deadline.into())
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
        let mut time = self.time.lock();
        if matches!(time.shown, Shown::Paused(_)) {
            return false;
        }
        time.shown = Shown::Paused(time.shown.now());
        // Relaxed: see `now`.
        self.is_virtual.store(true, Relaxed);
        true
    }

    /// Stops the clock at the instant that ticks count from: every exploration begins then.
    #[allow(dead_code)] // only model builds explore
    pub(crate) fn stand_at_origin(&self) {
        self.pause();
        self.time.lock().shown = Shown::Paused(clock::origin());
    }

    /// Lets a paused clock run on from what it shows. `false` if it ran already.
    pub fn resume(&self) -> bool {
        let mut time = self.time.lock();
        let Shown::Paused(at) = time.shown else { return false };
        // Not before what its timers have seen.
        let shown = at.max(tick::begin(time.reached));
        time.shown = Shown::Running { shown, real: clock::now() };
        time.deadlines.clear();
        true
    }

    /// Whether the clock stands.
    pub fn is_paused(&self) -> bool {
        // Relaxed: see `now`.
        self.is_virtual.load(Relaxed) && matches!(self.time.lock().shown, Shown::Paused(_))
    }

    /// Moves a paused clock forward. `false`, and no change, if it is not paused.
    #[must_use]
    pub fn advance(&self, by: Duration) -> bool {
        let mut time = self.time.lock();
        let Shown::Paused(at) = time.shown else { return false };
        let at = later(at, by);
        time.move_to(at, tick::at_or_before(at.into()));
        // Where all deadlines of the next tick have passed, so has the tick.
        while let Some((&tick, _)) = time.deadlines.first_key_value().filter(|next| *next.1 <= at) {
            time.move_to(at, tick);
        }
        true
    }

    /// Moves a paused clock forward to `tick`, never back. `false`, and no change, if it is not paused.
    #[must_use]
    pub fn advance_to(&self, tick: u64) -> bool {
        let mut time = self.time.lock();
        let Shown::Paused(at) = time.shown else { return false };
        if tick > time.reached {
            let last = time.deadlines.get(&tick).copied().unwrap_or_else(|| tick::begin(tick));
            // Of deadlines that come faster than ticks each gets a tick of its own: those must not run ahead.
            let until = last.max(tick::begin(tick - 1));
            time.move_to(at.max(until), tick);
        }
        true
    }
}

impl Virtual {
    /// The tick of a deadline that has not passed. `None`: the clock runs.
    fn stop_at(&mut self, deadline: Instant) -> Option<u64> {
        let Shown::Paused(_) = self.shown else { return None };
        let tick = tick::at_or_after(deadline.into()).max(self.reached + 1);
        let last = self.deadlines.entry(tick).or_insert(deadline);
        *last = deadline.max(*last);
        Some(tick)
    }

    fn move_to(&mut self, at: Instant, tick: u64) {
        self.shown = Shown::Paused(at);
        self.reached = self.reached.max(tick);
        self.deadlines = self.deadlines.split_off(&(self.reached + 1));
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
        assert!(clock.until(tick::at_or_after((at + HOUR).into())).unwrap() > HOUR / 2);
        assert!(clock.pause());
        assert!(clock.now() >= at);
    }

    #[test]
    fn a_paused_clock_stops_at_deadlines() {
        let clock = Clock::new();
        clock.pause();
        let start = clock.now();
        let [a, b, c] = [5_000_000, 5_000_100, 7_000_000].map(|n| start + Duration::from_nanos(n));
        let at = |at: Instant| clock.deadline_tick(start.into(), at.into());
        let [first, second, third] = [a, b, c].map(at);
        assert!(first <= second && second < third);
        assert!(clock.advance_to(first));
        assert!(clock.now() == if first == second { b } else { a });
        assert!(clock.now_tick() >= first);
        // A deadline of a tick that has been reached, but not by the time.
        let next = clock.now() + Duration::from_nanos(1);
        let tick = clock.deadline_tick(clock.now().into(), next.into());
        assert!(tick > clock.now_tick());
        assert!(clock.advance_to(tick) && clock.now() >= next);
        // To a deadline exactly: its tick is reached.
        let by = c - clock.now();
        assert!(clock.advance(by) && clock.now() == c && clock.now_tick() >= third);
        assert_eq!(clock.deadline_tick(c.into(), c.into()), 0, "it has passed");
        assert!(clock.resume() && clock.now() >= c);
    }

    #[test]
    fn ticks_do_not_run_ahead_of_a_paused_clock() {
        let clock = Clock::new();
        clock.pause();
        for _ in 0..1000 {
            let now = clock.now();
            let next = now + Duration::from_nanos(1);
            assert!(clock.advance_to(clock.deadline_tick(now.into(), next.into())));
            assert!(clock.now() > now);
            assert!(clock.now_tick() - tick::at_or_before(clock.now().into()) <= 1);
        }
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
        assert_eq!(clock.deadline_tick(now.into(), now.into()), 0, "it has passed");
        for micros in [1, 1000, 99_999, 200_001, 1_000_003, 60_000_000, 3_600_000_000] {
            let duration = Duration::from_micros(micros);
            let fires = tick::begin(clock.deadline_tick(now.into(), (now + duration).into()));
            assert!(fires >= now + duration);
            let late = fires - (now + duration);
            let most = duration / 1024;
            let most = most.clamp(Duration::from_nanos(1 << 15), Duration::from_millis(68));
            assert!(late < most, "{late:?}");
        }
    }
}
