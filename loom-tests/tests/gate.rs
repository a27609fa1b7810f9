//! Models of the gate, through which a stuck worker's slot is taken, and of the monitor's doze: checks
//! `src/scheduler/README.md`, "Rescue".

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::Arc;
use reiver_model::internals::primitive::atomic::{AtomicBool, AtomicUsize, Ordering::*};
use reiver_model::internals::scheduler::{Back, Bed, Fences, Gate, View};

/// A slot whose `next` holds a number, and where the numbers of a seized one go.
struct Slot {
    gate: Gate<usize>,
    taken: AtomicUsize,
    /// What `note` does, for the owner to undo.
    notes: AtomicUsize,
    /// A timer in the wheel, and how often it was taken to another.
    timer: AtomicBool,
    moved: AtomicUsize,
}

impl Slot {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(Fences::best()),
            taken: AtomicUsize::new(0),
            notes: AtomicUsize::new(0),
            timer: AtomicBool::new(false),
            moved: AtomicUsize::new(0),
        })
    }

    /// A rescuer that looks once.
    fn rescue(&self) -> bool {
        self.rescue_poll().is_some()
    }

    /// As [`rescue`](Self::rescue), and which poll it took the slot from.
    fn rescue_poll(&self) -> Option<u64> {
        let View::Polling(poll) = self.gate.view() else { return None };
        // Relaxed: SEIZED publishes it.
        let note = || {
            self.notes.fetch_add(1, Relaxed);
        };
        let next = self.gate.seize(poll, note)?;
        self.taken.fetch_add(next.unwrap_or(0), Relaxed);
        self.move_timer();
        Some(poll)
    }

    /// As `Tenders::find` gives away the timers of a wheel that nobody tends.
    fn move_timer(&self) {
        // Relaxed, as a look at a wheel's next deadline is.
        if self.timer.load(Relaxed) && self.timer.swap(false, Relaxed) {
            self.moved.fetch_add(1, Relaxed);
        }
    }

    /// The owner's poll, in which it puts `n` into `next` as a wake does. Gives what it had to put
    /// elsewhere, and whether it lost the slot.
    fn poll(&self, n: usize) -> (usize, bool) {
        // SAFETY: gate rule 1: one thread of the model calls this.
        unsafe {
            self.gate.begin_poll();
            let mut n = n;
            if self.gate.visit(|next| *next = Some(next.unwrap_or(0) + n)).is_some() {
                n = 0;
            }
            let lost = self.gate.end_poll() == Back::Lost;
            if lost {
                // Relaxed: this is what SEIZED published.
                assert!(self.notes.load(Relaxed) > 0, "seized, and not noted yet");
                self.notes.store(0, Relaxed);
                self.gate.regain();
            }
            (n, lost)
        }
    }

    fn take(&self) -> usize {
        // SAFETY: gate rule 1, and it is inside.
        unsafe { self.gate.with_next(Option::take) }.unwrap_or(0)
    }
}

/// A slot is seized before a poll, in it, after it or not at all: what is in `next` is the owner's or the
/// rescuer's, and both know whose the slot is.
#[test]
fn gate_vs_seize() {
    must_reach(&["kept", "seized", "seized in the middle"]);
    model("gate_vs_seize", Bound::Preemptions(3), || {
        let slot = Slot::new();
        let other = slot.clone();
        let rescuer = spawn(move || other.rescue());
        // After the spawn, so that only the gate publishes it.
        // SAFETY: gate rule 1.
        unsafe { slot.gate.with_next(|next| *next = Some(1)) };
        let (elsewhere, lost) = slot.poll(10);
        let kept = slot.take();
        let rescued = rescuer.join().unwrap();
        assert_eq!(lost, rescued);
        assert_eq!(kept + elsewhere + slot.taken.load(Relaxed), 11);
        match (rescued, elsewhere) {
            (false, 0) => reached("kept"),
            (true, 0) => reached("seized"),
            _ => reached("seized in the middle"),
        }
    });
}

/// The slot is seized in one of two polls, or in both.
#[test]
fn gate_two_polls_vs_seize() {
    must_reach(&["in the first", "in the second"]);
    model("gate_two_polls_vs_seize", Bound::Preemptions(3), || {
        let slot = Slot::new();
        let other = slot.clone();
        let rescuer = spawn(move || other.rescue_poll());
        let (first, first_lost) = slot.poll(1);
        let (second, second_lost) = slot.poll(10);
        let kept = slot.take();
        let rescued = rescuer.join().unwrap();
        // The polls' numbers: the first is 2, the second 4, and 1 for "polling".
        let lost = [(first_lost, 3), (second_lost, 5)].map(|(lost, poll)| lost.then_some(poll));
        assert!(!(first_lost && second_lost));
        assert_eq!(lost[0].or(lost[1]), rescued, "not the poll that it saw");
        assert_eq!(kept + first + second + slot.taken.load(Relaxed), 11);
        if first_lost {
            reached("in the first");
        }
        if second_lost {
            reached("in the second");
        }
    });
}

