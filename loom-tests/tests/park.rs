//! Models of parking: checks the table of states in `src/primitive/hybrid/thread.rs`.
//!
//! The double must give what std documents: `unpark` happens before the `park` that it ends, and a
//! token is neither lost nor doubled.

mod harness;

use harness::thread::{current, park, spawn};
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{AtomicU32, Ordering::*};
use reiver_model::internals::primitive::{Arc, UnsafeCell};

struct Data(UnsafeCell<u32>);

// SAFETY: loom runs all threads of a model on one OS thread, and it reports what would be a race.
unsafe impl Sync for Data {}

/// What was written before `unpark` is there after the `park` that it ended.
#[test]
fn parker_data() {
    model("parker_data", Bound::None, || {
        let data = Arc::new(Data(UnsafeCell::new(0)));
        let theirs = data.clone();
        let sleeper = spawn(move || {
            park();
            // SAFETY: loom checks that the writer is done.
            theirs.0.with(|cell| assert_eq!(unsafe { *cell }, 1));
        });
        // SAFETY: loom checks that the reader has not begun.
        data.0.with_mut(|cell| unsafe { *cell = 1 });
        sleeper.thread().unpark();
        sleeper.join().unwrap();
    });
}

/// Two tokens given before the first is taken are one; one given after it is another.
#[test]
fn parker_tokens() {
    must_reach(&["coalesced", "the second park waited for the flag"]);
    model("parker_tokens", Bound::None, || {
        let words: Arc<[AtomicU32; 3]> = Arc::default();
        let (theirs, main) = (words.clone(), current());
        let sleeper = spawn(move || {
            let [started, taken, flag] = &*theirs;
            started.fetch_or(1, AcqRel);
            park();
            taken.fetch_or(1, AcqRel);
            main.unpark();
            park();
            flag.fetch_or(0, AcqRel)
        });
        let [started, taken, flag] = &*words;
        sleeper.thread().unpark();
        sleeper.thread().unpark();
        let coalesced = started.fetch_or(2, AcqRel) == 0;
        while taken.fetch_or(0, AcqRel) == 0 {
            park();
        }
        flag.fetch_or(1, AcqRel);
        sleeper.thread().unpark();
        let flag_seen = sleeper.join().unwrap() == 1;
        if flag_seen {
            reached("the second park waited for the flag");
        }
        if coalesced {
            reached("coalesced");
            assert!(flag_seen, "two tokens out of one");
        }
    });
}

/// A waiter that checks its condition before each `park` never sleeps through it, whoever of two
/// changes it last.
#[test]
fn parker_two_unparkers() {
    must_reach(&["once", "more than once"]);
    model("parker_two_unparkers", Bound::None, || {
        let count = Arc::new(AtomicU32::new(0));
        let waiter = current();
        let others: [_; 2] = std::array::from_fn(|_| {
            let (count, waiter) = (count.clone(), waiter.clone());
            spawn(move || {
                count.fetch_add(1, Release);
                waiter.unpark();
            })
        });
        let mut parks = 0;
        while count.load(Acquire) < 2 {
            park();
            parks += 1;
        }
        reached(if parks > 1 { "more than once" } else { "once" });
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}
