//! Models of the blocking pool; checks `src/blocking/README.md`, "Proof sketch".
//!
//! A stranded job is a deadlock here: the model waits for the job before it closes the pool.

mod harness;

use harness::{Bound, Model, must_reach, reached, thread};
use reiver_model::internals::blocking::room::Room;
use reiver_model::internals::blocking::{Body, Calls, Config, Pool, Refused, Spec};
use reiver_model::internals::primitive::atomic::{AtomicUsize, Ordering::*};
use reiver_model::internals::task::JoinHandle;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// The words of the pool are changed by read-modify-writes and looked at after fences, so that loom
/// finds the orders of their loads without help; with it these models take ten times as long.
#[track_caller]
fn model(name: &str, preemptions: usize, f: impl Fn() + Send + Sync + 'static) {
    Model::new(name, Bound::Preemptions(preemptions)).without_shadow_loads().check(f);
}

fn config(max_threads: usize, reserved: usize) -> Config {
    let mut config = Config::default();
    config.max_threads = max_threads;
    config.reserved = reserved;
    config
}

fn start(body: Body) -> io::Result<()> {
    drop(thread::spawn(move || body.run()));
    Ok(())
}

/// A pool whose threads are started as asked.
fn pool(max_threads: usize, reserved: usize) -> Pool {
    Pool::new(config(max_threads, reserved), Calls::new(start))
}

/// Counts up, and wakes the thread that made it.
struct Latch {
    count: AtomicUsize,
    waiter: thread::Thread,
}

impl Latch {
    fn new() -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), waiter: thread::current() })
    }

    fn arrive(&self) {
        self.count.fetch_add(1, Release);
        self.waiter.unpark();
    }

    fn wait(&self, n: usize) {
        while self.count.load(Acquire) < n {
            thread::park();
        }
    }
}

impl Wake for Latch {
    fn wake(self: Arc<Self>) {
        self.arrive();
    }
}

#[track_caller]
fn spawn(pool: &Pool, spec: Spec, latch: &Arc<Latch>) {
    let latch = latch.clone();
    drop(pool.spawn(spec, move || latch.arrive()).unwrap());
}

/// Waits for a job; whether it ran, otherwise it was cancelled.
fn join(handle: JoinHandle<()>) -> bool {
    let latch = Latch::new();
    let waker = Waker::from(latch.clone());
    let mut handle = pin!(handle);
    loop {
        match handle.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result.is_ok(),
            Poll::Pending => latch.wait(1),
        }
    }
}

/// The only thread lies down while a job comes: the fence in `push` against that in `rest`.
#[test]
fn blocking_at_cap() {
    model("blocking_at_cap", 3, || {
        let pool = pool(1, 0);
        let latch = Latch::new();
        spawn(&pool, Spec::user(), &latch);
        spawn(&pool, Spec::user(), &latch);
        latch.wait(2);
    });
}

/// Two submitters and the only thread: who sees a search trusts it.
#[test]
fn blocking_two_submitters() {
    model("blocking_two_submitters", 1, || {
        let pool = pool(1, 0);
        let latch = Latch::new();
        let (theirs, other) = (latch.clone(), pool.clone());
        let submitter = thread::spawn(move || spawn(&other, Spec::user(), &theirs));
        spawn(&pool, Spec::user(), &latch);
        latch.wait(2);
        submitter.join().unwrap();
    });
}

/// A thread times out while a job is handed to it.
#[test]
fn blocking_keepalive() {
    must_reach(&["retired", "stayed"]);
    model("blocking_keepalive", 1, || {
        let mut config = config(2, 0);
        // Time-outs come at once: a sleeper that is not signalled tries to retire.
        config.keep_alive = Duration::ZERO;
        let pool = Pool::new(config, Calls::new(start));
        let latch = Latch::new();
        spawn(&pool, Spec::user(), &latch);
        spawn(&pool, Spec::user(), &latch);
        latch.wait(2);
        let before = pool.metrics().threads;
        spawn(&pool, Spec::user(), &latch);
        latch.wait(3);
        let after = pool.metrics().threads;
        assert!(after >= 1, "the last thread retired");
        reached(if after < before { "retired" } else { "stayed" });
    });
}

