//! Waiting for a future on a plain thread, by `park`: the engine of all `blocking_*` forms.
//!
//! The first poll is made with a waker that does nothing, so that what is ready costs no allocation;
//! the futures of this module take a new waker with every poll.

use crate::primitive::atomic::{AtomicBool, Ordering::*};
use crate::primitive::thread::{self, Thread};
use crate::primitive::{Arc, explore, in_model};
use crate::task::budget;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Wake, Waker};

/// Lets the thread know that its future wants to be polled.
struct Unpark {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Unpark {
    fn wake(self: std::sync::Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &std::sync::Arc<Self>) {
        // Release: pairs with the Acquire in `block_on`.
        self.woken.swap(true, Release);
        self.thread.unpark();
    }
}

/// Polls `future` on this thread until it is ready. The poll budget does not apply: the thread has
/// nobody to give way to.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut poll = |waker: &Waker| {
        budget::without_budget(|| future.as_mut().poll(&mut Context::from_waker(waker)))
    };
    if let Poll::Ready(output) = poll(Waker::noop()) {
        return output;
    }
    // A thread of a model may wait like this.
    if !in_model() {
        explore::forbid("a `blocking_…` call, which stops its thread: use the async form");
    }
    let unpark = Arc::new(Unpark { woken: AtomicBool::new(false), thread: thread::current() });
    let waker = Waker::from(unpark.clone());
    loop {
        if let Poll::Ready(output) = poll(&waker) {
            return output;
        }
        // Acquire: pairs with the Release in `wake_by_ref`. A token of `park` that somebody else
        // meant for this thread only makes the loop go round.
        while !unpark.woken.swap(false, Acquire) {
            thread::park();
        }
    }
}
