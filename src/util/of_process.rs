//! A static value of which each process has its own.
//!
//! A child by `fork` has a copy of its parent's statics, and none of the threads that they stand for: a queue that
//! nobody empties, a pool that has its one thread only by its count. So a value is known by the number of its
//! process, and a child makes another, behind its parent's. That stays: its locks may be held by threads that are not
//! here, and handlers of signals may have it.

use std::sync::OnceLock;

/// A static value of this process, made by the first who wants it.
#[derive(Debug)]
pub struct OfProcess<T>(OnceLock<Box<Made<T>>>);

#[derive(Debug)]
struct Made<T> {
    process: u32,
    value: T,
    /// A child's.
    next: OfProcess<T>,
}

impl<T> OfProcess<T> {
    /// Nobody has wanted it.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The last that was made, here or by a parent.
    fn last(&self) -> Option<&Made<T>> {
        let mut last = self.0.get()?;
        while let Some(next) = last.next.0.get() {
            last = next;
        }
        Some(last)
    }

    /// That of this process, if there is one. A handler of a signal may ask.
    pub fn get(&self) -> Option<&T> {
        let process = std::process::id();
        self.last().filter(|made| made.process == process).map(|made| &made.value)
    }

    /// That of this process.
    pub fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        let process = std::process::id();
        let place = match self.last() {
            Some(made) if made.process == process => return &made.value,
            Some(parents) => &parents.next.0,
            None => &self.0,
        };
        &place.get_or_init(|| Box::new(Made { process, value: make(), next: Self::new() })).value
    }

    /// That of the process whose child this is, if this one has none yet.
    pub fn parents(&self) -> Option<&T> {
        let process = std::process::id();
        self.last().filter(|made| made.process != process).map(|made| &made.value)
    }
}
