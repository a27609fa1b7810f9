//! The runtime of timers that are polled outside of all runtimes: one thread, from the first of them on.
//!
//! A timer that was made inside of a runtime may be polled by a thread that knows of none: the body of a response of
//! `reqwest::blocking` has one. With tokio it fires, since it is bound to a runtime when it is made; ours are bound by
//! their first wait, so that a `timeout` around what is ready costs nothing.

use super::Shared;
use super::rescue::Settings;
use crate::blocking::{Calls, Config, Pool};
use crate::primitive::{Arc, in_model, thread};
use crate::util::of_process::OfProcess;

static OUTSIDE: OfProcess<Arc<Shared>> = OfProcess::new();

/// Who looks after timers here, where no runtime is.
///
/// # Panics
///
/// In a model, where nothing outlives a run; and if the system gives no thread.
pub(crate) fn outside() -> &'static Arc<Shared> {
    assert!(!in_model(), "a timer was polled outside a reiver runtime");
    OUTSIDE.get_or_init(|| {
        // It has no jobs.
        let no_thread = |_| Err(std::io::ErrorKind::Unsupported.into());
        let pool = |_| Pool::new(Config::default(), Calls::new(no_thread));
        let (shared, seats) = Shared::new(1, Settings::off(), pool);
        let thread = |_| thread::Builder::new().name("reiver-timers".into());
        let started = shared.start(seats, thread, |body| body());
        started.expect("the system gives no thread for timers that are polled outside a runtime");
        shared
    })
}
