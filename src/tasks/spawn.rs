//! Spawning on the current runtime.

use super::blocking::Pool;
use super::local_set::{LocalSet, spawn_local_at};
use crate::runtime::{Handle, in_runtime};
use crate::scheduler;
use crate::task::{self, Given, Id, JoinHandle, TaskInfo, UnhandledPanic};
use std::future::Future;
use std::io;
use std::panic::Location;

/// Spawns a task on the current runtime. It runs whether or not the handle is awaited.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let task = reiver::spawn(async { 2 + 2 });
/// assert_eq!(task.await.unwrap(), 4);
/// # });
/// ```
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    spawn_at(future, Given::default(), Location::caller())
}

#[track_caller]
pub(super) fn spawn_at<F>(
    future: F,
    given: Given,
    location: &'static Location<'static>,
) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    in_runtime(|runtime| {
        // SAFETY: the bounds allow any thread to poll the future and to have its output.
        unsafe { runtime.spawn(future, given, location) }
    })
}

/// Chooses what a task is known by before it is spawned.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let task = reiver::task::Builder::new().name("adder").spawn(async { 2 + 2 }).unwrap();
/// assert_eq!(task.await.unwrap(), 4);
/// # });
/// ```
#[derive(Debug, Default, Clone, Copy)]
#[must_use = "call one of its `spawn` methods"]
pub struct Builder<'a> {
    name: Option<&'a str>,
    on_panic: Option<UnhandledPanic>,
}

impl<'a> Builder<'a> {
    /// A task without a name.
    pub fn new() -> Self {
        Self::default()
    }

    /// A name for listings and reports. Names need not be unique.
    pub fn name(mut self, name: &'a str) -> Self {
        self.name = Some(name);
        self
    }

    /// What happens if this task panics, instead of what its runtime does by
    /// [default](crate::runtime::Builder::unhandled_panic). A task of a [`LocalSet`] has no runtime to
    /// shut down: only [`UnhandledPanic::Abort`] makes a difference there. To blocking jobs it does not
    /// apply.
    pub fn unhandled_panic(mut self, policy: UnhandledPanic) -> Self {
        self.on_panic = Some(policy);
        self
    }

    pub(super) fn named(name: Option<&'a str>) -> Self {
        Self { name, on_panic: None }
    }

    fn given(self) -> Given {
        Given { name: self.name.map(Box::from), on_panic: self.on_panic, ..Given::default() }
    }

    /// Spawns on the current runtime.
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    pub fn spawn<F>(self, future: F) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        Ok(spawn_at(future, self.given(), Location::caller()))
    }

    /// Spawns on the runtime of `handle`.
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    #[track_caller]
    pub fn spawn_on<F>(self, future: F, handle: &Handle) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // SAFETY: the bounds allow any thread to poll the future and to have its output.
        Ok(unsafe { handle.shared().spawn(future, self.given(), Location::caller()) })
    }

    /// Spawns on the current [`LocalSet`].
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    ///
    /// # Panics
    ///
    /// Outside a `LocalSet`.
    #[track_caller]
    pub fn spawn_local<F>(self, future: F) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Ok(spawn_local_at(future, self.given(), Location::caller()))
    }

    /// Spawns on `local_set`.
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    #[track_caller]
    pub fn spawn_local_on<F>(
        self,
        future: F,
        local_set: &LocalSet,
    ) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        Ok(local_set.spawn_at(future, self.given(), Location::caller()))
    }
}

impl Builder<'_> {
    /// Runs a closure on the pool for blocking jobs, as [`spawn_blocking`](super::spawn_blocking).
    ///
    /// # Errors
    ///
    /// None today; the signature is tokio's.
    ///
    /// # Panics
    ///
    /// As [`spawn_blocking`](super::spawn_blocking).
    #[track_caller]
    pub fn spawn_blocking<F, R>(self, f: F) -> io::Result<JoinHandle<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (name, location) = (self.name.map(Box::from), Location::caller());
        Ok(in_runtime(|runtime| runtime.spawn_blocking(f, name, location)))
    }

    /// Runs a closure on a pool of one's own, as [`Pool::spawn`].
    ///
    /// # Errors
    ///
    /// None today; as [`spawn_blocking`](Self::spawn_blocking).
    ///
    /// # Panics
    ///
    /// As [`Pool::spawn`].
    #[track_caller]
    pub fn spawn_blocking_in<F, R>(self, f: F, pool: &Pool) -> io::Result<JoinHandle<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        Ok(pool.spawn_named(f, self.name.map(Box::from), Location::caller()))
    }
}

/// Runs `f`, which may block this thread, while another thread stands in for the worker.
///
/// Costs a thread start; `spawn_blocking` is cheaper where the closure
/// can be `'static`. Outside a task it just calls `f`. All futures of the same task, those beside it in
/// a `join!` for example, wait until `f` returns.
///
/// # Panics
///
/// With the panic of `f`, and inside a current-thread runtime, which has no other thread to go on with.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let text = reiver::task::block_in_place(|| std::fs::read_to_string("/etc/hostname"));
/// # let _ = text;
/// # });
/// ```
#[track_caller]
pub fn block_in_place<R>(f: impl FnOnce() -> R) -> R {
    scheduler::block_in_place(f)
}

/// The id of the task that is running here.
///
/// # Panics
///
/// Outside a task; inside `block_on`'s own future too, which is none.
#[track_caller]
pub fn id() -> Id {
    task::try_id().expect("`task::id` was called outside a task; use `task::try_id`")
}

/// Every live task of the current runtime: id, name, where it was spawned, whether it runs, is ready or
/// waits. As asyncio's `all_tasks`.
///
/// # Panics
///
/// Outside a runtime.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let task = reiver::spawn(std::future::pending::<()>());
/// reiver::task::all_tasks().iter().for_each(|task| task.abort());
/// assert!(task.await.unwrap_err().is_cancelled());
/// # });
/// ```
#[track_caller]
pub fn all_tasks() -> Vec<TaskInfo> {
    in_runtime(|runtime| runtime.dump())
}
