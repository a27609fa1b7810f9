//! A channel that holds one value, always the latest.
//!
//! The value stands in an [`RwLock`]; a version counts the changes. A sender changes the value and
//! then, before it gives the lock back, the version; so whoever holds the lock sees value and version
//! that belong together, and a receiver that sees a version without the lock finds a value at least
//! as new. Waiting is [`Notify`]: a receiver first gets its `Notified`, then looks at the version, so
//! a change that it does not see notifies it.

use super::blocking::block_on;
use super::senders::Senders;
use super::{Notify, RwLock, RwLockReadGuard, spend_budget};
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::{Arc, Stays};
use crate::util::note::WaitKind;
use error::{RecvError, SendError};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// In the version: all senders are dropped.
const CLOSED: usize = 1;
/// One change.
const CHANGE: usize = 2;

struct Shared<T> {
    value: RwLock<T>,
    /// `changes << 1 | CLOSED`.
    version: AtomicUsize,
    /// Told of each change and of the end.
    changed: Notify,
    /// Told when the last receiver goes.
    abandoned: Notify,
    senders: Senders,
    receivers: AtomicUsize,
}

// A change that panics counts as none, but what it has written stays: as in tokio, which promises this too.
impl<T> UnwindSafe for Shared<T> {}
impl<T> RefUnwindSafe for Shared<T> {}

impl<T> Shared<T> {
    fn version(&self) -> usize {
        // Acquire: pairs with the Release in `bump` and in the drop of the last sender.
        self.version.load(Acquire)
    }

    fn borrow(&self, seen: Option<usize>) -> Ref<'_, T> {
        let guard = self.value.blocking_read();
        let has_changed = seen.is_some_and(|seen| seen != self.version() & !CLOSED);
        Ref { guard, has_changed, _here: PhantomData }
    }
}

/// A channel that holds one value. The receiver counts the initial value as seen.
///
/// # Examples
///
/// ```
/// use reiver::sync::watch;
///
/// let (tx, mut rx) = watch::channel("starting");
/// let watcher = std::thread::spawn(move || {
///     let state = rx.blocking_wait_for(|state| *state == "ready").unwrap();
///     assert_eq!(*state, "ready");
/// });
/// tx.send_replace("loading");
/// tx.send_replace("ready");
/// watcher.join().unwrap();
/// assert_eq!(*tx.borrow(), "ready");
/// ```
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let tx = Sender::new(value);
    let rx = tx.subscribe();
    (tx, rx)
}

/// The value, read-locked: give it back soon, and do not ask for another one meanwhile, since a
/// sender that waits for this one lets no further reader in.
#[must_use]
pub struct Ref<'a, T> {
    guard: RwLockReadGuard<'a, T>,
    has_changed: bool,
    /// Not `Send` (but `Sync`), so that it cannot be held across `.await` in a spawned task.
    _here: PhantomData<Stays>,
}

impl<T> Ref<'_, T> {
    /// Whether the value is one that the receiver had not seen. `false` from a sender.
    pub fn has_changed(&self) -> bool {
        self.has_changed
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ref")
            .field("inner", &**self)
            .field("has_changed", &self.has_changed)
            .finish()
    }
}

/// Changes the value; may be cloned.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// A channel without a receiver so far.
    pub fn new(value: T) -> Self {
        Self {
            shared: Arc::new(Shared {
                value: RwLock::new(value),
                version: AtomicUsize::new(0),
                changed: Notify::new(),
                abandoned: Notify::new(),
                senders: Senders::one(),
                receivers: AtomicUsize::new(0),
            }),
        }
    }

    /// Replaces the value and notifies the receivers.
    ///
    /// # Errors
    ///
    /// The new value, if there is no receiver. The old one stays then.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.receiver_count() == 0 {
            return Err(SendError(value));
        }
        drop(self.send_replace(value));
        Ok(())
    }

    /// Changes the value in place and notifies the receivers, also when there is none.
    ///
    /// # Panics
    ///
    /// If `modify` panics; nobody is notified then.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Changes the value in place and notifies the receivers if `modify` says that it did. Answers
    /// what it said.
    ///
    /// # Panics
    ///
    /// If `modify` panics; nobody is notified then.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        {
            let mut value = self.shared.value.blocking_write();
            if !modify(&mut value) {
                return false;
            }
            // After the change, under the lock. Release: pairs with the Acquire in `version`.
            self.shared.version.fetch_add(CHANGE, Release);
        }
        self.shared.changed.notify_waiters();
        true
    }

    /// Replaces the value, notifies the receivers, and answers the old value.
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|old| std::mem::swap(old, &mut value));
        value
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.borrow(None)
    }

    /// Whether there is no receiver.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there is no receiver.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn closed(&self) {
        spend_budget().await;
        while !self.is_closed() {
            let notified = self.shared.abandoned.notified_as(WaitKind::Closed);
            // In this order: the last receiver to go after this look notifies.
            if !self.is_closed() {
                notified.await;
            }
        }
    }

    /// As [`closed`](Self::closed), for code that is not async: blocks the thread.
    pub fn blocking_closed(&self) {
        block_on(self.closed());
    }

    /// Another receiver, which counts the present value as seen.
    pub fn subscribe(&self) -> Receiver<T> {
        // Relaxed: a count; nothing is published by a receiver that begins.
        self.shared.receivers.fetch_add(1, Relaxed);
        let seen = self.shared.version() & !CLOSED;
        Receiver { shared: self.shared.clone(), seen }
    }

    /// How many receivers there are.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.load(Acquire)
    }

    /// How many senders there are.
    pub fn sender_count(&self) -> usize {
        self.shared.senders.count()
    }

    /// Whether both belong to the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
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
            // Release: pairs with the Acquire in `version`.
            self.shared.version.fetch_or(CLOSED, Release);
            self.shared.changed.notify_waiters();
        }
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("receivers", &self.receiver_count()).finish_non_exhaustive()
    }
}

