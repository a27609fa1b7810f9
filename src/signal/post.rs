//! What handlers leave and relays fetch: the protocol of `hub.rs` without descriptors and runtimes.

use super::listeners::Listeners;
use super::pending::{Number, Pending, Raised};

/// The signals on their way, and those who listen.
#[derive(Debug, Default)]
pub struct Post {
    pending: Pending,
    /// Who listens.
    pub listeners: Listeners,
}

impl Post {
    /// No signals, no listeners.
    pub fn new() -> Self {
        Self::default()
    }

    /// The handler: leaves the signal, and calls `write_byte` if it owes a byte.
    pub fn raise(&self, number: Number, write_byte: impl FnOnce()) {
        if self.pending.raise(number) == Raised::OwesByte {
            write_byte();
        }
    }

    /// Runs `wait`, which empties the pipe and sees to it that the next byte wakes `relay`, and
    /// delivers what has come. If `wait` fails, `relay` has ended and its listeners are told.
    ///
    /// # Errors
    ///
    /// That of `wait`.
    pub fn fetch<E>(&self, relay: u64, wait: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
        let waiting = wait();
        // After the wait: a bit set before our look at the pipe is taken here, a later one has a byte.
        self.listeners.deliver(self.pending.take());
        if waiting.is_err() {
            self.listeners.end(relay);
        }
        waiting
    }
}
