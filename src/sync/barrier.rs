//! Waits until so many have arrived.
//!
//! Each arrival takes a ticket from one counter; its round is the ticket divided by the size. The
//! last one of a round raises the count of rounds that are over and notifies; the others wait for
//! that count, so a notification of another round does not matter.

use super::{Notify, spend_budget};
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use std::fmt;

/// Lets `n` tasks wait for each other, again and again.
///
/// # Examples
///
/// ```
/// use reiver::sync::Barrier;
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
///
/// let barrier = Barrier::new(2);
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut first = pin!(barrier.wait());
/// assert!(first.as_mut().poll(&mut cx).is_pending());
/// let mut second = pin!(barrier.wait());
/// let Poll::Ready(result) = second.as_mut().poll(&mut cx) else { panic!() };
/// assert!(result.is_leader());
/// assert!(first.as_mut().poll(&mut cx).is_ready());
/// ```
pub struct Barrier {
    n: usize,
    arrived: AtomicUsize,
    /// Rounds that are over.
    over: AtomicUsize,
    notify: Notify,
}

impl Barrier {
    /// A barrier for `n`; one for 0 is one for 1.
    pub fn new(n: usize) -> Self {
        Self {
            n: n.max(1),
            arrived: AtomicUsize::new(0),
            over: AtomicUsize::new(0),
            notify: Notify::new(),
        }
    }

    /// Waits until `n` have arrived. One of them, the last, is told that it is the leader.
    ///
    /// # Cancel safety
    ///
    /// None: a future that is dropped after its first poll has arrived for good.
    pub async fn wait(&self) -> BarrierWaitResult {
        spend_budget().await;
        // AcqRel: what was done before any arrival of a round is seen by its last one,
        let ticket = self.arrived.fetch_add(1, AcqRel);
        let round = ticket / self.n;
        if ticket % self.n == self.n - 1 {
            // and, Release pairing with the Acquire below, by all that wait.
            self.over.fetch_add(1, Release);
            self.notify.notify_waiters();
            return BarrierWaitResult(true);
        }
        loop {
            let notified = self.notify.notified();
            // In this order: an end after this look notifies.
            if self.over.load(Acquire) > round {
                return BarrierWaitResult(false);
            }
            notified.await;
        }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("n", &self.n).finish_non_exhaustive()
    }
}

/// What [`Barrier::wait`] answers.
#[derive(Debug, Clone)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this was the last one to arrive.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}
