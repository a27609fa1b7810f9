//! What programs do with tasks: spawn them, name them, yield, block, gather. The public face is
//! [`reiver::task`](crate::task).

mod blocking;
pub mod coop;
pub mod join_set;
mod local_set;
pub(crate) mod members;
mod spawn;
mod task_local;
mod yield_now;

pub use blocking::{TrySpawnBlockingError, spawn_blocking, submit_blocking, try_spawn_blocking};
/// Futures with names, for those who store them.
pub mod futures {
    pub use super::task_local::TaskLocalFuture;
}

pub use coop::{Unconstrained, consume_budget, unconstrained};
pub use join_set::JoinSet;
pub use local_set::{LocalEnterGuard, LocalSet, spawn_local};
pub use spawn::{Builder, block_in_place, id, spawn};
pub use task_local::{AccessError, LocalKey};
pub use yield_now::yield_now;
