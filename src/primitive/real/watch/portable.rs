//! A system that says nothing of other threads.

use super::{Sample, State};

/// Nothing is known by it.
pub(crate) fn thread_number() -> u32 {
    0
}

/// Nothing.
pub(crate) fn sample(_: u32) -> Sample {
    Sample { cpu: None, state: State::Unknown }
}

/// Not here.
pub(crate) fn has_barrier() -> bool {
    false
}

/// Not carried out.
pub(crate) fn barrier() -> bool {
    false
}
