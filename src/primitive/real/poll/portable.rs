//! `polling` in edge mode: kqueue and whatever else it supports edges on.
//!
//! Known costs: on kqueue each add and delete takes a lock that all threads share, and the end of a
//! stream is not told apart from data, so reads go on until they would block. (Event ports have no
//! edge mode in `polling`: there `add` fails.)

use super::{Event, NOTIFY, Watch};
use polling::PollMode;
use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

// `polling` keys are `usize`.
const _: () = assert!(usize::BITS == 64, "the portable poller needs 64-bit keys");
const _: () = assert!(NOTIFY == usize::MAX as u64, "polling keeps this key for itself");

/// Whether a read or write that moved less than asked for proves that the next would block: not
/// where the end of the stream cannot be seen.
pub(crate) const SHORT_TRANSFER_DRAINS: bool = false;

/// Nothing to ask for here.
pub(crate) fn end_waits_on_time() {}

/// A `polling::Poller`.
#[derive(Debug)]
pub(crate) struct Poller(polling::Poller);

impl Poller {
    /// A poller that watches nothing.
    pub(crate) fn new() -> io::Result<Self> {
        polling::Poller::new().map(Self)
    }

    /// Watches `fd`, reporting its edges under `key`. What is ready already counts as an edge.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if `fd` is watched by this poller; others by the system.
    ///
    /// # Safety
    ///
    /// `fd` is not closed before [`delete`](Self::delete) was called with it.
    pub(crate) unsafe fn add(&self, fd: BorrowedFd<'_>, key: u64, watch: Watch) -> io::Result<()> {
        // SAFETY: the caller's contract is `polling`'s.
        unsafe { self.0.add_with_mode(&fd, interest(key, watch), PollMode::Edge) }
    }

    /// Changes what is watched. What is ready now is reported (again).
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, key: u64, watch: Watch) -> io::Result<()> {
        self.0.modify_with_mode(fd, interest(key, watch), PollMode::Edge)
    }

    /// Stops watching `fd`. Events that a wait has already taken out may still be reported.
    pub(crate) fn delete(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.delete(fd)
    }

    /// The descriptors that are watched, for listings: nobody tells.
    pub(crate) fn watched(&self) -> Vec<RawFd> {
        Vec::new()
    }

    /// Replaces `events` by the edges since the last wait. Blocks until there is one, a
    /// [`notify`](Self::notify), or the end of `timeout` (`None`: for ever).
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        self.0.wait(&mut events.0, timeout).map(drop)
    }

    /// Makes the current wait, or else the next one, return.
    pub(crate) fn notify(&self) -> io::Result<()> {
        self.0.notify()
    }
}

fn interest(key: u64, watch: Watch) -> polling::Event {
    polling::Event::new(key as usize, watch.read, watch.write)
}

/// Room for the events of one wait.
pub(crate) struct Events(polling::Events);

impl Events {
    /// Room for at most `capacity` events a wait; further ones come with the next wait.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let capacity = NonZeroUsize::new(capacity).unwrap_or(NonZeroUsize::MIN);
        Self(polling::Events::with_capacity(capacity))
    }

    /// What the last wait found.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.0.iter().map(|event| {
            let error = event.is_err().unwrap_or(false);
            Event {
                key: event.key as u64,
                readable: event.readable || error,
                writable: event.writable || error,
                read_closed: event.is_interrupt(),
                write_closed: event.is_interrupt(),
                priority: event.is_priority(),
                error,
            }
        })
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
