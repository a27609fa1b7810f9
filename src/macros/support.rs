//! What the expansions call. Public for them alone: it may change in any release.

use crate::primitive::explore;
use crate::task::budget;
use pin_project_lite::pin_project;

pub use std::future::{Future, IntoFuture, poll_fn};
pub use std::pin::{Pin, pin};
pub use std::task::{Context, Poll, ready};

#[cfg(feature = "macros")]
pub use reiver_macros::without_bindings;

/// A number below `n`, a different one each time: where a fair `select!` begins.
#[inline]
#[must_use]
pub fn random_below(n: u32) -> u32 {
    budget::random_below(n)
}

/// Where a biased `select!` begins.
#[inline]
#[must_use]
pub fn zero(_n: u32) -> u32 {
    0
}

/// Tells whoever explores this code that it got to `label`.
#[inline]
pub fn reached(label: &'static str) {
    explore::reached(label);
}

/// `Pending`, with the task woken, when the poll has used up its budget.
///
/// `select!` asks before it polls. Leaf futures would all answer `Pending` by then, and a branch that
/// does not know budgets would win every time.
#[inline]
pub fn poll_budget(cx: &mut Context<'_>) -> Poll<()> {
    if budget::has_remaining() {
        Poll::Ready(())
    } else {
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Where each poll of a `join!` begins: one branch further each time, so that a branch that uses up
/// the budget does not starve those after it.
#[inline]
#[must_use]
pub fn rotating(first: &mut u32, n: u32) -> u32 {
    let start = *first;
    *first = (start + 1) % n;
    start
}

/// Where each poll of a biased `join!` begins.
#[inline]
#[must_use]
pub fn in_order(_first: &mut u32, _n: u32) -> u32 {
    0
}

pin_project! {
    /// A future that is dropped when it completes, and its output kept.
    #[derive(Debug)]
    #[project = Projected]
    #[project_replace = Replaced]
    pub enum MaybeDone<F: Future> {
        Running { #[pin] future: F },
        Done { output: F::Output },
        Taken,
    }
}

/// A branch of `join!`.
pub fn maybe_done<F: IntoFuture>(future: F) -> MaybeDone<F::IntoFuture> {
    MaybeDone::Running { future: future.into_future() }
}

impl<F: Future> MaybeDone<F> {
    /// Polls the future unless it is complete. `true`: it is.
    pub fn poll_done(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        let Projected::Running { future } = self.as_mut().project() else { return true };
        let Poll::Ready(output) = future.poll(cx) else { return false };
        self.set(Self::Done { output });
        true
    }

    /// The output.
    ///
    /// # Panics
    ///
    /// When the future is not complete, or its output was taken before.
    pub fn take(self: Pin<&mut Self>) -> F::Output {
        match self.project_replace(Self::Taken) {
            Replaced::Done { output } => output,
            _ => panic!("`join!` was polled after it completed"),
        }
    }
}

impl<T, E, F: Future<Output = Result<T, E>>> MaybeDone<F> {
    /// Polls the future unless it is complete. `Ok(true)`: it is, with an `Ok` that is kept.
    ///
    /// # Errors
    ///
    /// The error of the future.
    pub fn poll_ok(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Result<bool, E> {
        if !self.as_mut().poll_done(cx) {
            return Ok(false);
        }
        match self.as_mut().project() {
            Projected::Done { output: Err(_) } => self.take().map(|_| true),
            _ => Ok(true),
        }
    }

    /// The value of a future for which [`poll_ok`](Self::poll_ok) said `Ok(true)`.
    ///
    /// # Panics
    ///
    /// As [`take`](Self::take), and when the output is an error.
    pub fn take_ok(self: Pin<&mut Self>) -> T {
        match self.take() {
            Ok(value) => value,
            Err(_) => unreachable!("an error ends `try_join!` at once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed); // Relaxed: one thread
        }
    }

    #[test]
    #[cfg(feature = "macros")]
    fn select_gives_way_when_the_budget_is_gone() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(wakes.clone());
        let mut cx = Context::from_waker(&waker);
        let mut polls = 0;
        let mut never_budgeted = poll_fn(|_| {
            polls += 1;
            Poll::Ready(())
        });
        budget::with_budget(|| {
            while let Poll::Ready(unit) = budget::poll_proceed(&mut cx) {
                unit.made_progress();
            }
            let before = wakes.0.load(Ordering::Relaxed);
            let mut select = pin!(async {
                crate::select! { () = &mut never_budgeted => 1 }
            });
            assert!(select.as_mut().poll(&mut cx).is_pending());
            assert_eq!(wakes.0.load(Ordering::Relaxed), before + 1);
            budget::with_budget(|| assert_eq!(select.as_mut().poll(&mut cx), Poll::Ready(1)));
        });
        assert_eq!(polls, 1);
    }

    #[test]
    fn a_branch_gives_its_output_once() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut branch = pin!(maybe_done(std::future::ready(1)));
        assert!(branch.as_mut().poll_done(&mut cx));
        assert!(branch.as_mut().poll_done(&mut cx));
        assert_eq!(branch.as_mut().take(), 1);
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| branch.take()));
        assert!(again.is_err());
    }
}
