//! Ticks at a steady pace.

use super::{Instant, Sleep};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// A tick that comes later than this, or than its period, is late. As tokio's: less is a busy machine.
const LATE: Duration = Duration::from_millis(5);

/// What happens to ticks that were missed because the task was late: by more than 5 ms, or a whole period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MissedTickBehavior {
    /// They come one after another, as fast as they are asked for, until the pace is caught up.
    #[default]
    Burst,
    /// The next comes one period after the late one; the pace is shifted.
    Delay,
    /// They are left out; the next comes at the next multiple of the period from the start.
    Skip,
}

/// Ticks at a steady pace. Made by [`interval`] and [`interval_at`].
#[derive(Debug)]
pub struct Interval {
    sleep: Pin<Box<Sleep>>,
    period: Duration,
    behavior: MissedTickBehavior,
}

/// Ticks every `period`, the first time at once.
///
/// # Panics
///
/// If `period` is zero.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::time::{Duration, interval};
/// let mut interval = interval(Duration::from_millis(2));
/// let first = interval.tick().await;
/// let third = { interval.tick().await; interval.tick().await };
/// assert_eq!(third - first, Duration::from_millis(4));
/// # });
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(Instant::now(), period)
}

/// Ticks every `period`, the first time at `start`.
///
/// # Panics
///
/// If `period` is zero.
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert!(!period.is_zero(), "the period of an interval must be more than zero");
    Interval { sleep: Box::pin(Sleep::new(start)), period, behavior: MissedTickBehavior::default() }
}

impl Interval {
    /// Waits for the next tick, and gives the instant that it was meant for.
    ///
    /// # Cancel safety
    ///
    /// A tick whose wait was dropped is not lost.
    pub async fn tick(&mut self) -> Instant {
        poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`tick`](Self::tick), for hand-written futures.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.sleep.as_mut().poll(cx));
        let due = self.sleep.deadline();
        let now = Instant::now();
        let next = due.checked_add(self.period).unwrap_or_else(Instant::far_future);
        let is_late = now > due.checked_add(self.period.min(LATE)).unwrap_or(due);
        let next = if is_late { self.after_missed(due, next, now) } else { next };
        self.sleep.as_mut().reset(next);
        Poll::Ready(due)
    }

    /// When the tick after one that was due at `due`, and came late, is due.
    fn after_missed(&self, due: Instant, next: Instant, now: Instant) -> Instant {
        match self.behavior {
            MissedTickBehavior::Burst => next,
            MissedTickBehavior::Delay => {
                now.checked_add(self.period).unwrap_or_else(Instant::far_future)
            }
            MissedTickBehavior::Skip => {
                let into_period = (now - due).as_nanos() % self.period.as_nanos();
                let left = self.period.as_nanos() - into_period;
                // A nanosecond count that does not fit is centuries.
                let left = Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX));
                now.checked_add(left).unwrap_or_else(Instant::far_future)
            }
        }
    }

    /// The next tick comes one period from now.
    pub fn reset(&mut self) {
        self.reset_after(self.period);
    }

    /// The next tick comes at once.
    pub fn reset_immediately(&mut self) {
        self.reset_at(Instant::now());
    }

    /// The next tick comes after `after`.
    pub fn reset_after(&mut self, after: Duration) {
        self.reset_at(Instant::after(after));
    }

    /// The next tick comes at `deadline`.
    pub fn reset_at(&mut self, deadline: Instant) {
        self.sleep.as_mut().reset(deadline);
    }

    /// What happens to missed ticks.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.behavior
    }

    /// Chooses what happens to missed ticks.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.behavior = behavior;
    }

    /// The period.
    pub fn period(&self) -> Duration {
        self.period
    }
}
