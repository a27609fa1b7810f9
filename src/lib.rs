//! A multi-threaded, work-stealing async runtime.
// What `internals` opens to the models is documented for readers of the source, not item by item.
#![cfg_attr(all(feature = "model", debug_assertions), allow(missing_docs))]

#[cfg(feature = "hyper")]
pub mod hyper;
pub mod io;
#[doc(hidden)]
pub mod macros;
pub mod net;
pub mod process;
pub mod runtime;
pub mod signal;
pub mod sync;
pub mod task;
pub mod time;

mod blocking;
mod driver;
mod primitive;
mod reactor;
mod scheduler;
mod tasks;
mod timer;
mod util;

#[cfg(feature = "macros")]
pub use reiver_macros::{main, test};
pub use task::{spawn, spawn_blocking};

/// The door through which the models in `loom-tests/` reach the parts: what is `pub` inside a
/// private module. It exists in model builds only and is no part of the API.
#[cfg(all(feature = "model", debug_assertions))]
#[doc(hidden)]
pub mod internals {
    pub mod blocking {
        pub use crate::blocking::*;
    }
    pub mod primitive {
        pub use crate::primitive::*;
    }
    pub mod reactor {
        pub use crate::reactor::*;
    }
    pub mod scheduler {
        pub use crate::scheduler::*;
    }
    pub mod signal {
        pub use crate::signal::{listeners::*, pending::*, post::*};
    }
    pub mod task {
        pub use crate::task::*;
    }
    pub mod tasks {
        pub use crate::tasks::members::Members;
    }
    pub mod timer {
        pub use crate::timer::*;
    }
    pub mod util {
        pub use crate::util::*;
    }
}
