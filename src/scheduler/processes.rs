//! Pools of worker processes, as their runtime knows them: what they do, what they have done, what was lost.
//!
//! The pools are of a higher layer. Each leaves a view of itself here and counts where the runtime can see it, so that
//! counts outlive their pool: a counter that goes back is taken for a restart by those who collect it.

use crate::primitive::atomic::{AtomicU64, Ordering::Relaxed};
use crate::primitive::{Arc, Mutex};
use crate::task::Id;
use std::fmt;
use std::sync::Weak;
use std::time::Duration;

/// A job in a worker process, or on its way there, described: see
/// [`Handle::offload_jobs`](crate::runtime::Handle::offload_jobs).
#[derive(Debug, Clone)]
pub struct OffloadJob {
    pub(crate) function: &'static str,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) task: Option<Id>,
    pub(crate) worker: Option<u32>,
    pub(crate) age: Option<Duration>,
}

impl OffloadJob {
    /// The function: `crate::module::name`.
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// The job's own name, or else that of the task that submitted it.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The task that waits for it.
    pub fn task(&self) -> Option<Id> {
        self.task
    }

    /// The process that has it; `None` in the queue, and in a pool without processes.
    pub fn worker(&self) -> Option<u32> {
        self.worker
    }

    /// For how long a worker has had it; `None` in the queue.
    pub fn age(&self) -> Option<Duration> {
        self.age
    }
}

/// As one line: `offload job app::resize "img-42", in worker 4711 (3.2 s)`.
impl fmt::Display for OffloadJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "offload job {}", self.function)?;
        if let Some(name) = &self.name {
            write!(f, " {name:?}")?;
        }
        match (self.worker, self.age) {
            (Some(worker), Some(age)) => write!(f, ", in worker {worker} ({age:.1?})"),
            (None, Some(age)) => write!(f, ", in this process ({age:.1?})"),
            (_, None) => f.write_str(", is queued"),
        }
    }
}

/// What has happened in a pool. Relaxed, all of them: nobody acts on what they say.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) started: AtomicU64,
    pub(crate) start_failures: AtomicU64,
    pub(crate) recycled: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) abandoned: AtomicU64,
    pub(crate) lost: AtomicU64,
}

/// What the pools of a runtime do, and what they and their predecessors have done: see
/// [`RuntimeMetrics::offload`](crate::runtime::RuntimeMetrics::offload).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffloadMetrics {
    /// Workers that are ready or busy.
    pub workers: usize,
    /// Workers that wait for a job.
    pub idle: usize,
    /// Jobs that workers have.
    pub running: usize,
    /// Jobs in the queues.
    pub queued: usize,
    /// Workers started.
    pub started: u64,
    /// Starts that went wrong.
    pub start_failures: u64,
    /// Workers replaced in good order.
    pub recycled: u64,
    /// Jobs that gave a value.
    pub completed: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs with a value that could not be encoded or decoded, or was too large.
    pub failed: u64,
    /// Jobs killed because they ran too long.
    pub timed_out: u64,
    /// Jobs killed because their caller was gone.
    pub abandoned: u64,
    /// Jobs whose worker was lost.
    pub lost: u64,
}

impl OffloadMetrics {
    fn add(&mut self, counts: &Counts) {
        // Relaxed: see `Counts`.
        self.started += counts.started.load(Relaxed);
        self.start_failures += counts.start_failures.load(Relaxed);
        self.recycled += counts.recycled.load(Relaxed);
        self.completed += counts.completed.load(Relaxed);
        self.panicked += counts.panicked.load(Relaxed);
        self.failed += counts.failed.load(Relaxed);
        self.timed_out += counts.timed_out.load(Relaxed);
        self.abandoned += counts.abandoned.load(Relaxed);
        self.lost += counts.lost.load(Relaxed);
    }
}

/// What a pool shows of itself.
pub(crate) trait Processes: Send + Sync {
    /// Its jobs, those with workers first, and its workers: how many, and how many of them have no job.
    fn look(&self) -> (Vec<OffloadJob>, usize, usize);
}

/// The pools of one runtime.
#[derive(Default)]
pub(crate) struct ProcessPools(Mutex<State>);

#[derive(Default)]
struct State {
    pools: Vec<(Weak<dyn Processes>, Arc<Counts>)>,
    /// What pools have done that are no more.
    before: OffloadMetrics,
    /// Jobs that ended with the runtime.
    lost: Vec<OffloadJob>,
}

impl ProcessPools {
    #[allow(dead_code)] // by the feature `offload` only, as `note_lost`
    pub(crate) fn add(&self, pool: Weak<dyn Processes>, counts: Arc<Counts>) {
        let mut state = self.0.lock();
        let State { pools, before, .. } = &mut *state;
        pools.retain(|(pool, counts)| {
            // Nobody counts there any more.
            let ended = pool.strong_count() == 0 && Arc::strong_count(counts) == 1;
            if ended {
                before.add(counts);
            }
            !ended
        });
        pools.push((pool, counts));
    }

    fn live(&self) -> Vec<Arc<dyn Processes>> {
        self.0.lock().pools.iter().filter_map(|(pool, _)| pool.upgrade()).collect()
    }

    /// The jobs of all pools, those that run the longest first, then the queues.
    pub(crate) fn jobs(&self) -> Vec<OffloadJob> {
        let mut jobs: Vec<_> = self.live().iter().flat_map(|pool| pool.look().0).collect();
        jobs.sort_by_key(|job| std::cmp::Reverse(job.age));
        jobs
    }

    pub(crate) fn metrics(&self) -> OffloadMetrics {
        let mut sum = {
            let state = self.0.lock();
            let mut sum = state.before.clone();
            state.pools.iter().for_each(|(_, counts)| sum.add(counts));
            sum
        };
        // Outside the lock: the last owner of a pool may be one of these.
        for pool in self.live() {
            let (jobs, workers, idle) = pool.look();
            let running = jobs.iter().filter(|job| job.age.is_some()).count();
            sum.workers += workers;
            sum.idle += idle;
            sum.running += running;
            sum.queued += jobs.len() - running;
        }
        sum
    }

    /// Notes jobs that end because the runtime does.
    #[allow(dead_code)]
    pub(crate) fn note_lost(&self, jobs: impl IntoIterator<Item = OffloadJob>) {
        self.0.lock().lost.extend(jobs);
    }

    /// The jobs that ended with the runtime, and those that are still there.
    pub(crate) fn take_lost(&self) -> Vec<OffloadJob> {
        let mut lost = std::mem::take(&mut self.0.lock().lost);
        lost.extend(self.jobs());
        lost.sort_by_key(|job| std::cmp::Reverse(job.age));
        lost
    }
}
