//! Ticks: the unit of the wheels, and how a deadline becomes one.
//!
//! A tick is 2^15 ns (32.8 µs), so that a conversion is a shift. Ticks count from one instant of the
//! whole process ([`clock::origin`]), not of a runtime: a deadline has the same tick in every
//! runtime, and a timer that outlives its runtime can be linked into another one.
//!
//! The promise to users: **never early, and late by less than `max(1 tick, duration / 1024)` and 67 ms, plus
//! scheduling** (which lets timers that come several to a wake-up wait up to a millisecond for
//! each other: `scheduler/worker.rs`). A deadline is rounded up to a tick ([`at_or_after`]) and on to a multiple of a
//! thousandth of the duration ([`coalesce`]), so that timers of about the same length fire together,
//! with one wake-up of their thread; the present is rounded down ([`at_or_before`]).

use crate::primitive::clock;
use std::time::{Duration, Instant};

/// log2 of the nanoseconds in a tick.
const TICK_SHIFT: u32 = 15;

/// The last tick, 292 years after the origin: deadlines beyond it are rounded down to it, the one
/// case in which "never early" has a limit.
pub const LAST: u64 = (1 << 48) - 1;

/// What stands for a time that cannot be expressed.
pub const THIRTY_YEARS: Duration = Duration::from_secs(30 * 365 * 86_400);

/// A duration is rounded by at most `duration >> 10`: 1 s timers share slots of 0.5 ms, those under
/// 67 ms keep the resolution of a tick. tokio rounds everything to 1 ms.
const COALESCE_SHIFT: u32 = 10;

/// Nor by more than this, 67 ms: what is to be done at midnight is not to be done a minute later, and timers of
/// more than a minute do not save wake-ups that anybody would notice.
const MOST_SLACK: u64 = 1 << 11;

/// The first tick that begins at or after `moment`: where a deadline belongs.
#[inline]
pub fn at_or_after(moment: Moment) -> u64 {
    // LAST stands for everything too far away.
    (moment.after_origin().saturating_add((1 << TICK_SHIFT) - 1) >> TICK_SHIFT).min(LAST)
}

/// The tick that `moment` is in: what a clock shows.
#[inline]
pub fn at_or_before(moment: Moment) -> u64 {
    moment.after_origin() >> TICK_SHIFT
}

/// The instant at which `tick` begins.
pub fn begin(tick: u64) -> Instant {
    let origin = clock::origin();
    let distance = Duration::from_nanos(tick.min(LAST) << TICK_SHIFT);
    // An `Instant` that cannot hold it is 30 years away instead, as tokio has it.
    origin.checked_add(distance).unwrap_or(origin + THIRTY_YEARS)
}

/// An instant in eight bytes instead of sixteen: the nanoseconds from the origin, which may be after it. Those more
/// than 292 years away become the last that it can express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(i64);

impl Moment {
    /// This moment and `duration`; 30 years later, as tokio has it, where that cannot be expressed.
    #[inline]
    pub fn after(self, duration: Duration) -> Self {
        let sum = self.0.checked_add_unsigned(nanos(duration));
        Self(sum.unwrap_or_else(|| self.0.saturating_add_unsigned(nanos(THIRTY_YEARS))))
    }

    /// Whole ticks from `earlier` to this, rounded down; 0 if that is later.
    #[inline]
    pub fn ticks_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0).max(0).unsigned_abs() >> TICK_SHIFT
    }

    fn after_origin(self) -> u64 {
        self.0.max(0).unsigned_abs()
    }
}

impl From<Instant> for Moment {
    #[inline]
    fn from(instant: Instant) -> Self {
        let origin = clock::origin();
        let whole = |duration| i64::try_from(nanos(duration)).unwrap_or(i64::MAX);
        Self(match instant.checked_duration_since(origin) {
            Some(after) => whole(after),
            None => -whole(origin.saturating_duration_since(instant)),
        })
    }
}

impl From<Moment> for Instant {
    fn from(Moment(nanos): Moment) -> Self {
        let (origin, distance) = (clock::origin(), Duration::from_nanos(nanos.unsigned_abs()));
        let instant = match nanos < 0 {
            true => origin.checked_sub(distance),
            false => origin.checked_add(distance),
        };
        // Only a clock that has less than 292 years.
        instant.unwrap_or(origin)
    }
}

