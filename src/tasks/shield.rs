//! Work that goes on when nobody waits for it any more.

use super::spawn::spawn_at;
use crate::task::{Given, JoinError};
use std::future::Future;
use std::panic::{Location, resume_unwind};

/// Runs a future as a task of its own that is not cancelled when this future is dropped, as asyncio's
/// `shield`.
///
/// Inside a [`scope`](crate::task::scope) it is outside: neither its requests nor its deadline reach
/// what is shielded. The shutdown of the runtime does.
///
/// # Panics
///
/// Outside a runtime. And with the panic of the future.
///
/// # Cancel safety
///
/// Dropped before its first poll, nothing runs. Dropped later, the future goes on, and its output is
/// lost.
///
/// # Examples
///
/// ```
/// use reiver::sync::oneshot;
/// use reiver::task::shield;
/// use reiver::time::{Duration, timeout};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let (go, gone) = oneshot::channel::<()>();
/// let (tx, rx) = oneshot::channel();
/// let save = shield(async move {
///     gone.await.unwrap();
///     tx.send("saved").unwrap();
/// });
/// assert!(timeout(Duration::from_millis(1), save).await.is_err());
/// go.send(()).unwrap();
/// assert_eq!(rx.await.unwrap(), "saved");
/// # });
/// ```
#[track_caller]
pub fn shield<F>(future: F) -> impl Future<Output = F::Output> + Send
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let location = Location::caller();
    async move {
        match spawn_at(future, Given::default(), location).await.map_err(JoinError::try_into_panic)
        {
            Ok(output) => output,
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(cancelled)) => panic!("{cancelled}: its runtime shut down"),
        }
    }
}
