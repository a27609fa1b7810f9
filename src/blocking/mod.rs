//! Threads for closures that block or compute: a pool that grows with what waits, never strands a
//! job, pushes back when it is told to, and ends on time.
//!
//! The pool knows nothing of a scheduler: a job is a task (its handle is the ordinary
//! [`JoinHandle`]), and threads come from a hook that names them and enters the runtime's context.
//!
//! | file | owns |
//! |---|---|
//! | `word.rs` | the one shared word: threads, sleepers, searches |
//! | `shared.rs` | the queues, the stack of idle threads; who is woken or started, and when |
//! | `worker.rs` | what a thread does from its start to its end |
//! | `shutdown.rs` | closing, cancelling what is queued, waiting, the report |
//! | `job.rs` | a closure in a task's cell |
//! | `room.rs` | the bound of the user lane and who waits for room |
//! | `stats.rs` | histograms, metrics, what runs now |
#![doc = include_str!("README.md")]

mod job;
pub mod room;
mod shared;
mod shutdown;
mod stats;
#[cfg(test)]
mod tests;
mod word;
mod worker;

pub use shared::{Calls, Config};
pub use stats::{Metrics, Report, Running};
pub use worker::Body;

use crate::primitive::Arc;
use crate::task::JoinHandle;
use crate::util::ring::Recorded;
use shared::Shared;
use std::panic::Location;
use std::sync::Weak;
use std::time::Instant;
use std::{fmt, io};

/// Whose job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A user's closure.
    User,
    /// The runtime's own: file operations, name resolution. It never waits behind a user's.
    Runtime,
}

/// The lanes, in the order of their numbers.
const LANES: [Lane; 2] = [Lane::User, Lane::Runtime];

/// Which lanes a thread serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crew {
    /// Both.
    Common,
    /// The runtime's only.
    Reserve,
}

impl Lane {
    fn other(self) -> Self {
        LANES[1 - self as usize]
    }

    /// Who may serve this lane, the first choice first.
    fn crews(self) -> &'static [Crew] {
        match self {
            Self::User => &[Crew::Common],
            Self::Runtime => &[Crew::Reserve, Crew::Common],
        }
    }
}

/// What a job is spawned with besides its closure.
#[derive(Debug)]
pub struct Spec {
    /// Its queue.
    pub lane: Lane,
    /// It runs even if shutdown begins while it is queued: a write that somebody relies on.
    pub mandatory: bool,
    /// The pool's hook is called when it has run, after its handle has the output, or when it was cancelled. Not if
    /// it was refused.
    pub announced: bool,
    /// The user's name for it.
    pub name: Option<Box<str>>,
    /// The caller of `spawn_blocking`.
    pub location: &'static Location<'static>,
    /// Any number; spawners with different ones do not meet at the registry's lock.
    pub home: usize,
}

impl Spec {
    /// A user's job without a name, spawned by the caller.
    #[track_caller]
    pub fn user() -> Self {
        Self {
            lane: Lane::User,
            mandatory: false,
            announced: false,
            name: None,
            location: Location::caller(),
            home: 0,
        }
    }

    /// A job of the runtime's.
    #[track_caller]
    pub fn runtime() -> Self {
        Self { lane: Lane::Runtime, ..Self::user() }
    }
}

/// A job was not queued; the closure comes back.
pub enum Refused<F> {
    /// The user lane has no room.
    Full(F),
    /// The pool has no thread, and the system gives it none.
    NoThread(io::Error, F),
}

impl<F> Refused<F> {
    /// The closure.
    pub fn into_closure(self) -> F {
        match self {
            Self::Full(closure) | Self::NoThread(_, closure) => closure,
        }
    }
}

impl<F> fmt::Debug for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("Full"),
            Self::NoThread(error, _) => f.debug_tuple("NoThread").field(error).finish(),
        }
    }
}

impl<F> fmt::Display for Refused<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("the queue of the blocking pool is full"),
            Self::NoThread(error, _) => {
                write!(f, "the blocking pool could not start its first thread: {error}")
            }
        }
    }
}

impl<F> std::error::Error for Refused<F> {}

impl<F> From<Refused<F>> for io::Error {
    fn from(refused: Refused<F>) -> Self {
        let kind = match &refused {
            Refused::Full(_) => io::ErrorKind::WouldBlock,
            Refused::NoThread(error, _) => error.kind(),
        };
        io::Error::new(kind, refused.to_string())
    }
}

/// A handle to the pool; clones are the same pool. When the last one is dropped the pool closes, as
/// by [`shutdown`](Pool::shutdown) with a deadline in the past.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Closing>);

/// A pool that is neither kept open by this nor kept at all.
#[derive(Debug)]
pub struct WeakPool(Weak<Shared>);

