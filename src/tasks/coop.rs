//! The poll budget, for those who write leaf futures or long loops.
//!
//! A task that finds everything ready would never give way: its worker would poll nothing else. So
//! every operation of reiver that can be ready at once spends a unit of a budget that each poll
//! begins with. When the poll has used up its time, the next operation answers `Pending` and wakes
//! the task, which comes back behind the others.
//!
//! The budget counts operations and then looks at the clock, since operations differ in cost by a
//! thousand times: a poll in which everything is ready goes on for about 200 µs. Outside of tasks and
//! `block_on` there is no budget.

pub use crate::task::budget::RestoreOnPending;

use crate::task::budget;
use pin_project_lite::pin_project;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Spends one unit of the budget, or answers `Pending` and wakes the task when its time is used up.
///
/// Call it before an operation, and [`made_progress`](RestoreOnPending::made_progress) on the result
/// after one that got something; an operation that has to wait anyway gives its unit back.
///
/// # Examples
///
/// ```
/// use reiver::task::coop;
/// use std::collections::VecDeque;
/// use std::task::{Context, Poll, ready};
///
/// fn poll_take(queue: &mut VecDeque<u32>, cx: &mut Context<'_>) -> Poll<u32> {
///     let unit = ready!(coop::poll_proceed(cx));
///     match queue.pop_front() {
///         Some(value) => {
///             unit.made_progress();
///             Poll::Ready(value)
///         }
///         None => Poll::Pending, // after storing the waker
///     }
/// }
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut queue = VecDeque::from([7]);
/// assert_eq!(std::future::poll_fn(|cx| poll_take(&mut queue, cx)).await, 7);
/// # });
/// ```
#[inline]
pub fn poll_proceed(cx: &mut Context<'_>) -> Poll<RestoreOnPending> {
    budget::poll_proceed(cx)
}

/// Whether the running poll may do more work before it should give way; `true` outside of tasks.
///
/// # Examples
///
/// ```
/// use reiver::task::{coop, yield_now};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// if !coop::has_budget_remaining() {
///     yield_now().await;
/// }
/// # });
/// ```
#[inline]
pub fn has_budget_remaining() -> bool {
    budget::has_remaining()
}

/// Spends one unit, and gives way if the poll's time is used up: for loops that await nothing that
/// does.
///
/// # Cancel safety
///
/// Dropping it is harmless.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let mut sum = 0u64;
/// for n in 0..100_000 {
///     sum += n;
///     reiver::task::consume_budget().await;
/// }
/// assert_eq!(sum, 4_999_950_000);
/// # });
/// ```
pub async fn consume_budget() {
    poll_fn(|cx| {
        ready!(budget::poll_proceed(cx)).made_progress();
        Poll::Ready(())
    })
    .await;
}

/// Runs a future without a budget: it is never told to give way.
///
/// Use it where `Pending` from something ready would be wrong, such as a poll that is made once. A
/// future that is always ready keeps its worker from everything else.
///
/// # Examples
///
/// ```
/// use reiver::task::{consume_budget, unconstrained};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// unconstrained(async {
///     for _ in 0..10_000 {
///         consume_budget().await; // never gives way in here
///     }
/// })
/// .await;
/// # });
/// ```
pub fn unconstrained<F>(inner: F) -> Unconstrained<F> {
    Unconstrained { inner }
}

pin_project! {
    /// The future of [`unconstrained`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Unconstrained<F> {
        #[pin]
        inner: F,
    }
}

impl<F: Future> Future for Unconstrained<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        budget::without_budget(|| self.project().inner.poll(cx))
    }
}

/// Makes a future of another origin take part in the budget: each completion spends a unit.
///
/// # Examples
///
/// ```
/// use reiver::task::coop::cooperative;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// // Always ready; without `cooperative` this loop would give way to nobody.
/// for _ in 0..10_000 {
///     cooperative(std::future::ready(())).await;
/// }
/// # });
/// ```
pub fn cooperative<F: Future>(fut: F) -> Coop<F> {
    Coop { fut }
}

pin_project! {
    /// The future of [`cooperative`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are polled"]
    pub struct Coop<F: Future> {
        #[pin]
        fut: F,
    }
}

impl<F: Future> Future for Coop<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let unit = ready!(budget::poll_proceed(cx));
        let output = ready!(self.project().fut.poll(cx));
        unit.made_progress();
        Poll::Ready(output)
    }
}