/// Sees the value; may be cloned, each clone with its own idea of what it has seen.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version seen last, without `CLOSED`.
    seen: usize,
}

impl<T> Receiver<T> {
    /// The value, without counting it as seen.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.borrow(Some(self.seen))
    }

    /// The value, from now on counted as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.borrow(Some(self.seen));
        // Under the lock: the version of this very value.
        self.seen = self.shared.version() & !CLOSED;
        value
    }

    /// Whether there is a value that was not seen.
    ///
    /// # Errors
    ///
    /// If all senders are dropped.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let version = self.shared.version();
        if version & CLOSED != 0 {
            return Err(RecvError(()));
        }
        Ok(version != self.seen)
    }

    /// Whether all senders are dropped.
    pub fn is_closed(&self) -> bool {
        self.shared.version() & CLOSED != 0
    }

    /// Counts the value as not seen.
    pub fn mark_changed(&mut self) {
        self.seen = self.seen.wrapping_sub(CHANGE);
    }

    /// Counts the value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.version() & !CLOSED;
    }

    /// Waits for a value that was not seen, and counts it as seen.
    ///
    /// # Errors
    ///
    /// If all senders are dropped and the last value was seen.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn changed(&mut self) -> Result<(), RecvError> {
        spend_budget().await;
        loop {
            let notified = self.shared.changed.notified_as(WaitKind::Receive);
            // In this order: a change after this look notifies.
            if let Some(result) = look(&self.shared, &mut self.seen) {
                return result;
            }
            notified.await;
        }
    }

    /// Waits until `wanted` says yes to the value, which may be the present one, and counts that
    /// value as seen.
    ///
    /// # Errors
    ///
    /// If all senders are dropped and the last value is not wanted.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn wait_for(
        &mut self,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        spend_budget().await;
        loop {
            let notified = self.shared.changed.notified_as(WaitKind::Receive);
            // Before the value: the last one comes before the end.
            let closed = self.shared.version() & CLOSED != 0;
            {
                let value = self.shared.borrow(Some(self.seen));
                self.seen = self.shared.version() & !CLOSED;
                if wanted(&value) {
                    return Ok(value);
                }
            }
            if closed {
                return Err(RecvError(()));
            }
            notified.await;
        }
    }

    /// As [`changed`](Self::changed), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If all senders are dropped and the last value was seen.
    pub fn blocking_changed(&mut self) -> Result<(), RecvError> {
        block_on(self.changed())
    }

    /// As [`wait_for`](Self::wait_for), for code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If all senders are dropped and the last value is not wanted.
    pub fn blocking_wait_for(
        &mut self,
        wanted: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        block_on(self.wait_for(wanted))
    }

    /// Whether both belong to the same channel.
    pub fn same_channel(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// A version that was not seen, which then is, or the end.
fn look<T>(shared: &Shared<T>, seen: &mut usize) -> Option<Result<(), RecvError>> {
    let version = shared.version();
    if version & !CLOSED != *seen {
        *seen = version & !CLOSED;
        return Some(Ok(()));
    }
    (version & CLOSED != 0).then_some(Err(RecvError(())))
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        // Relaxed: as in `Sender::subscribe`.
        self.shared.receivers.fetch_add(1, Relaxed);
        Self { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        // AcqRel: who sees that there is no receiver sees what they did.
        if self.shared.receivers.fetch_sub(1, AcqRel) == 1 {
            self.shared.abandoned.notify_waiters();
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("has_changed", &self.has_changed()).finish_non_exhaustive()
    }
}

/// The errors of the channel.
pub mod error {
    pub use super::super::mpsc::error::SendError;
    use std::error::Error;
    use std::fmt;

    /// All senders are dropped.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct RecvError(pub(super) ());

    impl fmt::Display for RecvError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("channel closed")
        }
    }

    impl Error for RecvError {}
}
