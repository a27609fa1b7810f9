//! Closures that block or compute, on the pool.

use super::spawn::in_runtime;
use crate::task::JoinHandle;
use std::panic::Location;

/// Runs `f` on a thread where it may block or compute for as long as it likes.
///
/// Threads are started as they are needed, up to
/// [`max_blocking_threads`](crate::runtime::Builder::max_blocking_threads); jobs beyond wait in a queue.
/// Aborting the handle drops `f` if it has not begun, and changes nothing if it has. A runtime that is
/// shut down cancels what is queued and waits for what runs.
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
