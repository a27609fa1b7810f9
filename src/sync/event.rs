//! A flag that can be waited for.

use super::blocking::block_on;
use super::{Notify, spend_budget};
use crate::primitive::atomic::{AtomicUsize, Ordering::*};
use crate::primitive::fixed;
use crate::util::note::WaitKind;
use std::fmt;

/// A flag that can be waited for, as asyncio's `Event`.
///
/// # Examples
///
/// ```
/// use reiver::sync::Event;
/// use std::pin::pin;
/// use std::task::{Context, Waker};
///
/// let ready = Event::new();
/// let mut cx = Context::from_waker(Waker::noop());
/// let mut waiting = pin!(ready.wait());
/// assert!(waiting.as_mut().poll(&mut cx).is_pending());
/// ready.set();
/// ready.clear();
/// assert!(waiting.as_mut().poll(&mut cx).is_ready(), "it waited when the event was set");
/// assert!(!ready.is_set());
/// ```
pub struct Event {
    flag: AtomicUsize,
    notify: Notify,
}

impl Event {
    /// An event that is not set.
    pub fn new() -> Self {
        Self { flag: AtomicUsize::new(0), notify: Notify::new() }
    }

    /// An event for a `static`, not set.
    pub const fn const_new() -> Self {
        Self { flag: fixed::atomic_usize(0), notify: Notify::const_new() }
    }

    /// Sets the event and wakes all that wait.
    pub fn set(&self) {
        // Release: pairs with the Acquire in `is_set`.
        self.flag.swap(1, Release);
        self.notify.notify_waiters();
    }

    /// Makes those who come from now on wait.
    pub fn clear(&self) {
        // Release: who sees it cleared sees what was done before.
        self.flag.swap(0, Release);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        // Acquire: pairs with the Release in `set`.
        self.flag.load(Acquire) != 0
    }

    /// Waits until the event is set. It may be cleared again by the time that this returns.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn wait(&self) {
        spend_budget().await;
        let notified = self.notify.notified_as(WaitKind::Event);
        // In this order: a set after this look notifies.
        if !self.is_set() {
            notified.await;
        }
    }

    /// As [`wait`](Self::wait), for code that is not async: blocks the thread.
    pub fn blocking_wait(&self) {
        block_on(self.wait());
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("set", &self.is_set()).finish()
    }
}
