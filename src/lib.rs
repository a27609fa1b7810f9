//! A multi-threaded, work-stealing async runtime.
#![allow(dead_code, unused_imports)] // while the parts arrive

mod primitive;
pub mod sync;
mod task;
mod util;
