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
use std::fmt;
use std::time::Duration;

/// Bucket `i` holds the times below 2^i ns; the last one, 4.6 minutes and more, all the others.
const BUCKETS: usize = 40;

/// Counts of durations by powers of two, written by one thread.
#[derive(Debug)]
struct Counts(Box<[AtomicU64]>);

impl Counts {
    fn new() -> Self {
        // A model explores every access, and learns nothing from these.
        let len = if in_model() { 0 } else { BUCKETS };
        Self((0..len).map(|_| AtomicU64::new(0)).collect())
    }

    fn record(&self, nanos: u64) {
        let bucket = ((u64::BITS - nanos.leading_zeros()) as usize).min(BUCKETS - 1);
        if let Some(count) = self.0.get(bucket) {
            // Relaxed: one writer, so no read-modify-write; readers want a number, not an order.
            count.store(count.load(Relaxed) + 1, Relaxed);
        }
    }
}

/// A snapshot of how long something took, many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS] }
    }
}

impl Histogram {
    /// Each bucket: the duration below which its entries lie, and how many there are. The last
    /// bucket has no such bound; `Duration::MAX` stands for it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        self.counts.iter().enumerate().map(|(i, &count)| (Self::bound(i), count))
    }

    /// How many durations were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A bound below which the share `q` (0 to 1) of all durations lies; `None` if there are none.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let rank = (self.count() as f64 * q).ceil() as u64;
        let mut seen = 0;
        self.buckets()
            .find(|&(_, count)| {
                seen += count;
                seen >= rank && seen > 0
            })
            .map(|(bound, _)| bound)
    }

    fn bound(bucket: usize) -> Duration {
        if bucket == BUCKETS - 1 { Duration::MAX } else { Duration::from_nanos(1 << bucket) }
    }

    fn add(&mut self, counts: &Counts) {
        for (sum, count) in self.counts.iter_mut().zip(&counts.0) {
            *sum += count.load(Relaxed);
        }
    }
}

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
    fn durations_lie_below_their_bounds() {
        let counts = Counts::new();
        for nanos in [0, 1, 2, 3, 1000, 1023, 1024, u64::MAX] {
            counts.record(nanos);
        }
        let mut histogram = Histogram::default();
        histogram.add(&counts);
        let buckets: Vec<_> = histogram.buckets().filter(|b| b.1 > 0).collect();
        let ns = Duration::from_nanos;
        let expected =
            [(ns(1), 1), (ns(2), 1), (ns(4), 2), (ns(1024), 2), (ns(2048), 1), (Duration::MAX, 1)];
        assert_eq!(buckets, expected);
        assert_eq!(histogram.count(), 8);
        assert_eq!(histogram.quantile(0.5), Some(ns(4)));
        assert_eq!(histogram.quantile(0.0), Some(ns(1)));
        assert_eq!(histogram.quantile(1.0), Some(Duration::MAX));
        assert_eq!(Histogram::default().quantile(0.5), None);
    }

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
