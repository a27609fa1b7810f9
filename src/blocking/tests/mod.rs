//! Tests of the pool with real threads. They order threads by channels and barriers, and count:
//! threads started, closures run and dropped, handles resolved.

mod cost;
mod room;
mod shutdown;

use super::room::Room;
use super::*;
use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// A pool whose threads are counted and can be refused.
struct Bench {
    pool: Pool,
    hook: Arc<Hook>,
}

#[derive(Default)]
struct Hook {
    started: AtomicUsize,
    refuse: AtomicBool,
    /// Threads unwind before they run their body.
    unwind: AtomicBool,
    /// How many announced jobs have ended.
    announced: AtomicUsize,
}

fn config(max_threads: usize) -> Config {
    Config { max_threads, keep_alive: Duration::from_secs(3600), ..Config::default() }
}

impl Bench {
    fn new(config: Config) -> Self {
        let hook = Arc::new(Hook::default());
        let inner = hook.clone();
        let spawn_thread = move |body: Body| {
            if inner.refuse.load(SeqCst) {
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            inner.started.fetch_add(1, SeqCst);
            let unwind = inner.unwind.load(SeqCst);
            let start = move || match unwind {
                // Without the hook's message in the output of the tests.
                true => std::panic::resume_unwind(Box::new("on_thread_start")),
                false => body.run(),
            };
            thread::Builder::new().spawn(start).map(drop)
        };
        let inner = hook.clone();
        let after_job = move || _ = inner.announced.fetch_add(1, SeqCst);
        let calls = Calls { after_job: Box::new(after_job), ..Calls::new(spawn_thread) };
        Self { pool: Pool::new(config, calls), hook }
    }

    fn started(&self) -> usize {
        self.hook.started.load(SeqCst)
    }

    #[track_caller]
    fn spawn<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        self.pool.spawn(Spec::user(), job).unwrap()
    }

    /// A job that runs until told to end; returns once it runs.
    fn occupy(&self, spec: Spec) -> (Sender<()>, JoinHandle<ThreadId>) {
        let (begun, running) = channel();
        let (end, ended) = channel();
        let handle = self.pool.spawn(spec, move || {
            begun.send(()).unwrap();
            let _ = ended.recv();
            thread::current().id()
        });
        running.recv().unwrap();
        (end, handle.unwrap())
    }

