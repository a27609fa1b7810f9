//! A job: a closure in a task's cell, and its entry in a queue.
//!
//! The closure is a future that ends at its first poll, so a job needs one allocation and its handle
//! is the ordinary `JoinHandle`. Its `Runnable` exists from the spawn until a thread takes it, hence
//! NOTIFIED is set all that time: an abort before the start only marks it, and the thread that takes
//! it drops the closure instead of calling it; an abort after the start finds RUNNING and changes
//! nothing. Nobody has a waker of a job. So no job is ever *scheduled*.

use super::shared::Shared;
use crate::task::{Header, Runnable, Schedule, Why, budget};
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// A job in a queue: 16 bytes.
#[derive(Debug)]
pub struct Job {
    runnable: Runnable,
    /// Nanoseconds since the pool was made, times four, plus the two flags.
    stamp: u64,
}

impl Job {
    /// A job that was queued at `at` nanoseconds.
    pub fn new(runnable: Runnable, at: u64, mandatory: bool, announced: bool) -> Self {
        Self { runnable, stamp: at << 2 | u64::from(announced) << 1 | u64::from(mandatory) }
    }

    /// When it was queued.
    pub fn queued_at(&self) -> u64 {
        self.stamp >> 2
    }

    /// Whether it runs even when shutdown has begun.
    pub fn is_mandatory(&self) -> bool {
        self.stamp & 1 != 0
    }

    /// Whether the hook is called when it has run.
    pub fn is_announced(&self) -> bool {
        self.stamp & 2 != 0
    }

    /// The number of its task id.
    pub fn id(&self) -> u64 {
        self.runnable.header().id().number()
    }

    /// Where it was spawned.
    pub fn location(&self) -> &'static Location<'static> {
        self.runnable.header().location()
    }

    /// Calls the closure, unless the job was aborted.
    pub fn run(self) {
        self.runnable.run();
    }

    /// Drops the closure; the handle says "cancelled".
    pub fn cancel(self) {
        drop(self.runnable);
    }
}

/// A closure as a future.
#[derive(Debug)]
pub struct Once<F>(pub Option<F>);

impl<F> Unpin for Once<F> {}

impl<T, F: FnOnce() -> T> Future for Once<F> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<T> {
        let closure = self.0.take().expect("a job is polled once");
        // No budget: a job has its thread to itself, and what it blocks on must not be told to wait.
        Poll::Ready(budget::without_budget(closure))
    }
}

/// The scheduler of a job: takes it off the pool's registry when it has ended.
///
/// A plain pointer, so that a spawn does not touch a counter that all threads share. It is followed
/// only by who runs or drops a `Runnable`, and those are: a thread of the pool, `Pool::spawn` for a
/// refused job, and shutdown. Each of them holds the `Shared`.
#[derive(Debug)]
pub struct Owner(pub NonNull<Shared>);

impl Schedule for Owner {
    const KIND: &'static str = "blocking";

    fn schedule(&self, _: Runnable, why: Why) {
        unreachable!(
            "a job was scheduled ({why:?}): it is ready until it runs, and it never waits"
        );
    }

    fn release(&self, task: &Header) {
        // SAFETY: the caller runs or drops the job's `Runnable`, and so holds the `Shared` (see
        // `Owner`). The job was inserted in this registry, and a task ends once.
        unsafe { self.0.as_ref().registry.remove(task) }
    }
}
