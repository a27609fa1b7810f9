//! Exploration of a user's async code: `#[reiver::model]` and `#[reiver::sim]`.
//!
//! Both run the real tasks, handles, locks, channels, timers and clock of this crate; what they replace
//! is the answer to "who runs now?" (`scheduler/explored.rs`). They exist in builds with the feature
//! `model` and debug assertions.
//!
//! * [`sim`]: one OS thread, a decision at every point where a task could be chosen or told to give way,
//!   virtual time. Thousands of tasks; no weak memory.
//! * [`model`]: each task is a thread of loom's, so that every operation on an atomic or lock of ours is
//!   a point where another may come in between, and every load may give what the memory model allows.
//!   Up to four tasks. An execution of it is in `stage`.
//! * `choices`: decisions, policies, shrinking. `report`: what a person reads. `still`: a watch for what
//!   blocks a simulation's thread; `child` has one for models.
//!
//! Rejected: the real scheduler inside a model (one task on two workers takes 35,000 executions where the
//! tasks alone take 93, and its contract, that a woken task is polled and never twice at once, has
//! models of its own); a simulation that re-implements tasks and timers (it would find its own bugs).

mod child;
pub mod choices;
mod engine;
pub mod model;
mod pipe;
mod report;
mod seeds;
pub mod sim;
mod stage;
mod still;
mod world;

use std::fmt;

/// What a body of a test may give: nothing, or a `Result`.
pub trait Verdict {
    /// What went wrong.
    fn error(self) -> Option<String>;
}

impl Verdict for () {
    fn error(self) -> Option<String> {
        None
    }
}

impl<T, E: fmt::Debug> Verdict for Result<T, E> {
    fn error(self) -> Option<String> {
        self.err().map(|error| format!("{error:?}"))
    }
}

/// The name by which libtest knows a test, from the module it stands in and the function's name.
fn test_name(module: &str, function: &str) -> String {
    match module.split_once("::") {
        Some((_krate, rest)) => format!("{rest}::{function}"),
        None => function.to_owned(),
    }
}

/// The command that runs the test of this name alone.
fn test_command(name: &str) -> String {
    format!("cargo test {name} -- --exact")
}

/// What the two attributes expand to.
#[doc(hidden)]
#[macro_export]
macro_rules! __reiver_explore {
    ({ $($header:tt)* } { $($body:tt)* } { $($call:tt)* }) => {
        #[::core::prelude::v1::test]
        $($header)* {
            $($body)*
            $($call)* .run(__reiver_body);
        }
    };
}
