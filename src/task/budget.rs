//! The poll budget: a task that finds everything ready still gives way to others.
//!
//! A future that always has input (a full channel, a fast socket) never returns `Pending`, and its
//! worker never polls anything else. So every leaf future of reiver spends one unit per operation
//! through [`poll_proceed`]. When the units are gone, the clock is read, since operations differ in
//! cost by a thousand times and only time is what others wait for: the poll goes on until its time
//! slice is used up, and only then is told `Pending`, with its task woken so that it comes back.
//!
//! 32 operations between two looks make the look (22 ns) cost less than a nanosecond each. tokio
//! counts 128 operations whatever they cost; Go preempts by time.
//!
//! Outside a task's poll there is no budget: leaf futures work on any executor.

use super::cell::Header;
use super::context::{self, Inherited};
use crate::primitive::{Arc, clock, explore, in_model, local};
use crate::util::rng::Rng;
use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Operations between two looks at the clock.
const UNITS: u32 = 32;
/// How long one poll may go on while every operation is ready: long against a task switch (30 ns),
/// short against what a person or a 1 ms ticker notices. `benches/` has the fairness case.
const SLICE: Duration = Duration::from_micros(200);
/// The count that means "no budget here".
const UNCONSTRAINED: u32 = u32::MAX;

local! {
    /// What is polled on this thread, and its budget.
    static BUDGET: Budget = Budget {
        left: Cell::new(UNCONSTRAINED),
        since: Cell::new(None),
        task: Cell::new(None),
        rng: Rng::new(1),
        context: Cell::new(std::ptr::null()),
        local_set: Cell::new(std::ptr::null()),
    };
}

struct Budget {
    left: Cell<u32>,
    /// When the units first ran out in this poll.
    since: Cell<Option<Instant>>,
    /// The task whose poll this is; it lives until the poll ends.
    task: Cell<Option<NonNull<Header>>>,
    /// For `random_below`. It lives here so that it needs no thread-local of its own.
    rng: Rng,
    /// What is inherited here; the rule stands in `context.rs`.
    context: Cell<*const Inherited>,
    /// The set that `spawn_local` spawns on here, or null. What it points to, and who owns it, is the
    /// affair of `tasks/local_set.rs` alone; it stands here because this thread-local has no
    /// destructor, so that it can be reached from those of others.
    local_set: Cell<*const ()>,
}

/// What [`replace_local_set`] stored on this thread last; null at first.
#[inline]
pub(crate) fn local_set() -> *const () {
    BUDGET.try_with(|b| b.local_set.get()).unwrap_or(std::ptr::null())
}

/// Stores a pointer for [`local_set`] and gives back the one before.
#[inline]
pub(crate) fn replace_local_set(set: *const ()) -> *const () {
    BUDGET.with(|b| b.local_set.replace(set))
}

/// The context that [`replace_context`] stored on this thread last; null at first.
#[inline]
pub(super) fn context() -> *const Inherited {
    BUDGET.try_with(|b| b.context.get()).unwrap_or(std::ptr::null())
}

/// Stores a pointer for [`context`] and gives back the one before.
#[inline]
pub(super) fn replace_context(context: *const Inherited) -> *const Inherited {
    BUDGET.try_with(|b| b.context.replace(context)).unwrap_or(std::ptr::null())
}

/// Runs one poll of `task` under a fresh budget, inside of its context.
#[inline]
pub(super) fn with_task<R>(
    task: NonNull<Header>,
    context: Option<&Arc<Inherited>>,
    poll: impl FnOnce() -> R,
) -> R {
    with_poll(Some(task), Some(context::pointer(context)), poll)
}

/// Runs a poll under a fresh budget: of `task`, inside of `context` if it has one of its own.
#[inline]
fn with_poll<R>(
    task: Option<NonNull<Header>>,
    context: Option<*const Inherited>,
    poll: impl FnOnce() -> R,
) -> R {
    /// What was here before, put back also when the poll panics.
    struct Restore {
        task: Option<NonNull<Header>>,
        context: *const Inherited,
        left: u32,
        since: Option<Instant>,
    }

    impl Drop for Restore {
        #[inline]
        fn drop(&mut self) {
            BUDGET.with(|b| {
                b.task.set(self.task);
                b.context.set(self.context);
                b.left.set(self.left);
                b.since.set(self.since);
            });
        }
    }

    let units = if in_model() && !explore::is_on() { 2 } else { UNITS };
    let _restore = BUDGET.with(|b| Restore {
        task: b.task.replace(task),
        context: b.context.replace(context.unwrap_or_else(|| b.context.get())),
        left: b.left.replace(units),
        since: b.since.replace(None),
    });
    poll()
}

/// The task that is polled on this thread, if one is. It lives until that poll returns.
pub(super) fn current() -> Option<NonNull<Header>> {
    // The thread-local may be gone: destructors of other thread-locals may ask.
    BUDGET.try_with(|b| b.task.get()).ok().flatten()
}

/// Looks at the header of the task that is polled on this thread, if one is.
pub(super) fn current_task<R>(look: impl FnOnce(&Header) -> R) -> Option<R> {
    // SAFETY: set by `with_task`, whose caller's poll keeps the cell and has not returned.
    current().map(|task| look(unsafe { task.as_ref() }))
}

/// Runs a poll under a fresh budget that is no task's: of a future that a thread waits for.
#[inline]
pub(crate) fn with_budget<R>(poll: impl FnOnce() -> R) -> R {
    with_poll(None, None, poll)
}

