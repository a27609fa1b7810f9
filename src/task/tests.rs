//! Tests count: polls, drops, schedules, wakes, for each thing that can happen in each state.

use super::*;
use crate::primitive::Mutex;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};

/// A scheduler that is a queue.
#[derive(Default)]
struct Queue {
    ready: Mutex<VecDeque<Runnable>>,
    scheduled: AtomicUsize,
    released: AtomicUsize,
}

struct QueueRef(Arc<(Queue, Registry)>);

impl Schedule for QueueRef {
    fn schedule(&self, task: Runnable, _why: Why) {
        let this = self.0.clone();
        this.0.scheduled.fetch_add(1, SeqCst);
        this.0.ready.lock().push_back(task);
    }

    fn release(&self, task: &Header) {
        self.0.0.released.fetch_add(1, SeqCst);
        // SAFETY: every task of these tests was inserted here.
        unsafe { self.0.1.remove(task) };
    }
}

struct Bench(Arc<(Queue, Registry)>);

impl Bench {
    fn new() -> Self {
        Self(Arc::new((Queue::default(), Registry::new(1))))
    }

    #[track_caller]
    fn spawn<F: Future + Send + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let spawn = Spawn {
            scheduler: QueueRef(self.0.clone()),
            registry: &self.0.1,
            home: 0,
            given: Default::default(),
            location: Location::caller(),
        };
        // SAFETY: the future is `Send` and `'static`.
        let (runnable, handle) = unsafe { spawn.create(future) };
        if let Some(runnable) = runnable {
            self.0.0.ready.lock().push_back(runnable);
        }
        handle
    }

    /// Runs what is ready now; gives how many polls that were.
    fn tick(&self) -> usize {
        let ready = std::mem::take(&mut *self.0.0.ready.lock());
        ready.into_iter().map(Runnable::run).count()
    }

    fn scheduled(&self) -> usize {
        self.0.0.scheduled.load(SeqCst)
    }
}

/// A future whose polls and drops are counted, which ends when told to, and shows its waker.
#[derive(Clone, Default)]
struct Probe(Arc<ProbeState>);

#[derive(Default)]
struct ProbeState {
    polls: AtomicUsize,
    drops: AtomicUsize,
    output_drops: AtomicUsize,
    done: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

struct ProbeFuture(Probe);
struct Output(Probe);

impl Future for ProbeFuture {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let state = &self.0.0;
        state.polls.fetch_add(1, SeqCst);
        *state.waker.lock() = Some(cx.waker().clone());
        match state.done.load(SeqCst) {
            0 => Poll::Pending,
            1 => Poll::Ready(Output(self.0.clone())),
            _ => panic!("told to"),
        }
    }
}

impl Drop for ProbeFuture {
    fn drop(&mut self) {
        self.0.0.drops.fetch_add(1, SeqCst);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.0.0.output_drops.fetch_add(1, SeqCst);
    }
}

impl Probe {
    fn future(&self) -> ProbeFuture {
        ProbeFuture(self.clone())
    }

    fn take_waker(&self) -> Waker {
        self.0.waker.lock().take().expect("polled before")
    }

    #[track_caller]
    fn assert(&self, polls: usize, drops: usize, output_drops: usize) {
        let s = &self.0;
        assert_eq!(
            (s.polls.load(SeqCst), s.drops.load(SeqCst), s.output_drops.load(SeqCst)),
            (polls, drops, output_drops),
            "(polls, drops of the future, drops of the output)"
        );
    }
}

