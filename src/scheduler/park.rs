//! How a worker's thread blocks, and how it is reached: on its thread's park token, or in the poller.
//!
//! The state is crossbeam's parker with one state more. `unpark` is one swap and at most one system
//! call. A return from [`Parker::block`] proves nothing; the caller looks at the queues, and at its bit
//! in the idle word, to know why it woke.

use crate::primitive::atomic::{AtomicU32, Ordering::*};
use crate::primitive::{Mutex, thread};
use std::time::Duration;

/// Awake, and no token.
const EMPTY: u32 = 0;
/// A token: the next attempt to block returns at once.
const NOTIFIED: u32 = 1;
/// Blocked on the thread's park token.
const PARKED: u32 = 2;
/// Blocked in the poller.
const POLLING: u32 = 3;

/// The place where one slot's owner blocks.
#[derive(Debug)]
pub struct Parker {
    state: AtomicU32,
    /// The owner. Behind a lock, since a guest's slot changes hands while a late `unpark` may be on
    /// its way; taken only where a system call follows.
    thread: Mutex<Option<thread::Thread>>,
}

/// How to reach a thread that was found blocked.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub enum Unpark {
    /// It was awake, or its thread has been unparked: nothing more to do.
    Done,
    /// It is in the poller: notify that.
    Poller,
}

impl Parker {
    /// Of a slot without an owner.
    pub fn new() -> Self {
        Self { state: AtomicU32::new(EMPTY), thread: Mutex::new(None) }
    }

    /// Makes the calling thread the owner. Returns the one before.
    pub fn adopt(&self) -> Option<thread::Thread> {
        self.thread.lock().replace(thread::current())
    }

    /// Whether the owner will look around before it blocks, or has been unblocked to do so.
    pub fn has_token(&self) -> bool {
        // Acquire: pairs with the Release in `unpark`.
        self.state.load(Acquire) == NOTIFIED
    }

    /// Leaves a token, and wakes the owner if it is blocked on its thread.
    pub fn unpark(&self) -> Unpark {
        // Release: what the caller did before is seen by the owner when it wakes (pairs with the
        // swaps below). Acquire: nothing is read here; the swap is AcqRel for the owner's side.
        match self.state.swap(NOTIFIED, AcqRel) {
            PARKED => {
                if let Some(thread) = &*self.thread.lock() {
                    thread.unpark();
                }
                Unpark::Done
            }
            POLLING => Unpark::Poller,
            _ => Unpark::Done,
        }
    }

    /// Blocks until a token is there or `timeout` has passed; may return early. The token stays until
    /// [`take_token`](Self::take_token). The owner calls it.
    pub fn block(&self, timeout: Option<Duration>) {
        // Relaxed: nothing is read until `take_token`, which acquires what a token brought.
        if self.state.compare_exchange(EMPTY, PARKED, Relaxed, Relaxed).is_ok() {
            match timeout {
                Some(timeout) => thread::park_timeout(timeout),
                None => thread::park(),
            }
        }
    }

    /// Runs `poll`, which blocks in the poller, or is told not to block if a token is there. The token
    /// stays until [`take_token`](Self::take_token). The owner calls it, with the turn.
    pub fn block_in_poller<R>(&self, poll: impl FnOnce(Blocking) -> R) -> R {
        // AcqRel: what is dispatched comes after what a token announced.
        poll(match self.state.compare_exchange(EMPTY, POLLING, AcqRel, Acquire) {
            Ok(_) => Blocking::Yes,
            Err(_) => Blocking::No,
        })
    }

    /// Takes the token, if there is one, and leaves none behind: what it announced is looked for next.
    pub fn take_token(&self) {
        // Acquire: pairs with the Release in `unpark`.
        self.state.swap(EMPTY, Acquire);
    }
}

impl Default for Parker {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether the poller may block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocking {
    /// Until an event, a notification or the timeout.
    Yes,
    /// Not at all: somebody wants this thread.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_given_before_is_kept_and_spent_once() {
        let parker = Parker::new();
        assert!(parker.adopt().is_none());
        assert_eq!(parker.unpark(), Unpark::Done);
        assert_eq!(parker.unpark(), Unpark::Done);
        parker.block(None);
        parker.take_token();
        let start = std::time::Instant::now();
        parker.block(Some(Duration::from_millis(20)));
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn the_poller_is_told_not_to_block_or_how_to_be_reached() {
        let parker = Parker::new();
        assert_eq!(parker.unpark(), Unpark::Done);
        parker.block_in_poller(|blocking| assert_eq!(blocking, Blocking::No));
        parker.take_token();
        parker.block_in_poller(|blocking| {
            assert_eq!(blocking, Blocking::Yes);
            assert_eq!(parker.unpark(), Unpark::Poller);
            assert_eq!(parker.unpark(), Unpark::Done, "one notification is enough");
        });
    }
}
