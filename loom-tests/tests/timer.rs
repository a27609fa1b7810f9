//! Models of the timer wheels; checks `src/timer/README.md`, "Rules" to "Who sleeps".

mod harness;

use harness::thread::{self, made_apart, spawn};
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{AtomicBool, Ordering::Relaxed, fence};
use reiver_model::internals::timer::{Clock, Entry, Polled, Timers};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

/// Counts wakes; its reference count shows a waker that was lost or dropped twice.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter {
    fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Self::default());
        (counter.clone(), Waker::from(counter))
    }

    /// How often it was woken, in the end.
    fn wakes(self: Arc<Self>) -> usize {
        assert_eq!(Arc::strong_count(&self), 1, "a waker was kept or dropped twice");
        self.0.load(Ordering::Relaxed)
    }
}

fn timers(wheels: usize) -> Arc<Timers> {
    made_apart(move || Arc::new(Timers::new(wheels, Clock::new())))
}

fn entry(when: u64) -> Pin<Box<Entry>> {
    Box::pin(Entry::new(when))
}

/// An entry for tick `when` in wheel 0.
fn linked(timers: &Timers, when: u64, waker: &Waker) -> Pin<Box<Entry>> {
    let mut entry = entry(when);
    assert_ne!(timers.poll(entry.as_mut(), waker, 0), Polled::Fired);
    entry
}

/// A timer that is set while its wheel is fired at its deadline is found there, or says that it is due.
#[test]
fn timer_register_vs_fire() {
    must_reach(&["fired at once", "fired by the driver"]);
    model("timer_register_vs_fire", Bound::None, || {
        let timers = timers(1);
        let (counter, waker) = Counter::new();
        // Another entry makes the driver look, whether or not it sees ours.
        let other = linked(&timers, 10, Waker::noop());
        let theirs = timers.clone();
        let driver = spawn(move || theirs.expire(0, 10));
        let mut entry = entry(10);
        let polled = timers.poll(entry.as_mut(), &waker, 0);
        drop(waker);
        match (polled, driver.join().unwrap()) {
            (Polled::Fired, 1) => reached("fired at once"),
            (Polled::Pending, 2) => reached("fired by the driver"),
            lost => panic!("{lost:?}"),
        }
        assert!(entry.is_fired() && other.is_fired() && timers.len() == 0);
        assert_eq!(counter.wakes(), usize::from(polled != Polled::Fired));
    });
}

/// One that is set while the driver looks at a wheel that was empty is found by that look or the next.
#[test]
fn timer_register_vs_look() {
    must_reach(&["found", "found by the next look"]);
    model("timer_register_vs_look", Bound::None, || {
        let timers = timers(1);
        let (counter, waker) = Counter::new();
        let theirs = timers.clone();
        let driver = spawn(move || theirs.expire(0, 10));
        let mut entry = entry(10);
        assert_eq!(timers.poll(entry.as_mut(), &waker, 0), Polled::PendingEarlier);
        drop(waker);
        if driver.join().unwrap() == 1 {
            reached("found");
        } else {
            reached("found by the next look");
            assert_eq!(timers.expire(0, 10), 1, "lost");
        }
        drop(entry);
        assert_eq!(counter.wakes(), 1);
    });
}

/// A waker is replaced while the timer fires: the one that waits last is woken, or its poll sees that it
/// fired.
#[test]
fn timer_waker_vs_fire() {
    must_reach(&["replaced", "fired"]);
    model("timer_waker_vs_fire", Bound::None, || {
        let timers = timers(1);
        let (old, old_waker) = Counter::new();
        let (new, new_waker) = Counter::new();
        let mut entry = linked(&timers, 10, &old_waker);
        drop(old_waker);
        let theirs = timers.clone();
        let driver = spawn(move || theirs.expire(0, 10));
        // Twice: the second poll compares its waker without the lock.
        let mut polled = timers.poll(entry.as_mut(), &new_waker, 0);
        if polled != Polled::Fired {
            polled = timers.poll(entry.as_mut(), &new_waker, 0);
        }
        drop(new_waker);
        assert_eq!(driver.join().unwrap(), 1);
        let (old, new) = (old.wakes(), new.wakes());
        assert_eq!(old + new, 1);
        match polled {
            Polled::Fired => reached("fired"),
            _ => {
                reached("replaced");
                assert_eq!(new, 1, "the task that waits now is not woken");
            }
        }
    });
}

