//! Pools for blocking jobs beside the runtime's, with limits of their own: work of one kind that must not take
//! all threads from the others.

use super::{TrySpawnBlockingError, submit_in, try_spawn_in};
use crate::blocking::{self, Config, Running};
use crate::primitive::Arc;
use crate::runtime::{Handle, blocking_pool};
use crate::task::{JoinError, JoinHandle};
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

/// A pool of threads for blocking jobs.
///
/// Its threads are inside of the runtime that it was made on, and it ends with that. When its last clone is
/// dropped, jobs that wait are cancelled, and those that run go on.
///
/// # Examples
///
/// ```
/// use reiver::task::blocking::Pool;
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let images = Pool::builder().name("images").max_threads(2).max_queue(100).build();
/// let jobs: Vec<_> = (0..10u64).map(|n| images.spawn(move || n * n)).collect();
/// let mut sum = 0;
/// for job in jobs {
///     sum += job.await.unwrap();
/// }
/// assert_eq!(sum, 285);
/// assert_eq!(images.run(|| "waits for room, and for the result").await.unwrap().len(), 34);
/// # });
/// ```
#[derive(Clone)]
pub struct Pool {
    pool: blocking::Pool,
    runtime: Handle,
    name: Arc<str>,
}

/// Sets up a [`Pool`].
#[derive(Debug, Clone)]
#[must_use = "`build` makes the pool"]
pub struct Builder {
    name: String,
    max_threads: usize,
    max_queue: Option<usize>,
    keep_alive: Duration,
}

impl Builder {
    /// The name in listings, and of the threads. By default `blocking`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The most threads, and so the most jobs that run at a time. By default one for each CPU. They are started
    /// when jobs come.
    ///
    /// # Panics
    ///
    /// If it is 0, or more than 32,000.
    #[track_caller]
    pub fn max_threads(mut self, threads: usize) -> Self {
        assert!((1..=32_000).contains(&threads), "a pool has 1 to 32,000 threads");
        self.max_threads = threads;
        self
    }

    /// How many jobs may wait for a thread before [`try_spawn`](Pool::try_spawn) refuses and
    /// [`submit`](Pool::submit) waits. By default there is no limit, and [`spawn`](Pool::spawn) knows none.
    pub fn max_queue(mut self, jobs: usize) -> Self {
        self.max_queue = Some(jobs);
        self
    }

    /// How long a thread without work stays; the last one stays for good. By default 10 s.
    pub fn keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Makes the pool, on the current runtime.
    ///
    /// # Panics
    ///
    /// Outside a runtime.
    #[track_caller]
    #[must_use = "dropping the pool cancels what waits in it"]
    pub fn build(self) -> Pool {
        let runtime = Handle::current();
        let name: Arc<str> = self.name.into();
        let config = Config {
            max_threads: self.max_threads,
            reserved: 0,
            keep_alive: self.keep_alive,
            max_queue: self.max_queue,
            name: Some(name.clone()),
            ..Config::default()
        };
        let shared = runtime.shared();
        let thread = name.clone();
        let hooks = shared.hooks.clone();
        let pool = blocking_pool(config, Arc::downgrade(shared), hooks, move || thread.to_string());
        shared.add_pool(&pool);
        if shared.is_closed() {
            pool.close();
        }
        Pool { pool, runtime, name }
    }
}

impl Pool {
    /// Sets up a pool.
    pub fn builder() -> Builder {
        Builder {
            name: "blocking".to_owned(),
            max_threads: crate::primitive::num_cpus(),
            max_queue: None,
            keep_alive: Duration::from_secs(10),
        }
    }

    /// Runs `f` on a thread of this pool. As [`spawn_blocking`](super::spawn_blocking).
    ///
    /// # Panics
    ///
    /// If the pool has no thread yet and the system refuses to start one.
    #[track_caller]
    pub fn spawn<F, R>(&self, f: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.spawn_named(f, None, Location::caller())
    }

    #[track_caller]
    pub(in crate::tasks) fn spawn_named<F, R>(
        &self,
        f: F,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
    ) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.runtime.shared().spawn_blocking_in(&self.pool, f, name, location)
    }

    /// As [`spawn`](Self::spawn), unless the queue is full: then the closure comes back.
    ///
    /// # Errors
    ///
    /// [`TrySpawnBlockingError`]: the queue is full, or the pool has no thread and the system refuses to start
    /// one.
    #[track_caller]
    pub fn try_spawn<F, R>(&self, f: F) -> Result<JoinHandle<R>, TrySpawnBlockingError<F>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        try_spawn_in(self.runtime.shared(), &self.pool, f, Location::caller())
    }

    /// As [`spawn`](Self::spawn), after waiting until the queue has room.
    ///
    /// # Cancel safety
    ///
    /// Until it returns the handle, dropping it drops `f`, and nothing has run.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn submit<F, R>(&self, f: F) -> impl Future<Output = JoinHandle<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        submit_in(self.runtime.shared(), &self.pool, f, Location::caller())
    }

    /// Waits until the queue has room, runs `f`, and gives its result.
    ///
    /// # Errors
    ///
    /// If `f` panics, or the pool ends before it has begun.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops `f` if it has not begun; if it has, [`stop_requested`](super::stop_requested) tells it.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn run<F, R>(&self, f: F) -> impl Future<Output = Result<R, JoinError>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let job = self.submit(f);
        async move { crate::tasks::AbortOnDropHandle::new(job.await).await }
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The jobs that have not ended: those that run, the longest first, then those that wait.
    pub fn jobs(&self) -> Vec<Running> {
        self.pool.jobs()
    }

    /// How many jobs wait for a thread.
    pub fn queue_depth(&self) -> usize {
        self.pool.metrics().queued
    }

    /// How many threads the pool has.
    pub fn num_threads(&self) -> usize {
        self.pool.metrics().threads
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("name", &self.name)
            .field("threads", &self.num_threads())
            .field("queued", &self.queue_depth())
            .finish()
    }
}
