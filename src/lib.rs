//! A multi-threaded, work-stealing async runtime.
#![allow(dead_code, unused_imports)] // while the parts arrive

pub mod io;
#[doc(hidden)]
pub mod macros;
mod primitive;
mod task;
mod util;

#[cfg(feature = "macros")]
pub use reiver_macros::{main, test};
