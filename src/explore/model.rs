//! `#[reiver::model]`: a few tasks, in every order of their operations and with every value that a load
//! may give, within a bound.
//!
//! The guide with worked examples is [`reiver::docs::testing`](crate::docs::testing).
//!
//! # What hand-written futures use
//!
//! A model sees what goes through reiver: its locks, channels, timers and wakers. It does not see std's
//! atomics and locks. A hand-written future that synchronises by atomics of its own takes them from here
//! when it is tested: [`atomic`], [`Mutex`], [`UnsafeCell`], [`fence`](atomic::fence). Outside a model
//! they are the ordinary ones.

use super::report::catch_panics;
use super::{Verdict, child, engine, stage, test_name};
use crate::primitive::Arc;
use std::future::Future;
use std::panic::Location;

pub use super::child::{Explored, Found};
pub use crate::primitive::{Mutex, MutexGuard, UnsafeCell, atomic};

/// A model with options: what `#[reiver::model]` makes of its arguments.
#[derive(Clone, Debug)]
#[must_use = "a model does nothing until `run` or `find`"]
pub struct Model {
    pub(super) name: String,
    location: &'static Location<'static>,
    pub(super) bound: usize,
    pub(super) seconds: u64,
    pub(super) must_reach: Vec<&'static str>,
}

impl Model {
    /// A model for the test `function` in module `module`. The test must be nothing but this model: it is
    /// started again in a process of its own, by its name.
    #[track_caller]
    pub fn new(module: &str, function: &str, _file: &str) -> Self {
        Self {
            name: test_name(module, function),
            location: Location::caller(),
            bound: 2,
            seconds: 60,
            must_reach: Vec::new(),
        }
    }

    /// How often, at most, a task that could go on is interrupted by another: 2 unless set. Most bugs
    /// need one or two; each one more makes a model about ten times as long.
    /// `REIVER_MODEL=thorough` adds one.
    pub fn bound(self, bound: usize) -> Self {
        Self { bound, ..self }
    }

    /// How long it may take: 60 seconds unless set.
    pub fn seconds(self, seconds: u64) -> Self {
        Self { seconds, ..self }
    }

    /// Demands that some execution meets each of these labels; see [`reached!`](crate::reached).
    pub fn must_reach(mut self, labels: &[&'static str]) -> Self {
        self.must_reach.extend(labels);
        self
    }

    /// Explores `body`, and fails as a test does if an execution fails.
    ///
    /// # Panics
    ///
    /// With the report.
    pub fn run<F>(self, body: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        let seed = std::env::var("REIVER_SEED").ok();
        match self.explore(seed.as_deref(), body) {
            Ok(explored) => println!("{explored}"),
            Err(found) => panic!("{found}"),
        }
    }

    /// Explores `body` and gives the first failure.
    ///
    /// # Errors
    ///
    /// The failure.
    pub fn find<F>(&self, body: impl Fn() -> F + Send + Sync + 'static) -> Result<Explored, Found>
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        self.explore(None, body)
    }

    /// Runs one execution again: one that [`Found::seed`] gave.
    ///
    /// # Errors
    ///
    /// The failure.
    ///
    /// # Panics
    ///
    /// If that is no seed.
    pub fn replay<F>(
        &self,
        seed: &str,
        body: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Explored, Found>
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        self.explore(Some(seed), body)
    }

    fn explore<F>(
        &self,
        seed: Option<&str>,
        body: impl Fn() -> F + Send + Sync + 'static,
    ) -> Result<Explored, Found>
    where
        F: Future + 'static,
        F::Output: Verdict,
    {
        let Some(wanted) = child::wanted(&self.name) else {
            return child::explore(self, seed);
        };
        catch_panics();
        let location = self.location;
        let body = Arc::new(body);
        child::check(self, wanted, move |run: child::Run| {
            // Not in this thread, whose stack is small.
            let body = body.clone();
            stage::execute(run, move |shared| engine::spawn_root(shared, body(), location));
        })
    }
}
