//! What a runtime counts, always on: each worker counts on its own cache lines.

mod prometheus;

use super::{Histogram, OffloadMetrics};
use crate::primitive::Arc;
use crate::scheduler::{Shared, WorkerCounters};
use std::fmt;
use std::os::fd::RawFd;
use std::time::Duration;

/// A view of a runtime's counters. Every call reads them anew; names are tokio's.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let metrics = reiver::runtime::Handle::current().metrics();
/// let task = reiver::spawn(std::future::pending::<()>());
/// assert_eq!(metrics.num_alive_tasks(), 1);
/// task.abort();
/// # });
/// ```
#[derive(Clone)]
pub struct RuntimeMetrics(Arc<Shared>);

impl RuntimeMetrics {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    #[track_caller]
    fn worker(&self, worker: usize) -> WorkerCounters {
        assert!(worker < self.num_workers(), "worker {worker} of {}", self.num_workers());
        self.0.counters(worker)
    }

    /// The number of workers: 1 for a current-thread runtime.
    pub fn num_workers(&self) -> usize {
        self.0.workers().max(1)
    }

    /// Tasks that have been spawned and have not ended.
    pub fn num_alive_tasks(&self) -> usize {
        self.0.live_tasks()
    }

    /// Tasks ever spawned.
    pub fn spawned_tasks_count(&self) -> u64 {
        self.0.spawned_tasks()
    }

    /// Timers that are set.
    pub fn num_timers(&self) -> usize {
        self.0.driver.timers.len()
    }

    /// Descriptors that are registered with the poller.
    pub fn num_io_sources(&self) -> usize {
        self.0.driver.reactor.len()
    }

    /// Which those are, where the system tells.
    pub(crate) fn io_descriptors(&self) -> Vec<RawFd> {
        self.0.driver.reactor.descriptors()
    }

    /// Tasks from other threads that no worker has taken yet.
    pub fn global_queue_depth(&self) -> usize {
        self.0.injected()
    }

    /// Tasks in a worker's own queue.
    ///
    /// # Panics
    ///
    /// This and the other methods that take a worker: if there is no such worker.
    #[track_caller]
    pub fn worker_local_queue_depth(&self, worker: usize) -> usize {
        self.worker(worker).queued
    }

    /// Polls of tasks by a worker.
    #[track_caller]
    pub fn worker_poll_count(&self, worker: usize) -> u64 {
        self.worker(worker).polls
    }

    /// How often a worker went to sleep.
    #[track_caller]
    pub fn worker_park_count(&self, worker: usize) -> u64 {
        self.worker(worker).parks
    }

    /// How often a worker went to sleep and woke: odd while it sleeps.
    #[track_caller]
    pub fn worker_park_unpark_count(&self, worker: usize) -> u64 {
        let counters = self.worker(worker);
        counters.parks + counters.unparks
    }

    /// How often a worker stole, each time half a queue.
    #[track_caller]
    pub fn worker_steal_operations(&self, worker: usize) -> u64 {
        self.worker(worker).steals
    }

    /// How many tasks a worker stole.
    #[track_caller]
    pub fn worker_steal_count(&self, worker: usize) -> u64 {
        self.worker(worker).stolen
    }

    /// How often a worker woke another.
    #[track_caller]
    pub fn worker_wake_count(&self, worker: usize) -> u64 {
        self.worker(worker).wakes
    }

    /// How long a worker was awake.
    #[track_caller]
    pub fn worker_total_busy_duration(&self, worker: usize) -> Duration {
        Duration::from_nanos(self.worker(worker).busy_ns)
    }
}

impl RuntimeMetrics {
    /// How long polls of tasks took. Empty unless the runtime keeps
    /// [records](super::Builder::task_records) of its tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::runtime::Builder;
    /// use std::time::Duration;
    /// let runtime = Builder::new_multi_thread().task_records(true).build()?;
    /// let slow = runtime.spawn(async { std::thread::sleep(Duration::from_millis(20)) });
    /// runtime.block_on(slow)?;
    /// let polls = runtime.metrics().poll_time();
    /// assert!(polls.quantile(1.0).unwrap() >= Duration::from_millis(20));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_time(&self) -> Histogram {
        self.0.times().1
    }

    /// How long tasks were ready to run, from being woken or spawned until they were polled. Empty unless the
    /// runtime keeps [records](super::Builder::task_records) of its tasks.
    pub fn schedule_latency(&self) -> Histogram {
        self.0.times().0
    }

    /// How often a worker's work was given to others because it was stuck in a poll.
    pub fn rescues_count(&self) -> u64 {
        self.0.rescue.count()
    }

    /// Workers that are stuck in a poll now, and whose work others do.
    pub fn num_stuck_workers(&self) -> usize {
        self.0.rescue.stuck()
    }

    /// How many slow polls were reported, or would have been if their place had not been before.
    pub fn slow_polls_count(&self) -> u64 {
        self.0.rescue.slow_polls()
    }
}

impl RuntimeMetrics {
    /// Threads of the pool for blocking jobs, those of the runtime's own lane included.
    pub fn num_blocking_threads(&self) -> usize {
        self.0.pool.metrics().threads
    }

    /// Threads of the pool that have nothing to do.
    pub fn num_idle_blocking_threads(&self) -> usize {
        self.0.pool.metrics().idle_threads
    }

    /// Blocking jobs that no thread has taken yet.
    pub fn blocking_queue_depth(&self) -> usize {
        let metrics = self.0.pool.metrics();
        metrics.queued + metrics.queued_runtime
    }

    /// Blocking jobs that have run.
    pub fn blocking_jobs_count(&self) -> u64 {
        self.0.pool.metrics().jobs
    }

    /// How often the system refused a thread to the pool.
    pub fn blocking_thread_failures(&self) -> u64 {
        self.0.pool.metrics().start_failures
    }

    /// How long blocking jobs waited for a thread.
    pub fn blocking_queue_wait(&self) -> Histogram {
        self.0.pool.metrics().wait
    }

    /// What the pools of worker processes do and have done (the feature `offload`), those that have ended included.
    pub fn offload(&self) -> OffloadMetrics {
        self.0.processes.metrics()
    }

    /// How long blocking jobs ran.
    pub fn blocking_run_time(&self) -> Histogram {
        self.0.pool.metrics().run
    }
}

impl fmt::Debug for RuntimeMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workers: Vec<_> = (0..self.num_workers()).map(|w| self.worker(w)).collect();
        f.debug_struct("RuntimeMetrics")
            .field("alive_tasks", &self.num_alive_tasks())
            .field("global_queue_depth", &self.global_queue_depth())
            .field("workers", &workers)
            .field("blocking", &self.0.pool.metrics())
            .finish()
    }
}
