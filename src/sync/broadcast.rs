//! A channel in which every receiver gets every value.
//!
//! Values stand in a ring under one spinning lock, held for a few instructions, each in an `Arc` with the
//! number of receivers that have yet to take it. Under the lock only the `Arc` is taken; the value is
//! cloned, or moved out by the last one, and dropped after it. The price is an allocation for each value
//! sent; what it buys is that a slow `clone` holds up neither sender nor whoever wants another value, that
//! no `drop` of a user runs under a lock, and that the last receiver need not clone.
//!
//! A value has a lock of its own, under which it is cloned: receivers on several threads must not call
//! `clone` at once if `T` is not `Sync`, which tokio's programs need not be. It is the one lock under
//! which `clone` of a user runs, and nothing but other clones of the same value waits for it.
//!
//! A receiver that has nothing to take sees that without the lock, in `next`. Waiting is [`Notify`]:
//! first the `Notified`, then a look at the ring.

use super::blocking::block_on;
use super::{Notify, spend_budget};
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::{Arc, Mutex, SpinLock};
use crate::util::note::WaitKind;
use error::{RecvError, SendError, TryRecvError};
use std::fmt;

/// In `next`: all senders are dropped.
const CLOSED: usize = 1;
/// In `next`: one value.
const ONE: usize = 2;

struct Shared<T> {
    ring: SpinLock<Ring<T>>,
    /// `values sent << 1 | CLOSED`: changed under the lock, read without it.
    next: AtomicUsize,
    /// Told of each value and of the end.
    sent: Notify,
    /// Told when the last receiver goes.
    abandoned: Notify,
    senders: AtomicUsize,
    weak_senders: AtomicUsize,
}

struct Ring<T> {
    slots: Box<[Slot<T>]>,
    /// The number of the next value.
    next: usize,
    receivers: usize,
}

struct Slot<T> {
    /// How many receivers have yet to take it.
    left: usize,
    value: Option<Arc<Mutex<T>>>,
}

/// What a receiver found at its place.
enum Taken<T> {
    Value(Arc<Mutex<T>>),
    /// So many were overwritten.
    Missed(usize),
    Empty,
}

impl<T> Ring<T> {
    /// The number of the oldest value that is still there, if it was sent.
    fn oldest(&self) -> usize {
        self.next.saturating_sub(self.slots.len())
    }

    fn slot(&mut self, number: usize) -> &mut Slot<T> {
        let index = number & (self.slots.len() - 1);
        &mut self.slots[index]
    }

    /// Takes value `number` for one receiver.
    fn take(&mut self, number: usize) -> Taken<T> {
        if number == self.next {
            return Taken::Empty;
        }
        let oldest = self.oldest();
        if number < oldest {
            return Taken::Missed(oldest - number);
        }
        let slot = self.slot(number);
        slot.left -= 1;
        let value = if slot.left == 0 { slot.value.take() } else { slot.value.clone() };
        Taken::Value(value.expect("a value that is left for somebody is there"))
    }

    /// How many values somebody has yet to take. Receivers take in order, so those are the last
    /// ones: a binary search.
    fn len(&mut self) -> usize {
        let (mut taken, mut left) = (self.oldest(), self.next);
        while taken < left {
            let middle = taken + (left - taken) / 2;
            if self.slot(middle).value.is_some() {
                left = middle;
            } else {
                taken = middle + 1;
            }
        }
        self.next - left
    }
}

/// A channel that keeps `capacity` values (rounded up to a power of two) for receivers that are slow.
///
/// A receiver that is slower than that misses the oldest ones and is told so.
///
/// Receivers on several threads clone one value one after the other, so `T` need not be `Sync`. Its
/// `clone` must not take from the same channel, which might wait for itself.
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
        let slots = (0..capacity.next_power_of_two()).map(|_| Slot { left: 0, value: None });
        Self {
            shared: Arc::new(Shared {
                ring: SpinLock::new(Ring { slots: slots.collect(), next: 0, receivers: 0 }),
                next: AtomicUsize::new(0),
                sent: Notify::new(),
                abandoned: Notify::new(),
                senders: AtomicUsize::new(1),
                weak_senders: AtomicUsize::new(0),
            }),
        }
    }

    /// Sends a value. Answers how many receivers there are to take it.
    ///
    /// # Errors
    ///
    /// The value, if there is no receiver.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let value = Arc::new(Mutex::new(value));
        let mut ring = self.shared.ring.lock();
        let receivers = ring.receivers;
        if receivers == 0 {
            drop(ring);
            let value = Arc::into_inner(value).expect("nobody else has it");
            return Err(SendError(value.into_inner()));
        }
        let number = ring.next;
        let new = Slot { left: receivers, value: Some(value) };
        let old = std::mem::replace(ring.slot(number), new);
        ring.next += 1;
        // Under the lock, and only the last sender sets CLOSED, so nobody else writes now. Release:
        // pairs with the Acquire in `take`.
        self.shared.next.store(ring.next * ONE, Release);
        drop(ring);
        self.shared.sent.notify_waiters();
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
        // Relaxed: a count of its own, only read by `weak_count`.
        self.shared.weak_senders.fetch_add(1, Relaxed);
        WeakSender { shared: self.shared.clone() }
    }

    /// How many values somebody has yet to take.
    pub fn len(&self) -> usize {
        self.shared.ring.lock().len()
    }

    /// Whether all values were taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.ring.lock().receivers
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

    /// How many senders there are.
    pub fn strong_count(&self) -> usize {
        self.shared.senders.load(Acquire)
    }

    /// How many weak senders there are.
    pub fn weak_count(&self) -> usize {
        self.shared.weak_senders.load(Relaxed)
    }
}

