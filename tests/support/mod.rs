//! Futures that are completed by hand, and a poller that counts. No runtime is involved.

#![allow(dead_code)] // each test binary uses its part

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

/// A waker that counts, from any thread.
#[derive(Default)]
pub struct Wakes(AtomicUsize);

impl Wakes {
    pub fn count(&self) -> usize {
        self.0.load(SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Polls futures and counts their wakes.
#[derive(Default)]
pub struct Poller {
    pub wakes: Arc<Wakes>,
}

impl Poller {
    pub fn poll<F: Future>(&self, future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(&Waker::from(self.wakes.clone())))
    }

    pub fn wakes(&self) -> usize {
        self.wakes.count()
    }
}

/// A future polled by hand.
pub struct Task<F: Future> {
    future: Pin<Box<F>>,
    pub poller: Poller,
}

pub fn task<F: Future>(future: F) -> Task<F> {
    Task { future: Box::pin(future), poller: Poller::default() }
}

impl<F: Future> Task<F> {
    pub fn poll(&mut self) -> Poll<F::Output> {
        self.poller.poll(self.future.as_mut())
    }

    #[track_caller]
    pub fn pending(&mut self) {
        assert!(self.poll().is_pending(), "ready too early");
    }

    #[track_caller]
    pub fn ready(&mut self) -> F::Output {
        match self.poll() {
            Poll::Ready(output) => output,
            Poll::Pending => panic!("still pending"),
        }
    }

    /// How often it was woken.
    pub fn wakes(&self) -> usize {
        self.poller.wakes()
    }
}

/// Polls `future` for as long as it is woken; panics if it waits for something else.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let poller = Poller::default();
    let mut future = pin!(future);
    for _ in 0..100_000 {
        let before = poller.wakes();
        match poller.poll(future.as_mut()) {
            Poll::Ready(output) => return output,
            Poll::Pending => assert!(poller.wakes() > before, "nobody will wake this future"),
        }
    }
    panic!("this future wakes itself for ever");
}

/// Waits for a future as an executor that knows no runtime does: on this thread's park token.
pub fn parked<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// What happened to the futures of one test, in order.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub fn note(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    /// The events since the last call.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.borrow_mut())
    }

    /// A future that notes its polls and its drop, and completes when it has been given a value.
    pub fn future<T>(&self, name: &'static str) -> (Given<T>, Logged<T>) {
        let value = Rc::new(Cell::new(None));
        let waker = Rc::new(Cell::new(None));
        let given = Given { value: value.clone(), waker: waker.clone() };
        (given, Logged { name, value, waker, done: false, log: self.clone() })
    }

    /// Such a future that has its value.
    pub fn ready<T>(&self, name: &'static str, value: T) -> Logged<T> {
        let (given, future) = self.future(name);
        given.give(value);
        future
    }
}

pub struct Given<T> {
    value: Rc<Cell<Option<T>>>,
    waker: Rc<Cell<Option<Waker>>>,
}

impl<T> Given<T> {
    pub fn give(&self, value: T) {
        self.value.set(Some(value));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

pub struct Logged<T> {
    name: &'static str,
    value: Rc<Cell<Option<T>>>,
    waker: Rc<Cell<Option<Waker>>>,
    done: bool,
    log: Log,
}

impl<T> Future for Logged<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        assert!(!self.done, "{} is polled after it completed", self.name);
        self.log.note(format!("poll {}", self.name));
        match self.value.take() {
            Some(value) => {
                self.done = true;
                Poll::Ready(value)
            }
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> Drop for Logged<T> {
    fn drop(&mut self) {
        self.log.note(format!("drop {}", self.name));
    }
}