/// Runs `poll`, of what limits a future that has just been polled: one that has used up the whole budget must not
/// keep its own limit from being looked at. `had` is what [`has_remaining`] said before the future.
#[inline]
pub(crate) fn for_limit<R>(had: bool, poll: impl FnOnce() -> R) -> R {
    if had && !has_remaining() { without_budget(poll) } else { poll() }
}

/// From here on the poll that runs has no budget: it is over but for what it drops.
#[inline]
pub(super) fn lift() {
    BUDGET.with(|b| b.left.set(UNCONSTRAINED));
}

/// Runs `poll` without a budget: for code that must not be interrupted by it.
#[inline]
pub(crate) fn without_budget<R>(poll: impl FnOnce() -> R) -> R {
    with(UNCONSTRAINED, poll)
}

#[inline]
fn with<R>(units: u32, poll: impl FnOnce() -> R) -> R {
    /// Puts the outer budget back, also when the poll panics.
    struct Restore(u32, Option<Instant>);

    impl Drop for Restore {
        #[inline]
        fn drop(&mut self) {
            BUDGET.with(|b| {
                b.left.set(self.0);
                b.since.set(self.1);
            });
        }
    }

    let _restore = BUDGET.with(|b| Restore(b.left.replace(units), b.since.replace(None)));
    poll()
}

/// A number below `n`, a different one each time, for choices that only have to be fair. Equal
/// sequences on all threads do no harm to that. Zero in models, which must replay; what explores a user's code decides itself.
#[inline]
pub(crate) fn random_below(n: u32) -> u32 {
    match explore::below(n) {
        Some(number) => number,
        None if in_model() => 0,
        None => BUDGET.with(|b| b.rng.below(n)),
    }
}

/// Whether the running poll may do more work; `true` outside a task.
#[inline]
pub(crate) fn has_remaining() -> bool {
    BUDGET.with(|b| b.left.get() > 0 || !b.slice_used_up())
}

/// Spends one unit, or answers `Pending` and wakes the task when its time slice is used up.
///
/// Call it before an operation and [`RestoreOnPending::made_progress`] after one that got something:
/// an operation that must wait anyway gives its unit back.
#[inline]
pub(crate) fn poll_proceed(cx: &mut Context<'_>) -> Poll<RestoreOnPending> {
    BUDGET.with(|b| {
        let left = b.left.get();
        if left == UNCONSTRAINED {
            return Poll::Ready(RestoreOnPending::new(UNCONSTRAINED));
        }
        if left == 0 && b.slice_used_up() || explore::preempts() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let left = b.left.get();
        b.left.set(left - 1);
        Poll::Ready(RestoreOnPending::new(left))
    })
}

impl Budget {
    /// Called with no unit left: looks at the clock, and refills while the slice lasts.
    #[cold]
    fn slice_used_up(&self) -> bool {
        match self.since.get() {
            None if in_model() || explore::is_on() => return true,
            None => self.since.set(Some(clock::now())),
            Some(since) if clock::now().duration_since(since) >= SLICE => return true,
            Some(_) => {}
        }
        self.left.set(UNITS);
        false
    }
}

/// Gives the unit back when dropped, unless the operation got something.
///
/// It belongs to the poll that it was made in: dropped after that, it does nothing.
#[must_use = "dropping it gives the unit back"]
#[derive(Debug)]
pub struct RestoreOnPending {
    /// What the count was before; `UNCONSTRAINED` when there is nothing to give back.
    before: Cell<u32>,
    /// The budget is the thread's.
    _here: PhantomData<*const ()>,
}

impl RestoreOnPending {
    #[inline]
    fn new(before: u32) -> Self {
        Self { before: Cell::new(before), _here: PhantomData }
    }

    /// The operation got something: the unit is spent.
    #[inline]
    pub fn made_progress(&self) {
        self.before.set(UNCONSTRAINED);
    }
}

impl Drop for RestoreOnPending {
    #[inline]
    fn drop(&mut self) {
        let before = self.before.get();
        if before == UNCONSTRAINED {
            return;
        }
        BUDGET.with(|b| {
            // Kept beyond its poll, it must not put a budget where there is none: without a poll to
            // begin, that budget would never be renewed.
            if b.left.get() != UNCONSTRAINED {
                b.left.set(before);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(cx: &mut Context<'_>) -> bool {
        match poll_proceed(cx) {
            Poll::Ready(unit) => {
                unit.made_progress();
                true
            }
            Poll::Pending => false,
        }
    }

    #[test]
    fn there_is_no_budget_outside_a_task() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!((0..10_000).all(|_| spend(&mut cx)));
    }

    #[test]
    fn a_unit_that_got_nothing_comes_back() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        with_budget(|| {
            let before = BUDGET.with(|b| b.left.get());
            drop(poll_proceed(&mut cx));
            assert_eq!(BUDGET.with(|b| b.left.get()), before);
            assert!(spend(&mut cx));
            assert_eq!(BUDGET.with(|b| b.left.get()), before - 1);
        });
        assert_eq!(BUDGET.with(|b| b.left.get()), UNCONSTRAINED);
    }

    #[test]
    fn a_unit_kept_beyond_its_poll_leaves_no_budget_behind() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        drop(with_budget(|| poll_proceed(&mut cx)));
        assert_eq!(BUDGET.with(|b| b.left.get()), UNCONSTRAINED);
    }

    #[test]
    fn the_slice_ends_by_time_and_stays_ended() {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        with_budget(|| {
            let start = Instant::now();
            while spend(&mut cx) {
                assert!(start.elapsed() < Duration::from_secs(10), "the slice never ended");
            }
            assert!(start.elapsed() >= SLICE);
            assert!(!spend(&mut cx));
            assert!(!has_remaining());
            without_budget(|| assert!(spend(&mut cx)));
        });
    }
}
