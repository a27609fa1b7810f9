//! A runtime without workers, whose tasks somebody else runs: what `#[reiver::model]` and
//! `#[reiver::sim]` explore.
//!
//! Tasks, handles, the registry, the timers and the clock are the real ones. Only the question who polls
//! a ready task, and when, is the [`Engine`]'s, and so is the moment at which time passes. A closure of
//! `spawn_blocking` is a task that never waits. Nothing here exists in production:
//! [`Explored`] holds nothing there, and each branch on it folds away.
#![allow(dead_code)] // only model builds explore

use super::{Settings, Shared};
use crate::blocking::Pool;
use crate::primitive::explore::Explored;
use crate::primitive::{Arc, explore};
use crate::task::{Id, JoinHandle, Runnable};
use std::panic::Location;
use std::sync::Weak;

/// Registry lists of an explored runtime: a model's tasks are in one each, so that they do not meet at
/// a lock that they would not meet at on different workers.
pub(super) const HOMES: usize = 5;

/// Whoever runs the tasks of an explored runtime.
pub(crate) trait Engine: Send + Sync {
    /// Takes a task that became runnable, from any thread.
    fn ready(&self, task: Runnable);
    /// The task has ended: it will not come back.
    fn ended(&self, task: Id);
    /// There is an earlier timer than before.
    fn timer_set(&self);
    /// The registry list for a new task, below [`HOMES`].
    fn home(&self) -> usize;
}

impl Shared {
    /// A runtime that `engine` runs, with a clock that stands.
    pub(crate) fn explored(
        engine: Explored<Box<dyn Engine>>,
        pool: impl FnOnce(Weak<Self>) -> Pool,
    ) -> Arc<Self> {
        let (shared, _no_seats) =
            explore::unannounced(|| Self::with_engine(0, Settings::off(), pool, engine));
        shared.driver.clock().stand_at_origin();
        shared
    }

    /// Whether an engine runs it.
    pub(crate) fn is_explored(&self) -> bool {
        self.explored.get().is_some()
    }

    /// The registry list for a task that no worker spawns.
    pub(super) fn outside_home(&self) -> usize {
        self.homes + self.explored.get().map_or(0, |engine| engine.home())
    }

    /// Runs a closure as a task.
    pub(super) fn spawn_explored<F, R>(
        self: &Arc<Self>,
        f: F,
        name: Option<Box<str>>,
        location: &'static Location<'static>,
    ) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        // SAFETY: the bounds allow any thread to run the closure and to have its output.
        unsafe { self.spawn(async move { f() }, name.into(), location) }
    }

    /// Moves the clock to the next timer, or by `late` beyond it, and fires what is due. `false`: there
    /// is no timer.
    pub(crate) fn pass_time(&self, late: std::time::Duration) -> bool {
        let Some(next) = self.driver.timers.earliest() else { return false };
        let clock = self.driver.clock();
        let moved = clock.advance_to(next) && clock.advance(late);
        debug_assert!(moved, "the clock of an explored runtime stands");
        self.driver.expire_all(self.slots.len());
        true
    }
}
