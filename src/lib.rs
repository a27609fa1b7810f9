//! A multi-threaded, work-stealing async runtime in which every protocol between threads is
//! model-checked.
//!
//! ```
//! use reiver::time::{Duration, sleep};
//!
//! #[reiver::main]
//! async fn main() {
//!     let task = reiver::spawn(async {
//!         sleep(Duration::from_millis(1)).await;
//!         "slept"
//!     });
//!     let sum = reiver::task::spawn_blocking(|| (1..=1000u64).sum::<u64>());
//!     let (slept, sum) = reiver::join!(task, sum);
//!     assert_eq!((slept.unwrap(), sum.unwrap()), ("slept", 500_500));
//! }
//! ```
//!
//! # Where things are
//!
//! | to | see |
//! |---|---|
//! | start a runtime | [`main`](macro@main), [`test`](macro@test), [`runtime`] |
//! | spawn, gather, cancel, name and list tasks | [`task`] |
//! | block or compute without holding up others | [`task::spawn_blocking`], [`task::block_in_place`] |
//! | wait for several things | [`select!`], [`join!`], [`try_join!`] |
//! | send values, share state, limit | [`sync`] |
//! | sleep, give up after a time, tick, stop the clock in tests | [`time`] |
//! | TCP, UDP, Unix sockets, any descriptor | [`net`], [`io::unix::AsyncFd`] |
//! | read, write, buffer, copy | [`io`] |
//! | files, directories | [`fs`] |
//! | children, signals | [`process`], [`signal`] |
//! | streams | the feature `stream` |
//! | check that a test ends in time and leaves nothing behind | [`testing`] |
//! | compute in other processes, which may crash or be killed | the feature `offload` |
//! | hyper | the feature `hyper` |
//! | see tasks in `tracing` or tokio-console | the feature `tracing` |
//! | what you know from tokio or asyncio | [`docs`] |
//! | test every order of your tasks | [`docs::testing`] |
//!
//! Names are tokio's where the concept is tokio's: `tokio = { package = "reiver", … }` compiles for
//! ordinary programs. Everything is always on; tokio's feature names are accepted and change nothing.
//! How it works is in `src/ARCHITECTURE.md`.
//!
//! # What blocks
//!
//! A future must return soon from each poll: a worker polls one task at a time. What computes for long or
//! blocks its thread goes to [`task::spawn_blocking`]. When a task does
//! neither, its worker is *rescued* after some milliseconds: other threads go on with its other tasks, its timers
//! and its sockets, and the culprit is named on stderr ([`runtime::Builder::rescue`]). That is a safety net.
// What `internals` opens to the models is documented for readers of the source, not item by item.
#![cfg_attr(all(feature = "model", debug_assertions), allow(missing_docs))]

#[cfg(not(target_pointer_width = "64"))]
compile_error!("reiver counts in words of 64 bits: targets of 32 bits are not supported");

pub mod docs;
pub mod fs;
#[cfg(feature = "hyper")]
pub mod hyper;
pub mod io;
#[doc(hidden)]
pub mod macros;
pub mod net;
#[cfg(all(feature = "offload", target_os = "linux"))]
pub mod offload;
#[cfg(not(all(feature = "offload", target_os = "linux")))]
#[path = "offload/absent.rs"]
mod offload;
pub mod process;
pub mod runtime;
pub mod signal;
#[cfg(feature = "stream")]
pub mod stream;
pub mod sync;
pub mod task;
pub mod testing;
pub mod time;
#[cfg(not(feature = "model"))]
#[path = "macros/without_model.rs"]
mod unexplored;
#[cfg(all(feature = "model", not(debug_assertions)))]
#[path = "macros/without_debug.rs"]
mod unexplored;

mod blocking;
mod driver;
#[cfg(all(feature = "model", debug_assertions))]
mod explore;
mod group;
mod primitive;
mod reactor;
mod scheduler;
mod stdio;
mod tasks;
mod timer;
mod util;

#[cfg(all(feature = "offload", target_os = "linux"))]
pub use reiver_macros::offload;
#[cfg(feature = "macros")]
pub use reiver_macros::{main, model, sim, test};
pub use task::{spawn, spawn_blocking};

#[cfg(all(feature = "model", debug_assertions))]
pub use explore::{model, sim};

/// The door through which the models in `loom-tests/` reach the parts: what is `pub` inside a
/// private module. It exists in model builds only and is no part of the API.
#[cfg(all(feature = "model", debug_assertions))]
#[doc(hidden)]
pub mod internals {
    pub mod blocking {
        pub use crate::blocking::*;
    }
    pub mod driver {
        pub use crate::driver::{Driver, Turn};
        use crate::runtime::Handle;

        /// Makes the poller, as the first registration does.
        pub fn open(runtime: &Handle) {
            runtime.shared().driver.reactor.open().expect("a double needs no descriptor");
        }

        /// Whether nobody waits in the poller, and somebody should.
        pub fn is_deserted(runtime: &Handle) -> bool {
            runtime.shared().driver.is_deserted()
        }
    }
    pub mod explore {
        pub use crate::explore::choices;
    }
    pub mod offload {
        pub use crate::offload::offer::*;
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
        pub use crate::util::outbox::*;
        pub use crate::util::ring::*;
    }
}
