//! What a shutdown left behind.

use super::BlockingJob;
use crate::blocking::Report;
use crate::task::TaskInfo;

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
    pub(super) pool: Report,
}

impl ShutdownReport {
    /// Whether everything had ended.
    pub fn is_clean(&self) -> bool {
        self.tasks.is_empty() && self.pool.is_clean()
    }

    /// The tasks that had not: one that is running keeps its worker.
    pub fn tasks(&self) -> &[TaskInfo] {
        &self.tasks
    }

    /// The blocking jobs that had not, the longest running first.
    pub fn blocking_jobs(&self) -> &[BlockingJob] {
        &self.pool.jobs
    }

    /// How many threads of the blocking pool had not.
    pub fn blocking_threads(&self) -> usize {
        self.pool.threads
    }
}
