//! Tests of the whole: wheel against a model, who acts in which phase, many threads.

use super::*;
use crate::primitive::Arc;
use crate::util::rng::Rng;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Wake;
use std::time::Instant;

/// Counts its wakes and notes the order of wakes of a whole test.
struct Counter {
    id: usize,
    wakes: AtomicUsize,
    log: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Counter {
    fn wake(self: std::sync::Arc<Self>) {
        self.wakes.fetch_add(1, SeqCst);
        self.log.lock().unwrap().push(self.id);
    }
}

#[derive(Default)]
struct Log(Arc<Mutex<Vec<usize>>>);

impl Log {
    fn counter(&self, id: usize) -> (Arc<Counter>, Waker) {
        let counter = Arc::new(Counter { id, wakes: AtomicUsize::new(0), log: self.0.clone() });
        (counter.clone(), Waker::from(counter))
    }

    fn waker(&self, id: usize) -> Waker {
        self.counter(id).1
    }

    fn take(&self) -> Vec<usize> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn timers(wheels: usize) -> Timers {
    Timers::new(wheels, Clock::new())
}

fn entry(when: u64) -> Pin<Box<Entry>> {
    Box::pin(Entry::new(when))
}

/// Expires wheel 0 until nothing more is due.
fn expire(timers: &Timers, now: u64) -> usize {
    let mut fired = 0;
    while timers.next_deadline(0).is_some_and(|next| next <= now) {
        fired += timers.expire(0, now);
    }
    fired
}

#[test]
#[cfg(all(target_pointer_width = "64", not(all(feature = "model", debug_assertions))))]
fn an_entry_is_a_cache_line() {
    assert!(size_of::<Entry>() <= 64, "{}", size_of::<Entry>());
}

#[test]
fn an_entry_fires_at_its_tick_and_wakes_once() {
    let timers = timers(1);
    let (counter, waker) = Log::default().counter(0);
    let mut entry = entry(10);
    assert_eq!(timers.poll(entry.as_mut(), &waker, 0), Polled::PendingEarlier);
    assert_eq!((timers.next_deadline(0), timers.earliest(), timers.len()), (Some(10), Some(10), 1));
    assert_eq!(timers.poll(entry.as_mut(), &waker, 0), Polled::Pending);
    assert_eq!(timers.expire(0, 9), 0);
    assert!(!entry.is_fired());
    assert_eq!(timers.expire(0, 10), 1);
    assert!(entry.is_fired() && timers.len() == 0);
    assert_eq!(timers.poll(entry.as_mut(), &waker, 0), Polled::Fired);
    assert_eq!(timers.expire(0, 1000), 0);
    assert_eq!(counter.wakes.load(SeqCst), 1);
    drop((entry, waker));
    assert_eq!(Arc::strong_count(&counter), 1, "no waker is left behind");
}

#[test]
fn a_tick_that_has_passed_fires_at_once() {
    let timers = timers(1);
    let log = Log::default();
    let mut first = entry(100);
    assert_eq!(timers.poll(first.as_mut(), &log.waker(0), 0), Polled::PendingEarlier);
    assert_eq!(expire(&timers, 100), 1);
    let mut late = entry(100);
    assert_eq!(timers.poll(late.as_mut(), &log.waker(1), 0), Polled::Fired);
    assert!(late.is_fired() && timers.len() == 0);
    assert_eq!(log.take(), [0], "the one that fired at once needs no wake");
}

#[test]
fn only_an_earlier_deadline_is_reported() {
    let timers = timers(1);
    let waker = Waker::noop();
    let mut entries = [entry(500), entry(500), entry(600), entry(499)];
    let polled = entries.each_mut().map(|e| timers.poll(e.as_mut(), waker, 0));
    use Polled::{Pending, PendingEarlier};
    assert_eq!(polled, [PendingEarlier, Pending, Pending, PendingEarlier]);
}

#[test]
fn dropping_takes_an_entry_out_in_every_phase() {
    let timers = timers(1);
    let (counter, waker) = Log::default().counter(0);
    drop(entry(5));
    let mut linked = entry(5);
    let mut fired = entry(3);
    let mut cancelled = entry(5);
    for entry in [&mut linked, &mut fired, &mut cancelled] {
        let _ = timers.poll(entry.as_mut(), &waker, 0);
    }
    assert_eq!(timers.expire(0, 3), 1);
    cancelled.as_mut().cancel();
    assert_eq!(timers.len(), 1);
    drop(linked);
    assert_eq!((timers.len(), timers.next_deadline(0)), (0, None));
    assert_eq!(timers.expire(0, 100), 0);
    drop((fired, cancelled, waker));
    assert_eq!((counter.wakes.load(SeqCst), Arc::strong_count(&counter)), (1, 1));
}

#[test]
fn the_last_waker_is_the_one_that_is_woken() {
    let timers = timers(1);
    let log = Log::default();
    let (old, old_waker) = log.counter(0);
    let mut entry = entry(10);
    let _ = timers.poll(entry.as_mut(), &old_waker, 0);
    assert_eq!(timers.poll(entry.as_mut(), &log.waker(1), 0), Polled::Pending);
    drop(old_waker);
    assert_eq!(Arc::strong_count(&old), 1, "the replaced waker is dropped");
    timers.expire(0, 10);
    assert_eq!(log.take(), [1]);
}

#[test]
fn reset_to_later_moves_when_the_old_slot_comes_up() {
    let timers = timers(1);
    let log = Log::default();
    let mut entry = entry(10);
    let _ = timers.poll(entry.as_mut(), &log.waker(0), 0);
    assert_eq!(timers.reset(entry.as_mut(), 5000, 0), Polled::Pending);
    assert_eq!(timers.next_deadline(0), Some(10), "the old slot");
    assert_eq!(timers.expire(0, 10), 0);
    assert_eq!(timers.next_deadline(0), Some(5000), "and the new one");
    assert_eq!(timers.expire(0, 4999), 0);
    assert_eq!(timers.expire(0, 5000), 1);
    assert_eq!(log.take(), [0]);
}

#[test]
fn reset_to_earlier_keeps_the_waker_and_reports_the_deadline() {
    let timers = timers(2);
    let log = Log::default();
    let mut entry = entry(5000);
    let _ = timers.poll(entry.as_mut(), &log.waker(0), 0);
    assert_eq!(timers.reset(entry.as_mut(), 7, 1), Polled::PendingEarlier);
    assert_eq!((timers.next_deadline(0), timers.next_deadline(1)), (None, Some(7)));
    assert_eq!(timers.expire(1, 7), 1);
    assert_eq!(log.take(), [0]);
    // Into the past: woken at once.
    let mut other = self::entry(5000);
    let _ = timers.poll(other.as_mut(), &log.waker(1), 1);
    assert_eq!(timers.reset(other.as_mut(), 6, 1), Polled::Fired);
    assert_eq!((log.take(), other.is_fired()), (vec![1], true));
}

#[test]
fn a_fired_or_idle_entry_waits_for_the_next_poll_after_a_reset() {
    let timers = timers(1);
    let log = Log::default();
    let mut entry = entry(10);
    assert_eq!(timers.reset(entry.as_mut(), 3, 0), Polled::Pending);
    assert!(timers.len() == 0);
    let _ = timers.poll(entry.as_mut(), &log.waker(0), 0);
    assert_eq!(timers.expire(0, 3), 1);
    assert_eq!(timers.reset(entry.as_mut(), 20, 0), Polled::Pending);
    assert!(timers.len() == 0 && !entry.is_fired());
    assert_eq!(timers.poll(entry.as_mut(), &log.waker(1), 0), Polled::PendingEarlier);
    assert_eq!(timers.expire(0, 20), 1);
    assert_eq!(log.take(), [0, 1]);
}

#[test]
fn migrated_entries_fire_in_the_new_wheel() {
    let timers = timers(3);
    let log = Log::default();
    let mut entries: Vec<_> = (0..100).map(|id| entry(1000 - id)).collect();
    for (id, entry) in entries.iter_mut().enumerate() {
        let _ = timers.poll(entry.as_mut(), &log.waker(id), 0);
    }
    assert!(timers.migrate(0, 2));
    assert!(!timers.migrate(0, 2) && !timers.migrate(2, 2));
    assert_eq!((timers.next_deadline(0), timers.next_deadline(2)), (None, Some(901)));
    assert_eq!(timers.expire(0, 2000), 0);
    // One is dropped after the move, one reset; the others fire in the order of their ticks.
    drop(entries.remove(99));
    let _ = timers.reset(entries[0].as_mut(), 950, 1);
    while timers.expire(2, 2000) > 0 {}
    assert_eq!(log.take(), (1..99).rev().collect::<Vec<_>>());
    assert_eq!(timers.expire(1, 950), 1);
    assert!(timers.len() == 0);
}

#[test]
fn a_late_migration_fires_what_is_overdue() {
    let timers = timers(2);
    let log = Log::default();
    let mut overdue = entry(10);
    let _ = timers.poll(overdue.as_mut(), &log.waker(0), 0);
    let mut other = entry(50);
    let _ = timers.poll(other.as_mut(), &log.waker(1), 1);
    assert_eq!(timers.expire(1, 50), 1);
    assert!(timers.migrate(0, 1), "wheel 1 is at tick 50 and gets an entry for tick 10");
    assert_eq!(timers.expire(1, 50), 1);
    assert_eq!(log.take(), [1, 0]);
}

#[test]
fn an_entry_outlives_its_timers_and_goes_into_other_ones() {
    let log = Log::default();
    let (counter, waker) = log.counter(0);
    let old = timers(2);
    let mut moved = entry(1000);
    let mut dropped = entry(1000);
    let _ = old.poll(moved.as_mut(), &waker, 1);
    let _ = old.poll(dropped.as_mut(), &waker, 0);
    old.shutdown();
    assert_eq!((counter.wakes.load(SeqCst), old.len()), (2, 0), "woken once each");
    assert_eq!(old.poll(moved.as_mut(), &waker, 1), Polled::ShutDown, "shut down: not linked");
    assert_eq!(old.expire(1, 5000), 0);
    drop(old);
    drop(dropped);
    let new = timers(1);
    assert_eq!(new.poll(moved.as_mut(), &waker, 0), Polled::PendingEarlier);
    assert_eq!(new.expire(0, 1000), 1);
    drop((moved, waker));
    assert_eq!(Arc::strong_count(&counter), 1);
}

#[test]
fn no_entry_goes_into_a_wheel_that_was_shut_down_by_migration() {
    let timers = timers(2);
    let mut entry = entry(100);
    let _ = timers.poll(entry.as_mut(), Waker::noop(), 1);
    // As if shutdown had come as far as wheel 0.
    while timers.shards[0].close(&mut WakeBatch::new()) {}
    assert!(!timers.migrate(1, 0));
    assert_eq!(timers.shards.iter().map(|s| s.lock().len()).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn many_due_entries_fire_in_bounded_calls() {
    let timers = timers(1);
    let log = Log::default();
    let mut entries: Vec<_> = (0..5000).map(|_| entry(70_000)).collect();
    for (id, entry) in entries.iter_mut().enumerate() {
        let _ = timers.poll(entry.as_mut(), &log.waker(id), 0);
    }
    let mut calls = 0;
    while timers.next_deadline(0).is_some_and(|next| next <= 70_000) {
        assert!(timers.expire(0, 70_000) <= 32 * HOLDINGS);
        calls += 1;
    }
    assert!(calls > 5000 / (32 * HOLDINGS), "{calls}");
    assert_eq!(log.take(), (0..5000).collect::<Vec<_>>(), "in the order of linking");
}

#[test]
fn a_single_timer_needs_one_wake_up_however_far_it_is() {
    let rng = Rng::new(9);
    let timers = timers(1);
    let mut now = 0;
    for _ in 0..200 {
        let when = now + 1 + (rng.next() >> (20 + rng.below(40)));
        let mut entry = entry(when);
        let _ = timers.poll(entry.as_mut(), Waker::noop(), 0);
        assert_eq!(timers.next_deadline(0), Some(when));
        assert_eq!(timers.expire(0, when), 1);
        now = when;
    }
}

/// The reference: what is where, by `(when, id)`.
struct Reference {
    timers: Timers,
    log: Log,
    entries: Vec<Option<Pin<Box<Entry>>>>,
    armed: BTreeMap<(u64, usize), ()>,
    now: u64,
}

impl Reference {
    fn check_advance(&mut self, to: u64) {
        self.now = to;
        let bound = self.timers.next_deadline(0);
        let first = self.armed.keys().next().map(|key| key.0);
        match (bound, first) {
            (Some(bound), Some(first)) => assert!(bound <= first, "{bound} after {first}"),
            (None, first) => assert_eq!(first, None),
            (Some(_), None) => {}
        }
        expire(&self.timers, to);
        let fired: Vec<u64> = self
            .log
            .take()
            .into_iter()
            .map(|id| {
                let when = self.entries[id].as_ref().unwrap().when();
                assert_eq!(self.armed.remove(&(when, id)), Some(()), "fired twice, or dropped");
                when
            })
            .collect();
        assert!(fired.is_sorted() && fired.iter().all(|&when| when <= to), "{fired:?} at {to}");
        if let Some((&(when, id), ())) = self.armed.first_key_value() {
            assert!(when > to, "{id} for {when} did not fire at {to}");
        }
        assert_eq!(self.timers.len(), self.armed.len());
    }
}

#[test]
fn the_wheel_agrees_with_a_sorted_map() {
    for seed in 0..60 {
        let rng = Rng::new(seed);
        // Short, long and very long timers, also across the boundaries of levels.
        let spread = [8, 14, 20, 34, 47][seed as usize % 5];
        let mut world = Reference {
            timers: timers(1),
            log: Log::default(),
            entries: Vec::new(),
            armed: BTreeMap::new(),
            now: 0,
        };
        for _ in 0..2000 {
            let some = if world.entries.is_empty() {
                0
            } else {
                rng.below(world.entries.len() as u32) as usize
            };
            let far = rng.next() >> (64 - rng.below(spread) - 1);
            match rng.below(8) {
                0..=3 => {
                    let when = (world.now + 1 + far).min(tick::LAST);
                    let id = world.entries.len();
                    let mut entry = entry(when);
                    let polled = world.timers.poll(entry.as_mut(), &world.log.waker(id), 0);
                    if polled == Polled::Fired {
                        assert!(when <= world.now);
                    } else {
                        world.armed.insert((when, id), ());
                    }
                    world.entries.push(Some(entry));
                }
                4 => {
                    if let Some(entry) = world.entries.get_mut(some).and_then(Option::take) {
                        world.armed.remove(&(entry.when(), some));
                    }
                }
                5 => {
                    let Some(Some(entry)) = world.entries.get_mut(some) else { continue };
                    if world.armed.remove(&(entry.when(), some)).is_some() {
                        // To later or to earlier, never to the past.
                        let when = (world.now + 1 + far).min(tick::LAST);
                        if when > world.now {
                            let _ = world.timers.reset(entry.as_mut(), when, 0);
                        }
                        world.armed.insert((entry.when(), some), ());
                    }
                }
                6 => world.check_advance((world.now + far / 4).min(tick::LAST)),
                _ => {
                    let next = world.timers.earliest().unwrap_or(world.now);
                    world.check_advance(next.max(world.now));
                }
            }
        }
        world.check_advance(tick::LAST);
        assert!(world.armed.is_empty());
    }
}

#[test]
fn the_last_tick_is_a_tick_like_any_other() {
    let timers = timers(1);
    let mut entries = [entry(u64::MAX), entry(tick::LAST), entry(tick::LAST - 1)];
    for entry in &mut entries {
        let _ = timers.poll(entry.as_mut(), Waker::noop(), 0);
    }
    assert_eq!(expire(&timers, tick::LAST - 1), 1);
    assert_eq!(timers.reset(entries[1].as_mut(), u64::MAX, 0), Polled::Pending);
    assert_eq!(expire(&timers, u64::MAX), 2);
    let mut late = entry(u64::MAX);
    assert_eq!(timers.poll(late.as_mut(), Waker::noop(), 0), Polled::Fired);
}

#[test]
fn entries_and_their_timers_go_in_any_order() {
    let log = Log::default();
    let (counter, waker) = log.counter(0);
    let other_runtime = timers(1);
    for round in 0..1000 {
        // Wheels that runtimes before this one had, and whose late entries may still look at them.
        let timers = timers(2);
        let mut entries: Vec<_> = (0..6).map(|n| entry(round + 2 + n)).collect();
        for (n, entry) in entries.iter_mut().enumerate() {
            let _ = timers.poll(entry.as_mut(), &waker, n % 2);
        }
        let runtime = std::thread::spawn(move || {
            timers.expire(0, round + 4);
            drop(timers);
        });
        let mut last = entries.pop().unwrap();
        drop(entries);
        let _ = other_runtime.poll(last.as_mut(), &waker, 0);
        drop(last);
        runtime.join().unwrap();
    }
    assert!(other_runtime.len() == 0);
    drop(waker);
    assert_eq!(Arc::strong_count(&counter), 1);
}

#[test]
fn threads_cancel_fire_and_move_the_same_entries() {
    const WHEELS: usize = 3;
    let timers = Arc::new(timers(WHEELS));
    let now = Arc::new(AtomicUsize::new(0));
    let stop = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let driver = |wheel: usize| {
            let (timers, now, stop) = (&timers, &now, &stop);
            move || {
                while stop.load(SeqCst) == 0 {
                    let now = now.fetch_add(1, SeqCst) as u64;
                    timers.expire(wheel, now);
                    let _ = timers.migrate(wheel, (wheel + 1) % WHEELS);
                    std::thread::yield_now();
                }
            }
        };
        let drivers = [0, 1, 2].map(|wheel| scope.spawn(driver(wheel)));
        let users = [1u64, 2].map(|seed| {
            let (timers, now) = (&timers, &now);
            scope.spawn(move || {
                let rng = Rng::new(seed);
                let log = Log::default();
                let mut fired = 0;
                for round in 0..3000 {
                    let start = now.load(SeqCst) as u64;
                    let mut entries: Vec<_> =
                        (0..4).map(|n| entry(start + 1 + u64::from(rng.below(4)) * n)).collect();
                    for (id, entry) in entries.iter_mut().enumerate() {
                        let _ = timers.poll(entry.as_mut(), &log.waker(id), round % WHEELS);
                    }
                    if round % 3 == 0 {
                        let _ = timers.reset(entries[0].as_mut(), start + 2, 0);
                        let _ = timers.reset(entries[1].as_mut(), start + 20, 1);
                    }
                    // Every second round the first one is waited for.
                    while round % 2 == 0
                        && timers.poll(entries[0].as_mut(), &log.waker(0), 0) != Polled::Fired
                    {
                        std::thread::yield_now();
                    }
                    fired += entries.iter().filter(|entry| entry.is_fired()).count();
                    for entry in &entries {
                        let fired = entry.is_fired();
                        let now = now.load(SeqCst) as u64;
                        assert!(!fired || entry.when() <= now, "early");
                    }
                }
                fired
            })
        });
        for user in users {
            assert!(user.join().unwrap() >= 1500);
        }
        stop.store(1, SeqCst);
        drivers.into_iter().for_each(|driver| driver.join().unwrap());
    });
    assert!(timers.len() == 0);
}

#[test]
#[ignore = "a measurement: cargo test --release -- --ignored --nocapture timer::tests::measure"]
fn measure() {
    fn best(mut f: impl FnMut()) -> f64 {
        const N: u32 = 200_000;
        let run = |_| {
            let start = Instant::now();
            for _ in 0..N {
                f();
            }
            start.elapsed().as_nanos() as f64 / f64::from(N)
        };
        (0..20).map(run).fold(f64::MAX, f64::min)
    }
    let waker = Waker::noop();
    for others in [0, 10_000] {
        let timers = timers(1);
        let mut crowd: Vec<_> = (0..others).map(|n| entry(20_000 + n % 997)).collect();
        for entry in &mut crowd {
            let _ = timers.poll(entry.as_mut(), waker, 0);
        }
        let never_polled = best(|| {
            std::hint::black_box(&mut Entry::new(15_259));
        });
        let cancelled = best(|| {
            let mut entry = std::pin::pin!(Entry::new(15_259));
            let _ = timers.poll(std::hint::black_box(entry.as_mut()), waker, 0);
        });
        let mut entry = entry(15_259);
        let _ = timers.poll(entry.as_mut(), waker, 0);
        let polled_again = best(|| {
            let _ = std::hint::black_box(timers.poll(entry.as_mut(), waker, 0));
        });
        let reset = best(|| {
            let when = entry.when() + 1;
            let _ = std::hint::black_box(timers.reset(entry.as_mut(), when, 0));
        });
        println!(
            "{others} others: create and drop {never_polled:.1} ns, create + link + cancel \
             {cancelled:.1} ns, poll again {polled_again:.1} ns, reset to later {reset:.1} ns"
        );
    }
}
