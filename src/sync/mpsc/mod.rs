//! Channels from many senders to one receiver.
//!
//! [`channel`] is bounded: a sender waits while the channel is full. [`unbounded_channel`] never
//! makes a sender wait. In both, the receiver gets `None` when all senders are dropped, or when it
//! has closed the channel and has received what was sent before.
//!
//! How it works stands in `list.rs` (the queue) and `chan.rs` (the end).
//!
//! # Examples
//!
//! ```
//! use reiver::sync::mpsc;
//!
//! let (tx, mut rx) = mpsc::channel(1);
//! let sender = std::thread::spawn(move || {
//!     for n in 0..3 {
//!         tx.blocking_send(n).unwrap();
//!     }
//! });
//! let mut sum = 0;
//! while let Some(n) = rx.blocking_recv() {
//!     sum += n;
//! }
//! assert_eq!(sum, 3);
//! # sender.join().unwrap();
//! ```

mod bounded;
mod chan;
pub mod error;
mod list;
mod permit;
mod unbounded;

pub use bounded::{Receiver, Sender, WeakSender, channel};
pub use permit::{OwnedPermit, Permit, PermitIterator};
pub use unbounded::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender, unbounded_channel};

/// The methods that both receivers have, and both weak senders.
macro_rules! common_methods {
    ($receiver:ident, $weak:ident, $sender:ident) => {
        impl<T> $receiver<T> {
            /// Waits for the next value; `None` if none will come any more.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses no value.
            pub async fn recv(&mut self) -> Option<T> {
                poll_fn(|cx| self.poll_recv(cx)).await
            }

            /// Waits for at least one value and appends up to `limit` of them to `buffer`. Answers
            /// how many; 0 if none will come any more, or `limit` is 0.
            ///
            /// # Cancel safety
            ///
            /// Dropping the future loses no value.
            pub async fn recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
                poll_fn(|cx| self.poll_recv_many(cx, buffer, limit)).await
            }

            /// The next value, if it is there.
            ///
            /// # Errors
            ///
            /// [`TryRecvError::Empty`] if one may still come, [`TryRecvError::Disconnected`] if not.
            pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
                if crate::primitive::explore::refuses() {
                    return Err(TryRecvError::Empty);
                }
                self.rx.try_recv()
            }

            /// As [`recv`](Self::recv), for code that is not async: blocks the thread.
            pub fn blocking_recv(&mut self) -> Option<T> {
                block_on(self.recv())
            }

            /// As [`recv_many`](Self::recv_many), for code that is not async: blocks the thread.
            pub fn blocking_recv_many(&mut self, buffer: &mut Vec<T>, limit: usize) -> usize {
                block_on(self.recv_many(buffer, limit))
            }

            /// Lets nothing more in. What is in the channel can still be received.
            pub fn close(&mut self) {
                self.rx.close();
            }

            /// Whether the channel is closed, or all senders are dropped.
            pub fn is_closed(&self) -> bool {
                self.rx.is_closed()
            }

            /// Whether there is no value to receive now.
            pub fn is_empty(&self) -> bool {
                self.rx.is_empty()
            }

            /// How many values are in the channel.
            pub fn len(&self) -> usize {
                self.rx.len()
            }

            /// The form of [`recv`](Self::recv) for hand-written futures.
            pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
                self.rx.poll_recv(cx)
            }

            /// The form of [`recv_many`](Self::recv_many) for hand-written futures.
            pub fn poll_recv_many(
                &mut self,
                cx: &mut Context<'_>,
                buffer: &mut Vec<T>,
                limit: usize,
            ) -> Poll<usize> {
                self.rx.poll_recv_many(cx, buffer, limit)
            }

            /// How many senders there are.
            pub fn sender_strong_count(&self) -> usize {
                self.rx.strong_count()
            }

            /// How many weak senders there are.
            pub fn sender_weak_count(&self) -> usize {
                self.rx.weak_count()
            }
        }

        impl<T> Unpin for $receiver<T> {}

        impl<T> fmt::Debug for $receiver<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut out = f.debug_struct(stringify!($receiver));
                out.field("len", &self.len()).field("closed", &self.is_closed()).finish()
            }
        }

        impl<T> $sender<T> {
            /// Waits until the receiver is closed or dropped.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost by dropping the future.
            pub async fn closed(&self) {
                self.tx.closed().await;
            }

            /// As [`closed`](Self::closed), for code that is not async: blocks the thread.
            pub fn blocking_closed(&self) {
                block_on(self.closed());
            }

            /// Whether the receiver is closed or dropped.
            pub fn is_closed(&self) -> bool {
                self.tx.chan().is_closed()
            }

            /// Whether both send to the same channel.
            pub fn same_channel(&self, other: &Self) -> bool {
                self.tx.is_same(&other.tx)
            }

            /// A sender that does not keep the channel from ending.
            #[must_use = "a downgrade does not drop this sender"]
            pub fn downgrade(&self) -> $weak<T> {
                $weak { tx: self.tx.downgrade() }
            }

            /// How many senders there are.
            pub fn strong_count(&self) -> usize {
                self.tx.strong_count()
            }

            /// How many weak senders there are.
            pub fn weak_count(&self) -> usize {
                self.tx.weak_count()
            }
        }

        impl<T> Clone for $sender<T> {
            fn clone(&self) -> Self {
                Self { tx: self.tx.clone() }
            }
        }

        impl<T> fmt::Debug for $sender<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($sender)).field("closed", &self.is_closed()).finish()
            }
        }

        impl<T> $weak<T> {
            /// A sender, if there is one still.
            pub fn upgrade(&self) -> Option<$sender<T>> {
                Some($sender { tx: self.tx.upgrade()? })
            }

            /// How many senders there are.
            pub fn strong_count(&self) -> usize {
                self.tx.strong_count()
            }

            /// How many weak senders there are.
            pub fn weak_count(&self) -> usize {
                self.tx.weak_count()
            }
        }

        impl<T> Clone for $weak<T> {
            fn clone(&self) -> Self {
                Self { tx: self.tx.clone() }
            }
        }

        impl<T> fmt::Debug for $weak<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($weak)).finish_non_exhaustive()
            }
        }
    };
}
use common_methods;
