//! The default pool: one for each runtime that asks for it.
//!
//! Its workers hang on the runtime's reactor, and end with the runtime: so each test with a runtime of its own has
//! a pool of its own.

use super::job::Job;
use super::pool::{ProcessPool, Running};
use crate::primitive::StaticMutex;
use crate::runtime::Handle;

/// The default pools of the runtimes that run, or have run until lately.
static POOLS: StaticMutex<Vec<ProcessPool>> = StaticMutex::new(Vec::new());

/// The default pool of the current runtime. It is made at the first call, with the settings that
/// [`ProcessPool::builder`] begins with.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub fn default_pool() -> ProcessPool {
    let runtime = Handle::current();
    if let Some(pool) = find(&POOLS.lock(), &runtime) {
        return pool;
    }
    let pool = ProcessPool::new(ProcessPool::builder(), runtime.clone());
    let (pool, ended) = {
        let mut pools = POOLS.lock();
        // Another thread may have been faster.
        let pool = find(&pools, &runtime).unwrap_or(pool);
        let (ended, mut live): (Vec<_>, Vec<_>) = pools.drain(..).partition(ProcessPool::is_closed);
        if !live.iter().any(|other| other.belongs_to(&runtime)) {
            live.push(pool.clone());
        }
        *pools = live;
        (pool, ended)
    };
    // Outside the lock.
    drop(ended);
    pool
}

fn find(pools: &[ProcessPool], runtime: &Handle) -> Option<ProcessPool> {
    pools.iter().find(|pool| pool.belongs_to(runtime)).cloned()
}

/// What the attribute's `offload` calls. The runtime is that of the first poll.
pub fn run_on_default<R>(job: Job<R>) -> Running<R> {
    ProcessPool::on(default_pool, job, true)
}