/// Shutdown against a spawn: every handle ends, and what was queued as mandatory runs.
#[test]
fn blocking_shutdown() {
    must_reach(&["ran", "cancelled", "late ran", "late cancelled"]);
    model("blocking_shutdown", 2, || {
        let pool = pool(1, 0);
        let latch = Latch::new();
        let handle = pool.spawn(Spec::user(), || ()).unwrap();
        let mut mandatory = Spec::user();
        mandatory.mandatory = true;
        spawn(&pool, mandatory, &latch);
        let other = pool.clone();
        let late = thread::spawn(move || other.spawn(Spec::user(), || ()).unwrap());
        assert!(pool.shutdown(None).is_clean());
        assert_eq!(latch.count.load(Acquire), 1, "the mandatory job was dropped");
        assert!(handle.is_finished(), "a queued job was stranded");
        reached(if join(handle) { "ran" } else { "cancelled" });
        reached(if join(late.join().unwrap()) { "late ran" } else { "late cancelled" });
    });
}

/// The first spawn against shutdown: the thread that it starts ends, or is never started.
#[test]
fn blocking_first_vs_shutdown() {
    must_reach(&["ran", "cancelled"]);
    model("blocking_first_vs_shutdown", 3, || {
        let pool = pool(1, 0);
        let other = pool.clone();
        let late = thread::spawn(move || other.spawn(Spec::user(), || ()).unwrap());
        assert!(pool.shutdown(None).is_clean());
        reached(if join(late.join().unwrap()) { "ran" } else { "cancelled" });
    });
}

/// Threads that unwind before their body, against shutdown: the job is cancelled, not stranded.
#[test]
fn blocking_unwind_vs_shutdown() {
    model("blocking_unwind_vs_shutdown", 3, || {
        let unwind = |body| {
            drop::<Body>(body);
            Ok(())
        };
        let pool = Pool::new(config(1, 0), Calls::new(unwind));
        let other = pool.clone();
        let late = thread::spawn(move || other.spawn(Spec::user(), || ()).unwrap());
        assert!(pool.shutdown(None).is_clean());
        assert!(!join(late.join().unwrap()), "it ran without a thread");
    });
}

/// A second thread is refused while the first one, for want of work, lies down, and while another
/// job comes, whose submitter trusts the thread that does not come.
#[test]
fn blocking_spawn_failure() {
    must_reach(&["refused", "not asked"]);
    model("blocking_spawn_failure", 2, || {
        let latch = Latch::new();
        let asked = Arc::new(AtomicUsize::new(0));
        let other = Arc::new(Mutex::new(None::<Pool>));
        let (count, theirs, slot) = (asked.clone(), latch.clone(), other.clone());
        let hook = move |body| match count.fetch_add(1, Relaxed) {
            0 => start(body),
            _ => {
                if let Some(pool) = slot.lock().unwrap().take() {
                    // The one thread has done all jobs so far.
                    theirs.wait(2);
                    spawn(&pool, Spec::user(), &theirs);
                }
                Err(io::ErrorKind::WouldBlock.into())
            }
        };
        let pool = Pool::new(config(2, 0), Calls::new(hook));
        let held = Arc::new(OnceLock::new());
        let (theirs, hold) = (latch.clone(), held.clone());
        let holds = move || {
            let mine = Latch::new();
            assert!(hold.set(mine.clone()).is_ok());
            theirs.arrive();
            mine.wait(1);
        };
        drop(pool.spawn(Spec::user(), holds).unwrap());
        latch.wait(1);
        *other.lock().unwrap() = Some(pool.clone());
        held.get().unwrap().arrive();
        spawn(&pool, Spec::user(), &latch);
        if asked.load(Relaxed) > 1 {
            reached("refused");
            latch.wait(3);
        } else {
            reached("not asked");
            latch.wait(2);
        }
        drop(other.lock().unwrap().take());
    });
}

