//! A multi-threaded, work-stealing async runtime.
#![allow(dead_code, unused_imports)] // while the parts arrive

mod primitive;
mod task;
mod timer;
mod util;

/// What models of `loom-tests/` reach; not part of the API.
#[cfg(all(feature = "model", debug_assertions))]
#[doc(hidden)]
pub mod internals {
    /// Timers.
    pub mod timer {
        pub use crate::timer::{Clock, Entry, Polled, Timers};
    }
}
