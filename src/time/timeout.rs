//! Giving a future a limit.

use super::{Instant, Sleep};
use crate::task::budget;
use pin_project_lite::pin_project;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

pin_project! {
    /// A future with a limit. Made by [`timeout`] and [`timeout_at`].
    #[must_use = "a timeout does nothing unless it is polled"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        limit: Limit,
    }
}

pin_project! {
    /// When the limit is. A duration becomes an instant when the future first has to wait, so that a
    /// future that is ready costs neither a look at the clock nor a timer.
    #[project = LimitProjection]
    enum Limit {
        After { duration: Duration },
        At { #[pin] sleep: Sleep },
    }
}

/// Gives `future` at most `duration`, counted from its first wait.
///
/// The future is polled first, so one that is ready wins against a limit of zero. A future that never
/// waits cannot be interrupted.
///
/// # Errors
///
/// [`Elapsed`], if the time is over first. The future is dropped with the `Timeout`.
///
/// # Cancel safety
///
/// That of the future.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::time::{Duration, timeout};
/// assert_eq!(timeout(Duration::from_secs(1), async { 5 }).await, Ok(5));
/// assert!(timeout(Duration::from_millis(1), std::future::pending::<()>()).await.is_err());
/// # });
/// ```
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), limit: Limit::After { duration } }
}

/// Gives `future` until `deadline`. As [`timeout`].
///
/// # Errors
///
/// [`Elapsed`], if the deadline comes first.
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), limit: Limit::At { sleep: Sleep::new(deadline) } }
}

impl<F> Timeout<F> {
    /// The future.
    pub fn get_ref(&self) -> &F {
        &self.future
    }

    /// The future.
    pub fn get_mut(&mut self) -> &mut F {
        &mut self.future
    }

    /// The future, without the limit.
    pub fn into_inner(self) -> F {
        self.future
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let had_budget = budget::has_remaining();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if let LimitProjection::After { duration } = this.limit.as_mut().project() {
            let sleep = Sleep::started(*duration);
            this.limit.set(Limit::At { sleep });
        }
        let LimitProjection::At { sleep } = this.limit.project() else { unreachable!("set above") };
        budget::for_limit(had_budget, || sleep.poll(cx)).map(|()| Err(Elapsed(())))
    }
}

impl<F: fmt::Debug> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("future", &self.future).finish_non_exhaustive()
    }
}

/// The time was over first.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(_: Elapsed) -> Self {
        io::ErrorKind::TimedOut.into()
    }
}
