//! Models of the poller's turn: checks `src/scheduler/README.md`, "Blocking".
//!
//! The turn is the driver's own, and so are the idle word and the parkers. Around them stand the shortest
//! worker that sleeps, and the shortest one that goes.

mod harness;

use harness::thread::{made_apart, spawn};
use harness::{Bound, Model, must_reach, reached};
use reiver_model::internals::driver::Driver;
use reiver_model::internals::primitive::Arc;
use reiver_model::internals::primitive::atomic::{AtomicBool, Ordering::*};
use reiver_model::internals::scheduler::{Blocking, Idle, Parker, Unpark};
use std::time::Duration;

/// A driver is made of many atomics, most of which these models do not touch.
#[track_caller]
fn model(name: &str, f: impl Fn() + Send + Sync + 'static) {
    Model::new(name, Bound::None).without_shadow_loads().check(f);
}

struct Shared {
    driver: Driver,
    idle: Idle,
    parker: Parker,
}

impl Shared {
    fn new() -> Arc<Self> {
        made_apart(|| {
            let (idle, parker) = (Idle::new(1), Parker::new());
            Arc::new(Self { driver: Driver::new(1, 1, || ()), idle, parker })
        })
    }

    fn unpark(&self) {
        match self.parker.unpark() {
            Unpark::Poller => self.driver.notify(),
            Unpark::Done => {}
        }
    }

    /// Blocks as a worker does, in the poller if nobody else is there. Says whether it was.
    fn block(&self) -> bool {
        let turn = self.driver.try_turn();
        let polled = turn.is_some();
        match turn {
            Some(mut turn) => self.parker.block_in_poller(|blocking| match blocking {
                Blocking::Yes => turn.run(None),
                Blocking::No => turn.run(Some(Duration::ZERO)),
            }),
            None => self.parker.block(None),
        }
        polled
    }
}

/// Two that want it: one at a time is in the poller, and the second sees what the first has left there.
#[test]
fn turn_is_for_one_at_a_time() {
    must_reach(&["each of them", "one of them"]);
    model("turn_is_for_one_at_a_time", || {
        let shared = Shared::new();
        let takes = |shared: &Shared| match shared.driver.try_turn() {
            Some(mut turn) => {
                turn.run(Some(Duration::ZERO));
                1
            }
            None => 0,
        };
        let theirs = shared.clone();
        let other = spawn(move || takes(&theirs));
        let both = takes(&shared) + other.join().unwrap();
        assert!(both > 0, "nobody got it");
        reached(if both == 2 { "each of them" } else { "one of them" });
        assert!(shared.driver.is_deserted(), "it was not given back");
    });
}

/// Who leaves the turn for good sees the sleeper, or the sleeper gets the turn: the poller is not left alone
/// while somebody sleeps on a token.
#[test]
fn turn_left_vs_sleep() {
    must_reach(&["taken at once", "called to it"]);
    model("turn_left_vs_sleep", || {
        let shared = Shared::new();
        let turn = shared.driver.try_turn().expect("nobody is here yet");
        let theirs = shared.clone();
        let sleeper = spawn(move || {
            theirs.parker.adopt();
            let (mut search, mut sleeps) = (None, 0);
            loop {
                match theirs.idle.sleep(0, search.take(), || false) {
                    Err(found) => search = Some(found),
                    Ok(asleep) => {
                        sleeps += 1;
                        if theirs.driver.try_turn().is_some() {
                            let _ = theirs.idle.wake(asleep);
                            return sleeps;
                        }
                        theirs.parker.block(None);
                        theirs.parker.take_token();
                        search = theirs.idle.wake(asleep);
                    }
                }
            }
        });
        // As `Worker::hand_over` does.
        drop(turn);
        if shared.driver.is_deserted() && shared.idle.claim_for_pushed().is_some() {
            shared.unpark();
        }
        let sleeps = sleeper.join().unwrap();
        reached(if sleeps == 1 { "taken at once" } else { "called to it" });
    });
}

/// Who is in the poller is reached there, and who is on the way there does not block.
#[test]
fn turn_holder_is_called() {
    must_reach(&["called in the poller", "called before"]);
    model("turn_holder_is_called", || {
        let shared = Shared::new();
        let flag = Arc::new(AtomicBool::new(false));
        let (theirs, set) = (shared.clone(), flag.clone());
        let worker = spawn(move || {
            theirs.parker.adopt();
            let mut blocked = 0;
            // Relaxed: the token orders it.
            while !set.load(Relaxed) {
                assert!(theirs.block(), "nobody else is here");
                theirs.parker.take_token();
                blocked += 1;
            }
            blocked
        });
        flag.store(true, Relaxed);
        match shared.parker.unpark() {
            Unpark::Poller => {
                reached("called in the poller");
                shared.driver.notify();
            }
            Unpark::Done => reached("called before"),
        }
        worker.join().unwrap();
    });
}
