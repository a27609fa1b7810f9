//! A multi-threaded, work-stealing async runtime.
#![allow(dead_code, unused_imports)] // while the parts arrive

pub mod runtime;
pub mod task;

mod driver;
mod primitive;
mod scheduler;
mod tasks;
mod util;

pub use task::spawn;
