//! Models of a task's life: checks `src/task/README.md`.
//!
//! The scheduler is a queue under a lock. Futures write a watched cell in every poll and in their drop,
//! so that two threads which believe that they own a future are seen by loom, as is a poll that does not
//! see what its waker did.

mod harness;

use harness::thread::{current, park, spawn};
use harness::{Bound, Model, model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use reiver_model::internals::primitive::{Arc, Mutex, UnsafeCell};
use reiver_model::internals::task::{
    Header, JoinError, JoinHandle, Registry, Runnable, Schedule, Spawn, Why,
};
use std::collections::VecDeque;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

#[global_allocator]
static POISON: harness::poison::Poison = harness::poison::Poison::new();

/// A scheduler with one queue.
struct Bench {
    ready: Mutex<VecDeque<Runnable>>,
    scheduled: AtomicUsize,
    registry: Registry,
}

/// A task's way to it, in the task's cell: whoever uses the cell looks at the mark, and whoever frees it writes.
struct BenchRef(Arc<Bench>, UnsafeCell<()>);

impl BenchRef {
    fn to(bench: &Arc<Bench>) -> Self {
        Self(bench.clone(), UnsafeCell::new(()))
    }
}

impl Drop for BenchRef {
    fn drop(&mut self) {
        self.1.with_mut(|_| ());
    }
}

impl Schedule for BenchRef {
    fn schedule(&self, task: Runnable, _why: Why) {
        self.1.with(|_| ());
        let bench = self.0.clone();
        bench.scheduled.fetch_add(1, Relaxed);
        bench.ready.lock().push_back(task);
    }

    fn release(&self, task: &Header) {
        self.1.with(|_| ());
        // SAFETY: every task of these models was inserted here, and ends once.
        unsafe { self.0.registry.remove(task) };
    }
}

impl Bench {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            ready: Mutex::new(VecDeque::new()),
            scheduled: AtomicUsize::new(0),
            registry: Registry::new(1),
        })
    }

    fn spawn<F: Future + Send + 'static>(self: &Arc<Self>, future: F) -> JoinHandle<F::Output> {
        let spawn = Spawn {
            scheduler: BenchRef::to(self),
            registry: &self.registry,
            home: 0,
            given: Default::default(),
            location: Location::caller(),
        };
        // SAFETY: the future is `Send` and `'static`.
        let (runnable, handle) = unsafe { spawn.create(future) };
        if let Some(runnable) = runnable {
            self.ready.lock().push_back(runnable);
        }
        handle
    }

    /// Runs what is ready, one after the other, until nothing is.
    fn run(&self) {
        while let Some(task) = self.take() {
            task.run();
        }
    }

    fn take(&self) -> Option<Runnable> {
        self.ready.lock().pop_front()
    }

    fn scheduled(&self) -> usize {
        self.scheduled.load(Relaxed)
    }
}

/// What a model sees of its future.
struct Probe {
    /// Polls; written without a lock by whoever has the right to the future.
    polls: UnsafeCell<usize>,
    /// What a waker's thread writes before it wakes. Relaxed: the wake is the edge.
    go: AtomicBool,
    drops: AtomicUsize,
    output_drops: AtomicUsize,
}

// SAFETY: loom runs all threads of a model on one OS thread, and it reports what would be a race.
unsafe impl Sync for Probe {}
// SAFETY: as above.
unsafe impl Send for Probe {}

impl Probe {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            polls: UnsafeCell::new(0),
            go: AtomicBool::new(false),
            drops: AtomicUsize::new(0),
            output_drops: AtomicUsize::new(0),
        })
    }

    fn future(self: &Arc<Self>) -> ProbeFuture {
        ProbeFuture(self.clone())
    }

    /// The polls, after the last one.
    fn polls(&self) -> usize {
        // SAFETY: loom checks that no poll is running.
        self.polls.with(|polls| unsafe { *polls })
    }

    fn touch(&self) {
        // SAFETY: loom checks that nobody else is here.
        self.polls.with_mut(|polls| unsafe { *polls += 1 });
    }

    /// The future and its output are gone, each dropped once.
    #[track_caller]
    fn assert_gone(&self, outputs: usize) {
        assert_eq!(self.drops.load(Relaxed), 1, "the future is dropped once");
        assert_eq!(self.output_drops.load(Relaxed), outputs, "drops of the output");
    }
}

/// Ends when `go` is set; never stores its waker.
struct ProbeFuture(Arc<Probe>);
struct Output(Arc<Probe>);

impl Future for ProbeFuture {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Output> {
        self.0.touch();
        if self.0.go.load(Relaxed) { Poll::Ready(Output(self.0.clone())) } else { Poll::Pending }
    }
}

