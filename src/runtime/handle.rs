//! A handle to a runtime, and the current one.

use super::{BlockingJob, Id, OffloadJob, RuntimeFlavor, RuntimeMetrics};
use crate::primitive::Arc;
use crate::scheduler::{self, Entered, Share, Shared};
use crate::task::{Given, JoinHandle, TaskInfo};
use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::Location;
use std::path::Path;

/// A counted handle to a runtime: spawn, enter, look inside. It does not keep the runtime running.
///
/// # Examples
///
/// ```
/// use reiver::runtime::{Handle, Runtime};
/// let runtime = Runtime::new()?;
/// let handle = runtime.handle().clone();
/// std::thread::spawn(move || {
///     handle.spawn(async { println!("from another thread") });
/// })
/// .join()
/// .unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

/// Calls `f` with the current runtime, without a counted handle.
///
/// # Panics
///
/// Outside a runtime.
#[track_caller]
pub(crate) fn in_runtime<R>(f: impl FnOnce(&Arc<Shared>) -> R) -> R {
    match scheduler::with_runtime(|runtime| runtime.map(f)) {
        Some(result) => result,
        // Not in the closure, which does not know who called.
        None => match Handle::try_current().err() {
            Some(error) => panic!("{error}"),
            None => panic!("this thread is ending: its runtime is out of reach"),
        },
    }
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    /// The runtime that this thread is in: inside a task, a blocking job, `block_on`, or under an
    /// [`EnterGuard`].
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// # reiver::runtime::Runtime::new().unwrap().block_on(async {
    /// let handle = reiver::runtime::Handle::current();
    /// assert_eq!(handle.spawn(async { 7 }).await.unwrap(), 7);
    /// # });
    /// ```
    #[track_caller]
    pub fn current() -> Self {
        match Self::try_current() {
            Ok(handle) => handle,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`current`](Self::current), without a panic.
    ///
    /// # Errors
    ///
    /// Outside a runtime.
    pub fn try_current() -> Result<Self, TryCurrentError> {
        scheduler::runtime().map(Self).ok_or(TryCurrentError(()))
    }

    /// Makes this the current runtime of the thread while the guard lives.
    pub fn enter(&self) -> EnterGuard<'_> {
        EnterGuard { _entered: scheduler::enter(self.0.clone()), _handle: PhantomData }
    }

    /// Spawns a task.
    ///
    /// When the runtime is shut down already, the task is dropped and its handle gives a
    /// [`JoinError`](crate::task::JoinError) that is cancelled.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // SAFETY: the bounds allow any thread to poll the future and to have its output.
        unsafe { self.0.spawn(future, Given::default(), Location::caller()) }
    }

    /// Runs a closure on the pool for blocking jobs, as
    /// [`task::spawn_blocking`](crate::task::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.0.spawn_blocking(f, None, Location::caller())
    }

    /// Runs `future` to its end on this thread.
    ///
    /// On a multi-thread runtime the thread only waits, unlike in
    /// [`Runtime::block_on`](super::Runtime::block_on): it may be a blocking job that wants its answer
    /// soon. On a current-thread runtime that nobody drives, this thread does.
    ///
    /// # Panics
    ///
    /// With the future's panic. And inside a task of a current-thread runtime, which could not go on.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.block_on(future, Share::Wait)
    }

    /// Which kind of runtime this is.
    pub fn runtime_flavor(&self) -> RuntimeFlavor {
        match self.0.workers() {
            0 => RuntimeFlavor::CurrentThread,
            _ => RuntimeFlavor::MultiThread,
        }
    }

    /// The runtime's number.
    pub fn id(&self) -> Id {
        Id::of(Arc::as_ptr(&self.0))
    }

    /// The runtime's name, if its [builder](super::Builder::name) gave it one.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reiver::runtime::Builder::new_multi_thread().name("raid").build()?;
    /// assert_eq!(runtime.handle().name(), Some("raid"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.0.hooks.name.as_deref()
    }

    /// What the runtime has counted.
    pub fn metrics(&self) -> RuntimeMetrics {
        RuntimeMetrics::new(self.0.clone())
    }

    /// The blocking jobs of all pools that have not ended: those that run, the longest first, then those in the
    /// queue.
    pub fn blocking_jobs(&self) -> Vec<BlockingJob> {
        self.0.blocking_jobs()
    }

    /// The jobs of all pools of worker processes (the feature `offload`) that have not ended: those that run, the
    /// longest first, then those in the queues.
    pub fn offload_jobs(&self) -> Vec<OffloadJob> {
        self.0.processes.jobs()
    }

    /// Every live task: id, name, where it was spawned, whether it runs, is ready or waits, and for what; and more
    /// if the runtime keeps [records](super::Builder::task_records). Tasks of a `LocalSet` are not listed.
    pub fn dump(&self) -> Vec<TaskInfo> {
        self.0.dump()
    }
}

impl Handle {
    /// Writes what the [flight recorder](super::Builder::flight_recorder) has kept to a file: a timeline of the
    /// workers' last polls, sleeps and steals, and of the blocking jobs and stuck polls of the moment.
    ///
    /// The format is that of Chrome's trace events, in JSON: <https://ui.perfetto.dev> opens it. It may be called
    /// from a listener of [slow polls](super::Builder::on_slow_poll), to see what led there. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](std::io::ErrorKind::Unsupported) if there is no recorder, and what goes wrong with the file.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reiver::runtime::Builder::new_multi_thread().flight_recorder(4096).build()?;
    /// runtime.block_on(async { reiver::spawn(async {}).await.unwrap() });
    /// let path = std::env::temp_dir().join(format!("reiver-{}.json", std::process::id()));
    /// runtime.handle().write_trace(&path)?;
    /// assert!(std::fs::read_to_string(&path)?.contains("poll"));
    /// # std::fs::remove_file(path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn write_trace(&self, path: impl AsRef<Path>) -> io::Result<()> {
        super::trace::write(self, path.as_ref())
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("flavor", &self.runtime_flavor()).finish_non_exhaustive()
    }
}

/// Leaves the runtime when dropped.
#[must_use = "the runtime is left when the guard is dropped"]
#[derive(Debug)]
pub struct EnterGuard<'a> {
    _entered: Entered,
    _handle: PhantomData<&'a Handle>,
}

/// This thread is in no runtime.
#[derive(Debug)]
pub struct TryCurrentError(());

impl TryCurrentError {
    /// Always: this thread has entered no runtime.
    pub fn is_missing_context(&self) -> bool {
        true
    }

    /// Never: the context is there until the thread's last destructor.
    pub fn is_thread_local_destroyed(&self) -> bool {
        false
    }
}

impl fmt::Display for TryCurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "this thread is in no reiver runtime: call this inside `Runtime::block_on`, a spawned \
             task or `#[reiver::main]`, or hold the guard of `Runtime::enter`",
        )
    }
}

impl std::error::Error for TryCurrentError {}
