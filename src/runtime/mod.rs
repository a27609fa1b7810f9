//! The runtime: build one, run a future on it, spawn tasks, shut it down.
//!
//! ```
//! use reiver::runtime::Runtime;
//!
//! let runtime = Runtime::new()?;
//! let answer = runtime.block_on(async {
//!     let task = reiver::spawn(async { 6 * 7 });
//!     task.await.unwrap()
//! });
//! assert_eq!(answer, 42);
//! # Ok::<(), std::io::Error>(())
//! ```

mod builder;
mod debug;
mod handle;
mod id;
mod metrics;
mod report;
#[cfg(test)]
mod tests;
mod trace;
mod within;

// The door: `spawn_local` is in a higher layer, and so is a runtime for it.
pub use crate::tasks::local_runtime::{LocalOptions, LocalRuntime, LocalRuntimeEnterGuard};

pub use crate::blocking::Running as BlockingJob;
pub use crate::scheduler::{
    Activity, Frame, OffloadJob, OffloadMetrics, Rescue, SlowPoll, Subject,
};
pub use crate::task::{TaskInfo, UnhandledPanic, Waiting};
pub use crate::util::histogram::Histogram;
pub use crate::util::note::WaitKind;
pub use builder::Builder;
pub(crate) use builder::blocking_pool;
pub use debug::inspect;
pub(crate) use handle::in_runtime;
pub use handle::{EnterGuard, Handle, TryCurrentError};
pub use id::Id;
pub use metrics::RuntimeMetrics;
pub use report::ShutdownReport;
pub use within::Within;

use crate::blocking::{Report, Seen};
use crate::primitive::{Arc, clock};
use crate::reactor::ShutDown;
use crate::scheduler::{self, Share};
use crate::task::JoinHandle;
use debug::Endpoint;
use std::future::Future;
use std::io;
use std::time::Duration;

/// Workers, the poller, timers and the blocking pool.
///
/// Dropping it ends it: tasks are dropped at their next await, and the drop waits for the workers and
/// for the blocking jobs that have begun, without a limit. Use [`shutdown_timeout`] for a limit.
/// Inside async code the drop does not wait, and does not panic.
///
/// [`shutdown_timeout`]: Runtime::shutdown_timeout
#[derive(Debug)]
pub struct Runtime {
    handle: Handle,
    endpoint: Option<Endpoint>,
    /// It was shut down by one of the methods that take it.
    ended: bool,
}

/// Which kind of runtime this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeFlavor {
    /// The thread in `block_on` is the only worker.
    CurrentThread,
    /// Workers with threads of their own.
    MultiThread,
}

/// Whether an error of a socket, a pipe, a signal or a child says that its runtime is shut down.
///
/// # Examples
///
/// ```
/// use reiver::net::TcpListener;
/// use reiver::runtime::{Runtime, is_rt_shutdown_err};
/// let (one, other) = (Runtime::new()?, Runtime::new()?);
/// let listener = one.block_on(TcpListener::bind("127.0.0.1:0"))?;
/// drop(one);
/// let error = other.block_on(listener.accept()).unwrap_err();
/// assert!(is_rt_shutdown_err(&error));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn is_rt_shutdown_err(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<ShutDown>())
}

/// Which of its runtime's workers this thread is; 0 in a current-thread runtime. `None` on other threads,
/// to which those in [`block_on`](Runtime::block_on) of a multi-thread runtime and stand-ins of stuck workers
/// belong.
///
/// A task may go on by another worker after each wait.
///
/// # Examples
///
/// ```
/// use reiver::runtime::worker_index;
/// let runtime = reiver::runtime::Builder::new_current_thread().build()?;
/// assert_eq!(runtime.block_on(async { worker_index() }), Some(0));
/// assert_eq!(worker_index(), None);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn worker_index() -> Option<usize> {
    scheduler::worker(|worker| {
        let worker = worker?;
        Some(worker.seat()).filter(|&seat| seat < worker.shared().workers().max(1))
    })
}

