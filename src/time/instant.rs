//! A point in a runtime's time.

use crate::primitive::clock;
use crate::scheduler;
use crate::timer::tick::THIRTY_YEARS;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::time::Duration;
use std::{fmt, time};

/// As [`std::time::Instant`], except that [`now`](Instant::now) reads the clock of the current runtime,
/// which tests can stop.
///
/// # Examples
///
/// ```
/// use reiver::time::{Duration, Instant};
/// let start = Instant::now();
/// assert!(start + Duration::from_millis(1) > start);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(time::Instant);

impl Instant {
    /// The current instant.
    pub fn now() -> Self {
        Self(scheduler::with_runtime(|runtime| match runtime {
            Some(runtime) => runtime.driver.clock().now(),
            None => clock::now(),
        }))
    }

    /// About thirty years from now: what stands for an instant that the clock cannot express.
    pub(super) fn far_future() -> Self {
        Self::now() + THIRTY_YEARS
    }

    /// `now + duration`, or far in the future where that cannot be expressed.
    pub(super) fn after(duration: Duration) -> Self {
        let now = Self::now();
        now.checked_add(duration).unwrap_or_else(Self::far_future)
    }

    /// Wraps std's.
    pub fn from_std(std: time::Instant) -> Self {
        Self(std)
    }

    /// Unwraps std's.
    pub fn into_std(self) -> time::Instant {
        self.0
    }

    /// The time from `earlier` to this, or zero if that is later.
    pub fn duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time from `earlier` to this, or `None` if that is later.
    pub fn checked_duration_since(&self, earlier: Self) -> Option<Duration> {
        self.0.checked_duration_since(earlier.0)
    }

    /// The time from `earlier` to this, or zero if that is later.
    pub fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }

    /// The time from this to now.
    pub fn elapsed(&self) -> Duration {
        Self::now().duration_since(*self)
    }

    /// This plus `duration`, if it can be expressed.
    pub fn checked_add(&self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    /// This minus `duration`, if it can be expressed.
    pub fn checked_sub(&self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(duration).map(Self)
    }
}

impl From<time::Instant> for Instant {
    fn from(std: time::Instant) -> Self {
        Self(std)
    }
}

impl From<Instant> for time::Instant {
    fn from(instant: Instant) -> Self {
        instant.0
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        self.0 += duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

impl SubAssign<Duration> for Instant {
    fn sub_assign(&mut self, duration: Duration) {
        self.0 -= duration;
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
