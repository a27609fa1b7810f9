//! Tasks: one allocation each, one atomic word that decides who may do what, and handles to it.
//!
//! A task meets its scheduler only through [`Schedule`], and the rest of the world only through
//! [`Waker`](std::task::Waker)s; it can be model-checked with a scheduler of ten lines.
#![doc = include_str!("README.md")]

#[cfg(test)]
mod tests;

pub(crate) mod budget;
mod cell;
pub(crate) mod context;
mod error;
mod harness;
mod id;
mod info;
mod join;
pub(crate) mod panics;
mod record;
mod registry;
mod state;
mod waker;

pub use cell::{Given, Header};
pub use error::JoinError;
pub use id::Id;
pub use info::{TaskInfo, Waiting};
pub use join::{AbortHandle, JoinHandle};
pub use panics::{UnhandledPanic, on_unobserved_panic};
pub use registry::{Closed, Registry};
pub use state::Phase;

// The door: what programs find under `reiver::task` beside the above. Re-exports only.
pub use crate::group::*;
pub use crate::tasks::*;

use crate::util::spans::{self, New, Place};
use cell::{Cell, Extras};
use record::Record;
use std::fmt;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::NonNull;

/// Whoever runs tasks: puts them in a queue and later calls [`Runnable::run`].
pub trait Schedule: 'static {
    /// What its tasks are called where others show them.
    const KIND: &'static str = "task";

    /// Takes a task that became runnable.
    ///
    /// `self` lies in the task's own cell: once the `Runnable` is where another thread can run it,
    /// the cell, and `self` with it, may be gone. Copy what is needed afterwards first.
    fn schedule(&self, task: Runnable, why: Why);

    /// The task has panicked, which was `message`. Called before `release`. `policy` is what the task was
    /// spawned with, if anything.
    fn panicked(&self, task: &TaskInfo, message: &str, policy: Option<UnhandledPanic>) {
        if policy == Some(UnhandledPanic::Abort) {
            panics::abort(task, message);
        }
    }

    /// The task was ready for so many nanoseconds and is polled now. Only of tasks with a record.
    fn waited(&self, nanos: u64) {
        _ = nanos;
    }

    /// A poll of the task has taken so many nanoseconds. Only of tasks with a record.
    fn polled(&self, nanos: u64) {
        _ = nanos;
    }

    /// The task has ended; its last poll has returned and its output is about to be published. Called
    /// once, by the thread that ran it.
    fn release(&self, task: &Header);
}

/// Why a task became runnable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A waker or an abort found it waiting.
    Woken,
    /// It was woken while its own poll ran, as `yield_now` does: it goes behind the others.
    Again,
}

/// The right to poll a task once. Exactly one exists while the task is ready, none while it waits or
/// runs. Dropping it cancels the task, since nobody else would ever poll it.
pub struct Runnable(NonNull<Header>);

// SAFETY: whoever spawns makes sure that the future may be polled where the scheduler polls it:
// `spawn` demands `Send`, and a `LocalSet` keeps its runnables on its thread.
unsafe impl Send for Runnable {}

impl Runnable {
    /// # Safety
    ///
    /// The caller holds the right (`Wake::Submit`, `Pend::Again`, or a new task) and gives it up.
    unsafe fn from_raw(header: NonNull<Header>) -> Self {
        Self(header)
    }

    /// Polls the task once, or drops its future if it was aborted. Panics of the task stay in it.
    #[inline]
    pub fn run(self) {
        let header = ManuallyDrop::new(self).0;
        // SAFETY: the right is given up here; the vtable fits the cell.
        unsafe { (header.as_ref().vtable.run)(header) }
    }

    /// The task's header, for listings and reports.
    pub fn header(&self) -> &Header {
        // SAFETY: a task with a `Runnable` has not ended, so the executor's reference keeps it.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Runnable {
    fn drop(&mut self) {
        let header = self.0;
        // SAFETY: the right is ours and is used once; NOTIFIED is set, so `abort` cannot ask us to
        // schedule, only mark the task for the run that follows.
        unsafe {
            let _ = header.as_ref().state.abort();
            (header.as_ref().vtable.run)(header);
        }
    }
}

impl fmt::Debug for Runnable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Runnable").field(&self.header().id).finish()
    }
}

