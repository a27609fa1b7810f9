//! Ends that race: aborts, completions, panics, and handles that are dropped or move.

use crate::support::{Counted, Rng, Signal, Tally, rounds, scope};
use parking_lot::Mutex;
use reiver::runtime::Runtime;
use reiver::task::{JoinHandle, yield_now};
use std::panic::resume_unwind;
use std::time::Duration;

/// A task that ends in one of many ways. Its future and its output are counted.
fn some_task(runtime: &Runtime, rng: &mut Rng, tally: &Tally) -> (Signal, JoinHandle<Counted>) {
    let (future, output, signal) = (tally.one(), tally.one(), Signal::default());
    let (way, wait) = (rng.below(5), signal.clone());
    let task = runtime.spawn(async move {
        let _future = future;
        match way {
            0 => {}
            1 => yield_now().await,
            2 => wait.await,
            3 => reiver::time::sleep(Duration::from_micros(50)).await,
            _ => {
                yield_now().await;
                // No message: it is no failure.
                resume_unwind(Box::new(()));
            }
        }
        output
    });
    (signal, task)
}

#[test]
fn aborts_race_completions() {
    rounds(|rng| {
        let runtime = rng.workers();
        let tally = Tally::default();
        let (signals, tasks): (Vec<_>, Vec<_>) =
            (0..100).map(|_| some_task(&runtime, rng, &tally)).unzip();
        let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        scope(|scope| {
            scope.spawn(|| signals.iter().for_each(Signal::set));
            scope.spawn(|| aborts.iter().rev().step_by(2).for_each(|abort| abort.abort()));
            scope.spawn(|| aborts.iter().step_by(3).for_each(|abort| abort.abort()));
            runtime.block_on(async {
                for task in tasks {
                    match task.await {
                        Ok(output) => drop(output),
                        Err(error) => assert!(error.is_cancelled() || error.is_panic()),
                    }
                }
            });
        });
        assert!(aborts.iter().all(|abort| abort.is_finished()));
        assert_eq!(runtime.metrics().num_alive_tasks(), 0);
        tally.assert_none();
    });
}

#[test]
fn handles_are_dropped_while_tasks_end() {
    rounds(|rng| {
        let runtime = rng.workers();
        let tally = Tally::default();
        scope(|scope| {
            for _ in 0..2 {
                let (runtime, tally, mut rng) = (&runtime, &tally, rng.fork());
                scope.spawn(move || {
                    for _ in 0..100 {
                        let (signal, task) = some_task(runtime, &mut rng, tally);
                        match rng.below(4) {
                            0 => drop(task),
                            1 => {
                                signal.set();
                                drop(task);
                            }
                            2 => {
                                task.abort();
                                drop(task);
                            }
                            _ => {
                                let abort = task.abort_handle();
                                drop(task);
                                signal.set();
                                abort.abort();
                            }
                        }
                        // All end by themselves or here.
                        signal.set();
                    }
                });
            }
        });
        tally.wait_for_none();
    });
}

/// A `JoinHandle` is polled by one task after another, so its waker changes while the task ends.
#[test]
fn handles_move_between_tasks() {
    rounds(|rng| {
        let runtime = rng.workers();
        let tally = Tally::default();
        let (signals, tasks): (Vec<_>, Vec<_>) =
            (0..50).map(|_| some_task(&runtime, rng, &tally)).unzip();
        let place = Mutex::new(tasks);
        let place = std::sync::Arc::new(place);
        let joiners: Vec<_> = (0..4)
            .map(|_| {
                let (place, mut rng) = (place.clone(), rng.fork());
                runtime.spawn(async move {
                    let mut ended = 0;
                    loop {
                        let Some(mut task) = place.lock().pop() else { return ended };
                        let patience = Duration::from_micros(rng.below(200) as u64);
                        match reiver::time::timeout(patience, &mut task).await {
                            Ok(result) => {
                                drop(result);
                                ended += 1;
                            }
                            Err(_) => place.lock().insert(0, task),
                        }
                    }
                })
            })
            .collect();
        for signal in &signals {
            signal.set();
            std::thread::yield_now();
        }
        let ended = runtime.block_on(async {
            let mut ended = 0;
            for joiner in joiners {
                ended += joiner.await.unwrap();
            }
            ended
        });
        assert_eq!(ended, 50);
        tally.assert_none();
    });
}