impl Drop for ProbeFuture {
    fn drop(&mut self) {
        self.0.touch();
        self.0.drops.fetch_add(1, Relaxed);
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.0.touch();
        self.0.output_drops.fetch_add(1, Relaxed);
    }
}

/// A future that gives its waker out in its first poll, and then is another one.
struct GiveWaker<F>(Arc<Mutex<Option<Waker>>>, F);

impl<F: Future + Unpin> Future for GiveWaker<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let before = self.0.lock().replace(cx.waker().clone());
        drop(before);
        Pin::new(&mut self.1).poll(cx)
    }
}

/// A task that has been polled once and waits, and its waker.
fn waiting(bench: &Arc<Bench>, probe: &Arc<Probe>) -> (JoinHandle<Output>, Waker) {
    let place = Arc::new(Mutex::new(None));
    let handle = bench.spawn(GiveWaker(place.clone(), probe.future()));
    bench.run();
    let waker = place.lock().take().expect("polled");
    (handle, waker)
}

fn poll_handle<T>(handle: &mut JoinHandle<T>) -> Poll<Result<T, JoinError>> {
    Pin::new(handle).poll(&mut Context::from_waker(Waker::noop()))
}

/// Takes the output of a task that has ended.
fn output<T>(mut handle: JoinHandle<T>) -> Result<T, JoinError> {
    match poll_handle(&mut handle) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the task has not ended"),
    }
}

/// Unparks the thread that made it.
struct Unparker(harness::thread::Thread);

impl Wake for Unparker {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a task as a thread.
fn join<T>(mut handle: JoinHandle<T>) -> Result<T, JoinError> {
    let waker = Waker::from(Arc::new(Unparker(current())));
    loop {
        match Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => park(),
        }
    }
}

/// A wake while the task is polled: it is polled again and sees what the waker did.
#[test]
fn task_wake_vs_run() {
    must_reach(&["woken in the poll", "woken before"]);
    model("task_wake_vs_run", Bound::None, || {
        let (bench, probe) = (Bench::new(), Probe::new());
        let (handle, waker) = waiting(&bench, &probe);
        // Made ready for a poll that is on its way when the other wake comes.
        waker.wake_by_ref();
        let other = spawn({
            let (probe, bench) = (probe.clone(), bench.clone());
            move || {
                probe.go.store(true, Relaxed);
                waker.wake();
                bench.run();
            }
        });
        bench.run();
        other.join().unwrap();
        bench.run();
        reached(if bench.scheduled() > 1 { "woken in the poll" } else { "woken before" });
        assert!(handle.is_finished(), "a wake was lost");
        drop(output(handle).unwrap());
        probe.assert_gone(1);
        assert_eq!(Arc::strong_count(&bench), 1, "the cell was freed");
    });
}

/// A wake of a task that is ending asks for nothing.
#[test]
fn task_wake_vs_complete() {
    model("task_wake_vs_complete", Bound::None, || {
        let (bench, probe) = (Bench::new(), Probe::new());
        let (handle, waker) = waiting(&bench, &probe);
        probe.go.store(true, Relaxed);
        let late = waker.clone();
        waker.wake();
        let other = spawn({
            let bench = bench.clone();
            move || {
                late.wake();
                bench.run();
            }
        });
        bench.run();
        other.join().unwrap();
        bench.run();
        assert_eq!(bench.scheduled(), 1, "by the first wake");
        drop(output(handle).unwrap());
        assert_eq!(probe.polls(), 4, "two polls, the drop of the future and that of its output");
        probe.assert_gone(1);
    });
}

/// Two wakers of a waiting task: one of them schedules it.
#[test]
fn task_two_wakers() {
    model("task_two_wakers", Bound::Preemptions(3), || {
        let (bench, probe) = (Bench::new(), Probe::new());
        let (handle, waker) = waiting(&bench, &probe);
        let others = [waker.clone(), waker].map(|waker| {
            let (bench, probe) = (bench.clone(), probe.clone());
            spawn(move || {
                probe.go.store(true, Relaxed);
                waker.wake();
                bench.run();
            })
        });
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(bench.take().is_none(), "every runner runs what it scheduled");
        assert!(handle.is_finished());
        assert_eq!(bench.scheduled(), 1, "one of the two schedules");
        drop(handle);
        probe.assert_gone(1);
    });
}

/// An abort while the task is polled: the thread that polls drops the future, once.
#[test]
fn task_abort_vs_run() {
    must_reach(&["cancelled", "ended"]);
    model("task_abort_vs_run", Bound::None, || {
        let (bench, probe) = (Bench::new(), Probe::new());
        probe.go.store(true, Relaxed);
        let handle = bench.spawn(probe.future());
        let other = spawn({
            let (bench, abort) = (bench.clone(), handle.abort_handle());
            move || {
                abort.abort();
                bench.run();
            }
        });
        bench.run();
        other.join().unwrap();
        assert!(handle.is_finished());
        let cancelled = match output(handle) {
            Ok(output) => {
                drop(output);
                false
            }
            Err(error) => error.is_cancelled(),
        };
        probe.assert_gone(usize::from(!cancelled));
        reached(if cancelled { "cancelled" } else { "ended" });
    });
}

