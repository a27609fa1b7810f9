//! A handle whose task ends with it.

use crate::task::{AbortHandle, Id, JoinError, JoinHandle};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A [`JoinHandle`] that aborts its task when dropped, instead of letting it go on. As
/// `tokio_util::task::AbortOnDropHandle`.
///
/// # Cancel safety
///
/// Awaiting `&mut handle` and dropping that future loses nothing; dropping the handle aborts.
///
/// # Examples
///
/// ```
/// use reiver::task::AbortOnDropHandle;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let task = reiver::spawn(std::future::pending::<()>());
/// let stop = task.abort_handle();
/// drop(AbortOnDropHandle::new(task));
/// while !stop.is_finished() {
///     reiver::task::yield_now().await;
/// }
/// # });
/// ```
#[derive(Debug)]
#[must_use = "dropping it aborts the task"]
pub struct AbortOnDropHandle<T> {
    /// `None` once it is detached.
    handle: Option<JoinHandle<T>>,
}

impl<T> AbortOnDropHandle<T> {
    /// Ties the task to this handle.
    pub fn new(handle: JoinHandle<T>) -> Self {
        Self { handle: Some(handle) }
    }

    /// As [`JoinHandle::abort`].
    pub fn abort(&self) {
        self.inner().abort();
    }

    /// A handle that can only abort.
    pub fn abort_handle(&self) -> AbortHandle {
        self.inner().abort_handle()
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.inner().is_finished()
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.inner().id()
    }

    /// Gives the ordinary handle back; the task goes on without it.
    pub fn detach(mut self) -> JoinHandle<T> {
        self.handle.take().expect("taken here only")
    }

    fn inner(&self) -> &JoinHandle<T> {
        self.handle.as_ref().expect("taken by `detach` only")
    }
}

impl<T> Future for AbortOnDropHandle<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(self.handle.as_mut().expect("taken by `detach` only")).poll(cx)
    }
}

impl<T> AsRef<JoinHandle<T>> for AbortOnDropHandle<T> {
    fn as_ref(&self) -> &JoinHandle<T> {
        self.inner()
    }
}

impl<T> From<JoinHandle<T>> for AbortOnDropHandle<T> {
    fn from(handle: JoinHandle<T>) -> Self {
        Self::new(handle)
    }
}

impl<T> Drop for AbortOnDropHandle<T> {
    fn drop(&mut self) {
        if let Some(handle) = &self.handle {
            handle.abort();
        }
    }
}