/// Of two rescuers at most one seizes the slot, and nothing is taken twice.
#[test]
fn gate_vs_two_rescuers() {
    must_reach(&["nobody", "one"]);
    model("gate_vs_two_rescuers", Bound::Preemptions(2), || {
        let slot = Slot::new();
        // SAFETY: gate rule 1.
        unsafe { slot.gate.with_next(|next| *next = Some(1)) };
        let rescuers = [0, 1].map(|_| {
            let slot = slot.clone();
            spawn(move || slot.rescue())
        });
        let (elsewhere, lost) = slot.poll(10);
        let kept = slot.take();
        let rescued = rescuers.map(|rescuer| rescuer.join().unwrap());
        assert_eq!(kept + elsewhere + slot.taken.load(Relaxed), 11);
        assert_eq!(lost, rescued.contains(&true));
        assert!(!(rescued[0] && rescued[1]), "the same poll twice");
        reached(if lost { "one" } else { "nobody" });
    });
}

/// A timer that is set in a poll is left to the owner only if no rescuer comes who has not seen it.
#[test]
fn gate_timer_vs_seize() {
    must_reach(&["left", "moved by its owner", "moved by the rescuer"]);
    model("gate_timer_vs_seize", Bound::Preemptions(3), || {
        let slot = Slot::new();
        let other = slot.clone();
        let rescuer = spawn(move || other.rescue());
        // SAFETY: gate rule 1.
        let moved_here = unsafe {
            slot.gate.begin_poll();
            slot.timer.swap(true, Relaxed);
            let may_be_lost = slot.gate.may_be_lost();
            if may_be_lost {
                slot.move_timer();
            }
            if slot.gate.end_poll() == Back::Lost {
                slot.gate.regain();
            }
            may_be_lost
        };
        let rescued = rescuer.join().unwrap();
        let moved = slot.moved.load(Relaxed);
        assert_eq!(moved + usize::from(slot.timer.load(Relaxed)), 1);
        match (rescued, moved) {
            (true, 0) => panic!("a wheel without an owner has a timer"),
            (true, _) if moved_here => reached("moved by its owner"),
            (true, _) => reached("moved by the rescuer"),
            (false, _) => reached("left"),
        }
    });
}

/// Who leaves by itself is not seized, and who is seized does not leave.
#[test]
fn gate_leave_vs_seize() {
    must_reach(&["left", "seized"]);
    model("gate_leave_vs_seize", Bound::Preemptions(3), || {
        let slot = Slot::new();
        let other = slot.clone();
        let rescuer = spawn(move || other.rescue());
        // SAFETY: gate rule 1.
        let (left, lost) = unsafe {
            slot.gate.begin_poll();
            slot.gate.visit(|next| next.take());
            let left = slot.gate.leave();
            if left {
                slot.gate.come_back();
            }
            let lost = slot.gate.end_poll() == Back::Lost;
            if lost {
                slot.gate.regain();
            }
            (left, lost)
        };
        let rescued = rescuer.join().unwrap();
        assert_eq!(lost, rescued);
        assert!(left || lost);
        reached(if left { "left" } else { "seized" });
    });
}

/// Somebody wakes up while the monitor goes to sleep: it sees that, or is roused.
#[test]
fn doze_vs_wake() {
    must_reach(&["seen", "roused"]);
    model("doze_vs_wake", Bound::None, || {
        let bed = Arc::new(Bed::new(Fences::best()));
        let awake = Arc::new(AtomicBool::new(false));
        let monitor = {
            let (bed, awake) = (bed.clone(), awake.clone());
            spawn(move || {
                bed.adopt();
                let mut quiet = false;
                bed.doze(None, || {
                    quiet = !awake.load(Relaxed);
                    quiet
                });
                // Relaxed: if it slept, the unpark shows it; else it saw it.
                assert!(awake.load(Relaxed), "nobody was awake");
                reached(if quiet { "roused" } else { "seen" });
            })
        };
        // Relaxed, as the end of a sleep in the idle word is for this purpose.
        awake.swap(true, Relaxed);
        bed.someone_awake();
        monitor.join().unwrap();
    });
}
