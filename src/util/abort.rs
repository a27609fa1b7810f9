//! Turns a panic in a place that cannot survive one into an abort with a sentence.

/// Aborts the process if it is dropped while the thread unwinds.
///
/// Our own code between two steps of a protocol must not unwind: a task half moved is lost. A panic
/// there is a bug of ours, and a runtime that goes on without a task is worse than none.
pub(crate) struct AbortOnUnwind {
    place: &'static str,
    /// The thread unwound already before this: a runtime is dropped because of a panic.
    unwinding: bool,
}

impl AbortOnUnwind {
    /// Guards `place`, which the message names, until it is dropped.
    pub(crate) fn new(place: &'static str) -> Self {
        Self { place, unwinding: std::thread::panicking() }
    }
}

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.unwinding {
            eprintln!("reiver: a panic inside {}; aborting, since it cannot be undone", self.place);
            std::process::abort();
        }
    }
}