impl WeakPool {
    /// The pool, while somebody has it or one of its threads lives.
    pub fn upgrade(&self) -> Option<Seen> {
        self.0.upgrade().map(Seen)
    }

    /// Whether there is anything left of the pool.
    pub fn is_alive(&self) -> bool {
        self.0.strong_count() > 0
    }
}

/// A pool as its runtime sees it. Dropping it closes nothing.
#[derive(Debug)]
pub struct Seen(Arc<Shared>);

impl Seen {
    /// As [`Pool::close`].
    pub fn close(&self) {
        self.0.close();
    }

    /// As [`Pool::shutdown`].
    pub fn shutdown(&self, deadline: Option<Instant>) -> Report {
        self.0.close();
        self.0.wait(deadline)
    }

    /// As [`Pool::jobs`].
    pub fn jobs(&self) -> Vec<Running> {
        self.0.jobs()
    }

    /// As [`Pool::flight`].
    pub fn flight(&self) -> Vec<Vec<Recorded>> {
        self.0.flight()
    }
}

/// Closes the pool when dropped. Not `Shared` itself, which the threads keep.
#[derive(Debug)]
struct Closing(Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A place in the user lane. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping it gives the place back"]
pub struct Place<'a> {
    pool: &'a Pool,
}

impl Place<'_> {
    /// As [`Pool::spawn`], in this place.
    ///
    /// # Errors
    ///
    /// [`Refused::NoThread`].
    pub fn spawn<F, T>(self, spec: Spec, job: F) -> Result<JoinHandle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let pool = self.pool;
        // The job's from here on: it is given back when the job leaves the queue, or by `submit`.
        std::mem::forget(self);
        pool.0.0.submit(spec, job)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.pool.0.0.give_back_place(Lane::User);
    }
}

impl Pool {
    /// A pool without threads; they are started by [`Calls::start`] when jobs come.
    ///
    /// That call starts a thread that calls its argument once, and returns at once. It may prepare
    /// and clean up that thread around the call. If it fails, or if the thread unwinds before the
    /// call, dropping the [`Body`] tells the pool.
    ///
    /// # Panics
    ///
    /// If `max_threads` is 0, or more than 32,000 threads are asked for.
    pub fn new(config: Config, calls: Calls) -> Self {
        Self(Arc::new(Closing(Shared::new(config, calls))))
    }

    /// Whether several jobs wait for threads.
    pub(crate) fn has_several(&self) -> bool {
        LANES.into_iter().map(|lane| self.0.0.queued(lane)).sum::<usize>() > 1
    }

    /// Queues a job, room or not. After a shutdown the job is cancelled at once.
    ///
    /// # Errors
    ///
    /// [`Refused::NoThread`]: nobody could ever run it. While one thread lives, that the system
    /// refuses another is no error: the job waits for a thread that gets done.
    pub fn spawn<F, T>(&self, spec: Spec, job: F) -> Result<JoinHandle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.0.take_place(spec.lane);
        self.0.0.submit(spec, job)
    }

    /// Queues a job if there is room; only the user lane can be full.
    ///
    /// # Errors
    ///
    /// [`Refused::Full`], and as [`spawn`](Self::spawn).
    pub fn try_spawn<F, T>(&self, spec: Spec, job: F) -> Result<JoinHandle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if self.0.0.try_take_place(spec.lane) {
            self.0.0.submit(spec, job)
        } else {
            Err(Refused::Full(job))
        }
    }

    /// Waits for room in the user lane.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the queue as if it had never waited.
    pub async fn place(&self) -> Place<'_> {
        if let Some(room) = self.0.0.room() {
            room.wait().await;
        }
        Place { pool: self }
    }

    /// A reference that does not keep the pool open.
    pub fn downgrade(&self) -> WeakPool {
        WeakPool(Arc::downgrade(&self.0.0))
    }

    /// As [`shutdown`](Self::shutdown), without the wait.
    pub fn close(&self) {
        self.0.0.close();
    }

    /// Ends the pool: refuses new jobs, cancels queued ones (but runs mandatory ones), and waits for
    /// the others until `deadline`, or as long as it takes. It may be called again to wait longer,
    /// and by a job of this pool, which then does not wait for itself.
    pub fn shutdown(&self, deadline: Option<Instant>) -> Report {
        self.0.0.close();
        self.0.0.wait(deadline)
    }

    /// The jobs that run now, the longest running first, then the queued ones.
    pub fn jobs(&self) -> Vec<Running> {
        self.0.0.jobs()
    }

    /// What the flight recorder has of each thread.
    pub fn flight(&self) -> Vec<Vec<Recorded>> {
        self.0.0.flight()
    }

    /// The numbers of this pool, as they are now.
    pub fn metrics(&self) -> Metrics {
        self.0.0.metrics()
    }
}