/// Whole ticks in `duration`, rounded down.
pub fn count(duration: Duration) -> u64 {
    nanos(duration) >> TICK_SHIFT
}

/// Rounds the tick of a deadline up to a multiple of the largest power of two that is not above a
/// 1024th of `duration`, the ticks between the timer's start and its deadline, nor above [`MOST_SLACK`].
#[must_use]
pub fn coalesce(when: u64, duration: u64) -> u64 {
    let slack = (duration >> COALESCE_SHIFT).min(MOST_SLACK);
    if slack < 2 {
        return when;
    }
    let mask = (1 << slack.ilog2()) - 1;
    (when.saturating_add(mask) & !mask).min(LAST)
}

/// `Duration::as_nanos` in 64 bits: 584 years, then it stays.
fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::rng::Rng;

    const TICK: Duration = Duration::from_nanos(1 << TICK_SHIFT);

    #[test]
    fn a_moment_is_the_same_instant() {
        let origin = clock::origin();
        let distances = [0, 1, 999_999_999, 1_000_000_000, u64::from(u32::MAX) * 1_000_000_000];
        for distance in distances.map(Duration::from_nanos) {
            let after = origin + distance;
            assert_eq!(Instant::from(Moment::from(after)), after);
            if let Some(before) = origin.checked_sub(distance) {
                assert_eq!(Instant::from(Moment::from(before)), before);
            }
        }
        assert_eq!(Moment(0).after(Duration::MAX), Moment::from(origin + THIRTY_YEARS));
        assert_eq!(Moment(i64::MAX).after(Duration::MAX), Moment(i64::MAX));
        // What it cannot express is far away still.
        if let Some(beyond) = origin.checked_add(Duration::from_secs(300 * 366 * 86_400)) {
            let last = Instant::from(Moment::from(beyond));
            assert!(last < beyond && last > origin + Duration::from_secs(290 * 366 * 86_400));
        }
    }

    #[test]
    fn a_deadline_is_rounded_up_and_the_present_down() {
        let rng = Rng::new(3);
        for _ in 0..10_000 {
            let nanos = rng.next() >> (rng.below(50) + 3);
            let instant = clock::origin() + Duration::from_nanos(nanos);
            let (up, down) = (at_or_after(instant.into()), at_or_before(instant.into()));
            assert!(begin(up) >= instant && begin(up) - instant < TICK, "{nanos}");
            assert!(begin(down) <= instant && instant - begin(down) < TICK, "{nanos}");
            // The clock shows the tick of a deadline only once the deadline has been reached.
            assert!(up - down <= 1);
            assert_eq!(at_or_before(begin(up).into()), up);
        }
    }

    #[test]
    fn the_far_past_and_future_saturate() {
        let origin = clock::origin();
        if let Some(before) = origin.checked_sub(Duration::from_nanos(1)) {
            assert_eq!((at_or_after(before.into()), at_or_before(before.into())), (0, 0));
        }
        if let Some(far) = origin.checked_add(Duration::from_secs(u64::MAX >> 2)) {
            assert_eq!(at_or_after(far.into()), LAST);
        }
        assert_eq!(count(Duration::MAX), u64::MAX >> TICK_SHIFT);
        assert!(begin(u64::MAX) > origin + Duration::from_secs(86_400));
        assert_eq!(coalesce(LAST, u64::MAX >> TICK_SHIFT), LAST);
    }

    #[test]
    fn coalescing_is_late_by_less_than_a_thousandth_and_never_early() {
        let rng = Rng::new(5);
        for _ in 0..100_000 {
            let duration = rng.next() >> (rng.below(40) + 20);
            let when = (rng.next() >> 17) + duration;
            let rounded = coalesce(when, duration);
            assert!(rounded >= when);
            let most = (duration >> COALESCE_SHIFT).clamp(1, MOST_SLACK);
            assert!(rounded - when < most, "{when} {duration}");
        }
    }

    #[test]
    fn short_timers_keep_their_tick_and_seconds_share_half_milliseconds() {
        let slots = |duration: Duration| {
            let ticks = count(duration);
            (1..=1000).map(|when| coalesce(when, ticks)).collect::<std::collections::HashSet<_>>()
        };
        assert_eq!(slots(Duration::from_millis(64)).len(), 1000);
        assert_eq!(slots(Duration::from_secs(1)).len(), 1000_usize.div_ceil(16));
    }
}
