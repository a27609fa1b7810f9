//! What programs do with tasks: spawn them, name them, yield, block, gather. The public face is
//! [`reiver::task`](crate::task).

mod abort_on_drop;
pub mod blocking;
pub mod coop;
mod gather;
mod inherited;
mod join_map;
pub mod join_set;
pub(crate) mod local_runtime;
mod local_set;
pub(crate) mod members;
mod shield;
mod spawn;
mod task_local;
mod yield_now;

pub use abort_on_drop::AbortOnDropHandle;
pub use blocking::{
    StopToken, TrySpawnBlockingError, spawn_blocking, stop_requested, submit_blocking,
    try_spawn_blocking,
};
/// Futures with names, for those who store them.
pub mod futures {
    pub use super::task_local::TaskLocalFuture;
}

pub use coop::{Unconstrained, consume_budget, unconstrained};
pub use gather::{
    AsCompleted, Gather, When, as_completed, gather, gather_results, try_gather, wait, wait_until,
};
pub use inherited::{InheritedFuture, InheritedKey};
pub use join_map::JoinMap;
pub use join_set::JoinSet;
pub use local_set::{LocalEnterGuard, LocalSet, spawn_local};
pub use shield::shield;
pub use spawn::{Builder, all_tasks, block_in_place, id, spawn};
/// The macro, for `group`; programs find it at the root.
pub(crate) use task_local::task_local;
pub use task_local::{AccessError, LocalKey};
pub use yield_now::yield_now;
