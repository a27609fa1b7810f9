//! The channel without a bound.

use super::super::blocking::block_on;
use super::chan::{self, Flow, Rx, Tx, WeakTx};
use super::common_methods;
use super::error::{SendError, TryRecvError};
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};

/// Nothing is counted: the list alone knows whether it is closed.
pub(super) struct Unbounded;

impl Flow for Unbounded {
    fn close(&self) -> bool {
        true
    }

    #[inline]
    fn leave(&self, _n: usize) -> bool {
        false
    }

    fn is_closed(&self) -> bool {
        false
    }
}

/// A channel from many senders to one receiver in which sending never waits.
///
/// Nothing keeps a fast sender from filling the memory; prefer [`channel`](super::channel).
///
/// # Examples
///
/// ```
/// use reiver::sync::mpsc;
///
/// let (tx, mut rx) = mpsc::unbounded_channel();
/// tx.send("one")?;
/// tx.clone().send("two")?;
/// drop(tx);
/// let mut all = Vec::new();
/// rx.blocking_recv_many(&mut all, 10);
/// assert_eq!(all, ["one", "two"]);
/// assert_eq!(rx.blocking_recv(), None);
/// # Ok::<(), mpsc::error::SendError<&str>>(())
/// ```
pub fn unbounded_channel<T>() -> (UnboundedSender<T>, UnboundedReceiver<T>) {
    let (tx, rx) = chan::channel(Unbounded);
    (UnboundedSender { tx }, UnboundedReceiver { rx })
}

/// Sends values to the receiver; may be cloned.
pub struct UnboundedSender<T> {
    tx: Tx<T, Unbounded>,
}

/// A sender that does not keep the channel from ending.
pub struct WeakUnboundedSender<T> {
    tx: WeakTx<T, Unbounded>,
}

/// Receives values in the order in which they were sent.
pub struct UnboundedReceiver<T> {
    rx: Rx<T, Unbounded>,
}

impl<T> UnboundedSender<T> {
    /// Sends a value.
    ///
    /// # Errors
    ///
    /// The value, if the receiver is closed or dropped. `Ok` does not mean that it will be received.
    #[inline]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.tx.chan().send(value).map_err(SendError)
    }
}

common_methods!(UnboundedReceiver, WeakUnboundedSender, UnboundedSender);
