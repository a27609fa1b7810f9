//! What one thread can know of another: the system's word, or in a storm the storm's.

use super::super::real::watch as real;
use super::storm;
pub use real::Frame;
pub(crate) use real::{Sample, State, stack};

/// What the system calls the running thread.
pub(crate) fn thread_number() -> u32 {
    if storm::is_on() { storm::thread_number() } else { real::thread_number() }
}

/// What the thread does.
pub(crate) fn sample(thread: u32) -> Sample {
    if storm::is_on() { storm::sample(thread) } else { real::sample(thread) }
}

/// Whether there is a [`barrier`]. A storm's steps are in one order anyway.
pub(crate) fn has_barrier() -> bool {
    storm::is_on() || real::has_barrier()
}

/// A full memory barrier on every thread of this process.
pub(crate) fn barrier() -> bool {
    storm::point();
    storm::is_on() || real::barrier()
}