impl Runtime {
    /// A multi-thread runtime with one worker for each CPU that this process may use.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Builder::new_multi_thread().enable_all().build()
    }

    /// Runs `future` to its end on this thread, while the runtime's workers run its tasks. On a current-thread
    /// runtime this thread runs those too, and on others if
    /// [`Builder::block_on_runs_tasks`](Builder::block_on_runs_tasks) says so.
    ///
    /// Any number of threads may call it at once. Inside a task it works too, as
    /// [`block_in_place`](crate::task::block_in_place) does.
    ///
    /// # Panics
    ///
    /// With the future's panic. And inside a task of a current-thread runtime, which could not go on.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reiver::runtime::Runtime::new()?;
    /// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.handle.shared().block_on(future, Share::Work)
    }

    /// Spawns a task. It runs whether or not the handle is awaited.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reiver::runtime::Runtime::new()?;
    /// let task = runtime.spawn(async { "done" });
    /// assert_eq!(runtime.block_on(task).unwrap(), "done");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Runs a closure on the pool for blocking jobs, as
    /// [`task::spawn_blocking`](crate::task::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle.spawn_blocking(f)
    }

    /// A handle, to spawn from anywhere.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Makes this the current runtime of the thread while the guard lives, so that
    /// [`reiver::spawn`](crate::spawn), sockets and timers work outside of tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reiver::runtime::Runtime::new()?;
    /// let guard = runtime.enter();
    /// let task = reiver::spawn(async { 5 });
    /// drop(guard);
    /// assert_eq!(runtime.block_on(task).unwrap(), 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// What the runtime has counted.
    pub fn metrics(&self) -> RuntimeMetrics {
        self.handle.metrics()
    }

    /// Ends the runtime, and waits at most `timeout` for its workers and blocking jobs.
    ///
    /// What is stuck then goes on in the background and ends when it returns.
    /// [`shutdown`](Self::shutdown) says what that is.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let runtime = reiver::runtime::Runtime::new()?;
    /// runtime.spawn(std::future::pending::<()>());
    /// runtime.shutdown_timeout(Duration::from_millis(100));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown_timeout(mut self, timeout: Duration) {
        let _ = self.end(Some(timeout));
    }

    /// As [`shutdown_timeout`](Self::shutdown_timeout), and says what had not ended by then: tasks with what they
    /// wait for, workers that are stuck in a poll with their stacks, blocking jobs with their run times.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// let runtime = reiver::runtime::Runtime::new()?;
    /// runtime.spawn(std::future::pending::<()>());
    /// let report = runtime.shutdown(Duration::from_secs(5));
    /// assert!(report.is_clean(), "{report}");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(mut self, timeout: Duration) -> ShutdownReport {
        let shared = self.handle.shared().clone();
        let polls = shared.running_polls();
        let pool = self.end(Some(timeout));
        let tasks = shared.dump();
        let workers = if tasks.is_empty() { Vec::new() } else { shared.stuck_polls(&polls) };
        let lost = shared.processes.take_lost();
        ShutdownReport { tasks, workers, pool, lost }
    }

    /// Ends the runtime without waiting.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reiver::runtime::Runtime::new()?;
    /// runtime.spawn(std::future::pending::<()>());
    /// runtime.shutdown_background();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown_background(mut self) {
        let _ = self.end(Some(Duration::ZERO));
    }

    fn end(&mut self, timeout: Option<Duration>) -> Report {
        self.ended = true;
        let shared = self.handle.shared();
        shared.close();
        // Now, and not when the workers have ended: meanwhile no job begins that is queued yet. Not
        // before the tasks are cancelled: they would see their jobs cancelled.
        shared.pool.close();
        let pools = shared.pools();
        pools.iter().for_each(Seen::close);
        // Waiting inside a task would stop a worker, perhaps the one that is waited for.
        let inside = scheduler::worker(|worker| worker.is_some())
            || scheduler::is_under_worker_of(Arc::as_ptr(shared));
        let timeout = if inside { Some(Duration::ZERO) } else { timeout };
        // A timeout beyond what the clock can express is no limit.
        let deadline = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        shared.join(deadline);
        let mut pool = shared.pool.shutdown(deadline);
        for other in pools {
            let report = other.shutdown(deadline);
            pool.jobs.extend(report.jobs);
            pool.threads += report.threads;
        }
        // Who waits for a timer on a thread of its own is told: nobody fires it any more.
        shared.driver.timers.shutdown();
        // It shows what the shutdown waits for, until it does not.
        drop(self.endpoint.take());
        pool
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.end(None);
        }
    }
}