    /// Waits for a state that the threads reach by themselves.
    #[track_caller]
    fn until(&self, what: impl Fn(&Metrics) -> bool) {
        let start = Instant::now();
        while !what(&self.pool.metrics()) {
            assert!(start.elapsed() < Duration::from_secs(60), "{:?}", self.pool.metrics());
            thread::yield_now();
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert!(self.pool.shutdown(None).is_clean());
            assert_eq!(self.pool.metrics().threads, 0);
            assert_eq!(self.pool.metrics().queued + self.pool.metrics().queued_runtime, 0);
        }
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Says when it is dropped.
struct OnDrop(Sender<()>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn jobs_that_block_all_run_at_once() {
    for k in [1, 8, 64] {
        let bench = Bench::new(config(512));
        let barrier = Arc::new(Barrier::new(k));
        let handles: Vec<_> = (0..k)
            .map(|_| {
                let barrier = barrier.clone();
                bench.spawn(move || barrier.wait().is_leader())
            })
            .collect();
        let leaders =
            handles.into_iter().filter_map(|h| block_on(h).unwrap().then_some(())).count();
        assert_eq!(leaders, 1);
        assert!(bench.started() <= 2 * k, "{} threads for {k} jobs", bench.started());
    }
}

#[test]
fn eight_outstanding_jobs_do_not_grow_the_pool() {
    // A thread that the system preempts between its job and its rest looks busy, so a loaded machine
    // grows the pool now and then; not every time.
    let grown = (0..5).map(|_| {
        let bench = Bench::new(config(512));
        for _ in 0..500 {
            let handles: Vec<_> = (0..8).map(|n| bench.spawn(move || n)).collect();
            for (n, handle) in handles.into_iter().enumerate() {
                assert_eq!(block_on(handle).unwrap(), n);
            }
        }
        bench.started()
    });
    let least = grown.min().unwrap();
    assert!(least <= 16, "{least} threads");
}

#[test]
fn the_last_to_lie_down_is_the_first_to_be_woken() {
    let bench = Bench::new(config(512));
    let jobs: Vec<_> = (0..3).map(|_| bench.occupy(Spec::user())).collect();
    bench.until(|m| m.threads - m.idle_threads == 3);
    let before = bench.pool.metrics();
    let mut last = None;
    for (n, (end, handle)) in jobs.into_iter().enumerate() {
        drop(end);
        last = Some(block_on(handle).unwrap());
        bench.until(|m| m.idle_threads == before.idle_threads + n + 1);
    }
    for n in 0..10 {
        let thread = block_on(bench.spawn(|| thread::current().id())).unwrap();
        assert_eq!(Some(thread), last, "job {n}");
        bench.until(|m| m.idle_threads == m.threads);
    }
    assert_eq!(bench.started(), before.threads);
}

#[test]
fn the_cap_holds_and_the_queue_waits() {
    let bench = Bench::new(config(2));
    let busy: Vec<_> = (0..2).map(|_| bench.occupy(Spec::user())).collect();
    let mut queued: Vec<_> = (0..10).map(|n| bench.spawn(move || n)).collect();
    assert!(queued.iter_mut().all(|h| poll_once(h).is_pending()));
    assert_eq!((bench.started(), bench.pool.metrics().queued), (2, 10));
    assert_eq!(bench.pool.jobs().iter().filter(|job| job.age().is_some()).count(), 2);
    drop(busy);
    for (n, handle) in queued.into_iter().enumerate() {
        assert_eq!(block_on(handle).unwrap(), n);
    }
    assert_eq!(bench.started(), 2);
}

#[test]
fn a_panic_ends_its_job_only() {
    let bench = Bench::new(config(1));
    let panics = bench.spawn(|| std::panic::resume_unwind(Box::new("of the job")));
    let thread = bench.spawn(|| thread::current().id());
    let error = block_on::<JoinHandle<()>>(panics).unwrap_err();
    assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"of the job"));
    assert!(block_on(thread).is_ok());
    assert_eq!(bench.started(), 1);
}

#[test]
fn abort_before_the_start_drops_the_closure_unrun() {
    let bench = Bench::new(config(1));
    let (end, _busy) = bench.occupy(Spec::user());
    let ran = Arc::new(AtomicBool::new(false));
    let (on_drop, dropped) = channel();
    let guard = OnDrop(on_drop);
    let handle = bench.spawn({
        let ran = ran.clone();
        move || {
            let _guard = guard;
            ran.store(true, SeqCst);
        }
    });
    handle.abort();
    handle.abort_handle().abort();
    drop(end);
    assert!(block_on(handle).unwrap_err().is_cancelled());
    dropped.recv().unwrap();
    assert!(!ran.load(SeqCst));
}

#[test]
fn abort_after_the_start_changes_nothing() {
    let bench = Bench::new(config(1));
    let (end, handle) = bench.occupy(Spec::user());
    handle.abort();
    drop(end);
    assert!(block_on(handle).is_ok());
}

#[test]
fn a_job_knows_itself_and_has_no_budget() {
    let bench = Bench::new(config(1));
    let spec = Spec { name: Some("reader".into()), ..Spec::user() };
    let (begun, running) = channel();
    let (end, ended) = channel::<()>();
    let handle = bench.pool.spawn(spec, move || {
        begun.send(crate::task::try_id()).unwrap();
        let _ = ended.recv();
        (0..100_000).all(|_| {
            let mut cx = Context::from_waker(Waker::noop());
            match crate::task::budget::poll_proceed(&mut cx) {
                Poll::Ready(unit) => {
                    unit.made_progress();
                    true
                }
                Poll::Pending => false,
            }
        })
    });
    let handle = handle.unwrap();
    assert_eq!(running.recv().unwrap(), Some(handle.id()));
    let jobs = bench.pool.jobs();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].task().name(), Some("reader"));
    assert!(jobs[0].task().location().file().ends_with("tests/mod.rs"));
    assert!(jobs[0].age().is_some());
    drop(end);
    assert!(block_on(handle).unwrap());
}

#[test]
fn a_pool_that_gets_no_thread_says_so() {
    let bench = Bench::new(config(4));
    bench.hook.refuse.store(true, SeqCst);
    let refused = bench.pool.spawn(Spec::user(), || 7).unwrap_err();
    assert!(matches!(&refused, Refused::NoThread(e, _) if e.kind() == io::ErrorKind::WouldBlock));
    assert_eq!(refused.into_closure()(), 7);
    assert!(bench.pool.spawn(Spec::runtime(), || 7).is_err());
    let metrics = bench.pool.metrics();
    assert_eq!((metrics.threads, metrics.start_failures, metrics.queued), (0, 2, 0));
    bench.hook.refuse.store(false, SeqCst);
    assert_eq!(block_on(bench.spawn(|| 8)).unwrap(), 8);
}

#[test]
fn refused_threads_strand_no_job() {
    let bench = Bench::new(config(4));
    let (end, busy) = bench.occupy(Spec::user());
    bench.hook.refuse.store(true, SeqCst);
    let queued: Vec<_> = (0..5).map(|n| bench.spawn(move || n)).collect();
    let more = bench.pool.spawn(Spec::runtime(), || 5).unwrap();
    assert_eq!((bench.started(), bench.pool.metrics().start_failures), (1, 6));
    // The one thread does them all.
    drop(end);
    let thread = block_on(busy).unwrap();
    for (n, handle) in queued.into_iter().chain([more]).enumerate() {
        assert_eq!(block_on(handle).unwrap(), n);
    }
    assert_eq!(block_on(bench.spawn(|| thread::current().id())).unwrap(), thread);
    assert_eq!(bench.started(), 1);
}

