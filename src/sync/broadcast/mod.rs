//! A channel in which every receiver gets every value.
//!
//! The values stand in a ring, whose file has the protocol. Waiting is [`Notify`]: first the
//! `Notified`, then a look at how many values were sent.

pub mod error;
mod ring;

use super::blocking::block_on;
use super::senders::Senders;
use super::{Notify, spend_budget};
use crate::primitive::Arc;
use crate::util::note::WaitKind;
use error::{RecvError, SendError, TryRecvError};
use ring::{Nothing, Ring, Taken};
use std::fmt;
use std::ops::Range;
use std::panic::{RefUnwindSafe, UnwindSafe};

struct Shared<T> {
    ring: Ring<T>,
    /// Told of each value and of the end.
    sent: Notify,
    /// Told when the last receiver goes.
    abandoned: Notify,
    senders: Senders,
}

// Values go in and are dropped whole; who receives one gets a clone.
impl<T> UnwindSafe for Shared<T> {}
impl<T> RefUnwindSafe for Shared<T> {}

/// A channel that keeps `capacity` values (rounded up to a power of two) for receivers that are slow.
///
/// A receiver that is slower than that misses the oldest ones and is told so.
///
/// Receivers on several threads clone one value one after the other, so `T` need not be `Sync`. Its
/// `clone` must not take from the same channel, which might wait for itself. A value is moved out of the
/// channel to be cloned, and back: put what is large into an [`Arc`].
///
/// # Panics
///
/// If `capacity` is 0 or exceeds `usize::MAX / 4`.
///
/// # Examples
///
/// ```
/// use reiver::sync::broadcast;
///
/// let (tx, mut first) = broadcast::channel(4);
/// let mut second = tx.subscribe();
/// assert_eq!(tx.send("hello"), Ok(2));
/// assert_eq!(first.blocking_recv(), Ok("hello"));
/// assert_eq!(second.blocking_recv(), Ok("hello"));
/// drop(tx);
/// assert!(first.blocking_recv().is_err());
/// ```
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let tx = Sender::new(capacity);
    let rx = tx.subscribe();
    (tx, rx)
}

/// Sends values to all receivers; may be cloned.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A sender that does not keep the channel from ending.
pub struct WeakSender<T> {
    shared: Arc<Shared<T>>,
}

/// Receives all values sent since it was made.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the value to take next.
    place: usize,
}

impl<T> Sender<T> {
    /// A channel without a receiver so far.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0 or exceeds `usize::MAX / 4`.
    #[track_caller]
    pub fn new(capacity: usize) -> Self {
        assert!(capacity > 0, "broadcast channel capacity cannot be zero");
        assert!(capacity <= usize::MAX >> 2, "broadcast channel capacity is too large");
        Self {
            shared: Arc::new(Shared {
                ring: Ring::new(capacity.next_power_of_two()),
                sent: Notify::new(),
                abandoned: Notify::new(),
                senders: Senders::one(),
            }),
        }
    }

    /// Sends a value. Answers how many receivers there are to take it.
    ///
    /// # Errors
    ///
    /// The value, if there is no receiver.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let Shared { ring, sent, .. } = &*self.shared;
        let (receivers, old) = ring.put(value).map_err(SendError)?;
        sent.notify_waiters();
        drop(old);
        Ok(receivers)
    }

    /// A receiver of the values sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        subscribe(&self.shared)
    }

    /// A sender that does not keep the channel from ending.
    #[must_use = "a downgrade does not drop this sender"]
    pub fn downgrade(&self) -> WeakSender<T> {
        self.shared.senders.enter_weak();
        WeakSender { shared: self.shared.clone() }
    }

    /// How many values somebody has yet to take.
    pub fn len(&self) -> usize {
        self.shared.ring.len()
    }

    /// Whether all values were taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.ring.receivers()
    }

    /// Whether both belong to the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn closed(&self) {
        spend_budget().await;
        loop {
            let notified = self.shared.abandoned.notified_as(WaitKind::Closed);
            // In this order: the last receiver to go after this look notifies.
            if self.receiver_count() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// As [`closed`](Self::closed), for code that is not async: blocks the thread.
    pub fn blocking_closed(&self) {
        block_on(self.closed());
    }

    /// How many senders there are.
    pub fn strong_count(&self) -> usize {
        self.shared.senders.count()
    }

    /// How many weak senders there are.
    pub fn weak_count(&self) -> usize {
        self.shared.senders.weak_count()
    }
}

fn subscribe<T>(shared: &Arc<Shared<T>>) -> Receiver<T> {
    Receiver { place: shared.ring.join(), shared: shared.clone() }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.enter();
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.leave() {
            self.shared.ring.close();
            self.shared.sent.notify_waiters();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receivers", &self.receiver_count()).finish_non_exhaustive()
    }
}

impl<T> WeakSender<T> {
    /// A sender, if there is one still.
    pub fn upgrade(&self) -> Option<Sender<T>> {
        self.shared.senders.re_enter().then(|| Sender { shared: self.shared.clone() })
    }