impl Header {
    /// The task's id.
    pub fn id(&self) -> Id {
        self.id
    }

    /// Where it was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.location
    }

    /// The name it was spawned with.
    pub fn name(&self) -> Option<&str> {
        // SAFETY: whoever has a reference to the header has a live cell, and the name lives as long.
        unsafe { (self.vtable.about)(NonNull::from(self)).name.map(|name| name.as_ref()) }
    }

    fn record(&self) -> Option<&Record> {
        // SAFETY: as above.
        unsafe { (self.vtable.about)(NonNull::from(self)).record.map(|record| record.as_ref()) }
    }

    fn span(&self) -> Option<&Place> {
        // SAFETY: as above.
        unsafe { (self.vtable.about)(NonNull::from(self)).span.map(|place| place.as_ref()) }
    }
}

/// What a task is spawned with.
pub struct Spawn<'a, S> {
    /// Who will run it.
    pub scheduler: S,
    /// Where it is listed.
    pub registry: &'a Registry,
    /// Which list.
    pub home: u16,
    /// What the user gave it.
    pub given: Given,
    /// The caller of `spawn`.
    pub location: &'static Location<'static>,
}

impl<S: Schedule> Spawn<'_, S> {
    /// Allocates and lists a task. `None` beside the handle: the registry is closed, and the task is
    /// already cancelled.
    ///
    /// # Safety
    ///
    /// `future` is polled and dropped only where its type allows: it is `Send`, or the scheduler
    /// keeps the `Runnable` on this thread. The same for the output and the `JoinHandle`. What the
    /// future borrows outlives the task.
    #[inline]
    pub unsafe fn create<F: Future>(self, future: F) -> (Option<Runnable>, JoinHandle<F::Output>) {
        let Self { scheduler, registry, home, given, location } = self;
        let context = context::capture();
        let wanted = spans::are_wanted();
        let header = if given.is_nothing() && context.is_none() && !wanted {
            Cell::allocate(future, scheduler, (), home, location)
        } else {
            Cell::allocate(future, scheduler, Extras::new(given, context), home, location)
        };
        // SAFETY: the task is new; `complete` removes it before it gives the executor's reference
        // back. It comes with the right to its first poll and two references, of which one, and the
        // JOIN bit, are the handle's, whose type is the future's.
        unsafe {
            let listed = registry.insert(home, header);
            // It has its id now, and nobody but its owners-to-be has a waker of it yet.
            if let Some(place) = wanted.then(|| header.as_ref().span()).flatten() {
                let name = header.as_ref().name();
                let id = header.as_ref().id.number();
                place.fill(&New { kind: S::KIND, name, id, size: size_of::<F>(), location });
            }
            let runnable = Runnable::from_raw(header);
            let handle = JoinHandle::from_raw(header);
            match listed {
                Ok(()) => (Some(runnable), handle),
                Err(Closed) => {
                    header.as_ref().state.set_unlisted();
                    drop(runnable);
                    (None, handle)
                }
            }
        }
    }
}

/// The id of the task that is running here, if one is.
pub fn try_id() -> Option<Id> {
    budget::current_task(|task| task.id)
}

/// The name of the task that is polled here, if it has one.
#[allow(dead_code)] // only worker processes are told
pub(crate) fn current_name() -> Option<crate::primitive::Arc<str>> {
    budget::current_task(|task| task.name().map(Into::into)).flatten()
}

/// The task that is running here, described; `None` outside of tasks.
///
/// # Examples
///
/// ```
/// # reiver::runtime::Runtime::new().unwrap().block_on(async {
/// let task = reiver::task::Builder::new().name("me");
/// let me = task.spawn(async { reiver::task::current() }).unwrap().await.unwrap().unwrap();
/// assert_eq!(me.name(), Some("me"));
/// assert!(reiver::task::current().is_none());
/// # });
/// ```
pub fn current() -> Option<TaskInfo> {
    // SAFETY: it is being polled, so it is alive.
    budget::current().map(|task| unsafe { TaskInfo::of(task) })
}

/// Whether a task is polled here that was asked to end: this is its last poll.
pub(crate) fn is_last_poll() -> bool {
    budget::current_task(|task| task.state.is_cancelled()).unwrap_or(false)
}