#[test]
fn a_refused_thread_is_asked_for_again() {
    let bench = Bench::new(config(4));
    let _busy = bench.occupy(Spec::user());
    bench.hook.refuse.store(true, SeqCst);
    let waits = bench.spawn(|| 1);
    assert_eq!(bench.started(), 1);
    bench.hook.refuse.store(false, SeqCst);
    // By the next submit.
    assert_eq!(block_on(bench.spawn(|| 2)).unwrap(), 2);
    assert_eq!(block_on(waits).unwrap(), 1);
}

#[test]
fn a_thread_that_unwinds_before_its_body_strands_no_job() {
    let bench = Bench::new(config(4));
    bench.hook.unwind.store(true, SeqCst);
    for _ in 0..50 {
        // Cancelled if the thread was taken for alive, refused never: the hook did not fail.
        assert!(block_on(bench.spawn(|| 1)).unwrap_err().is_cancelled());
    }
    bench.hook.unwind.store(false, SeqCst);
    // A thread of before may still be on its way to its end, taking a job along.
    while block_on(bench.spawn(|| 1)).is_err() {}
    bench.hook.unwind.store(true, SeqCst);
    let (end, _busy) = bench.occupy(Spec::user());
    let waits = bench.spawn(|| 2);
    drop(end);
    assert_eq!(block_on(waits).unwrap(), 2);
}

#[test]
fn runtime_jobs_do_not_wait_behind_user_jobs() {
    let bench = Bench::new(Config { reserved: 2, ..config(3) });
    let _busy: Vec<_> = (0..3).map(|_| bench.occupy(Spec::user())).collect();
    let mut waits = bench.spawn(|| ());
    let two: Vec<_> = (0..2).map(|_| bench.occupy(Spec::runtime())).collect();
    let metrics = bench.pool.metrics();
    assert_eq!((metrics.threads, metrics.reserve_threads), (5, 2));
    drop(two);
    for n in 0..100 {
        let job = bench.pool.spawn(Spec::runtime(), move || n).unwrap();
        assert_eq!(block_on(job).unwrap(), n);
    }
    assert!(poll_once(&mut waits).is_pending(), "a reserve thread took a user's job");
    assert_eq!(bench.pool.metrics().queued, 1);
}

#[test]
fn idle_threads_retire_but_the_last() {
    let keep_alive = Duration::from_millis(1);
    let bench = Bench::new(Config { keep_alive, ..config(8) });
    for _ in 0..3 {
        let jobs: Vec<_> = (0..4).map(|_| bench.occupy(Spec::user())).collect();
        assert!(bench.pool.metrics().threads >= 4);
        drop(jobs);
        bench.until(|m| m.threads == 1 && m.idle_threads == 1);
    }
    // The histograms of ended threads are kept.
    assert_eq!(bench.pool.metrics().jobs, 12);
    assert_eq!(bench.pool.metrics().wait.count(), 12);
}

#[test]
fn submits_race_with_retiring() {
    let keep_alive = Duration::ZERO;
    let bench = Bench::new(Config { keep_alive, ..config(4) });
    for n in 0..5_000 {
        let (a, b) = (bench.spawn(move || n), bench.spawn(move || n + 1));
        assert_eq!((block_on(a).unwrap(), block_on(b).unwrap()), (n, n + 1));
    }
}

#[test]
fn four_submitters_of_short_jobs() {
    let bench = Bench::new(config(64));
    let done = Arc::new(AtomicUsize::new(0));
    thread::scope(|scope| {
        for home in 0..4 {
            let (pool, done) = (&bench.pool, &done);
            scope.spawn(move || {
                let handles: Vec<_> = (0..20_000)
                    .map(|_| {
                        let done = done.clone();
                        let spec = Spec { home, ..Spec::user() };
                        pool.spawn(spec, move || done.fetch_add(1, SeqCst)).unwrap()
                    })
                    .collect();
                let outputs: HashSet<_> =
                    handles.into_iter().map(|h| block_on(h).unwrap()).collect();
                assert_eq!(outputs.len(), 20_000);
            });
        }
    });
    assert_eq!(done.load(SeqCst), 80_000);
    bench.until(|m| m.idle_threads == m.threads);
    let metrics = bench.pool.metrics();
    assert_eq!((metrics.jobs, metrics.run.count(), metrics.wait.count()), (80_000, 80_000, 80_000));
    assert!(metrics.run.quantile(0.5).unwrap() < Duration::from_millis(10));
}
