//! Waiting for an instant.

use super::Instant;
use crate::primitive::Arc;
use crate::scheduler::{self, Shared};
use crate::task::budget;
use crate::timer::Entry;
use crate::timer::tick::{LAST, Moment};
use pin_project_lite::pin_project;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

pin_project! {
    /// Ends at an instant. Made by [`sleep`] and [`sleep_until`].
    ///
    /// It is set when it is first polled and not before, by the runtime that polls it; outside of runtimes a thread
    /// of the process, which the first such poll starts. [`reset`] gives it another deadline without allocating.
    ///
    /// # Cancel safety
    ///
    /// Dropping it unsets it.
    ///
    /// # Panics
    ///
    /// When polled in a runtime that was shut down.
    ///
    /// [`reset`]: Sleep::reset
    #[must_use = "a sleep does nothing unless it is polled"]
    pub struct Sleep {
        deadline: Moment,
        #[pin]
        entry: Entry,
    }
}

/// Waits for `duration`: never less, and no more than a thousandth or 33 µs longer (67 ms at most), plus what the
/// machine adds. With a [paused](super::pause) clock for `duration` exactly, unless others end in
/// the same 33 µs.
///
/// A duration too long for the clock waits for decades.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::time::{Duration, Instant, sleep};
/// let start = Instant::now();
/// sleep(Duration::from_millis(2)).await;
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// # });
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::at(Moment::from(Instant::now().into_std()).after(duration))
}

/// Waits until `deadline`. As [`sleep`].
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new(deadline)
}

impl Sleep {
    pub(super) fn new(deadline: Instant) -> Self {
        Self::at(deadline.into_std().into())
    }

    fn at(deadline: Moment) -> Self {
        // The tick is computed with the clock of the runtime that polls first.
        Self { deadline, entry: Entry::new(UNSET) }
    }

    /// One that begins now, and is about to be polled here: it costs one look at the clock, not two.
    pub(super) fn started(duration: Duration) -> Self {
        scheduler::with_runtime(|runtime| {
            let runtime = or_outside(runtime);
            let now = now(runtime);
            let deadline = now.after(duration);
            Self { deadline, entry: Entry::new(tick(runtime, now, deadline)) }
        })
    }

    /// When it ends: to the nanosecond, if that is within 292 years.
    pub fn deadline(&self) -> Instant {
        Instant::from_std(self.deadline.into())
    }

    /// Whether it has ended, as far as its last poll or its runtime's timers know.
    pub fn is_elapsed(&self) -> bool {
        self.entry.when() != UNSET && self.entry.is_fired()
    }

    /// Gives it another deadline, also after it ended.
    ///
    /// A task that waits for it is woken at the new deadline.
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let this = self.project();
        *this.deadline = deadline.into_std().into();
        if this.entry.when() == UNSET {
            return;
        }
        scheduler::with_runtime(|runtime| {
            let runtime = or_outside(runtime);
            runtime.reset_timer(this.entry, tick(runtime, now(runtime), *this.deadline));
        });
    }

    /// The wait itself, without the poll budget.
    pub(super) fn poll_elapsed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        scheduler::with_runtime(|runtime| {
            let runtime = or_outside(runtime);
            if this.entry.when() == UNSET {
                let when = tick(runtime, now(runtime), *this.deadline);
                runtime.reset_timer(this.entry.as_mut(), when);
            }
            runtime.poll_timer(this.entry, cx.waker())
        })
    }
}

/// What the timer of a sleep that has not been polled is set to.
const UNSET: u64 = LAST;

/// The runtime here, or the one of timers that are polled outside of all.
fn or_outside(runtime: Option<&Arc<Shared>>) -> &Arc<Shared> {
    match runtime {
        Some(runtime) => runtime,
        None => scheduler::outside(),
    }
}

fn now(runtime: &Shared) -> Moment {
    runtime.driver.clock().now().into()
}

fn tick(runtime: &Shared, now: Moment, deadline: Moment) -> u64 {
    runtime.driver.clock().deadline_tick(now, deadline).min(UNSET - 1)
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let unit = ready!(budget::poll_proceed(cx));
        let poll = self.poll_elapsed(cx);
        if poll.is_ready() {
            unit.made_progress();
        }
        poll
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline()).finish_non_exhaustive()
    }
}
