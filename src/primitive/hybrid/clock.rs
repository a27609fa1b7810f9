//! The clock: in a model it stands still until the model moves it, in a storm it is the storm's.
//!
//! loom does not see it, so two threads of one model that race by the clock are explored as if its
//! time were one more input: keep the call to [`advance`] in one thread, beside a step loom sees.

use super::{in_model, storm};
use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

std::thread_local! {
    /// How far this execution has moved its clock. All threads of a model share one OS thread.
    static ELAPSED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The current instant.
pub fn now() -> Instant {
    /// Where every execution starts.
    static START: OnceLock<Instant> = OnceLock::new();

    if in_model() {
        *START.get_or_init(Instant::now) + ELAPSED.with(Cell::get)
    } else if storm::is_on() {
        storm::now()
    } else {
        Instant::now()
    }
}

/// The instant that everything in this process counts from.
pub fn origin() -> Instant {
    crate::primitive::real::clock::origin()
}

/// Moves the clock of a model.
pub fn advance(by: Duration) {
    assert!(in_model(), "only a model moves its clock");
    ELAPSED.with(|elapsed| elapsed.set(elapsed.get() + by));
}

pub(super) fn reset() {
    ELAPSED.with(|elapsed| elapsed.set(Duration::ZERO));
}
