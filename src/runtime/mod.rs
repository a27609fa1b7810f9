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
mod metrics;
mod report;
#[cfg(test)]
mod tests;

pub use crate::blocking::{Histogram, Running as BlockingJob};
pub use crate::scheduler::{Activity, Frame, Rescue, SlowPoll};
pub use crate::task::{TaskInfo, UnhandledPanic, Waiting};
pub use crate::util::note::WaitKind;
pub use builder::Builder;
pub use debug::inspect;
pub(crate) use handle::in_runtime;
pub use handle::{EnterGuard, Handle, TryCurrentError};
pub use metrics::RuntimeMetrics;
pub use report::ShutdownReport;

use crate::blocking::Report;
use crate::primitive::{Arc, clock};
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

impl Runtime {
    /// A multi-thread runtime with one worker for each CPU that this process may use.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Builder::new_multi_thread().enable_all().build()
    }

    /// Runs `future` to its end on this thread, which works as one of the runtime's workers while the
    /// future waits: what the future spawns and wakes stays near.
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
        ShutdownReport { tasks, workers, pool }
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
        // Waiting inside a task would stop a worker, perhaps the one that is waited for.
        let inside = scheduler::worker(|worker| worker.is_some())
            || scheduler::is_under_worker_of(Arc::as_ptr(shared));
        let timeout = if inside { Some(Duration::ZERO) } else { timeout };
        // A timeout beyond what the clock can express is no limit.
        let deadline = timeout.and_then(|timeout| clock::now().checked_add(timeout));
        shared.join(deadline);
        let pool = shared.pool.shutdown(deadline);
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
