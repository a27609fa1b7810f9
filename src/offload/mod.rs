//! Functions in other processes: CPU-bound work whose crash, leak or endless loop is its own.
//!
//! A function with [`#[reiver::offload]`](macro@crate::offload) stays an ordinary function, and can run in a worker
//! process:
//!
//! ```
//! #[reiver::offload]
//! fn is_prime(n: u64) -> bool {
//!     n > 1 && (2..).take_while(|d| d * d <= n).all(|d| n % d != 0)
//! }
//!
//! # reiver::runtime::Runtime::new().unwrap().block_on(async {
//! assert!(is_prime(31)); // here
//! assert!(is_prime::offload(1_000_003).await?); // in a worker of the default pool
//! # Ok::<(), reiver::offload::OffloadError>(())
//! # }).unwrap();
//! ```
//!
//! A [`ProcessPool`] has bounds, limits and an initialiser of its own; [`f::job(…)`](Job) is a call as a value, with a
//! timeout or a memory limit.
//!
//! # What a worker is
//!
//! The same executable, started again (see [`init`] for how it is caught before `main`), or a copy of such a process
//! that has run nothing of the program ([`Builder::template`]). It inherits standard
//! output, a pipe as error output, an empty input, and a few environment variables; no descriptor, no memory,
//! no secret. It cannot gain privileges, it ends when this process ends, and only functions with the attribute can be
//! called in it. Arguments and results go through a socket, encoded by serde and postcard; large byte buffers as
//! [`Blob`]s beside that.
//!
//! # What can go wrong
//!
//! One job fails: [`OffloadError`] says how, with the signal or the exit code, the worker and the end of its error
//! output. The next job goes to a new worker, which takes about half a millisecond to start.
//!
//! Workers do not share memory with the program: statics have the values that a fresh process gives them. (But for a
//! page that says which of a worker's jobs have begun.)
#![doc = include_str!("README.md")]

mod blob;
mod cgroup;
mod config;
mod context;
mod default;
mod error;
mod error_output;
mod frame;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod heritage;
mod inline;
mod job;
mod link;
mod listing;
mod map;
#[cfg(feature = "stream")]
mod map_stream;
pub(crate) mod offer;
mod orders;
mod outgoing;
mod page;
mod pool;
mod real_time;
mod registry;
mod shared;
mod slot;
mod spawn;
mod template;
mod worker;

/// What `offer` is made of: memory that two processes see holds nothing but bits.
use crate::primitive::bare::AtomicU64 as Word;

pub use blob::{Blob, BlobMut};
pub use config::{Builder, Chaos, Stdio};
pub use context::{JobContext, current_job};
pub use default::default_pool;
pub use error::{Failure, KillHint, OffloadError};
pub use job::Job;
pub use map::Map;
pub use pool::{Offload, ProcessPool, Running, Stats};
pub use worker::{in_worker, init, stop_requested};

/// What the attribute's expansion names.
#[doc(hidden)]
pub mod __private {
    pub use super::blob::Bytes;
    pub use super::default::run_on_default;
    pub use super::job::job;
    pub use super::registry::{Entry, Input, JOBS, Output};
    pub use linkme;
}

/// What `#[reiver::main]` calls first: becomes a worker if this is to be one and no constructor saw it.
#[doc(hidden)]
#[macro_export]
macro_rules! __start_of_main {
    () => {
        $crate::offload::init();
    };
}
