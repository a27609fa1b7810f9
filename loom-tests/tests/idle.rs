//! Models of sleeping and waking: checks `src/scheduler/README.md`, "Sleeping and waking".
//!
//! The idle word and its fences are the scheduler's own. Around them stand the shortest worker and the
//! shortest pusher: a counter for the queue, whose reads are relaxed as the queues' looks are.

mod harness;

use harness::thread::spawn;
use harness::{Bound, model, must_reach, reached};
use reiver_model::internals::primitive::Arc;
use reiver_model::internals::primitive::atomic::{AtomicUsize, Ordering::*};
use reiver_model::internals::primitive::deque::{Injector, Steal, Worker as Deque};
use reiver_model::internals::primitive::spin_loop;
use reiver_model::internals::scheduler::{Idle, Parker, Search, Unpark};

/// A scheduler with one queue, whose items are counted and not named.
struct Shared {
    idle: Idle,
    queue: AtomicUsize,
    parkers: Vec<Parker>,
    /// Unparks that follow a claim.
    wakes: AtomicUsize,
}

impl Shared {
    fn new(seats: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Idle::new(seats),
            queue: AtomicUsize::new(0),
            parkers: (0..seats).map(|_| Parker::new()).collect(),
            wakes: AtomicUsize::new(0),
        })
    }

    fn push(&self) {
        // Relaxed: a queue's push is no fence.
        self.queue.fetch_add(1, Relaxed);
        self.wake(self.idle.claim_for_pushed());
    }

    fn wake(&self, seat: Option<usize>) {
        if let Some(seat) = seat {
            self.wakes.fetch_add(1, Relaxed);
            assert_eq!(self.parkers[seat].unpark(), Unpark::Done, "nobody polls here");
        }
    }

    /// Relaxed, as a look at a queue is.
    fn has_work(&self) -> bool {
        self.queue.load(Relaxed) > 0
    }

    fn take(&self) -> bool {
        self.has_work() && self.queue.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    /// One try to sleep, and what the worker holds then.
    fn sleep(&self, seat: usize, search: Option<Search>) -> Option<Search> {
        match self.idle.sleep(seat, search, || self.has_work()) {
            Err(search) => Some(search),
            Ok(asleep) => {
                self.parkers[seat].block(None);
                self.parkers[seat].take_token();
                self.idle.wake(asleep)
            }
        }
    }

    /// Works until it has taken `items`.
    fn work(&self, seat: usize, items: usize) {
        self.parkers[seat].adopt();
        let mut search = None;
        let mut taken = 0;
        while taken < items {
            if self.take() {
                taken += 1;
                if let Some(search) = search.take() {
                    self.wake(self.idle.end_search(search, || self.has_work()));
                }
            } else {
                search = self.sleep(seat, search);
            }
        }
        if let Some(search) = search {
            self.wake(self.idle.end_search(search, || self.has_work()));
        }
    }
}

/// Either the pusher sees the sleeper, or the sleeper sees the push: no item stays behind a sleeper.
#[test]
fn idle_vs_push() {
    must_reach(&["woken", "seen in time"]);
    model("idle_vs_push", Bound::None, || {
        let shared = Shared::new(1);
        let worker = spawn({
            let shared = shared.clone();
            move || shared.work(0, 1)
        });
        shared.push();
        worker.join().unwrap();
        let woken = shared.wakes.load(Relaxed) > 0;
        reached(if woken { "woken" } else { "seen in time" });
    });
}

/// The same for two pushes, of which the second may find the worker searching for the first.
#[test]
fn idle_vs_two_pushes() {
    must_reach(&["woken twice", "woken once", "not woken"]);
    model("idle_vs_two_pushes", Bound::Preemptions(2), || {
        let shared = Shared::new(1);
        let worker = spawn({
            let shared = shared.clone();
            move || shared.work(0, 2)
        });
        shared.push();
        shared.push();
        worker.join().unwrap();
        reached(match shared.wakes.load(Relaxed) {
            0 => "not woken",
            1 => "woken once",
            _ => "woken twice",
        });
    });
}

/// Two pushers and two sleepers: one of them is woken, and the other pusher leaves its item to that one.
#[test]
fn idle_two_sleepers() {
    model("idle_two_sleepers", Bound::None, || {
        let shared = Shared::new(2);
        let asleep = [0, 1].map(|seat| shared.idle.sleep(seat, None, || false).unwrap());
        let other = spawn({
            let shared = shared.clone();
            move || shared.push()
        });
        shared.push();
        other.join().unwrap();
        assert_eq!(shared.wakes.load(Relaxed), 1);
        let [low, high] = asleep;
        let search = shared.idle.wake(low).expect("the lower seat is the one");
        assert!(shared.take());
        assert_eq!(shared.idle.end_search(search, || shared.has_work()), Some(1), "passed on");
        assert!(shared.idle.wake(high).is_some());
        assert!(shared.take());
    });
}

