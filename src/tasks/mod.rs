//! What programs do with tasks: spawn them, name them, yield, block, gather. The public face is
//! [`reiver::task`](crate::task).

mod spawn;
mod yield_now;

pub use spawn::{Builder, block_in_place, id, spawn};
pub use yield_now::yield_now;
