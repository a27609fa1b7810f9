//! Models of a worker's parking place: checks `src/scheduler/README.md`, "Blocking".

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use reiver_model::internals::primitive::{Arc, UnsafeCell, thread};
use reiver_model::internals::scheduler::{Blocking, Parker, Unpark};
use std::time::Duration;

/// A value that is handed over without a lock: loom reports a missing edge.
struct Data(UnsafeCell<u32>);

// SAFETY: loom runs all threads of a model on one OS thread, and it reports what would be a race.
unsafe impl Sync for Data {}

impl Data {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn write(&self) {
        // SAFETY: loom checks that nobody else is here.
        self.0.with_mut(|cell| unsafe { *cell = 7 });
    }

    fn read(&self) -> u32 {
        // SAFETY: loom checks that no writer is here.
        self.0.with(|cell| unsafe { *cell })
    }
}

/// As a worker sleeps.
fn park(parker: &Parker, timeout: Option<Duration>) {
    parker.block(timeout);
    parker.take_token();
}

/// What was done before `unpark` is seen after the `park` that it ends, before or while it blocks.
#[test]
fn park_vs_unpark() {
    model("park_vs_unpark", Bound::None, || {
        let place = Arc::new((Parker::new(), Data::new()));
        let owner = spawn({
            let place = place.clone();
            move || {
                place.0.adopt();
                park(&place.0, None);
                assert_eq!(place.1.read(), 7);
            }
        });
        place.1.write();
        assert_eq!(place.0.unpark(), Unpark::Done);
        owner.join().unwrap();
    });
}

/// A worker that looks at its flag before each park never sleeps through it, whichever of two threads
/// sets it last, and however their tokens fall together.
#[test]
fn park_vs_two_unparkers() {
    must_reach(&["never parked", "parked"]);
    model("park_vs_two_unparkers", Bound::Preemptions(3), || {
        let place = Arc::new((Parker::new(), AtomicUsize::new(0)));
        place.0.adopt();
        let others = [(); 2].map(|()| {
            let place = place.clone();
            spawn(move || {
                place.1.fetch_add(1, Relaxed);
                assert_eq!(place.0.unpark(), Unpark::Done);
            })
        });
        let mut parks = 0;
        // Relaxed: the token is what orders it.
        while place.1.load(Relaxed) < 2 {
            park(&place.0, None);
            parks += 1;
        }
        reached(if parks == 0 { "never parked" } else { "parked" });
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

/// A park that ends by its timeout (here: by a stray unpark of the thread) as a token arrives: the token
/// is spent or kept, and what it announced is seen.
#[test]
fn park_timeout_vs_unpark() {
    must_reach(&["seen at once", "seen by the second park"]);
    model("park_timeout_vs_unpark", Bound::None, || {
        let place = Arc::new((Parker::new(), Data::new(), AtomicBool::new(false)));
        place.0.adopt();
        let me = thread::current();
        let timer = spawn(move || me.unpark());
        let other = spawn({
            let place = place.clone();
            move || {
                place.1.write();
                place.2.store(true, Release);
                assert_eq!(place.0.unpark(), Unpark::Done);
            }
        });
        park(&place.0, Some(Duration::from_secs(1)));
        // The worker's loop looks here.
        if place.2.load(Acquire) {
            reached("seen at once");
        } else {
            park(&place.0, None);
            assert!(place.2.load(Relaxed), "the token comes after the flag");
            reached("seen by the second park");
        }
        assert_eq!(place.1.read(), 7);
        timer.join().unwrap();
        other.join().unwrap();
    });
}

/// A poller of one place: it blocks until it is notified, and keeps a notification.
struct Poller {
    notified: AtomicBool,
    waiter: thread::Thread,
}

impl Poller {
    fn notify(&self) {
        // A swap: loom lets a plain store and a swap happen in an order that no machine has.
        self.notified.swap(true, Release);
        self.waiter.unpark();
    }

    fn wait(&self) {
        while !self.notified.swap(false, Acquire) {
            thread::park();
        }
    }
}

/// Who unparks a worker that is in the poller, or on its way there, reaches it: by the notification, or
/// by the token that keeps it from blocking.
#[test]
fn poll_vs_unpark() {
    must_reach(&["not blocked", "notified in the poller"]);
    model("poll_vs_unpark", Bound::None, || {
        let poller = Poller { notified: AtomicBool::new(false), waiter: thread::current() };
        let place = Arc::new((Parker::new(), Data::new(), poller));
        let other = spawn({
            let place = place.clone();
            move || {
                place.1.write();
                if place.0.unpark() == Unpark::Poller {
                    place.2.notify();
                }
            }
        });
        let blocked = place.0.block_in_poller(|blocking| {
            if blocking == Blocking::Yes {
                place.2.wait();
            }
            blocking == Blocking::Yes
        });
        place.0.take_token();
        assert_eq!(place.1.read(), 7);
        reached(if blocked { "notified in the poller" } else { "not blocked" });
        other.join().unwrap();
    });
}

/// A guest's slot changes hands while an unpark for the first owner is on its way: the second owner
/// is woken for nothing at worst, and never sleeps through an unpark of its own.
#[test]
fn a_late_unpark_meets_the_next_owner() {
    model("a_late_unpark_meets_the_next_owner", Bound::Preemptions(3), || {
        let place = Arc::new((Parker::new(), AtomicBool::new(false)));
        place.0.adopt();
        let late = spawn({
            let place = place.clone();
            move || assert_eq!(place.0.unpark(), Unpark::Done)
        });
        let next = spawn({
            let place = place.clone();
            move || {
                place.0.adopt();
                while !place.1.load(Relaxed) {
                    park(&place.0, None);
                }
            }
        });
        place.1.store(true, Relaxed);
        assert_eq!(place.0.unpark(), Unpark::Done);
        next.join().unwrap();
        late.join().unwrap();
    });
}

/// A poll that ends by itself, with an event, as it is unparked: what the token announced is seen, though
/// the notification of the poller comes late.
#[test]
fn a_poll_that_ends_by_itself() {
    must_reach(&["seen", "not yet"]);
    model("a_poll_that_ends_by_itself", Bound::None, || {
        let place = Arc::new((Parker::new(), Data::new(), AtomicBool::new(false)));
        let other = spawn({
            let place = place.clone();
            move || {
                place.1.write();
                let unpark = place.0.unpark();
                // Relaxed: this only says that the token was given.
                place.2.store(true, Relaxed);
                unpark
            }
        });
        let given = place.0.block_in_poller(|_| place.2.load(Relaxed));
        place.0.take_token();
        if given {
            assert_eq!(place.1.read(), 7);
        }
        reached(if given { "seen" } else { "not yet" });
        let _ = other.join().unwrap();
    });
}