/// A timer is dropped while it fires: it is out of the wheel, and woken only if it fired.
#[test]
fn timer_cancel_vs_fire() {
    must_reach(&["cancelled", "fired"]);
    model("timer_cancel_vs_fire", Bound::None, || {
        let timers = timers(1);
        let (counter, waker) = Counter::new();
        let entry = linked(&timers, 10, &waker);
        drop(waker);
        let theirs = timers.clone();
        let driver = spawn(move || theirs.expire(0, 10));
        drop(entry);
        let fired = driver.join().unwrap();
        assert!(timers.len() == 0, "dropped, and still in the wheel");
        reached(if fired == 1 { "fired" } else { "cancelled" });
        assert_eq!(counter.wakes(), fired);
    });
}

/// Another thread drops a timer while the owner sets one of its own and fires: the list stays whole.
#[test]
fn timer_remote_cancel() {
    must_reach(&["before the owner's", "after it"]);
    model("timer_remote_cancel", Bound::None, || {
        let timers = timers(1);
        let (cancelled, cancelled_waker) = Counter::new();
        let (kept, kept_waker) = Counter::new();
        // The task of this entry has moved to another worker, which drops it there.
        let entry = linked(&timers, 10, &cancelled_waker);
        drop(cancelled_waker);
        let remote = spawn(move || drop(entry));
        let own = linked(&timers, 10, &kept_waker);
        drop(kept_waker);
        let fired = timers.expire(0, 10);
        remote.join().unwrap();
        assert!(own.is_fired() && timers.len() == 0);
        reached(if fired == 1 { "before the owner's" } else { "after it" });
        assert_eq!((cancelled.wakes(), kept.wakes()), (fired - 1, 1));
    });
}

/// A deadline is moved back while the old one fires: the new one is kept, by one wheel, and nothing is
/// early.
#[test]
fn timer_reset_later() {
    must_reach(&["fired before", "moved on"]);
    model("timer_reset_later", Bound::None, || {
        let timers = timers(2);
        let (counter, waker) = Counter::new();
        let mut entry = linked(&timers, 10, &waker);
        let theirs = timers.clone();
        let driver = spawn(move || theirs.expire(0, 10));
        assert_eq!(timers.reset(entry.as_mut(), 20, 1), Polled::Pending);
        // Into the other wheel if it has fired: what the owner knows, it knows from the state alone.
        assert_ne!(timers.poll(entry.as_mut(), &waker, 1), Polled::Fired, "early");
        drop(waker);
        reached(if driver.join().unwrap() == 1 { "fired before" } else { "moved on" });
        // A driver wakes at the published deadlines until nothing is left.
        for tick in [10, 19] {
            timers.expire(0, tick);
            timers.expire(1, tick);
            assert!(!entry.is_fired(), "early");
        }
        let mut entry = repoll(&timers, entry, &counter);
        let last = timers.expire(0, 20) + timers.expire(1, 20);
        assert_eq!(last, 1, "lost");
        assert_eq!(timers.poll(entry.as_mut(), Waker::noop(), 1), Polled::Fired);
        drop(entry);
        assert!((1..=2).contains(&counter.wakes()));
    });
}

/// What a task does that was woken: it polls again.
fn repoll(timers: &Timers, mut entry: Pin<Box<Entry>>, counter: &Arc<Counter>) -> Pin<Box<Entry>> {
    if counter.0.load(Ordering::Relaxed) > 0 {
        assert_ne!(timers.poll(entry.as_mut(), &Waker::from(counter.clone()), 1), Polled::Fired);
    }
    entry
}

/// A deadline is moved forward, into the past, while the driver fires: it fires once.
#[test]
fn timer_reset_earlier() {
    must_reach(&["in time", "at once"]);
    model("timer_reset_earlier", Bound::None, || {
        let timers = timers(1);
        let (counter, waker) = Counter::new();
        let other = linked(&timers, 7, Waker::noop());
        let mut entry = linked(&timers, 20, &waker);
        drop(waker);
        let theirs = timers.clone();
        let driver = spawn(move || theirs.expire(0, 10));
        let polled = timers.reset(entry.as_mut(), 5, 0);
        let fired = driver.join().unwrap();
        match (polled, fired) {
            (Polled::Fired, 1) => reached("at once"),
            (_, 2) => reached("in time"),
            lost => panic!("{lost:?}"),
        }
        assert!(entry.is_fired() && other.is_fired());
        assert_eq!(counter.wakes(), 1);
    });
}

