//! The primitives of `reiver::sync` through their public API, without a runtime: futures are polled
//! by hand, and polls and wakes are counted.

mod barrier;
mod bench;
mod blocking;
mod broadcast;
mod cancellation;
mod condition;
mod event;
mod limiter;
mod mpsc;
mod mutex;
mod notify;
mod once;
mod oneshot;
mod queue;
mod rwlock;
mod semaphore;
#[path = "../support/mod.rs"]
mod support;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use support::{Task, parked as block_on, task};

fn assert_send<T: Send>(value: T) -> T {
    value
}

/// A waker whose clone, wake and drop call `hook`: what user code may do there must not meet a lock
/// of ours.
struct Meddler<F: Fn() + Send + Sync>(F);

impl<F: Fn() + Send + Sync> Wake for Meddler<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

impl<F: Fn() + Send + Sync> Drop for Meddler<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn meddler(hook: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Meddler(hook)))
}

/// A waker that panics, the first time only.
fn panicker() -> Waker {
    struct Panicker(AtomicUsize);

    impl Wake for Panicker {
        fn wake(self: Arc<Self>) {
            assert!(self.0.fetch_add(1, SeqCst) > 0, "a waker panics");
        }
    }

    Waker::from(Arc::new(Panicker(AtomicUsize::new(0))))
}

/// What `f` panics with.
#[track_caller]
fn panics(f: impl FnOnce()) -> String {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast::<&str>().unwrap().to_string(),
    }
}
