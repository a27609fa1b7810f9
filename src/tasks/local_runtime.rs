//! A runtime of one thread on which `spawn_local` works everywhere: a current-thread runtime and a
//! [`LocalSet`] that is entered wherever the runtime is.

use super::LocalSet;
use super::local_set::LocalEnterGuard;
use crate::runtime::{Builder, Handle, Runtime, RuntimeFlavor, RuntimeMetrics};
use crate::task::JoinHandle;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

/// A runtime that stays on its thread, and so runs futures that are not `Send`.
///
/// Inside of [`block_on`](Self::block_on), [`spawn_local`](crate::task::spawn_local) works in every task.
/// Dropping it drops its tasks first, on this thread and inside of the runtime.
///
/// # Examples
///
/// ```
/// use reiver::runtime::LocalRuntime;
/// use reiver::task::spawn_local;
/// use std::rc::Rc;
///
/// let runtime = LocalRuntime::new()?;
/// let shared = Rc::new(5); // not `Send`
/// let sum = runtime.block_on(async {
///     let theirs = shared.clone();
///     spawn_local(async move { *theirs + 1 }).await.unwrap() + *shared
/// });
/// assert_eq!(sum, 11);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct LocalRuntime {
    /// Taken by the drop.
    set: Option<LocalSet>,
    /// Taken by `end`.
    runtime: Option<Runtime>,
}

// As `Runtime`: panics of tasks are caught, and one of the root leaves the set between two tasks.
impl UnwindSafe for LocalRuntime {}
impl RefUnwindSafe for LocalRuntime {}

/// What may be chosen for a [`LocalRuntime`] alone: nothing so far.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct LocalOptions {
    /// Hooks that are not `Send` may come.
    _not_send: PhantomData<*mut ()>,
}

/// Leaves the [`LocalRuntime`] when dropped.
#[must_use = "the runtime is left when the guard is dropped"]
#[derive(Debug)]
pub struct LocalRuntimeEnterGuard<'a> {
    _set: LocalEnterGuard,
    _runtime: crate::runtime::EnterGuard<'a>,
}

impl Builder {
    /// Builds a runtime that stays on this thread.
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    ///
    /// # Panics
    ///
    /// If this builds a multi-thread runtime.
    ///
    /// # Examples
    ///
    /// ```
    /// use reiver::runtime::{Builder, LocalOptions};
    /// let runtime = Builder::new_current_thread().build_local(LocalOptions::default())?;
    /// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn build_local(&mut self, _options: LocalOptions) -> io::Result<LocalRuntime> {
        let runtime = self.build()?;
        let flavor = runtime.handle().runtime_flavor();
        assert!(flavor == RuntimeFlavor::CurrentThread, "a local runtime has no other threads");
        Ok(LocalRuntime { set: Some(LocalSet::new()), runtime: Some(runtime) })
    }
}

impl LocalRuntime {
    /// A runtime as [`Builder::new_current_thread`] makes it.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`].
    pub fn new() -> io::Result<Self> {
        Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
    }

    /// A handle. Other threads may spawn by it, futures that are `Send`.
    pub fn handle(&self) -> &Handle {
        self.parts().1.handle()
    }

    /// Spawns a task, which runs inside of [`block_on`](Self::block_on).
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.parts().0.spawn_local(future)
    }

    /// Runs a closure on the pool for blocking jobs.
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.parts().1.spawn_blocking(f)
    }

    /// Runs `future` to its end, and the runtime's tasks beside it.
    ///
    /// # Panics
    ///
    /// As [`Runtime::block_on`].
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let (set, runtime) = self.parts();
        let _entered = set.enter();
        set.block_on(runtime, future)
    }

    /// Makes this the current runtime of the thread while the guard lives.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = reiver::runtime::LocalRuntime::new()?;
    /// let guard = runtime.enter();
    /// let task = reiver::task::spawn_local(async { 5 });
    /// drop(guard);
    /// assert_eq!(runtime.block_on(task).unwrap(), 5);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn enter(&self) -> LocalRuntimeEnterGuard<'_> {
        let (set, runtime) = self.parts();
        LocalRuntimeEnterGuard { _runtime: runtime.enter(), _set: set.enter() }
    }

    /// What the runtime has counted. Local tasks are not in it.
    pub fn metrics(&self) -> RuntimeMetrics {
        self.parts().1.metrics()
    }

    /// Ends the runtime, and waits at most `timeout` for its blocking jobs.
    pub fn shutdown_timeout(mut self, timeout: Duration) {
        self.end().into_iter().for_each(|runtime| runtime.shutdown_timeout(timeout));
    }

    /// Ends the runtime without waiting for its blocking jobs.
    pub fn shutdown_background(mut self) {
        self.end().into_iter().for_each(Runtime::shutdown_background);
    }

    fn parts(&self) -> (&LocalSet, &Runtime) {
        let (Some(set), Some(runtime)) = (&self.set, &self.runtime) else {
            unreachable!("they are taken when it ends only");
        };
        (set, runtime)
    }

    /// Ends the local tasks; gives what is left.
    fn end(&mut self) -> Option<Runtime> {
        let runtime = self.runtime.take()?;
        let entered = runtime.enter();
        drop(self.set.take());
        drop(entered);
        Some(runtime)
    }
}

impl Drop for LocalRuntime {
    fn drop(&mut self) {
        drop(self.end());
    }
}
