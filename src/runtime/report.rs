//! What a shutdown left behind.

use super::{BlockingJob, OffloadJob, SlowPoll};
use crate::blocking::Report;
use crate::task::TaskInfo;
use std::fmt;

/// What had not ended when a shutdown stopped waiting. Nothing of it is lost: it ends by itself when
/// its poll or its closure returns.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// let runtime = reiver::runtime::Runtime::new()?;
/// let (end, blocked) = std::sync::mpsc::channel::<()>();
/// let (begin, begun) = std::sync::mpsc::channel();
/// runtime.spawn_blocking(move || {
///     begin.send(()).unwrap();
///     blocked.recv()
/// });
/// begun.recv().unwrap();
/// let report = runtime.shutdown(Duration::from_millis(10));
/// assert!(!report.is_clean());
/// assert_eq!(report.blocking_jobs().len(), 1);
/// assert!(report.blocking_jobs()[0].age().is_some());
/// drop(end);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct ShutdownReport {
    pub(super) tasks: Vec<TaskInfo>,
    pub(super) workers: Vec<SlowPoll>,
    pub(super) pool: Report,
    pub(super) lost: Vec<OffloadJob>,
}

impl ShutdownReport {
    /// Whether everything had ended. Jobs that were [lost](Self::lost_jobs) have.
    pub fn is_clean(&self) -> bool {
        self.tasks.is_empty() && self.pool.is_clean()
    }

    /// The tasks that had not: one that is running keeps its worker, and what has to be dropped there waits.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// The polls that had not returned, with what their threads were executing. The time of each is what the
    /// shutdown has seen of it; it may have taken longer.
    pub fn stuck_workers(&self) -> &[SlowPoll] {
        &self.workers
    }

    /// The blocking jobs that had not, the longest running first.
    pub fn blocking_jobs(&self) -> &[BlockingJob] {
        &self.pool.jobs
    }

    /// How many threads of the blocking pool had not.
    pub fn blocking_threads(&self) -> usize {
        self.pool.threads
    }

    /// The jobs of worker processes that ended with the runtime: killed, the longest running first, or taken out
    /// of the queue.
    pub fn lost_jobs(&self) -> &[OffloadJob] {
        &self.lost
    }
}

/// For a log: a line for each thing that is left, and a line for each call of a stuck worker's stack.
impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            f.write_str("everything has ended")?;
        } else {
            write!(f, "not ended: {} tasks, ", self.tasks.len())?;
            write!(f, "{} threads of the blocking pool", self.pool.threads)?;
        }
        for poll in &self.workers {
            write!(f, "\n  {poll}")?;
            for frame in poll.stack() {
                write!(f, "\n    {frame}")?;
            }
        }
        let stuck = |task: &&TaskInfo| self.workers.iter().any(|poll| poll.id() == Some(task.id()));
        for task in self.tasks.iter().filter(|task| !stuck(task)) {
            write!(f, "\n  {task}")?;
        }
        for job in self.blocking_jobs() {
            write!(f, "\n  {job}")?;
        }
        for job in &self.lost {
            write!(f, "\n  lost: {job}")?;
        }
        Ok(())
    }
}
