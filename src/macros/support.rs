//! What the expansions call. Public for them alone: it may change in any release.

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