/// A waiting task that is aborted while it is woken: somebody schedules it, and it ends.
#[test]
fn task_abort_vs_wake() {
    must_reach(&["cancelled at once", "polled first"]);
    model("task_abort_vs_wake", Bound::None, || {
        let (bench, probe) = (Bench::new(), Probe::new());
        let (handle, waker) = waiting(&bench, &probe);
        let other = spawn({
            let bench = bench.clone();
            move || {
                waker.wake();
                bench.run();
            }
        });
        handle.abort();
        bench.run();
        other.join().unwrap();
        assert!(handle.is_finished(), "an aborted task was not scheduled");
        reached(if probe.polls() == 2 { "cancelled at once" } else { "polled first" });
        assert!(output(handle).is_err_and(|error| error.is_cancelled()));
        probe.assert_gone(0);
    });
}

/// The references of the executor, a handle and a waker go on three threads: the last frees the cell,
/// after all others have used it.
#[test]
fn task_refcount() {
    model("task_refcount", Bound::Preemptions(3), || {
        let (bench, probe) = (Bench::new(), Probe::new());
        let (handle, waker) = waiting(&bench, &probe);
        let waker_thread = spawn(move || drop(waker));
        let runner = spawn({
            let bench = bench.clone();
            move || bench.run()
        });
        handle.abort();
        drop(handle);
        waker_thread.join().unwrap();
        runner.join().unwrap();
        bench.run();
        probe.assert_gone(0);
        assert_eq!(Arc::strong_count(&bench), 1, "the cell was freed, and its scheduler with it");
        assert_eq!(Arc::strong_count(&probe), 1);
    });
}

/// A handle that is dropped before its task began, in one step with its reference, against the first
/// poll: the cell is freed once, after both.
#[test]
fn task_detach_new_vs_run() {
    model("task_detach_new_vs_run", Bound::None, || {
        let (bench, probe) = (Bench::new(), Probe::new());
        probe.go.store(true, Relaxed);
        let handle = bench.spawn(probe.future());
        let runner = spawn({
            let bench = bench.clone();
            move || bench.run()
        });
        drop(handle);
        runner.join().unwrap();
        probe.assert_gone(1);
        assert_eq!(Arc::strong_count(&bench), 1, "the cell was freed");
    });
}

/// The joiner stores its waker while the task ends: it is woken, or finds the output.
#[test]
fn join_output() {
    must_reach(&["at once", "after a wait"]);
    model("join_output", Bound::Preemptions(3), || {
        let bench = Bench::new();
        // Not atomic, and not locked: the output's bytes are published by the task's word alone.
        let handle = bench.spawn(async { Box::new(7) });
        let ended = handle.is_finished();
        assert!(!ended);
        let runner = spawn({
            let bench = bench.clone();
            move || bench.run()
        });
        reached(if handle.is_finished() { "at once" } else { "after a wait" });
        assert_eq!(*join(handle).unwrap(), 7);
        runner.join().unwrap();
        assert_eq!(Arc::strong_count(&bench), 1, "the cell was freed");
    });
}

/// A waker that notes in a watched cell that it was woken, and is watched while it is dropped.
struct Watched {
    woken: AtomicUsize,
    thread: harness::thread::Thread,
}

impl Wake for Watched {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release: as every waker, it tells who is woken what happened before.
        self.woken.fetch_add(1, Release);
        self.thread.unpark();
    }
}

/// The joiner comes with another waker while the task ends: the slot has one writer and no reader beside
/// it, and the waker that is there last is woken.
#[test]
fn join_waker_swap() {
    must_reach(&["the first was woken", "the second was woken", "none had to be"]);
    model("join_waker_swap", Bound::Preemptions(3), || {
        let bench = Bench::new();
        let mut handle = bench.spawn(async { 7 });
        let wakers =
            [(); 2].map(|()| Arc::new(Watched { woken: AtomicUsize::new(0), thread: current() }));
        let first = Waker::from(wakers[0].clone());
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&first)).is_pending());
        let runner = spawn({
            let bench = bench.clone();
            move || bench.run()
        });
        let second = Waker::from(wakers[1].clone());
        let mut polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&second));
        if polled.is_pending() {
            // The second waker is stored, and is the one that is woken.
            while wakers[1].woken.load(Acquire) == 0 {
                park();
            }
            polled = Pin::new(&mut handle).poll(&mut Context::from_waker(&second));
        }
        assert!(matches!(polled, Poll::Ready(Ok(7))));
        runner.join().unwrap();
        reached(match wakers.each_ref().map(|waker| waker.woken.load(Relaxed)) {
            [1, 0] => "the first was woken",
            [0, 1] => "the second was woken",
            [0, 0] => "none had to be",
            woken => panic!("woken {woken:?} times"),
        });
        drop((handle, first, second));
        assert!(wakers.iter().all(|waker| Arc::strong_count(waker) == 1), "the slot was emptied");
    });
}

