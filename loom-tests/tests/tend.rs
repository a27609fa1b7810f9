//! Models of who looks after a wheel of timers: checks `src/scheduler/tend.rs`.
//!
//! A wheel is a count under a lock, and its emptiness a relaxed look, as the real one's next deadline is.

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{AtomicUsize, Ordering::*};
use reiver_model::internals::primitive::{Arc, Mutex};
use reiver_model::internals::scheduler::{Tenders, Wheels};

struct Place {
    tenders: Tenders,
    wheels: Vec<Wheel>,
}

struct Wheel {
    timers: Mutex<usize>,
    /// What is read without the lock.
    len: AtomicUsize,
    told: AtomicUsize,
}

impl Place {
    fn new(wheels: usize, tended: usize) -> Arc<Self> {
        let wheel =
            || Wheel { timers: Mutex::new(0), len: AtomicUsize::new(0), told: AtomicUsize::new(0) };
        let wheels: Vec<_> = (0..wheels).map(|_| wheel()).collect();
        Arc::new(Self { tenders: Tenders::new(wheels.len(), tended), wheels })
    }

    fn add(&self, wheel: usize, n: usize) {
        let mut timers = self.wheels[wheel].timers.lock();
        *timers += n;
        self.wheels[wheel].len.store(*timers, Relaxed);
    }

    /// As a thread that is no worker puts a timer.
    fn put(&self, wheel: usize) {
        self.add(wheel, 1);
        self.tenders.find(wheel, self);
    }

    fn tend(&self, wheel: usize) {
        self.tenders.tend(wheel, self);
    }

    fn untend(&self, wheel: usize) {
        self.tenders.untend(wheel, self);
    }

    /// At the end: every timer is in a wheel that is tended. Gives how many are in each.
    #[track_caller]
    fn assert_tended(&self) -> Vec<usize> {
        let timers: Vec<_> = self.wheels.iter().map(|wheel| *wheel.timers.lock()).collect();
        for (wheel, timers) in timers.iter().enumerate() {
            assert!(*timers == 0 || self.tenders.is_tended(wheel), "orphans in wheel {wheel}");
        }
        timers
    }
}

impl Wheels for Place {
    fn is_empty(&self, wheel: usize) -> bool {
        self.wheels[wheel].len.load(Relaxed) == 0
    }

    fn migrate(&self, from: usize, to: usize) {
        let moved = std::mem::take(&mut *self.wheels[from].timers.lock());
        self.add(from, 0);
        self.add(to, moved);
    }

    fn tell(&self, wheel: usize) {
        self.wheels[wheel].told.fetch_add(1, Relaxed);
    }
}

/// A timer is put into a wheel from outside while its worker begins to block: it stays there and its
/// worker is told before it blocks, or goes to the other one, who is told.
#[test]
fn tend_put_vs_untend() {
    must_reach(&["moved by the worker", "moved by who put it"]);
    model("tend_put_vs_untend", Bound::Preemptions(3), || {
        let place = Place::new(2, 2);
        let outsider = spawn({
            let place = place.clone();
            move || place.put(0)
        });
        place.untend(0);
        reached(if place.is_empty(1) { "moved by who put it" } else { "moved by the worker" });
        outsider.join().unwrap();
        assert_eq!(place.assert_tended(), [0, 1]);
        assert!(place.wheels[1].told.load(Relaxed) > 0, "the new one has not heard of it");
    });
}

/// The only worker that tends its wheel begins to block while another one begins to tend.
#[test]
fn tend_vs_untend() {
    must_reach(&["given", "taken"]);
    model("tend_vs_untend", Bound::None, || {
        let place = Place::new(2, 1);
        place.add(0, 1);
        let other = spawn({
            let place = place.clone();
            move || place.tend(1)
        });
        place.untend(0);
        other.join().unwrap();
        assert_eq!(place.assert_tended(), [0, 1]);
        let told = place.wheels[1].told.load(Relaxed) > 0;
        reached(if told { "given" } else { "taken" });
    });
}

/// A timer is put into a wheel that nobody tends while somebody begins to.
#[test]
fn tend_vs_put() {
    model("tend_vs_put", Bound::None, || {
        let place = Place::new(2, 0);
        let outsider = spawn({
            let place = place.clone();
            move || place.put(0)
        });
        place.tend(1);
        outsider.join().unwrap();
        assert_eq!(place.assert_tended(), [0, 1]);
    });
}

/// Two workers begin to block, one of them gives its timers to the other; a third returns.
#[test]
fn tend_two_leave_one_returns() {
    model("tend_two_leave_one_returns", Bound::Preemptions(2), || {
        let place = Place::new(3, 2);
        place.add(0, 1);
        let others = [0, 1].map(|wheel| {
            let place = place.clone();
            spawn(move || place.untend(wheel))
        });
        place.tend(2);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(place.assert_tended(), [0, 0, 1]);
    });
}
