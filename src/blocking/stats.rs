//! What the pool tells about itself: histograms, what runs now, and the report of a shutdown.
//!
//! Each thread counts for itself: single-writer words, written by plain stores, and summed up when
//! somebody asks. Counters of the whole pool would be one more line that all threads write.
//!
//! What it costs: two reads of the clock a job (one by the submitter, one by the thread, since the
//! end of a job is the start of the next), about 25 ns each, and six stores.

use crate::primitive::atomic::{AtomicU64, Ordering::*, fence};
use crate::primitive::{Arc, in_model};
use crate::task::TaskInfo;
use crate::util::histogram::{Counts, Histogram};
use std::fmt;
use std::time::Duration;

/// What one thread has done, and what it does.
#[derive(Debug)]
pub struct Stats {
    wait: Counts,
    run: Counts,
    /// The id of the job that runs, or 0. With `since` a pair that one thread writes and others
    /// read whole or not at all (a sequence lock whose sequence is the id, which never comes again).
    job: AtomicU64,
    /// When it began.
    since: AtomicU64,
}

impl Stats {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            wait: Counts::new(),
            run: Counts::new(),
            job: AtomicU64::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// The job `id`, queued at `queued`, begins at `now`.
    pub fn begin(&self, id: u64, queued: u64, now: u64) {
        if in_model() {
            return;
        }
        self.wait.record(now.saturating_sub(queued));
        self.since.store(now, Relaxed);
        // Release: who reads this id reads `since` as stored above or later (`running`).
        self.job.store(id, Release);
    }

    /// It ended at `now`, having begun at `since`.
    pub fn end(&self, since: u64, now: u64) {
        if in_model() {
            return;
        }
        self.job.store(0, Relaxed);
        // Release fence: who reads the `since` of a later job reads this 0 or later after its
        // Acquire fence (`running`).
        fence(Release);
        self.run.record(now.saturating_sub(since));
    }

    /// The id of the job that runs now, and when it began.
    pub fn running(&self) -> Option<(u64, u64)> {
        // Acquire: pairs with the Release in `begin`.
        let id = self.job.load(Acquire);
        let since = self.since.load(Relaxed);
        // Acquire fence: pairs with the fence in `end`.
        fence(Acquire);
        // Relaxed: after the fence; the same id means that `since` is its own.
        (id != 0 && self.job.load(Relaxed) == id).then_some((id, since))
    }
}

/// The sums over threads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    /// How long jobs were queued.
    pub wait: Histogram,
    /// How long jobs ran.
    pub run: Histogram,
}

impl Totals {
    /// Adds what one thread counted.
    pub fn add(&mut self, stats: &Stats) {
        self.wait.add(&stats.wait);
        self.run.add(&stats.run);
    }
}

/// The numbers of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Threads, those being started included.
    pub threads: usize,
    /// Those of them that serve the runtime's own jobs only.
    pub reserve_threads: usize,
    /// Threads without work.
    pub idle_threads: usize,
    /// Jobs in the user lane that no thread has taken.
    pub queued: usize,
    /// Jobs in the runtime lane that no thread has taken.
    pub queued_runtime: usize,
    /// Jobs that have ended, panicked ones included. Jobs dropped by a shutdown are not.
    pub jobs: u64,
    /// How often a thread was woken or started for a job.
    pub wakes: u64,
    /// How often the system refused a thread.
    pub start_failures: u64,
    /// How long jobs were queued.
    pub wait: Histogram,
    /// How long jobs ran.
    pub run: Histogram,
}

/// A job that has not ended.
#[derive(Debug, Clone)]
pub struct Running {
    task: TaskInfo,
    age: Option<Duration>,
    pool: Option<Arc<str>>,
}

impl Running {
    /// A job, and how long it has been running if it has begun.
    pub fn new(task: TaskInfo, age: Option<Duration>, pool: Option<Arc<str>>) -> Self {
        Self { task, age, pool }
    }

    /// Its task: id, name, and where it was spawned.
    pub fn task(&self) -> &TaskInfo {
        &self.task
    }

    /// The name of its pool; `None` for the runtime's.
    pub fn pool(&self) -> Option<&str> {
        self.pool.as_deref()
    }

    /// How long it has been running; `None` if it is still queued.
    pub fn age(&self) -> Option<Duration> {
        self.age
    }
}

/// As one line: `blocking job 7 "export", spawned at src/main.rs:9:5, runs (3.2 s)`.
impl fmt::Display for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "blocking job {}", self.task.id())?;
        if let Some(name) = self.task.name() {
            write!(f, " {name:?}")?;
        }
        write!(f, ", spawned at {}, ", self.task.location())?;
        match self.age {
            Some(age) => write!(f, "runs ({age:.1?})"),
            None => f.write_str("is queued"),
        }
    }
}

/// What a shutdown left behind when its deadline came.
#[derive(Debug, Clone, Default)]
#[must_use = "it names the jobs that are still running"]
pub struct Report {
    /// Jobs that have not ended: the longest running first, mandatory ones still queued last.
    pub jobs: Vec<Running>,
    /// Threads that have not ended.
    pub threads: usize,
}

impl Report {
    /// Whether nothing was left.
    pub fn is_clean(&self) -> bool {
        self.threads == 0 && self.jobs.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_job_has_its_own_start() {
        let stats = Stats::new();
        assert_eq!(stats.running(), None);
        stats.begin(7, 10, 30);
        assert_eq!(stats.running(), Some((7, 30)));
        stats.end(30, 50);
        assert_eq!(stats.running(), None);
    }
}