fn poll_handle<T>(handle: &mut JoinHandle<T>) -> Poll<Result<T, JoinError>> {
    Pin::new(handle).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn wakes_schedule_once() {
    let (bench, probe) = (Bench::new(), Probe::default());
    let handle = bench.spawn(probe.future());
    assert_eq!(bench.tick(), 1);
    let waker = probe.take_waker();
    waker.wake_by_ref();
    let by_value = waker.clone();
    by_value.wake();
    waker.wake_by_ref();
    assert_eq!(bench.scheduled(), 1);
    assert_eq!(bench.tick(), 1);
    assert_eq!(bench.tick(), 0);
    probe.assert(2, 0, 0);
    handle.abort();
    handle.abort();
    assert_eq!(bench.tick(), 1);
    probe.assert(2, 1, 0);
    assert!(handle.is_finished());
    waker.wake();
    assert_eq!(bench.scheduled(), 2);
}

#[test]
fn a_task_that_wakes_itself_is_scheduled_again() {
    let bench = Bench::new();
    let mut left = 3;
    let mut handle = bench.spawn(std::future::poll_fn(move |cx| {
        left -= 1;
        cx.waker().wake_by_ref();
        cx.waker().wake_by_ref();
        if left == 0 { Poll::Ready(7) } else { Poll::Pending }
    }));
    assert_eq!((bench.tick(), bench.tick(), bench.tick(), bench.tick()), (1, 1, 1, 0));
    assert_eq!(bench.scheduled(), 2);
    assert!(matches!(poll_handle(&mut handle), Poll::Ready(Ok(7))));
}

#[test]
fn the_output_is_dropped_once_whoever_has_it() {
    // Handle dropped before, after completion, and output taken.
    for when in 0..3 {
        let (bench, probe) = (Bench::new(), Probe::default());
        let mut handle = bench.spawn(probe.future());
        bench.tick();
        probe.0.done.store(1, SeqCst);
        probe.take_waker().wake();
        match when {
            0 => {
                drop(handle);
                bench.tick();
            }
            1 => {
                bench.tick();
                probe.assert(2, 1, 0);
                drop(handle);
            }
            _ => {
                bench.tick();
                let Poll::Ready(Ok(output)) = poll_handle(&mut handle) else { panic!() };
                drop(handle);
                probe.assert(2, 1, 0);
                drop(output);
            }
        }
        probe.0.waker.lock().take();
        probe.assert(2, 1, 1);
        assert_eq!(Arc::strong_count(&probe.0), 1);
        assert_eq!(Arc::strong_count(&bench.0), 1, "the cell was freed");
        assert_eq!(bench.0.0.released.load(SeqCst), 1);
    }
}

#[test]
fn a_panic_stays_in_the_task() {
    let (bench, probe) = (Bench::new(), Probe::default());
    let mut handle = bench.spawn(probe.future());
    probe.0.done.store(2, SeqCst);
    bench.tick();
    probe.assert(1, 1, 0);
    let Poll::Ready(Err(error)) = poll_handle(&mut handle) else { panic!() };
    assert!(error.is_panic() && !error.is_cancelled());
    assert_eq!(error.id(), handle.id());
    assert!(error.to_string().ends_with("panicked with message \"told to\""), "{error}");
    assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"told to"));
}

#[test]
fn a_panic_in_drop_stays_in_the_task() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }
    let bench = Bench::new();
    // Of the future when it is cancelled, of the future when it ends, of the output.
    let bomb = Bomb;
    let mut cancelled = bench.spawn(async move {
        let _bomb = bomb;
        std::future::pending::<()>().await;
    });
    cancelled.abort();
    let bomb = Bomb;
    let mut ended = bench.spawn({
        let mut bomb = Some(bomb);
        std::future::poll_fn(move |_| {
            let _ = &mut bomb;
            Poll::Ready(())
        })
    });
    drop(bench.spawn(async { Bomb }));
    assert_eq!(bench.tick(), 3);
    assert!(matches!(poll_handle(&mut cancelled), Poll::Ready(Err(e)) if e.is_panic()));
    assert!(matches!(poll_handle(&mut ended), Poll::Ready(Err(e)) if e.is_panic()));
    assert_eq!(bench.0.1.len(), 0);
}

#[test]
fn the_joiner_is_woken_once_by_its_last_waker() {
    struct Count(AtomicUsize);
    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let (bench, probe) = (Bench::new(), Probe::default());
    let mut handle = bench.spawn(probe.future());
    let counts = [Arc::new(Count(AtomicUsize::new(0))), Arc::new(Count(AtomicUsize::new(0)))];
    for count in [&counts[0], &counts[1], &counts[1]] {
        let waker = Waker::from(count.clone());
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    probe.0.done.store(1, SeqCst);
    bench.tick();
    assert_eq!(counts.each_ref().map(|c| c.0.load(SeqCst)), [0, 1]);
    assert!(poll_handle(&mut handle).is_ready());
    assert!(catch_unwind(AssertUnwindSafe(|| poll_handle(&mut handle))).is_err());
}

#[test]
fn a_dropped_runnable_cancels() {
    let (bench, probe) = (Bench::new(), Probe::default());
    let mut handle = bench.spawn(probe.future());
    bench.0.0.ready.lock().clear();
    probe.assert(0, 1, 0);
    assert!(matches!(poll_handle(&mut handle), Poll::Ready(Err(e)) if e.is_cancelled()));
}

#[test]
fn a_closed_registry_refuses_and_ends() {
    let (bench, waiting, late) = (Bench::new(), Probe::default(), Probe::default());
    let mut first = bench.spawn(waiting.future());
    bench.tick();
    assert_eq!(bench.0.1.dump()[0].phase(), Phase::Waiting);
    bench.0.1.close();
    let mut second = bench.spawn(late.future());
    late.assert(0, 1, 0);
    assert!(matches!(poll_handle(&mut second), Poll::Ready(Err(e)) if e.is_cancelled()));
    assert_ne!(first.id(), second.id());
    bench.0.1.abort_all(|runnable| bench.0.0.ready.lock().push_back(runnable));
    assert_eq!(bench.tick(), 1);
    assert!(bench.0.1.is_empty());
    assert!(matches!(poll_handle(&mut first), Poll::Ready(Err(e)) if e.is_cancelled()));
}

#[test]
fn a_header_is_one_cache_line() {
    assert_eq!(size_of::<Header>(), 64);
}
