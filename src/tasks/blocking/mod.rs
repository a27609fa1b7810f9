//! Closures that block or compute: on the runtime's pool, or on a [`Pool`] of one's own.

mod pool;
mod stop;

pub use pool::{Builder, Pool};
pub use stop::{StopToken, stop_requested};

use crate::blocking::{self, Refused};
use crate::primitive::Arc;
use crate::runtime::in_runtime;
use crate::scheduler::Shared;
use crate::task::JoinHandle;
use std::fmt;
use std::future::Future;
use std::panic::Location;

/// Runs `f` on a thread where it may block or compute for as long as it likes.
///
/// Threads are started as they are needed, up to
/// [`max_blocking_threads`](crate::runtime::Builder::max_blocking_threads); jobs beyond wait in a queue.
/// Aborting the handle drops `f` if it has not begun; if it has, [`stop_requested`] tells it, and it ends when it
/// returns. A runtime that is shut down cancels what is queued, tells what runs, and waits for it.
///
/// # Panics
///
/// Outside a runtime; and if the pool has no thread yet and the system refuses to start one.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let sum: u64 = reiver::task::spawn_blocking(|| (0..1_000_000u64).sum()).await.unwrap();
/// assert_eq!(sum, 499_999_500_000);
/// # });
/// ```
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let location = Location::caller();
    in_runtime(|runtime| runtime.spawn_blocking(f, None, location))
}

/// As [`spawn_blocking`], unless the pool's queue is full: then the closure comes back.
///
/// # Errors
///
/// [`TrySpawnBlockingError`]: the queue has
/// [`max_blocking_queue`](crate::runtime::Builder::max_blocking_queue) jobs, or the pool has no thread
/// and the system refuses to start one.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// let runtime = reiver::runtime::Builder::new_multi_thread()
///     .max_blocking_threads(1)
///     .max_blocking_queue(1)
///     .build()?;
/// runtime.block_on(async {
///     let job = reiver::task::try_spawn_blocking(|| 2 + 2).expect("the queue is empty");
///     assert_eq!(job.await.unwrap(), 4);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn try_spawn_blocking<F, R>(f: F) -> Result<JoinHandle<R>, TrySpawnBlockingError<F>>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let location = Location::caller();
    in_runtime(|runtime| try_spawn_in(runtime, &runtime.pool, f, location))
}

fn try_spawn_in<F, R>(
    runtime: &Arc<Shared>,
    pool: &blocking::Pool,
    f: F,
    location: &'static Location<'static>,
) -> Result<JoinHandle<R>, TrySpawnBlockingError<F>>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if runtime.is_explored() {
        return Ok(runtime.spawn_blocking(f, None, location));
    }
    let spec = runtime.blocking_spec(None, location);
    let announced = spec.announced;
    let spawned = pool.try_spawn(spec, f).inspect_err(|_| {
        if announced {
            runtime.release_clock();
        }
    });
    spawned.map_err(TrySpawnBlockingError)
}

/// As [`spawn_blocking`], after waiting until the pool's queue has room.
///
/// # Cancel safety
///
/// Until it returns the handle, dropping it drops `f`, and nothing has run.
///
/// # Panics
///
/// As [`spawn_blocking`].
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let job = reiver::task::submit_blocking(|| "done").await;
/// assert_eq!(job.await.unwrap(), "done");
/// # });
/// ```
#[track_caller]
#[allow(clippy::async_yields_async)] // the caller awaits the job, or does not
pub fn submit_blocking<F, R>(f: F) -> impl Future<Output = JoinHandle<R>>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let location = Location::caller();
    async move {
        let runtime = in_runtime(Arc::clone);
        submit_in(&runtime, &runtime.pool, f, location).await
    }
}

async fn submit_in<F, R>(
    runtime: &Arc<Shared>,
    pool: &blocking::Pool,
    f: F,
    location: &'static Location<'static>,
) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    if runtime.is_explored() {
        return runtime.spawn_blocking(f, None, location);
    }
    let place = pool.place().await;
    match place.spawn(runtime.blocking_spec(None, location), f) {
        Ok(handle) => handle,
        Err(refused) => panic!("{refused}"),
    }
}

/// A job that was not spawned; the closure is inside.
pub struct TrySpawnBlockingError<F>(Refused<F>);

impl<F> TrySpawnBlockingError<F> {
    /// Whether the queue is full. Otherwise the system refused the pool's first thread.
    pub fn is_full(&self) -> bool {
        matches!(self.0, Refused::Full(_))
    }

    /// The closure.
    pub fn into_inner(self) -> F {
        self.0.into_closure()
    }
}

impl<F> fmt::Debug for TrySpawnBlockingError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<F> fmt::Display for TrySpawnBlockingError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<F> std::error::Error for TrySpawnBlockingError<F> {}
