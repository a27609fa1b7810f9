//! Waits until so many have arrived.
//!
//! Each arrival takes a ticket from one counter; its round is the ticket divided by the size, and is
//! over when the counter has reached the next round. The last one of a round notifies. The others wait
//! for the counter, so a notification of another round does not matter.
//!
//! One that gives up takes its arrival back, as long as its round is not over: a compare-exchange, so
//! that a round either has all its arrivals or goes on waiting. The counter never falls below the
//! first ticket of the round, since each one that leaves has arrived in it.

use super::blocking::block_on;
use super::{Notify, spend_budget};
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::util::note::WaitKind;
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
    notify: Notify,
}

impl Barrier {
    /// A barrier for `n`; one for 0 is one for 1.
    pub fn new(n: usize) -> Self {
        Self { n: n.max(1), arrived: AtomicUsize::new(0), notify: Notify::new() }
    }

    /// How many have to arrive.
    pub fn parties(&self) -> usize {
        self.n
    }

    /// How many have arrived and wait for the others now.
    pub fn n_waiting(&self) -> usize {
        // Relaxed: for a person; it may be another number at once.
        self.arrived.load(Relaxed) % self.n
    }

    /// Waits until `n` have arrived. One of them, the last, is told that it is the leader.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped while it waits has not arrived: another one is waited for in its place.
    /// (With tokio it has arrived for good.)
    pub async fn wait(&self) -> BarrierWaitResult {
        spend_budget().await;
        // AcqRel: what was done before any arrival of a round is seen by its last one, and, Release
        // pairing with the Acquire in `round`, by all that wait.
        let ticket = self.arrived.fetch_add(1, AcqRel);
        let round = ticket / self.n;
        if ticket % self.n == self.n - 1 {
            self.notify.notify_waiters();
            return BarrierWaitResult(true);
        }
        let arrival = Arrival { barrier: self, round };
        loop {
            let notified = self.notify.notified_as(WaitKind::Barrier);
            // In this order: an end after this look notifies.
            if self.round() > round {
                std::mem::forget(arrival);
                return BarrierWaitResult(false);
            }
            notified.await;
        }
    }

    /// As [`wait`](Self::wait), for code that is not async: blocks the thread.
    pub fn blocking_wait(&self) -> BarrierWaitResult {
        block_on(self.wait())
    }

    /// The round that is filling.
    fn round(&self) -> usize {
        // Acquire: pairs with the AcqRel in `wait`; leaving is a read-modify-write and breaks no edge.
        self.arrived.load(Acquire) / self.n
    }
}

/// One arrival, taken back when dropped, unless its round is over.
struct Arrival<'a> {
    barrier: &'a Barrier,
    round: usize,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let Barrier { n, arrived, .. } = self.barrier;
        // Relaxed: nothing is published by it, and the compare-exchange decides.
        let mut now = arrived.load(Relaxed);
        while now / n == self.round {
            match arrived.compare_exchange_weak(now, now - 1, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(changed) => now = changed,
            }
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
