//! How a job hears that it should stop.
//!
//! A job that runs cannot be taken off its thread; it can look whether anybody still wants it. What it looks at is
//! there already: the bit that `abort` sets in its task's word, and whether its runtime is shut down.

use crate::runtime::Handle;
use crate::task::AbortHandle;

/// Whether the blocking job or the task that calls this should stop: its handle was aborted, or its runtime is
/// being shut down. A job that computes for long looks now and then, and returns.
///
/// # Examples
///
/// ```
/// use reiver::task::{spawn_blocking, stop_requested};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let (begun, has_begun) = reiver::sync::oneshot::channel();
/// let job = spawn_blocking(move || {
///     begun.send(()).unwrap();
///     (0u64..).find(|_| stop_requested())
/// });
/// has_begun.await.unwrap();
/// job.abort();
/// assert!(job.await.unwrap().is_some());
/// # });
/// ```
pub fn stop_requested() -> bool {
    StopToken::current().is_stop_requested()
}

/// What [`stop_requested`] looks at, for other threads that work for a job.
#[derive(Debug, Clone)]
pub struct StopToken {
    task: Option<AbortHandle>,
    runtime: Option<Handle>,
}

impl StopToken {
    /// That of the job or task that calls this. Outside of both it never asks to stop.
    pub fn current() -> Self {
        let task = AbortHandle::of_current();
        let runtime = task.as_ref().and_then(|_| Handle::try_current().ok());
        Self { task, runtime }
    }

    /// Whether the job should stop.
    pub fn is_stop_requested(&self) -> bool {
        self.task.as_ref().is_some_and(AbortHandle::was_aborted)
            || self.runtime.as_ref().is_some_and(|runtime| runtime.shared().is_closed())
    }
}
