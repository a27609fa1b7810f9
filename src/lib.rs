//! A multi-threaded, work-stealing async runtime.
#![allow(dead_code, unused_imports)] // while the parts arrive

mod blocking;
mod primitive;
mod task;
mod util;
