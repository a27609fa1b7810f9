//! Blocking jobs that wait or run for too long, as the monitor finds them.
//!
//! Only where a limit is set: then the monitor asks the pool four times in that time, also when all workers
//! sleep. A job is reported once as queued and once as running.

use super::Shared;
use super::monitor::{Activity, SlowPoll, Subject};
use crate::blocking::Running;
use crate::task::Id;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The bounds of the time between two looks.
const LEAST: Duration = Duration::from_millis(5);
const MOST: Duration = Duration::from_secs(1);

/// How often to look for jobs over `limit`.
pub(super) fn tick(limit: Duration) -> Duration {
    (limit / 4).clamp(LEAST, MOST)
}

/// What the monitor knows of the jobs of one runtime.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    looked: Option<Instant>,
    known: HashMap<Id, Known>,
}

#[derive(Debug)]
struct Known {
    /// When it was first seen.
    since: Instant,
    was_queued: bool,
    reported: Option<Subject>,
}

impl Jobs {
    /// The jobs that are over the limit now and were not yet.
    pub(super) fn look(&mut self, shared: &Shared, limit: Duration, now: Instant) -> Vec<SlowPoll> {
        if self.looked.is_some_and(|at| now.duration_since(at) < tick(limit)) {
            return Vec::new();
        }
        self.looked = Some(now);
        let mut live = HashMap::new();
        let mut slow = Vec::new();
        for job in shared.blocking_jobs() {
            // A report that takes long is no news.
            if job.task().location().file() == super::monitor::FILE {
                continue;
            }
            let id = job.task().id();
            let mut known = self.known.remove(&id).unwrap_or(Known {
                since: now,
                was_queued: job.age().is_none(),
                reported: None,
            });
            slow.extend(known.judge(&job, limit, now));
            live.insert(id, known);
        }
        self.known = live;
        slow
    }
}

impl Known {
    fn judge(&mut self, job: &Running, limit: Duration, now: Instant) -> Option<SlowPoll> {
        let (subject, elapsed) = match job.age() {
            Some(age) => (Subject::RunningJob, age),
            None if self.was_queued => (Subject::QueuedJob, now.duration_since(self.since)),
            // It has ended, or is between the queue and its thread.
            None => return None,
        };
        if elapsed < limit || self.reported == Some(subject) {
            return None;
        }
        self.reported = Some(subject);
        let task = job.task();
        Some(SlowPoll {
            subject,
            id: Some(task.id()),
            name: task.name().map(str::to_owned),
            location: Some(task.location()),
            elapsed,
            activity: Activity::Unknown,
            is_rescued: false,
            stack: Vec::new(),
        })
    }
}