/// The handle goes while the task ends: one side drops the output.
#[test]
fn join_drop_vs_complete() {
    model("join_drop_vs_complete", Bound::None, || {
        let (bench, probe) = (Bench::new(), Probe::new());
        let (handle, waker) = waiting(&bench, &probe);
        probe.go.store(true, Relaxed);
        waker.wake();
        let runner = spawn({
            let bench = bench.clone();
            move || bench.run()
        });
        drop(handle);
        runner.join().unwrap();
        probe.assert_gone(1);
        assert_eq!(Arc::strong_count(&bench), 1, "the cell was freed");
    });
}

/// As [`join_drop_vs_complete`], with a waker in the slot: it is dropped by one side, and not while the
/// other wakes it.
#[test]
fn join_drop_vs_wake_of_the_joiner() {
    must_reach(&["woken", "not woken"]);
    model("join_drop_vs_wake_of_the_joiner", Bound::None, || {
        let bench = Bench::new();
        let mut handle = bench.spawn(async { 7 });
        let watched = Arc::new(Watched { woken: AtomicUsize::new(0), thread: current() });
        let waker = Waker::from(watched.clone());
        assert!(Pin::new(&mut handle).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        let runner = spawn({
            let bench = bench.clone();
            move || bench.run()
        });
        drop(handle);
        runner.join().unwrap();
        reached(if watched.woken.load(Relaxed) > 0 { "woken" } else { "not woken" });
        assert_eq!(Arc::strong_count(&watched), 1, "the slot was emptied");
        assert_eq!(Arc::strong_count(&bench), 1, "the cell was freed");
    });
}

/// A future that panics: it is dropped once, and the joiner gets the panic.
#[test]
fn panic_in_poll() {
    struct Bomb(ProbeFuture);

    impl Future for Bomb {
        type Output = Output;

        fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Output> {
            self.0.0.touch();
            std::panic::resume_unwind(Box::new("told to"));
        }
    }

    model("panic_in_poll", Bound::None, || {
        let (bench, probe) = (Bench::new(), Probe::new());
        let handle = bench.spawn(Bomb(probe.future()));
        let runner = spawn({
            let bench = bench.clone();
            move || bench.run()
        });
        let error = join(handle).err().expect("it panicked");
        assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"told to"));
        runner.join().unwrap();
        probe.assert_gone(0);
        assert_eq!(Arc::strong_count(&bench), 1, "the cell was freed");
    });
}

/// A task that is spawned while its registry closes is refused, or found by the closer.
#[test]
fn registry_vs_shutdown() {
    must_reach(&["refused", "listed"]);
    model("registry_vs_shutdown", Bound::None, || {
        let (bench, probe) = (Bench::new(), Probe::new());
        let spawner = spawn({
            let (bench, probe) = (bench.clone(), probe.clone());
            move || {
                let handle = bench.spawn(probe.future());
                reached(if handle.is_finished() { "refused" } else { "listed" });
                bench.run();
                handle
            }
        });
        bench.registry.close();
        bench.registry.abort_all(|task| bench.ready.lock().push_back(task));
        let handle = spawner.join().unwrap();
        bench.run();
        assert!(bench.registry.is_empty());
        assert!(handle.is_finished(), "neither refused nor aborted");
        drop(handle);
        probe.assert_gone(0);
    });
}

/// The closer walks the list while tasks end: it touches none that is gone.
#[test]
fn abort_all_vs_complete() {
    must_reach(&["ended", "cancelled"]);
    Model::new("abort_all_vs_complete", Bound::Preemptions(3)).check(|| {
        let (bench, probe) = (Bench::new(), Probe::new());
        probe.go.store(true, Relaxed);
        drop(bench.spawn(probe.future()));
        drop(bench.spawn(async {}));
        let runner = spawn({
            let bench = bench.clone();
            move || bench.run()
        });
        bench.registry.close();
        bench.registry.abort_all(|task| bench.ready.lock().push_back(task));
        runner.join().unwrap();
        bench.run();
        assert!(bench.registry.is_empty());
        let outputs = probe.output_drops.load(Relaxed);
        probe.assert_gone(outputs);
        reached(if outputs == 1 { "ended" } else { "cancelled" });
        assert_eq!(Arc::strong_count(&bench), 1, "the cells were freed");
    });
}