    /// How many senders there are.
    pub fn strong_count(&self) -> usize {
        self.shared.senders.count()
    }

    /// How many weak senders there are.
    pub fn weak_count(&self) -> usize {
        self.shared.senders.weak_count()
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        self.shared.senders.enter_weak();
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for WeakSender<T> {
    fn drop(&mut self) {
        self.shared.senders.leave_weak();
    }
}

impl<T> fmt::Debug for WeakSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakSender").finish_non_exhaustive()
    }
}

impl<T> Receiver<T> {
    /// How many values there are to take, those that were overwritten included.
    pub fn len(&self) -> usize {
        self.shared.ring.sent().0 - self.place
    }

    /// Whether there is no value to take now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether both belong to the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether all senders are dropped.
    pub fn is_closed(&self) -> bool {
        self.shared.ring.sent().1
    }

    /// How many senders there are.
    pub fn sender_strong_count(&self) -> usize {
        self.shared.senders.count()
    }

    /// How many weak senders there are.
    pub fn sender_weak_count(&self) -> usize {
        self.shared.senders.weak_count()
    }

    /// Another receiver, of the values sent from now on.
    pub fn resubscribe(&self) -> Self {
        subscribe(&self.shared)
    }
}

impl<T> Receiver<T> {
    /// Waits until there is a value, or the end.
    async fn wait(&self) {
        let notified = self.shared.sent.notified_as(WaitKind::Receive);
        // In this order: a value sent after this look notifies.
        if self.shared.ring.sent() == (self.place, false) {
            notified.await;
        }
    }

    /// Waits until the next value is back from the receiver that clones it, or gone.
    async fn wait_for_return(&self) {
        let ring = &self.shared.ring;
        let notified = ring.returned.notified_as(WaitKind::Receive);
        // In this order: one that comes back after this look notifies.
        if ring.is_lent(self.place) {
            notified.await;
        }
    }
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next value.
    ///
    /// # Errors
    ///
    /// [`RecvError::Lagged`] if values were missed: the next call gets the oldest one there is.
    /// [`RecvError::Closed`] if all senders are dropped and all values were taken.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no value.
    pub async fn recv(&mut self) -> Result<T, RecvError> {
        spend_budget().await;
        loop {
            // Not awaited inside of the `match`, whose value would be a part of the future.
            let lent = match self.take() {
                Ok(value) => return Ok(value),
                Err(Nothing::Closed) => return Err(RecvError::Closed),
                Err(Nothing::Missed(n)) => return Err(RecvError::Lagged(n as u64)),
                Err(Nothing::Empty) => false,
                Err(Nothing::Lent) => true,
            };
            if lent {
                self.wait_for_return().await;
            } else {
                self.wait().await;
            }
        }
    }

    /// The next value, if it is there. While another receiver clones it, this blocks the thread.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if it may still come; the others as for [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        loop {
            match self.try_take() {
                Some(result) => return result,
                None => block_on(self.wait_for_return()),
            }
        }
    }

    /// As [`try_recv`](Self::try_recv), for who must not block: `None` while another receiver has the value.
    pub(crate) fn try_take(&mut self) -> Option<Result<T, TryRecvError>> {
        Some(match self.take() {
            Ok(value) => Ok(value),
            Err(Nothing::Closed) => Err(TryRecvError::Closed),
            Err(Nothing::Missed(n)) => Err(TryRecvError::Lagged(n as u64)),
            Err(Nothing::Empty) => Err(TryRecvError::Empty),
            Err(Nothing::Lent) => return None,
        })
    }

    /// The next value: itself for the last one to come, a clone for the others.
    #[inline]
    fn take(&mut self) -> Result<T, Nothing> {
        let ring = &self.shared.ring;
        let mut taken = ring.take(self.place);
        if let Err(Nothing::Lent) = taken {
            taken = ring.look_on(self.place);
        }
        match taken {
            Ok(_) => self.place += 1,
            Err(Nothing::Missed(n)) => self.place += n,
            Err(_) => {}
        }
        // After the place has moved on: who came counts as having come, also if its clone panics.
        taken.map(|taken| match taken {
            Taken::Last(value) => value,
            Taken::Loan(loan) => loan.copy(),
        })
    }

    /// As [`recv`](Self::recv), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn blocking_recv(&mut self) -> Result<T, RecvError> {
        block_on(self.recv())
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        /// The values that were put for this receiver too, and that it will not come for.
        struct Rest<'a, T>(&'a Ring<T>, Range<usize>);

        impl<T> Rest<'_, T> {
            fn forgo(&mut self) {
                self.1.by_ref().for_each(|number| drop(self.0.forgo(number)));
            }
        }

        impl<T> Drop for Rest<'_, T> {
            fn drop(&mut self) {
                // Also when a value's drop panics, or a waker.
                self.forgo();
            }
        }

        let ring = &self.shared.ring;
        let (until, last) = ring.leave();
        let mut rest = Rest(ring, self.place.max(ring.oldest())..until);
        if last {
            self.shared.abandoned.notify_waiters();
        }
        rest.forgo();
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