fn subscribe<T>(shared: &Arc<Shared<T>>) -> Receiver<T> {
    let place = {
        let mut ring = shared.ring.lock();
        ring.receivers += 1;
        ring.next
    };
    Receiver { shared: shared.clone(), place }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        // Relaxed: this sender exists, so the count is not zero and stays so.
        self.shared.senders.fetch_add(1, Relaxed);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // AcqRel: the last one's end comes after all values.
        if self.shared.senders.fetch_sub(1, AcqRel) == 1 {
            // Release: pairs with the Acquire in `take`.
            self.shared.next.fetch_or(CLOSED, Release);
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
        let more = |n: usize| (n > 0).then_some(n + 1);
        // Acquire: as the clone of a sender that exists.
        self.shared.senders.fetch_update(Acquire, Relaxed, more).ok()?;
        Some(Sender { shared: self.shared.clone() })
    }

    /// How many senders there are.
    pub fn strong_count(&self) -> usize {
        self.shared.senders.load(Acquire)
    }

    /// How many weak senders there are.
    pub fn weak_count(&self) -> usize {
        self.shared.weak_senders.load(Relaxed)
    }
}

impl<T> Clone for WeakSender<T> {
    fn clone(&self) -> Self {
        // Relaxed: as in `downgrade`.
        self.shared.weak_senders.fetch_add(1, Relaxed);
        Self { shared: self.shared.clone() }
    }
}

impl<T> Drop for WeakSender<T> {
    fn drop(&mut self) {
        // Relaxed: as in `downgrade`.
        self.shared.weak_senders.fetch_sub(1, Relaxed);
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
        self.shared.ring.lock().next - self.place
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
        self.shared.next.load(Acquire) & CLOSED != 0
    }

    /// How many senders there are.
    pub fn sender_strong_count(&self) -> usize {
        self.shared.senders.load(Acquire)
    }

    /// How many weak senders there are.
    pub fn sender_weak_count(&self) -> usize {
        self.shared.weak_senders.load(Relaxed)
    }

    /// Another receiver, of the values sent from now on.
    pub fn resubscribe(&self) -> Self {
        subscribe(&self.shared)
    }
}

impl<T> Shared<T> {
    /// The value at `place`, which moves on, for a receiver that from now on counts as having taken
    /// it.
    fn take(&self, place: &mut usize) -> Result<Arc<Mutex<T>>, TryRecvError> {
        // Acquire: pairs with the Release in `send` and in the drop of the last sender.
        let next = self.next.load(Acquire);
        if next / ONE == *place {
            return Err(if next & CLOSED != 0 {
                TryRecvError::Closed
            } else {
                TryRecvError::Empty
            });
        }
        let taken = self.ring.lock().take(*place);
        match taken {
            Taken::Value(value) => {
                *place += 1;
                Ok(value)
            }
            Taken::Missed(n) => {
                *place += n;
                Err(TryRecvError::Lagged(n as u64))
            }
            Taken::Empty => Err(TryRecvError::Empty),
        }
    }
}

/// The value of the last one to take it, a clone for the others.
fn unwrap_or_clone<T: Clone>(value: Arc<Mutex<T>>) -> T {
    match Arc::try_unwrap(value) {
        Ok(value) => value.into_inner(),
        Err(value) => value.lock().clone(),
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
            let notified = self.shared.sent.notified_as(WaitKind::Receive);
            // In this order: a value sent after this look notifies.
            match self.shared.take(&mut self.place) {
                Ok(value) => return Ok(unwrap_or_clone(value)),
                Err(TryRecvError::Closed) => return Err(RecvError::Closed),
                Err(TryRecvError::Lagged(n)) => return Err(RecvError::Lagged(n)),
                Err(TryRecvError::Empty) => notified.await,
            }
        }
    }

    /// The next value, if it is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if it may still come; the others as for [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        Ok(unwrap_or_clone(self.shared.take(&mut self.place)?))
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
        let (until, last) = {
            let mut ring = self.shared.ring.lock();
            ring.receivers -= 1;
            (ring.next, ring.receivers == 0)
        };
        if last {
            self.shared.abandoned.notify_waiters();
        }
        // What was sent while this receiver was counted waits for it.
        while self.place < until {
            drop(self.shared.take(&mut self.place));
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The errors of the channel.
pub mod error {
    pub use super::super::mpsc::error::SendError;
    use std::error::Error;
    use std::fmt;

    /// Why `recv` got nothing.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum RecvError {
        /// All senders are dropped and all values were taken.
        Closed,
        /// So many values were overwritten before they were taken.
        Lagged(u64),
    }

    impl fmt::Display for RecvError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Closed => f.write_str("channel closed"),
                Self::Lagged(n) => write!(f, "channel lagged by {n}"),
            }
        }
    }

    impl Error for RecvError {}

    /// Why `try_recv` got nothing.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum TryRecvError {
        /// No value is there now.
        Empty,
        /// All senders are dropped and all values were taken.
        Closed,
        /// So many values were overwritten before they were taken.
        Lagged(u64),
    }

    impl fmt::Display for TryRecvError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Empty => f.write_str("channel empty"),
                Self::Closed => f.write_str("channel closed"),
                Self::Lagged(n) => write!(f, "channel lagged by {n}"),
            }
        }
    }

    impl Error for TryRecvError {}
}
