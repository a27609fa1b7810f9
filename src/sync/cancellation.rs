//! A request to stop, for a tree of work.
//!
//! A token is a flag, a [`Notify`] for those who wait for it, and a list of the tokens below. The list
//! holds weak references, a child a strong one to its parent: so a request reaches the grandchildren
//! of a token whose own handles are gone, and a tree is freed from its leaves.
//!
//! *No child is missed.* A child is entered into the list, or is born cancelled, under the list's lock.
//! A canceller sets the flag, then reads the list under the lock. If the child came first, the list
//! has it; if the canceller did, the lock shows the flag to the child's maker.
//!
//! *Who hears of a request finds all below cancelled*, and so does who has called `cancel`, also a second time: flags
//! first, the whole tree; then the lists are emptied; then waiters are told. A list that a second canceller finds empty
//! belongs to a tree whose flags are set.

use super::blocking::block_on;
use super::{Notify, spend_budget};
use crate::primitive::atomic::{AtomicBool, Ordering::*};
use crate::primitive::{Arc, Mutex};
use crate::task::budget;
use crate::util::note::WaitKind;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Weak;
use std::task::Poll;

/// Asks any number of tasks to stop, once. As `tokio_util::sync::CancellationToken`.
///
/// Clones are the same token. A [`child_token`](Self::child_token) is asked with its parent, and can
/// be asked alone. Nothing is interrupted: who is asked looks ([`is_cancelled`](Self::is_cancelled)),
/// waits ([`cancelled`](Self::cancelled)) or has its future dropped
/// ([`run_until_cancelled`](Self::run_until_cancelled)).
///
/// # Examples
///
/// ```
/// use reiver::sync::CancellationToken;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let all = CancellationToken::new();
/// let one = all.child_token();
/// let worker = reiver::spawn(async move {
///     one.cancelled().await;
///     "cleaned up"
/// });
/// all.cancel();
/// assert_eq!(worker.await.unwrap(), "cleaned up");
/// # });
/// ```
#[derive(Clone)]
pub struct CancellationToken(Arc<Node>);

struct Node {
    cancelled: AtomicBool,
    notify: Notify,
    children: Mutex<Vec<Weak<Node>>>,
    parent: Option<Arc<Node>>,
}

impl CancellationToken {
    /// A token without a parent.
    pub fn new() -> Self {
        Self::with_parent(None)
    }

    fn with_parent(parent: Option<Arc<Node>>) -> Self {
        Self(Arc::new(Node {
            cancelled: AtomicBool::new(false),
            notify: Notify::new(),
            children: Mutex::new(Vec::new()),
            parent,
        }))
    }

    /// A token that is cancelled with this one, and can be cancelled alone.
    pub fn child_token(&self) -> Self {
        let child = Self::with_parent(Some(self.0.clone()));
        let mut children = self.0.children.lock();
        if self.is_cancelled() {
            drop(children);
            // Relaxed: nobody else has it yet.
            child.0.cancelled.swap(true, Relaxed);
            return child;
        }
        if children.len() == children.capacity() {
            children.retain(|child| child.strong_count() > 0);
            // Room for as many as are left, so that sweeping costs each child a constant.
            let left = children.len();
            children.reserve(left.max(4));
        }
        children.push(Arc::downgrade(&child.0));
        drop(children);
        child
    }

    /// Asks everybody who has this token or one below it. Later calls change nothing.
    pub fn cancel(&self) {
        /// The nodes whose waiters are yet to be told.
        struct Untold(std::vec::IntoIter<Arc<Node>>);

        impl Untold {
            fn tell(&mut self) {
                self.0.by_ref().for_each(|node| node.notify.notify_waiters());
            }
        }

        impl Drop for Untold {
            fn drop(&mut self) {
                // Also when a waker panics.
                self.tell();
            }
        }

        let mut tree = vec![self.0.clone()];
        let mut asked = Vec::new();
        let mut at = 0;
        while let Some(node) = tree.get(at).cloned() {
            at += 1;
            // AcqRel: pairs with the Acquire in `is_cancelled`.
            if !node.cancelled.swap(true, AcqRel) {
                asked.push(node.clone());
            }
            tree.extend(node.children.lock().iter().filter_map(Weak::upgrade));
        }
        // All below each are cancelled: a list that is empty has nobody left to ask.
        tree.iter().for_each(|node| drop(std::mem::take(&mut *node.children.lock())));
        Untold(asked.into_iter()).tell();
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        // Acquire: pairs with the AcqRel in `cancel`.
        self.0.cancelled.load(Acquire)
    }

    /// Waits until it is cancelled.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn cancelled(&self) {
        spend_budget().await;
        let notified = self.0.notify.notified_as(WaitKind::Cancellation);
        // In this order: a request after this look notifies.
        if !self.is_cancelled() {
            notified.await;
        }
    }

    /// As [`cancelled`](Self::cancelled); the future keeps the token instead of borrowing it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost by dropping the future.
    pub async fn cancelled_owned(self) {
        self.cancelled().await;
    }

    /// As [`cancelled`](Self::cancelled), for code that is not async: blocks the thread.
    pub fn blocking_cancelled(&self) {
        block_on(self.cancelled());
    }

    /// Runs `future` until it ends or the token is cancelled; `None` then, and the future is dropped. If
    /// the token is cancelled already, the future is not polled; if both come at once, the future wins.
    ///
    /// # Cancel safety
    ///
    /// That of the future.
    pub async fn run_until_cancelled<F: Future>(&self, future: F) -> Option<F::Output> {
        if self.is_cancelled() {
            return None;
        }
        let mut future = pin!(future);
        let mut cancelled = pin!(self.cancelled());
        poll_fn(|cx| {
            let had_budget = budget::has_remaining();
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => Poll::Ready(Some(output)),
                Poll::Pending => {
                    budget::for_limit(had_budget, || cancelled.as_mut().poll(cx)).map(|()| None)
                }
            }
        })
        .await
    }

    /// As [`run_until_cancelled`](Self::run_until_cancelled), taking the token along.
    ///
    /// # Cancel safety
    ///
    /// That of the future.
    pub async fn run_until_cancelled_owned<F: Future>(self, future: F) -> Option<F::Output> {
        self.run_until_cancelled(future).await
    }

    /// A guard that cancels the token when it is dropped.
    pub fn drop_guard(self) -> DropGuard {
        DropGuard { token: Some(self) }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One level at a time: a long chain would otherwise be dropped on the stack.
        let mut parent = self.parent.take();
        while let Some(mut node) = parent.and_then(Arc::into_inner) {
            parent = node.parent.take();
        }
    }
}

impl Default for CancellationToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancellationToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellationToken").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// Cancels its token when dropped. Made by [`CancellationToken::drop_guard`].
#[derive(Debug)]
#[must_use = "dropping it cancels the token"]
pub struct DropGuard {
    /// `None` once it is disarmed.
    token: Option<CancellationToken>,
}

impl DropGuard {
    /// Gives the token back, not cancelled.
    pub fn disarm(mut self) -> CancellationToken {
        self.token.take().expect("taken here only")
    }
}

impl Drop for DropGuard {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            token.cancel();
        }
    }
}
