//! Models of jobs that are offered to a worker process: checks `src/offload/README.md`, "A job is taken once".

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::offload::{CELLS, Cell, Taken};
use reiver_model::internals::primitive::atomic::{AtomicU64, Ordering::*};
use reiver_model::internals::primitive::{Arc, thread};

/// One cell, and the channel: how many messages the worker may read.
struct Both {
    cell: Cell,
    sent: AtomicU64,
}

impl Both {
    fn new() -> Arc<Self> {
        Arc::new(Self { cell: Cell::new(), sent: AtomicU64::new(0) })
    }

    /// The parent gives job `n`.
    fn give(&self, n: u64) {
        self.cell.offer(n);
        // Release: pairs with the Acquire in `read`, as the socket does.
        self.sent.store(n, Release);
    }

    /// The worker waits for message `n`; answers whether it runs the job.
    fn read(&self, n: u64) -> bool {
        // Acquire: pairs with the Release in `give`.
        while self.sent.load(Acquire) < n {
            thread::yield_now();
        }
        let taken = self.cell.take(n);
        assert_ne!(taken, Taken::Damaged);
        taken == Taken::Ours
    }
}

/// A worker reads a job while the parent takes it back: one of them has it.
#[test]
fn offer_take_vs_withdraw() {
    must_reach(&["taken", "withdrawn"]);
    model("offer_take_vs_withdraw", Bound::None, || {
        let both = Both::new();
        let theirs = both.clone();
        let worker = spawn(move || theirs.read(1));
        both.give(1);
        let is_ours = both.cell.withdraw(1);
        let is_theirs = worker.join().unwrap();
        assert!(is_ours != is_theirs, "ours: {is_ours}, theirs: {is_theirs}");
        reached(if is_ours { "withdrawn" } else { "taken" });
        assert!(!both.cell.withdraw(1) && both.cell.take(1) != Taken::Ours, "it is decided");
    });
}

/// The cell has a later job when the worker reads the message of one that was withdrawn: it runs the later one only.
#[test]
fn offer_cell_is_used_again() {
    must_reach(&["the first taken", "read early", "read late"]);
    model("offer_cell_is_used_again", Bound::None, || {
        let both = Both::new();
        let theirs = both.clone();
        let worker = spawn(move || {
            let first = theirs.read(1);
            let early = theirs.sent.load(Relaxed) == 1;
            (first, early, theirs.read(1 + CELLS))
        });
        both.give(1);
        let is_ours = both.cell.withdraw(1);
        both.give(1 + CELLS);
        let (first, early, second) = worker.join().unwrap();
        assert!(is_ours != first);
        assert!(second, "nobody has the second");
        reached(match (first, early) {
            (true, _) => "the first taken",
            (false, true) => "read early",
            (false, false) => "read late",
        });
    });
}
