//! What a simulation and a model have in common: an explored runtime and its end.

use super::Verdict;
use super::report::{Failure, PANICKED};
use crate::blocking::{Calls, Config, Pool};
use crate::primitive::Arc;
use crate::primitive::explore::Explored;
use crate::scheduler::{Engine, Shared};
use crate::task::JoinHandle;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::task::Poll;

/// A runtime that `engine` runs.
pub(super) fn runtime(engine: Box<dyn Engine>) -> Arc<Shared> {
    let refuse = |_| {
        let what = "name resolution and the like use threads of their own, which an exploration \
                    does not have: give the code an address";
        Err(io::Error::other(what))
    };
    let pool = |_| Pool::new(Config::default(), Calls::new(refuse));
    Shared::explored(Explored::new(engine), pool)
}

/// Spawns the body.
pub(super) fn spawn_root<F: Future + 'static>(
    shared: &Arc<Shared>,
    body: F,
    location: &'static Location<'static>,
) -> JoinHandle<F::Output> {
    // SAFETY: every task of an explored runtime is polled and dropped on the OS thread that explores,
    // and the output is taken there. What is not `Send` never leaves it.
    unsafe { shared.spawn(body, Some(Box::from("root")).into(), location) }
}

/// What the body says about the execution, once it has ended. A panic has been noted already.
pub(super) fn verdict<T: Verdict>(root: &mut JoinHandle<T>) -> Option<Failure> {
    match root.take_output() {
        Poll::Ready(Ok(output)) => output
            .error()
            .map(|error| Failure::new(format!("the body ended with an error: {error}"))),
        Poll::Ready(Err(error)) if error.is_panic() => Some(Failure::new(PANICKED)),
        Poll::Ready(Err(_)) => Some(Failure::new("the body was cancelled")),
        Poll::Pending => Some(Failure::new("the body has not ended")),
    }
}
