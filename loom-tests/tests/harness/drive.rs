//! Futures in the threads of a model, and the data that they hand over.

use super::facade::{UnsafeCell, thread::Thread};
use super::thread::{current, park};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

/// A waker that unparks.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker of this thread.
pub fn waker() -> Waker {
    Waker::from(std::sync::Arc::new(Unpark(current())))
}

/// Drives a future to its end; every wake must come, or the model deadlocks.
pub fn wait<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let waker = waker();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        park();
    }
}

/// Polls once and keeps the future.
pub fn begin<F: Future>(future: F) -> (Pin<Box<F>>, Poll<F::Output>) {
    let mut future = Box::pin(future);
    let polled = future.as_mut().poll(&mut Context::from_waker(&waker()));
    (future, polled)
}

/// Plain data that the primitive under test protects: an access without an edge fails the model.
pub struct Data(UnsafeCell<usize>);

// SAFETY: loom runs all threads of a model on one OS thread, and it reports what would be a race.
unsafe impl Sync for Data {}

impl Data {
    pub fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    pub fn add(&self) -> usize {
        // SAFETY: loom checks that this is exclusive.
        self.0.with_mut(|cell| unsafe {
            *cell += 1;
            *cell
        })
    }

    pub fn get(&self) -> usize {
        // SAFETY: loom checks that nobody writes.
        self.0.with(|cell| unsafe { *cell })
    }
}
