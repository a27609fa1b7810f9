//! Canaries: models that must fail, and executions that must be found. They prove that the harness
//! and the facade's doubles bite; checks `src/primitive/hybrid/`.

mod harness;

use harness::thread::spawn;
use harness::{Bound, Model, model, must_reach, reached};
use reiver_model::internals::primitive::atomic::{
    AtomicBool, AtomicU32, AtomicUsize, Ordering::*, fence,
};
use reiver_model::internals::primitive::deque::{Injector, Steal, Worker};
use reiver_model::internals::primitive::{
    Arc, Local, Mutex, SpinLock, UnsafeCell, clock, in_model, num_cpus, thread,
};

/// A cell that two threads reach without the compiler's consent.
struct Shared<T>(UnsafeCell<T>);

// SAFETY: loom runs all threads of a model on one OS thread, and it reports what would be a race.
unsafe impl<T> Sync for Shared<T> {}

impl Shared<u32> {
    fn new() -> Arc<Self> {
        Arc::new(Self(UnsafeCell::new(0)))
    }

    fn set(&self, value: u32) {
        // SAFETY: as for `Sync`: the pointer is live here and loom checks that it is alone.
        self.0.with_mut(|cell| unsafe { *cell = value });
    }

    fn get(&self) -> u32 {
        // SAFETY: as in `set`.
        self.0.with(|cell| unsafe { *cell })
    }
}

#[test]
fn a_data_race_fails() {
    Model::new("a_data_race_fails", Bound::None).fails_with("Causality violation").check(|| {
        let cell = Shared::new();
        let theirs = cell.clone();
        let other = spawn(move || theirs.set(1));
        cell.set(2);
        other.join().unwrap();
    });
}

#[test]
fn a_deadlock_fails() {
    Model::new("a_deadlock_fails", Bound::None).fails_with("deadlock").check(|| {
        let locks = Arc::new((Mutex::new(()), Mutex::new(())));
        let theirs = locks.clone();
        let other = spawn(move || {
            let _one = theirs.0.lock();
            let _two = theirs.1.lock();
        });
        let two = locks.1.lock();
        drop(locks.0.lock());
        drop(two);
        other.join().unwrap();
    });
}

#[test]
fn a_park_without_an_unpark_fails() {
    let model = Model::new("a_park_without_an_unpark_fails", Bound::None);
    model.fails_with("deadlock").check(thread::park);
}

#[test]
fn a_leak_of_a_watched_object_fails() {
    let model = Model::new("a_leak_of_a_watched_object_fails", Bound::None);
    model.fails_with("leaked").check(|| {
        let other = spawn(|| std::mem::forget(loom::alloc::Track::new(1)));
        other.join().unwrap();
    });
}

#[test]
fn one_execution_fails() {
    let model = Model::new("one_execution_fails", Bound::None);
    model.fails_with("only 1 executions").check(|| {
        AtomicU32::new(0).store(1, Relaxed);
    });
}

#[test]
fn a_label_never_reached_fails() {
    must_reach(&["never"]);
    let model = Model::new("a_label_never_reached_fails", Bound::None);
    model.fails_with("never reached").check(|| {
        let word = Arc::new(AtomicU32::new(0));
        let theirs = word.clone();
        let other = spawn(move || theirs.store(1, Relaxed));
        if word.load(Relaxed) == 2 {
            reached("never");
        }
        other.join().unwrap();
    });
}

