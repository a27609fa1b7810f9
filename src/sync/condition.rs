//! A condition variable for [`Mutex`].
//!
//! A waiter queues up while it still holds the lock, and a notifier has changed the state under the
//! same lock; so a notification after the change finds the waiter that did not see it. A notification
//! with nobody waiting is lost, as it must be: who comes later looks at the state first.
//!
//! A notification reaches one that may be dropped before it has the lock again; then it goes to the
//! next one that waits.

use super::blocking::block_on;
use super::{Mutex, MutexGuard, Notify, spend_budget};
use crate::util::note::WaitKind;
use std::fmt;
use std::pin::pin;

/// Waits for a change of what a [`Mutex`] protects.
///
/// As every condition variable's, a wait may end without a cause: look again, or use
/// [`wait_for`](Condition::wait_for), which does. Use it with one mutex.
///
/// # Examples
///
/// ```
/// use reiver::sync::{Condition, Mutex};
/// use std::sync::Arc;
///
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let shared = Arc::new((Mutex::new(0), Condition::new()));
/// let theirs = shared.clone();
/// let counter = reiver::spawn(async move {
///     for _ in 0..3 {
///         *theirs.0.lock().await += 1;
///         theirs.1.notify_one();
///     }
/// });
/// let (count, changed) = &*shared;
/// let count = changed.wait_for(count.lock().await, |count| *count == 3).await;
/// assert_eq!(*count, 3);
/// # counter.await.unwrap();
/// # });
/// ```
pub struct Condition {
    notify: Notify,
}

impl Condition {
    /// A condition that nobody waits for.
    pub fn new() -> Self {
        Self { notify: Notify::new() }
    }

    /// A condition for a `static`.
    pub const fn const_new() -> Self {
        Self { notify: Notify::const_new() }
    }

    /// Gives the lock back, waits for a notification, and takes the lock again.
    ///
    /// # Cancel safety
    ///
    /// The lock is given back when the future is dropped. A notification that it had got goes to the
    /// next one that waits.
    pub async fn wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        spend_budget().await;
        let lock: &'a Mutex<T> = MutexGuard::mutex(&guard);
        {
            let mut notified = pin!(self.notify.notified_as(WaitKind::Condition));
            // Queued before the lock is given back: no change in between goes unnoticed.
            notified.as_mut().enable();
            drop(guard);
            notified.await;
        }
        let notified = PassOn(&self.notify);
        let guard = lock.lock().await;
        std::mem::forget(notified);
        guard
    }

    /// Waits until `predicate` holds for the value; it is called with the lock held, before the first
    /// wait and after each.
    ///
    /// # Cancel safety
    ///
    /// As [`wait`](Self::wait).
    pub async fn wait_for<'a, T: ?Sized>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut predicate: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        while !predicate(&mut guard) {
            guard = self.wait(guard).await;
        }
        guard
    }

    /// As [`wait`](Self::wait), for code that is not async: blocks the thread.
    pub fn blocking_wait<'a, T: ?Sized>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        block_on(self.wait(guard))
    }

    /// As [`wait_for`](Self::wait_for), for code that is not async: blocks the thread.
    pub fn blocking_wait_for<'a, T: ?Sized>(
        &self,
        guard: MutexGuard<'a, T>,
        predicate: impl FnMut(&mut T) -> bool,
    ) -> MutexGuard<'a, T> {
        block_on(self.wait_for(guard, predicate))
    }

    /// Notifies the one that has waited longest, if anybody waits.
    ///
    /// Change the state under the lock before; the call itself may come when the lock is free again.
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Notifies up to `n` that wait, those who have waited longest.
    pub fn notify(&self, n: usize) {
        self.notify.notify_present(n);
    }

    /// Notifies all that wait.
    pub fn notify_all(&self) {
        self.notify.notify_waiters();
    }
}

/// A notification whose receiver does not have the lock yet.
struct PassOn<'a>(&'a Notify);

impl Drop for PassOn<'_> {
    fn drop(&mut self) {
        self.0.notify_present(1);
    }
}

impl Default for Condition {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").finish_non_exhaustive()
    }
}
