//! Wakes from everywhere, in time and too late.

use crate::support::{Latch, Signal, Tally, rounds, scope};
use reiver::task::yield_now;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

#[test]
fn wakes_from_foreign_threads() {
    rounds(|rng| {
        let runtime = rng.runtime();
        let tally = Tally::default();
        let signals: Vec<_> = (0..1 + rng.below(100)).map(|_| Signal::default()).collect();
        let tasks: Vec<_> = signals
            .iter()
            .map(|signal| {
                let (signal, guard) = (signal.clone(), tally.one());
                runtime.spawn(async move {
                    let _guard = guard;
                    signal.await;
                    1
                })
            })
            .collect();
        scope(|scope| {
            // Some wake without a reason, keep wakers, and wake late.
            for _ in 0..rng.below(3) {
                let (signals, mut rng) = (&signals, rng.fork());
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for _ in 0..200 {
                        let signal = &signals[rng.below(signals.len())];
                        match rng.below(3) {
                            0 => signal.wake(),
                            1 => kept.extend(signal.waker()),
                            _ => kept.iter().for_each(|waker| waker.wake_by_ref()),
                        }
                        kept.truncate(20);
                    }
                });
            }
            scope.spawn(|| signals.iter().for_each(Signal::set));
            let sum = runtime.block_on(async {
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                sum
            });
            assert_eq!(sum, signals.len());
        });
        tally.assert_none();
    });
}

/// Rings of tasks that pass a token on: each wake is from one task to another, here or on another
/// worker, and the task that it wakes may just go to sleep.
#[test]
fn tokens_in_rings() {
    rounds(|rng| {
        let runtime = rng.runtime();
        let (rings, size, laps) = (1 + rng.below(8), 2 + rng.below(6), 1 + rng.below(30));
        let latch = Latch::new(rings * size);
        let sum = Arc::new(AtomicU64::new(0));
        for _ in 0..rings {
            let steps: Arc<[Signal]> = (0..=size * laps).map(|_| Signal::default()).collect();
            for me in 0..size {
                let (steps, latch, sum) = (steps.clone(), latch.clone(), sum.clone());
                let mut rng = rng.fork();
                runtime.spawn(async move {
                    for lap in 0..laps {
                        let at = lap * size + me;
                        steps[at].clone().await;
                        sum.fetch_add(1, SeqCst);
                        if rng.one_in(8) {
                            yield_now().await;
                        }
                        steps[at + 1].set();
                    }
                    latch.down();
                });
            }
            steps[0].set();
        }
        runtime.block_on(latch.wait());
        assert_eq!(sum.load(SeqCst), (rings * size * laps) as u64);
    });
}

/// Wakers that are kept, woken and dropped while their runtime goes.
#[test]
fn wakers_outlive_their_runtime() {
    rounds(|rng| {
        let tally = Tally::default();
        let runtime = rng.workers();
        let signals: Vec<_> = (0..20).map(|_| Signal::default()).collect();
        for signal in &signals {
            let (signal, guard) = (signal.clone(), tally.one());
            runtime.spawn(async move {
                let _guard = guard;
                signal.await;
            });
        }
        scope(|scope| {
            for _ in 0..2 {
                let (signals, mut rng) = (&signals, rng.fork());
                scope.spawn(move || {
                    for _ in 0..100 {
                        let signal = &signals[rng.below(signals.len())];
                        match rng.below(4) {
                            0 => signal.set(),
                            1 => signal.wake(),
                            _ => drop(signal.waker().inspect(|waker| waker.wake_by_ref())),
                        }
                    }
                });
            }
            drop(runtime);
        });
        tally.assert_none();
    });
}