#[test]
fn an_endless_model_fails() {
    let model = Model::new("an_endless_model_fails", Bound::None);
    let model = model.limit(std::time::Duration::from_millis(200)).fails_with("not finished after");
    model.check(|| {
        let word = Arc::new(AtomicU32::new(0));
        let threads: [_; 3] = std::array::from_fn(|_| {
            let word = word.clone();
            spawn(move || {
                for _ in 0..8 {
                    word.fetch_add(1, Relaxed);
                }
            })
        });
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_relaxed_load_may_be_stale() {
    must_reach(&["stale"]);
    model("a_relaxed_load_may_be_stale", Bound::None, || {
        let words = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
        let theirs = words.clone();
        let other = spawn(move || {
            theirs.0.store(1, Relaxed);
            theirs.1.store(1, Relaxed);
        });
        if words.1.load(Relaxed) == 1 && words.0.load(Relaxed) == 0 {
            reached("stale");
        }
        other.join().unwrap();
    });
}

/// Each side stores its word and loads the other's; returns what the two loaded.
fn store_then_load(with_fence: bool) -> (u32, u32) {
    let words = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
    let theirs = words.clone();
    let other = spawn(move || {
        theirs.0.store(1, Relaxed);
        if with_fence {
            fence(SeqCst);
        }
        theirs.1.load(Relaxed)
    });
    words.1.store(1, Relaxed);
    if with_fence {
        fence(SeqCst);
    }
    let ours = words.0.load(Relaxed);
    (ours, other.join().unwrap())
}

#[test]
fn store_then_load_needs_its_fence() {
    must_reach(&["both missed"]);
    model("store_then_load_needs_its_fence", Bound::None, || {
        if store_then_load(false) == (0, 0) {
            reached("both missed");
        }
    });
}

#[test]
fn store_then_load_has_its_fence() {
    must_reach(&["ours seen", "theirs seen"]);
    model("store_then_load_has_its_fence", Bound::None, || match store_then_load(true) {
        (0, 0) => panic!("both missed, in spite of the fences"),
        (0, 1) => reached("ours seen"),
        (1, 0) => reached("theirs seen"),
        _ => {}
    });
}

/// The shape of every compare-exchange loop: both orders of the two loads matter (loom issues 166
/// and 392). Returns what the plain load saw.
fn load_against_load_then_exchange() -> u32 {
    let word = Arc::new(AtomicU32::new(0));
    let theirs = word.clone();
    let one = spawn(move || theirs.load(Relaxed));
    let theirs = word.clone();
    let two = spawn(move || {
        let before = theirs.load(Relaxed);
        theirs.compare_exchange(before, before + 1, Relaxed, Relaxed).unwrap();
    });
    two.join().unwrap();
    one.join().unwrap()
}

#[test]
fn load_then_exchange_is_explored_in_both_orders() {
    must_reach(&["load first", "exchange first"]);
    model("load_then_exchange_is_explored_in_both_orders", Bound::None, || {
        reached(["load first", "exchange first"][load_against_load_then_exchange() as usize]);
    });
}

/// If this one begins to fail, loom has been repaired and the shadows can go.
#[test]
fn without_its_shadow_a_load_hides_an_order() {
    must_reach(&["exchange first"]);
    Model::new("without_its_shadow_a_load_hides_an_order", Bound::None)
        .without_shadow_loads()
        .fails_with("never reached")
        .check(|| {
            reached(["load first", "exchange first"][load_against_load_then_exchange() as usize]);
        });
}

/// The shadow of a load orders nothing: what a release fence before one load published, an acquire
/// fence after another does not get.
#[test]
fn a_shadow_is_no_edge() {
    must_reach(&["stale after a later load"]);
    model("a_shadow_is_no_edge", Bound::None, || {
        let words: Arc<[AtomicU32; 3]> = Arc::default();
        // std's, so that loom does not see it: only for telling which load came first.
        let loaded = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (theirs, they_loaded) = (words.clone(), loaded.clone());
        let other = spawn(move || {
            let [data, word, flag] = &*theirs;
            data.store(1, Relaxed);
            fence(Release);
            word.load(Relaxed);
            they_loaded.store(true, Relaxed);
            flag.store(1, Relaxed);
        });
        let [data, word, flag] = &*words;
        word.load(Relaxed);
        let later = loaded.load(Relaxed);
        fence(Acquire);
        if later && flag.load(Relaxed) == 1 && data.load(Relaxed) == 0 {
            reached("stale after a later load");
        }
        other.join().unwrap();
    });
}

/// `unpark` hands over what happened before it to the `park` that it ends, and to nobody else.
#[test]
fn a_flag_seen_without_parking_is_no_edge() {
    let model = Model::new("a_flag_seen_without_parking_is_no_edge", Bound::None);
    model.fails_with("Causality violation").check(|| flag_data_and_unpark(Relaxed));
}

#[test]
fn a_flag_with_its_edge_needs_no_park() {
    must_reach(&["parked", "not parked"]);
    model("a_flag_with_its_edge_needs_no_park", Bound::None, || flag_data_and_unpark(Acquire));
}

fn flag_data_and_unpark(load: reiver_model::internals::primitive::atomic::Ordering) {
    let shared = Arc::new((Shared(UnsafeCell::new(0)), AtomicBool::new(false)));
    let theirs = shared.clone();
    let sleeper = spawn(move || {
        let mut parked = "not parked";
        while !theirs.1.load(load) {
            thread::park();
            parked = "parked";
        }
        reached(parked);
        assert_eq!(theirs.0.get(), 1);
    });
    shared.0.set(1);
    // Release: pairs with the load above, if that one is an Acquire.
    shared.1.store(true, Release);
    sleeper.thread().unpark();
    sleeper.join().unwrap();
}

#[test]
fn a_thief_may_meet_emptiness_and_contention() {
    must_reach(&["empty", "retry", "success", "owner"]);
    model("a_thief_may_meet_emptiness_and_contention", Bound::None, || {
        let worker = Worker::new_fifo();
        let stealer = worker.stealer();
        let thief = spawn(move || match stealer.steal() {
            Steal::Empty => (reached("empty"), 0).1,
            Steal::Retry => (reached("retry"), 0).1,
            Steal::Success(item) => (reached("success"), item).1,
        });
        worker.push(7);
        let ours = worker.pop().inspect(|_| reached("owner")).unwrap_or(0);
        assert_eq!(ours + thief.join().unwrap(), 7, "taken once");
    });
}

/// The protocol of a sleeper on an injector, without the fences: with crossbeam's own fence in
/// `is_empty` this would pass.
fn announce_and_look(with_fences: bool) -> bool {
    let shared = Arc::new((Injector::new(), AtomicUsize::new(0)));
    let theirs = shared.clone();
    let sleeper = spawn(move || {
        theirs.1.store(1, Relaxed);
        if with_fences {
            fence(SeqCst);
        }
        theirs.0.is_empty()
    });
    shared.0.push(7);
    if with_fences {
        fence(SeqCst);
    }
    let nobody_sleeps = shared.1.load(Relaxed) == 0;
    sleeper.join().unwrap() && nobody_sleeps
}

#[test]
fn a_look_at_a_queue_is_no_fence() {
    must_reach(&["stranded"]);
    model("a_look_at_a_queue_is_no_fence", Bound::None, || {
        if announce_and_look(false) {
            reached("stranded");
        }
    });
}

#[test]
fn a_look_at_a_queue_with_fences() {
    model("a_look_at_a_queue_with_fences", Bound::None, || {
        assert!(!announce_and_look(true), "the item is seen or the sleeper is");
    });
}

#[test]
fn a_queue_hands_over_what_its_item_points_to() {
    must_reach(&["taken"]);
    model("a_queue_hands_over_what_its_item_points_to", Bound::None, || {
        let queue = Arc::new(Injector::new());
        let theirs = queue.clone();
        let taker = spawn(move || {
            if let Steal::Success(cell) = theirs.steal() {
                reached("taken");
                let cell: Arc<Shared<u32>> = cell;
                assert_eq!(cell.get(), 1);
            }
        });
        let cell = Shared::new();
        cell.set(1);
        queue.push(cell);
        taker.join().unwrap();
    });
}

#[test]
fn a_lock_from_outside_met_contended_panics() {
    let outside = Arc::new(Mutex::new(0));
    let model = Model::new("a_lock_from_outside_met_contended_panics", Bound::None);
    model.fails_with("made outside the model").check(move || {
        let word = Arc::new(AtomicU32::new(0));
        let (theirs, lock) = (word.clone(), outside.clone());
        let other = spawn(move || {
            let _held = lock.lock();
            theirs.fetch_add(1, Relaxed);
        });
        word.fetch_add(1, Relaxed);
        drop(outside.lock());
        other.join().unwrap();
    });
}

#[test]
fn a_spin_lock_excludes() {
    model("a_spin_lock_excludes", Bound::None, || {
        let lock = Arc::new(SpinLock::new(0));
        let theirs = lock.clone();
        let other = spawn(move || *theirs.lock() += 1);
        *lock.lock() += 1;
        other.join().unwrap();
        assert_eq!(*lock.lock(), 2);
    });
}

std::thread_local! {
    static REAL: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}
loom::thread_local! {
    static MODELLED: std::cell::Cell<u32> = std::cell::Cell::new(0);
}
static LOCAL: Local<std::cell::Cell<u32>> = Local::new(&REAL, &MODELLED, std::cell::Cell::default);

#[test]
fn a_local_belongs_to_its_thread() {
    model("a_local_belongs_to_its_thread", Bound::None, || {
        let word = Arc::new(AtomicU32::new(0));
        let theirs = word.clone();
        let count = |word: &AtomicU32| {
            LOCAL.with(|n| n.set(n.get() + 1));
            word.fetch_add(1, Relaxed);
            LOCAL.with(|n| n.replace(n.get() + 1))
        };
        let other = spawn(move || count(&theirs));
        assert_eq!(count(&word), 1);
        assert_eq!(other.join().unwrap(), 1);
    });
}

#[test]
fn a_finished_thread_says_so() {
    must_reach(&["finished", "running"]);
    model("a_finished_thread_says_so", Bound::None, || {
        let cell = Shared::new();
        let theirs = cell.clone();
        let other = spawn(move || theirs.set(1));
        if other.is_finished() {
            reached("finished");
            assert_eq!(cell.get(), 1);
        } else {
            reached("running");
        }
        other.join().unwrap();
    });
}

#[test]
fn the_clock_of_a_model_stands_still_and_starts_anew() {
    // Not loom's: it outlives the executions.
    let first = std::sync::OnceLock::new();
    model("the_clock_of_a_model_stands_still_and_starts_anew", Bound::None, move || {
        assert!(in_model());
        assert_eq!(num_cpus(), 2);
        let start = clock::now();
        assert_eq!(start, *first.get_or_init(|| start));
        assert_eq!(clock::now(), start);
        clock::advance(std::time::Duration::from_secs(1));
        assert_eq!(clock::now() - start, std::time::Duration::from_secs(1));
        // Something to interleave.
        let word = Arc::new(AtomicU32::new(0));
        let theirs = word.clone();
        let other = spawn(move || theirs.fetch_add(1, Relaxed));
        word.fetch_add(1, Relaxed);
        other.join().unwrap();
    });
}

/// Outside a model everything is the real thing, in the same binary.
#[test]
fn outside_a_model_all_is_real() {
    assert!(!in_model());
    let shared = Arc::new((Mutex::new(0), AtomicU32::new(0), Worker::new_fifo().stealer()));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let shared = shared.clone();
            let builder = thread::Builder::new().name("real".into()).stack_size(1 << 16);
            let run = move || {
                assert_eq!(thread::current().name(), Some("real"));
                *shared.0.lock() += 1;
                shared.1.fetch_add(1, Relaxed);
                thread::park();
                let _: Steal<u32> = shared.2.steal();
            };
            builder.spawn(run).unwrap()
        })
        .collect();
    threads.iter().for_each(|thread| thread.thread().unpark());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!((*shared.0.lock(), shared.1.load(Relaxed)), (8, 8));
}
