//! A channel for one value, sent once.
//!
//! The protocol of the two ends stands in `channel.rs`.
//!
//! # Examples
//!
//! ```
//! use reiver::sync::oneshot;
//!
//! let (tx, rx) = oneshot::channel();
//! std::thread::spawn(move || tx.send("done").unwrap());
//! assert_eq!(rx.blocking_recv(), Ok("done"));
//! ```

mod channel;

use super::blocking::block_on;
use crate::task::budget;
use crate::util::note::{self, WaitKind};
use channel::{End, Shared, free};
use error::{RecvError, TryRecvError};
use std::fmt;
use std::future::{Future, poll_fn};
use std::mem::ManuallyDrop;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll, ready};

/// A channel for one value.
///
/// # Examples
///
/// ```
/// use reiver::sync::oneshot;
///
/// let (tx, mut rx) = oneshot::channel::<u32>();
/// drop(tx);
/// assert!(rx.try_recv().is_err());
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = NonNull::from(Box::leak(Box::new(Shared::new())));
    (Sender { shared }, Receiver { shared: Some(shared), closed: false })
}

/// Sends the value. Dropped without sending, it makes the receiver fail.
pub struct Sender<T> {
    /// Channel rule 1: valid while this exists.
    shared: NonNull<Shared<T>>,
}

// SAFETY: the value moves between the threads of the two ends; the protocol of `channel.rs` does the
// rest. The methods by `&self` only read the word.
unsafe impl<T: Send> Send for Sender<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Sender<T> {}

impl<T> Sender<T> {
    /// Sends the value, without waiting.
    ///
    /// # Errors
    ///
    /// The value, if the receiver is gone or closed. `Ok` does not mean that it will be received.
    pub fn send(self, value: T) -> Result<(), T> {
        // No drop: by sending it goes. On the error it goes by `this`.
        let this = ManuallyDrop::new(self);
        // SAFETY: channel rule 1; this is the sender, and it is forgotten after `Ok`.
        match unsafe { this.shared.as_ref().send(value) } {
            Ok(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
                Ok(())
            }
            Err(value) => {
                drop(ManuallyDrop::into_inner(this));
                Err(value)
            }
        }
    }

