//! Storms bite: they find a deadlock, a race of two steps, a thread that never ends, and say so; their time and
//! their locks are as they should be. What a storm is: `src/primitive/hybrid/storm/`.

mod harness;

use harness::thread::{park, spawn as thread};
use reiver_model::internals::primitive::atomic::{AtomicUsize, Ordering::SeqCst};
use reiver_model::internals::primitive::thread::park_timeout;
use reiver_model::internals::primitive::{Mutex as Lock, clock, storm};
use std::sync::Arc;
use std::time::Duration;

/// A storm finds what it is for, and says it; its seed replays it.
#[test]
fn a_storm_reports_a_deadlock() {
    let body = || {
        let locks = Arc::new((Lock::new(0), Lock::new(0)));
        let theirs = locks.clone();
        let other = reiver_model::internals::primitive::thread::Builder::new();
        let other = other.name("other".into()).spawn(move || {
            let _first = theirs.1.lock();
            *theirs.0.lock() += 1;
        });
        {
            let _first = locks.0.lock();
            *locks.1.lock() += 1;
        }
        other.unwrap().join().unwrap();
    };
    let found = (0..1000).find_map(|seed| Some((seed, storm::run(seed, body).err()?)));
    let (seed, text) = found.expect("two locks in two orders");
    assert!(text.starts_with("deadlock"), "{text}");
    assert!(
        text.contains("\"other\" waits for the lock") && text.contains("storm_canaries.rs"),
        "{text}"
    );
    let masked = |text: &str| text.replace(|c: char| c.is_ascii_hexdigit(), "");
    assert_eq!(masked(&storm::run(seed, body).unwrap_err()), masked(&text), "it is not replayed");
}

/// A check and an act that are two steps.
#[test]
fn a_storm_finds_a_lost_update() {
    let body = || {
        let count = Arc::new(AtomicUsize::new(0));
        let add = |count: &AtomicUsize| count.store(count.load(SeqCst) + 1, SeqCst);
        let theirs = count.clone();
        let other = thread(move || add(&theirs));
        add(&count);
        other.join().unwrap();
        assert_eq!(count.load(SeqCst), 2, "lost");
    };
    let texts: Vec<_> = (0..200).filter_map(|seed| storm::run(seed, body).err()).collect();
    assert!(!texts.is_empty() && texts.len() < 200, "{} of 200", texts.len());
    assert!(texts.iter().all(|text| text.contains("lost")), "{texts:?}");
}

/// Who waits for a lock gets it when it is given back.
#[test]
fn a_storm_hands_locks_on() {
    for seed in 0..100 {
        let outcome = storm::run(seed, || {
            let both = Arc::new((Lock::new(0), AtomicUsize::new(0)));
            let add = |both: &(Lock<usize>, AtomicUsize)| {
                let mut count = both.0.lock();
                *count += 1;
                assert_eq!(both.1.fetch_add(1, SeqCst) + 1, *count, "two have the lock");
            };
            let others = [(); 3].map(|()| {
                let theirs = both.clone();
                thread(move || add(&theirs))
            });
            add(&both);
            others.into_iter().for_each(|other| other.join().unwrap());
        });
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

/// Time passes only when all wait, or somebody is slow; parked threads are told apart from lost ones.
#[test]
fn a_storm_has_its_own_time() {
    let outcome = storm::run(3, || {
        let start = clock::now();
        park_timeout(Duration::from_secs(3600));
        assert!(clock::now().duration_since(start) >= Duration::from_secs(3600));
    });
    assert!(outcome.unwrap().time >= Duration::from_secs(3600));
    let text = storm::run(3, || drop(thread(park))).unwrap_err();
    assert!(text.contains("is parked"), "{text}");
}