/// A searcher finds one item and begins to work on it; a second one is pushed meanwhile. If its pusher
/// saw the searcher, the searcher passes the search on to the other sleeper.
#[test]
fn last_searcher() {
    must_reach(&["passed on by the searcher", "woken by the pusher"]);
    model("last_searcher", Bound::Preemptions(2), || {
        let shared = Shared::new(2);
        let asleep = shared.idle.sleep(1, None, || false).unwrap();
        // Seat 0 has found something and is about to leave the search.
        let search = shared.idle.search(0, 2).expect("nobody searches");
        let sleeper = spawn({
            let shared = shared.clone();
            move || {
                shared.parkers[1].adopt();
                shared.parkers[1].block(None);
                shared.parkers[1].take_token();
                assert!(shared.idle.wake(asleep).is_some(), "claimed");
                assert!(shared.take(), "woken for something");
            }
        });
        let pusher = spawn({
            let shared = shared.clone();
            move || {
                shared.push();
                shared.wakes.load(Relaxed)
            }
        });
        let seat = shared.idle.end_search(search, || shared.has_work());
        reached(if seat.is_some() { "passed on by the searcher" } else { "woken by the pusher" });
        shared.wake(seat);
        // Seat 0 now polls for ever: the item is the sleeper's, or nobody's.
        pusher.join().unwrap();
        sleeper.join().unwrap();
    });
}

/// A sleeper that finds work in its last look, and one that is claimed at the same moment: it is one
/// searcher in the end, and its token is spent or harmless.
#[test]
fn claim_vs_rejoin() {
    must_reach(&["claimed", "rejoined"]);
    model("claim_vs_rejoin", Bound::None, || {
        let shared = Shared::new(1);
        shared.queue.store(1, Relaxed);
        let claimer = spawn({
            let shared = shared.clone();
            move || {
                let seat = shared.idle.claim();
                shared.wake(seat);
                seat.is_some()
            }
        });
        let search = shared.idle.sleep(0, None, || shared.has_work()).expect_err("there is work");
        let claimed = claimer.join().unwrap();
        reached(if claimed { "claimed" } else { "rejoined" });
        assert!(!shared.idle.is_asleep(0));
        assert!(shared.idle.search(0, 2).is_none(), "it searches");
        // One searcher, not two and not none: with it gone, the next sleeper can be claimed.
        assert_eq!(shared.idle.end_search(search, || false), None);
        let asleep = shared.idle.sleep(0, None, || false).unwrap();
        assert_eq!(shared.idle.claim(), Some(0));
        assert!(shared.idle.wake(asleep).is_some());
    });
}

/// A sleeper that wakes by itself (a timer, an event) while it is claimed keeps the search.
#[test]
fn claim_vs_wake() {
    must_reach(&["claimed first", "woke first"]);
    model("claim_vs_wake", Bound::None, || {
        let shared = Shared::new(1);
        let asleep = shared.idle.sleep(0, None, || false).unwrap();
        let claimer = spawn({
            let shared = shared.clone();
            move || {
                shared.queue.fetch_add(1, Relaxed);
                shared.idle.claim().is_some()
            }
        });
        let search = shared.idle.wake(asleep);
        let woken = search.is_some();
        let taken = shared.take();
        if let Some(search) = search {
            assert!(taken, "who is claimed sees what it was claimed for");
            assert_eq!(shared.idle.end_search(search, || false), None);
        }
        assert_eq!(claimer.join().unwrap(), woken, "both sides agree");
        reached(if woken { "claimed first" } else { "woke first" });
        if !taken {
            let left = shared.idle.sleep(0, None, || shared.has_work());
            assert!(left.is_err(), "it does not sleep beside the item");
        }
    });
}

/// What lies in a worker's own deque is seen by the others before they sleep, if it was pushed before
/// the worker woke them; a thief that meets another one comes back.
#[test]
fn local_push_is_stolen() {
    must_reach(&["the thief was first", "the owner was first"]);
    model("local_push_is_stolen", Bound::Preemptions(2), || {
        let idle = Arc::new(Idle::new(2));
        let parker = Arc::new(Parker::new());
        let (deque, injector) = (Deque::new_fifo(), Arc::new(Injector::new()));
        let stealer = deque.stealer();
        let thief = spawn({
            let (idle, parker, injector) = (idle.clone(), parker.clone(), injector.clone());
            move || {
                parker.adopt();
                let mine = Deque::new_fifo();
                let mut search = None;
                loop {
                    let found = match stealer.steal_batch_with_limit_and_pop(&mine, 4) {
                        Steal::Success(item) => Some(item),
                        _ => match injector.steal() {
                            Steal::Success(item) => Some(item),
                            _ => None,
                        },
                    };
                    if let Some(item) = found {
                        return (item, mine.pop());
                    }
                    let look = || !stealer.is_empty() || !injector.is_empty();
                    match idle.sleep(1, search.take(), look) {
                        Err(found) => {
                            search = Some(found);
                            spin_loop();
                        }
                        Ok(asleep) => {
                            parker.block(None);
                            parker.take_token();
                            search = idle.wake(asleep);
                        }
                    }
                }
            }
        });
        // The owner: two local items, then it goes away and hands over the rest.
        deque.push(1);
        deque.push(2);
        if idle.claim().is_some() {
            assert_eq!(parker.unpark(), Unpark::Done);
        }
        let kept = deque.pop();
        while let Some(item) = deque.pop() {
            injector.push(item);
        }
        injector.push(3);
        if idle.claim_for_pushed().is_some() {
            assert_eq!(parker.unpark(), Unpark::Done);
        }
        let (first, second) = thief.join().unwrap();
        let mut all: Vec<i32> = [kept, Some(first), second].into_iter().flatten().collect();
        while let Steal::Success(item) = injector.steal() {
            all.push(item);
        }
        all.sort_unstable();
        assert_eq!(all, [1, 2, 3], "each once");
        reached(if first == 1 { "the thief was first" } else { "the owner was first" });
    });
}