    /// Waits until the receiver is closed or dropped.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn closed(&mut self) {
        poll_fn(|cx| self.poll_closed(cx)).await;
    }

    /// As [`closed`](Self::closed), for code that is not async: blocks the thread.
    pub fn blocking_closed(&mut self) {
        block_on(self.closed());
    }

    /// Whether the receiver is closed or dropped.
    pub fn is_closed(&self) -> bool {
        self.shared().state().is_closed()
    }

    /// The form of [`closed`](Self::closed) for hand-written futures.
    pub fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let unit = ready!(budget::poll_proceed(cx));
        if !self.is_closed() && !self.shared().register(End::Sender, cx.waker()).is_closed() {
            note::wait_at(WaitKind::Closed, self.shared());
            return Poll::Pending;
        }
        unit.made_progress();
        Poll::Ready(())
    }

    fn shared(&self) -> &Shared<T> {
        // SAFETY: channel rule 1.
        unsafe { self.shared.as_ref() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        // SAFETY: channel rule 1: this is the sender's last step, unless it is the last end.
        let parted = unsafe { self.shared().leave(End::Sender) };
        if parted.last {
            // SAFETY: the last end. A value was not sent.
            unsafe { free(self.shared) };
        } else if let Some(waker) = parted.peer {
            waker.wake();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

/// Receives the value: a future, of the value or of the error that the sender was dropped.
///
/// # Panics
///
/// A poll after the end panics.
///
/// # Cancel safety
///
/// Awaiting `&mut receiver` and dropping that future loses nothing. Dropping the receiver drops the
/// value.
pub struct Receiver<T> {
    /// `None` after the end.
    shared: Option<NonNull<Shared<T>>>,
    /// Closed before a value came: none will.
    closed: bool,
}

// SAFETY: as for `Sender`.
unsafe impl<T: Send> Send for Receiver<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Receiver<T> {}

impl<T> Unpin for Receiver<T> {}

impl<T> Receiver<T> {
    /// Accepts nothing any more: a `send` from now on fails. A value sent before can be received.
    pub fn close(&mut self) {
        let Some(shared) = self.shared() else { return };
        let (before, waker) = shared.close();
        self.closed |= !before.is_sent();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the value or the error has been received.
    pub fn is_terminated(&self) -> bool {
        self.shared.is_none()
    }

    /// Whether there is no value to receive now.
    pub fn is_empty(&self) -> bool {
        self.shared().is_none_or(|shared| !shared.state().is_sent())
    }

    /// The value, if it is there.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if it may still come, [`TryRecvError::Closed`] if not.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        let Some(shared) = self.shared() else { return Err(TryRecvError::Closed) };
        let state = shared.state();
        if state.is_sent() {
            Ok(self.finish())
        } else if state.is_sender_gone() || self.closed {
            Err(TryRecvError::Closed)
        } else {
            Err(TryRecvError::Empty)
        }
    }

    /// Waits for the value in code that is not async: blocks the thread.
    ///
    /// # Errors
    ///
    /// If the sender was dropped without sending.
    pub fn blocking_recv(self) -> Result<T, RecvError> {
        block_on(self)
    }

    fn shared(&self) -> Option<&Shared<T>> {
        // SAFETY: channel rule 1: valid until taken out.
        self.shared.map(|shared| unsafe { shared.as_ref() })
    }

    /// Takes the value, which was seen to be sent, and frees the channel.
    fn finish(&mut self) -> T {
        let shared = self.shared.take().expect("looked at just now");
        // SAFETY: `SENT` was seen, and with it `TX_GONE`: the value and the channel are ours alone.
        unsafe {
            let value = shared.as_ref().take();
            free(shared);
            value
        }
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, RecvError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let unit = ready!(budget::poll_proceed(cx));
        let shared = self.shared().expect("a oneshot receiver was polled after its end");
        let mut state = shared.state();
        if !state.is_sender_gone() && !self.closed {
            state = shared.register(End::Receiver, cx.waker());
            if !state.is_sender_gone() {
                note::wait_at(WaitKind::Receive, shared);
                return Poll::Pending;
            }
        }
        unit.made_progress();
        if state.is_sent() {
            return Poll::Ready(Ok(self.finish()));
        }
        // Dropped here and not later: the receiver counts as terminated.
        drop(Receiver { shared: self.shared.take(), closed: true });
        Poll::Ready(Err(RecvError(())))
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let Some(shared) = self.shared else { return };
        // SAFETY: channel rule 1: this is the receiver's last step, unless it is the last end.
        let parted = unsafe { shared.as_ref().leave(End::Receiver) };
        if !parted.last {
            if let Some(waker) = parted.peer {
                waker.wake();
            }
            return;
        }
        // SAFETY: the last end; a value that was sent was not taken, or `shared` would be `None`.
        unsafe {
            let value = parted.before.is_sent().then(|| shared.as_ref().take());
            free(shared);
            drop(value);
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("is_empty", &self.is_empty()).finish()
    }
}

/// The errors of the channel.
pub mod error {
    use std::error::Error;
    use std::fmt;

    /// The sender was dropped without sending.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct RecvError(pub(super) ());

    impl fmt::Display for RecvError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("channel closed")
        }
    }

    impl Error for RecvError {}

    /// Why `try_recv` got nothing.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub enum TryRecvError {
        /// The value has not been sent yet.
        Empty,
        /// No value will come.
        Closed,
    }

    impl fmt::Display for TryRecvError {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(match self {
                Self::Empty => "channel empty",
                Self::Closed => "channel closed",
            })
        }
    }

    impl Error for TryRecvError {}
}
