//! The clock, for tests.

use crate::primitive::Arc;
use crate::scheduler::{self, Shared};
use crate::tasks::yield_now;
use std::time::Duration;

#[track_caller]
fn with_current<R>(f: impl FnOnce(&Arc<Shared>) -> R) -> R {
    match scheduler::with_runtime(|runtime| runtime.map(f)) {
        Some(result) => result,
        // Not in the closure, which does not know who called.
        None => panic!("the clock belongs to a runtime, and this thread is in none"),
    }
}

/// Stops the clock of the current runtime, for all its workers.
///
/// While it stands and everything sleeps, it jumps to the next timer by itself; a blocking job that
/// runs holds it.
///
/// # Panics
///
/// Outside a runtime, and if the clock stands already.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::time::{self, Duration, Instant};
/// time::pause();
/// let start = Instant::now();
/// time::sleep(Duration::from_secs(60)).await;
/// assert!(start.elapsed() >= Duration::from_secs(60));
/// # });
/// ```
#[track_caller]
pub fn pause() {
    assert!(with_current(|runtime| runtime.driver.clock().pause()), "the clock is paused already");
}

/// Lets the clock of the current runtime run again, from where it stands.
///
/// # Panics
///
/// Outside a runtime, and if the clock is not paused.
#[track_caller]
pub fn resume() {
    assert!(with_current(|runtime| runtime.driver.clock().resume()), "the clock is not paused");
}

/// Moves the paused clock forward by `duration` and lets the tasks run whose timers are due then.
///
/// # Panics
///
/// Outside a runtime, and if the clock is not paused.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// use reiver::time::{self, Duration, Instant};
/// time::pause();
/// let start = Instant::now();
/// time::advance(Duration::from_secs(5)).await;
/// assert_eq!(start.elapsed(), Duration::from_secs(5));
/// # });
/// ```
pub async fn advance(duration: Duration) {
    let moved = with_current(|runtime| runtime.advance_clock(duration));
    assert!(moved, "the clock is not paused");
    yield_now().await;
}