/// A wheel's timers move to another while one of them is dropped: that one is gone and the other is not.
#[test]
fn timer_migrate_vs_cancel() {
    must_reach(&["moved", "cancelled first"]);
    model("timer_migrate_vs_cancel", Bound::None, || {
        let timers = timers(2);
        let (counter, waker) = Counter::new();
        let entry = linked(&timers, 10, &waker);
        let kept = linked(&timers, 10, &waker);
        drop(waker);
        let theirs = timers.clone();
        let driver = spawn(move || {
            let _ = theirs.migrate(0, 1);
            theirs.len()
        });
        drop(entry);
        reached(if driver.join().unwrap() == 2 { "moved" } else { "cancelled first" });
        assert_eq!(timers.expire(0, 10) + timers.expire(1, 10), 1);
        assert!(kept.is_fired() && timers.len() == 0);
        assert_eq!(counter.wakes(), 1);
    });
}

/// Timers move to and fro while they fire: each fires once, wherever it is.
#[test]
fn timer_migrate_vs_fire() {
    must_reach(&["fired where it was", "fired where it went"]);
    model("timer_migrate_vs_fire", Bound::Preemptions(3), || {
        let timers = timers(2);
        let (counter, waker) = Counter::new();
        let entry = linked(&timers, 10, &waker);
        drop(waker);
        let theirs = timers.clone();
        let mover = spawn(move || {
            let _ = theirs.migrate(0, 1);
        });
        let theirs = timers.clone();
        let back = spawn(move || {
            let _ = theirs.migrate(1, 0);
        });
        let here = timers.expire(0, 10);
        mover.join().unwrap();
        back.join().unwrap();
        reached(if here == 1 { "fired where it was" } else { "fired where it went" });
        assert_eq!(here + timers.expire(0, 10) + timers.expire(1, 10), 1);
        drop(entry);
        assert_eq!(counter.wakes(), 1);
    });
}

/// The timers go away while one is dropped that was set in them: it reaches no memory that is freed.
#[test]
fn timer_shutdown_vs_cancel() {
    must_reach(&["taken out by the shutdown", "cancelled first"]);
    model("timer_shutdown_vs_cancel", Bound::None, || {
        let timers = timers(1);
        let (counter, waker) = Counter::new();
        let entry = linked(&timers, 10, &waker);
        drop(waker);
        // The last owner of the timers drops them: the entry outlives its runtime.
        let runtime = spawn(move || drop(timers));
        drop(entry);
        runtime.join().unwrap();
        let wakes = counter.wakes();
        reached(if wakes == 1 { "taken out by the shutdown" } else { "cancelled first" });
    });
}

/// A timer that is set while the timers shut down is refused, or taken out by that.
#[test]
fn timer_shutdown_vs_register() {
    must_reach(&["linked first", "shut down first"]);
    model("timer_shutdown_vs_register", Bound::None, || {
        let timers = timers(2);
        let (counter, waker) = Counter::new();
        let theirs = timers.clone();
        let runtime = spawn(move || theirs.shutdown());
        let mut entry = entry(10);
        let _ = timers.poll(entry.as_mut(), &waker, 1);
        drop(waker);
        let _ = timers.migrate(1, 0);
        runtime.join().unwrap();
        assert!(timers.len() == 0, "linked into a runtime that is gone");
        let wakes = counter.wakes();
        reached(if wakes == 1 { "linked first" } else { "shut down first" });
    });
}

/// The sleep of a driver against an earlier deadline from outside ("Who sleeps").
#[test]
fn timer_earlier_deadline() {
    must_reach(&["slept too long, unparked", "saw it"]);
    model("timer_earlier_deadline", Bound::None, || {
        let timers = timers(1);
        let far = linked(&timers, 1000, Waker::noop());
        let asleep = Arc::new(AtomicBool::new(false));
        let (theirs, announced) = (timers.clone(), asleep.clone());
        let driver = spawn(move || {
            announced.store(true, Relaxed);
            fence(std::sync::atomic::Ordering::SeqCst);
            if theirs.next_deadline(0) == Some(10) {
                reached("saw it");
            } else {
                // Until tick 1000, which does not come in this model.
                thread::park();
                reached("slept too long, unparked");
            }
            theirs.expire(0, 10)
        });
        let mut entry = entry(10);
        let polled = timers.poll(entry.as_mut(), Waker::noop(), 0);
        fence(std::sync::atomic::Ordering::SeqCst);
        if polled == Polled::PendingEarlier && asleep.load(Relaxed) {
            driver.thread().unpark();
        }
        assert_eq!(driver.join().unwrap(), 1);
        drop((entry, far));
    });
}
