//! What the code inside a scope inherits: a token by which it is asked to stop, a deadline, and how
//! long it may take to clean up.
//!
//! It is a task-local that [`Group`](super::Group) gives to its tasks. A task that is spawned otherwise
//! does not inherit it: it outlives the scope, so the scope's end is not its own.

use crate::sync::CancellationToken;
use crate::tasks::task_local;
use crate::time::error::Elapsed;
use crate::time::{Instant, timeout, timeout_at};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

task_local! {
    static AMBIENT: Ambient;
}

#[derive(Clone)]
pub(super) struct Ambient {
    pub(super) token: CancellationToken,
    pub(super) deadline: Option<Instant>,
    pub(super) grace: Duration,
}

impl Ambient {
    /// A scope inside the current one: cancelled with it, and over no later.
    pub(super) fn inner(deadline: Option<Instant>, grace: Option<Duration>) -> Self {
        match AMBIENT.try_get() {
            Ok(outer) => Self {
                token: outer.token.child_token(),
                deadline: deadline.into_iter().chain(outer.deadline).min(),
                grace: grace.unwrap_or(outer.grace),
            },
            Err(_) => Self {
                token: CancellationToken::new(),
                deadline,
                grace: grace.unwrap_or(Duration::ZERO),
            },
        }
    }

    /// Runs a future inside this scope.
    pub(super) fn enter<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        AMBIENT.scope(self.clone(), future)
    }
}

/// When the innermost scope around this code is over, that of the scopes around it counted in; `None`
/// without a deadline.
///
/// # Examples
///
/// ```
/// use reiver::task::{deadline, timeout_scope};
/// use std::time::Duration;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// assert_eq!(deadline(), None);
/// let (outer, inner) = timeout_scope(Duration::from_secs(1), async {
///     (deadline(), timeout_scope(Duration::from_secs(9), async { deadline() }).await.unwrap())
/// }).await.unwrap();
/// assert_eq!(inner, outer);
/// # });
/// ```
pub fn deadline() -> Option<Instant> {
    AMBIENT.try_with(|ambient| ambient.deadline).ok().flatten()
}

/// The token of the scope around this code; outside of scopes one that nobody cancels.
///
/// # Examples
///
/// ```
/// use reiver::task::{Group, cancellation_token, scope};
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let done = scope(async |group: Group| {
///     let token = cancellation_token();
///     group.cancel();
///     Ok(token.is_cancelled())
/// });
/// assert!(done.await.unwrap());
/// # });
/// ```
pub fn cancellation_token() -> CancellationToken {
    AMBIENT.try_with(|ambient| ambient.token.clone()).unwrap_or_default()
}

/// Waits until the scope around this code is asked to stop; for ever outside of scopes.
///
/// # Cancel safety
///
/// Nothing is lost by dropping the future.
pub async fn cancelled() {
    cancellation_token().cancelled_owned().await;
}

/// Whether the scope around this code was asked to stop.
pub fn cancel_requested() -> bool {
    AMBIENT.try_with(|ambient| ambient.token.is_cancelled()).unwrap_or(false)
}

/// Gives `future` at most `limit`, and lets everything inside know: [`deadline`] says until when, scopes
/// and groups inside are over no later, and [`cancelled`] says when it is.
///
/// At the deadline the future is asked to stop. It may go on for the grace period of the scope around
/// this one, if that has any, and is dropped then.
///
/// # Errors
///
/// [`Elapsed`], if the time is over first.
///
/// # Panics
///
/// When it has to wait outside a runtime.
///
/// # Cancel safety
///
/// That of the future.
pub async fn timeout_scope<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let now = Instant::now();
    match now.checked_add(limit) {
        Some(deadline) => timeout_scope_at(deadline, future).await,
        // Beyond what the clock can express: no limit.
        None => Ok(Ambient::inner(None, None).enter(future).await),
    }
}

/// As [`timeout_scope`], until `deadline`.
///
/// # Errors
///
/// [`Elapsed`], if the deadline comes first.
///
/// # Cancel safety
///
/// That of the future.
pub async fn timeout_scope_at<F: Future>(
    deadline: Instant,
    future: F,
) -> Result<F::Output, Elapsed> {
    let inner = Ambient::inner(Some(deadline), None);
    // That of the scope around it may be earlier; but that is the other's to enforce.
    let mut future = pin!(inner.enter(future));
    if let Ok(output) = timeout_at(deadline, future.as_mut()).await {
        return Ok(output);
    }
    inner.token.cancel();
    timeout(inner.grace, future).await
}
