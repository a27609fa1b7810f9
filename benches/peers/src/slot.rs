//! A channel of one place that belongs to no runtime: all of them wait on the same code.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// One value at a time, from one sender to one receiver.
pub struct Slot<T>(Mutex<(Option<T>, Option<Waker>)>);

impl<T> Slot<T> {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new((None, None))))
    }

    pub fn send(&self, value: T) {
        let waker = {
            let mut inner = self.0.lock().expect("nothing panics under it");
            assert!(inner.0.replace(value).is_none(), "one value at a time");
            inner.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub async fn recv(&self) -> T {
        poll_fn(|cx| {
            let mut inner = self.0.lock().expect("nothing panics under it");
            if let Some(value) = inner.0.take() {
                return Poll::Ready(value);
            }
            inner.1 = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Tells one waiter when a number of things has happened.
pub struct Countdown {
    left: AtomicUsize,
    done: Arc<Slot<()>>,
}

impl Countdown {
    pub fn new(count: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(count), done: Slot::new() })
    }

    pub fn one(&self) {
        if self.left.fetch_sub(1, AcqRel) == 1 {
            self.done.send(());
        }
    }

    pub async fn wait(&self) {
        self.done.recv().await;
    }
}
