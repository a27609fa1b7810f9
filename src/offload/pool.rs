//! The pool as programs see it. What its slots share is in `shared.rs`.

use super::config::Builder;
use super::error::{Failure, OffloadError};
use super::job::{Call, Decode, Job};
use super::real_time::Held;
use super::registry::Message;
use super::shared::Shared;
use super::slot;
use crate::primitive::Arc;
use crate::runtime::Handle;
use crate::task;
use crate::time::Instant;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// A pool of worker processes.
///
/// Clones are the same pool. Workers are started as jobs come; they end with the last clone, after
/// [`close`](Self::close), or with the runtime that the pool was made on. A job that is running when the pool
/// ends this way is killed, and gives [`Failure::PoolClosed`].
#[derive(Clone)]
pub struct ProcessPool(Arc<Owner>);

/// Ends the pool when dropped. Not `Shared` itself, which the slots keep.
struct Owner(Arc<Shared>);

/// What a pool has done and does: see [`ProcessPool::stats`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The processes of the workers that are ready or busy.
    pub workers: Vec<u32>,
    /// Workers that wait for a job.
    pub idle: usize,
    /// Jobs in the queue.
    pub queued: usize,
    /// Workers started in all.
    pub started: u64,
    /// Starts that went wrong, and workers that ended before their first job.
    pub start_failures: u64,
    /// Jobs that gave a value.
    pub completed: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs whose arguments or result could not be encoded or decoded, or were too large.
    pub failed: u64,
    /// Jobs killed because they ran too long.
    pub timed_out: u64,
    /// Jobs killed because their caller was gone.
    pub abandoned: u64,
    /// Workers lost with a job: killed by others, exited, broken.
    pub lost: u64,
    /// Workers replaced in good order.
    pub recycled: u64,
    /// No worker could be started lately; the pool waits before it tries again.
    pub backing_off: bool,
}

/// Where jobs can run. The pool is one; others may send the same jobs elsewhere.
pub trait Offload {
    /// Runs a job.
    fn run<R: 'static>(&self, job: Job<R>) -> Running<R>;
}

/// A job that runs, or waits: a future of its result.
///
/// # Cancel safety
///
/// Dropping it takes the job out of the queue, or kills the worker that runs it.
#[must_use = "nothing is submitted before the first poll"]
pub struct Running<R> {
    frame: Pin<Box<dyn Future<Output = Result<Message, OffloadError>> + Send>>,
    decode: Decode<R>,
    function: &'static str,
}

impl<R> Future for Running<R> {
    type Output = Result<R, OffloadError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.frame.as_mut().poll(cx).map(|message| {
            (self.decode)(message?).map_err(|error| {
                let text = format!("its result: {error}");
                OffloadError::new(self.function, Failure::Codec(text)).after_run()
            })
        })
    }
}

impl<R> fmt::Debug for Running<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("function", &self.function).finish_non_exhaustive()
    }
}

impl ProcessPool {
    /// Sets up a pool.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(super) fn new(config: Builder, runtime: Handle) -> Self {
        Self(Arc::new(Owner(Shared::new(config, runtime))))
    }

    /// Runs a job: waits for room in the queue, for a worker, and for the result.
    ///
    /// # Errors
    ///
    /// [`OffloadError`] if the job gave no value: see [`Failure`] for the ways.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the job out of the queue, or kills the worker that runs it.
    pub fn run<R>(&self, job: Job<R>) -> Running<R> {
        self.start(job, true)
    }

    /// As [`run`](Self::run), and gives [`Failure::QueueFull`] instead of waiting for room.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), and [`Failure::QueueFull`].
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub fn try_run<R>(&self, job: Job<R>) -> Running<R> {
        self.start(job, false)
    }

    fn start<R>(&self, job: Job<R>, wait: bool) -> Running<R> {
        let pool = self.clone();
        Self::on(move || pool, job, wait)
    }

    /// Runs a job on the pool that `pool` gives when it is polled first.
    pub(super) fn on<R>(
        pool: impl FnOnce() -> Self + Send + 'static,
        job: Job<R>,
        wait: bool,
    ) -> Running<R> {
        let (call, decode) = job.into_parts();
        let function = call.entry.name();
        let frame = Box::pin(async move { pool().attempts(call, wait).await });
        Running { frame, decode, function }
    }

    async fn attempts(&self, mut call: Call, wait: bool) -> Result<Message, OffloadError> {
        let shared = &self.0.0;
        call.adopt();
        let own = call.options.deadline.and_then(|time| Instant::now().checked_add(time));
        // That of the scope around the caller, too.
        let expires = own.into_iter().chain(task::deadline()).min();
        let _held = Held::new(&shared.runtime);
        let mut left = call.options.retries;
        loop {
            match shared.submit(call.clone(), expires, wait).await {
                Ok(frame) => return Ok(slot::message(frame)),
                Err(error) if left == 0 || !error.is_retryable() => return Err(error),
                Err(error) if matches!(error.failure(), Failure::QueueFull) => return Err(error),
                Err(_) => left -= 1,
            }
        }
    }

    /// Ends the pool: refuses new jobs, waits for the others up to `patience`, and kills what runs then. `true`:
    /// nothing had to be killed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the pool closed, with its jobs running.
    pub async fn close(&self, patience: Duration) -> bool {
        let shared = &self.0.0;
        shared.refuse();
        if crate::time::timeout(patience, shared.all_gone()).await.is_ok() {
            return true;
        }
        shared.abort();
        shared.all_gone().await;
        false
    }

    /// What the pool has done and does.
    pub fn stats(&self) -> Stats {
        self.0.0.stats()
    }

    pub(super) fn belongs_to(&self, runtime: &Handle) -> bool {
        Arc::ptr_eq(self.0.0.runtime.shared(), runtime.shared())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.0.is_closed()
    }

    /// How many jobs can be on their way at a time without waiting for each other.
    pub(super) fn width(&self) -> usize {
        self.0.0.config.workers * 2
    }
}

impl Offload for ProcessPool {
    fn run<R: 'static>(&self, job: Job<R>) -> Running<R> {
        self.start(job, true)
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProcessPool").field(&self.stats()).finish()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.refuse();
        self.0.abort();
    }
}