/// The first thread is refused to one of two submitters: it is told, and the other's job runs.
#[test]
fn blocking_first_failure() {
    must_reach(&["mine refused", "theirs refused"]);
    model("blocking_first_failure", 2, || {
        let asked = Arc::new(AtomicUsize::new(0));
        let hook = move |body| match asked.fetch_add(1, Relaxed) {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => start(body),
        };
        let pool = Pool::new(config(1, 0), Calls::new(hook));
        let latch = Latch::new();
        let submit = |pool: &Pool, latch: &Arc<Latch>| {
            let job = latch.clone();
            match pool.spawn(Spec::user(), move || job.arrive()) {
                Ok(_) => true,
                Err(Refused::NoThread(..)) => false,
                Err(Refused::Full(_)) => unreachable!(),
            }
        };
        let (theirs, other) = (latch.clone(), pool.clone());
        let submitter = thread::spawn(move || submit(&other, &theirs));
        let mine = submit(&pool, &latch);
        let theirs = submitter.join().unwrap();
        assert!(mine != theirs, "exactly one was refused");
        reached(if theirs { "mine refused" } else { "theirs refused" });
        latch.wait(1);
    });
}

/// Two jobs that wait for each other both run: the first passes its search on before it runs.
#[test]
fn blocking_chain() {
    model("blocking_chain", 2, || {
        let pool = pool(2, 0);
        let latch = Latch::new();
        let met = Arc::new(AtomicUsize::new(0));
        for _ in 0..2 {
            let (latch, met) = (latch.clone(), met.clone());
            let job = move || {
                met.fetch_add(1, AcqRel);
                while met.load(Acquire) < 2 {
                    thread::yield_now();
                }
                latch.arrive();
            };
            drop(pool.spawn(Spec::user(), job).unwrap());
        }
        latch.wait(2);
    });
}

/// A user's job holds the only common thread until a runtime job has run.
#[test]
fn blocking_reserve() {
    model("blocking_reserve", 2, || {
        let pool = pool(1, 1);
        let latch = Latch::new();
        let (theirs, done) = (latch.clone(), Arc::new(AtomicUsize::new(0)));
        let seen = done.clone();
        let holds = move || {
            while seen.load(Acquire) == 0 {
                thread::yield_now();
            }
            theirs.arrive();
        };
        drop(pool.spawn(Spec::user(), holds).unwrap());
        drop(pool.spawn(Spec::runtime(), move || done.store(1, Release)).unwrap());
        latch.wait(1);
    });
}

/// An abort against the start: the closure is dropped, or it runs; its captures are dropped once.
#[test]
fn blocking_abort_vs_start() {
    must_reach(&["ran", "cancelled"]);
    model("blocking_abort_vs_start", 3, || {
        let pool = pool(1, 0);
        let captured = Arc::new(());
        let inside = captured.clone();
        let handle = pool.spawn(Spec::user(), move || drop(inside)).unwrap();
        handle.abort();
        let latch = Latch::new();
        spawn(&pool, Spec::user(), &latch);
        latch.wait(1);
        assert_eq!(Arc::strong_count(&captured), 1);
        reached(if join(handle) { "ran" } else { "cancelled" });
    });
}

/// A place is given back while somebody begins to wait for one.
#[test]
fn blocking_room() {
    must_reach(&["at once", "waited"]);
    harness::model("blocking_room", Bound::None, || {
        let room = Arc::new(Room::new(1));
        room.take();
        let theirs = room.clone();
        let other = thread::spawn(move || theirs.give_back());
        let latch = Latch::new();
        let waker = Waker::from(latch.clone());
        let mut wait = pin!(room.wait());
        let mut polls = 0;
        while wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            polls += 1;
            latch.wait(polls);
        }
        reached(if polls == 0 { "at once" } else { "waited" });
        other.join().unwrap();
        assert!(!room.try_take());
    });
}

/// Of two waiters one is dropped as it is woken: the other gets the place.
#[test]
fn blocking_room_cancel() {
    must_reach(&["woken", "not woken"]);
    harness::model("blocking_room_cancel", Bound::None, || {
        let room = Arc::new(Room::new(1));
        room.take();
        let theirs = room.clone();
        let latch = Latch::new();
        let waker = Waker::from(latch.clone());
        let dropped = Latch::new();
        let mut first = Box::pin(room.wait());
        let first_waker = Waker::from(dropped.clone());
        assert!(first.as_mut().poll(&mut Context::from_waker(&first_waker)).is_pending());
        let other = thread::spawn(move || theirs.give_back());
        let mut wait = pin!(room.wait());
        let mut polls = 0;
        let mut first = Some(first);
        while wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
            if let Some(first) = first.take() {
                drop(first);
            }
            polls += 1;
            latch.wait(polls);
        }
        reached(if dropped.count.load(Acquire) > 0 { "woken" } else { "not woken" });
        other.join().unwrap();
    });
}
