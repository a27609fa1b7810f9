//! Threads that block: `block_on` from many, `block_in_place`, and the pool.

use crate::support::{Rng, Signal, Tally, rounds, scope};
use reiver::runtime::Handle;
use reiver::task::{block_in_place, spawn_blocking, yield_now};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

#[test]
fn block_on_from_many_threads() {
    rounds(|rng| {
        let runtime = rng.runtime();
        let (done, tally) = (AtomicUsize::new(0), Tally::default());
        // More than there are guest slots, sometimes.
        let threads = 2 + rng.below(12);
        scope(|scope| {
            let signals: Vec<_> = (0..threads).map(|_| Signal::default()).collect();
            for me in 0..threads {
                let (runtime, done, tally, mut rng) = (&runtime, &done, &tally, rng.fork());
                let (mine, next) = (signals[me].clone(), signals[(me + 1) % threads].clone());
                scope.spawn(move || {
                    let (before, after) = (tally.one(), tally.one());
                    let future = async move {
                        let _before = before;
                        let task = reiver::spawn(async move {
                            let _after = after;
                            yield_now().await;
                            next.set();
                        });
                        // Another thread's task does it.
                        mine.await;
                        if rng.one_in(2) {
                            reiver::time::sleep(Duration::from_micros(50)).await;
                        }
                        task.await.unwrap();
                        done.fetch_add(1, SeqCst);
                    };
                    if me % 2 == 0 {
                        runtime.block_on(future);
                    } else {
                        runtime.handle().block_on(future);
                    }
                });
            }
        });
        assert_eq!(done.load(SeqCst), threads);
        tally.assert_none();
    });
}

/// A task that blocks its worker in one of several ways, and counts how often something ran.
async fn blocker(mut rng: Rng, depth: usize) -> usize {
    match rng.below(5) {
        0 => block_in_place(|| {
            let task = reiver::spawn(async { 1 });
            Handle::current().block_on(task).unwrap()
        }),
        1 if depth > 0 => {
            let inner = blocker(rng.fork(), depth - 1);
            1 + block_in_place(|| Handle::current().block_on(Box::pin(inner)))
        }
        2 => {
            let task = reiver::spawn(async {
                yield_now().await;
                1
            });
            block_in_place(std::thread::yield_now);
            task.await.unwrap()
        }
        3 => spawn_blocking(|| {
            Handle::current().block_on(async { reiver::spawn(async { 1 }).await })
        })
        .await
        .unwrap()
        .unwrap(),
        _ => {
            reiver::time::sleep(Duration::from_micros(100)).await;
            1
        }
    }
}

#[test]
fn workers_block_in_place() {
    rounds(|rng| {
        let runtime = rng.workers();
        let tally = Tally::default();
        // Fewer than there are slots for stand-ins: beyond them tasks that block on tasks have nobody
        // to run those.
        let tasks: Vec<_> = (0..1 + rng.below(7))
            .map(|_| {
                let (task, guard) = (blocker(rng.fork(), 3), tally.one());
                runtime.spawn(async move {
                    let _guard = guard;
                    task.await
                })
            })
            .collect();
        let (count, least) = (tasks.len(), tasks.len());
        let ran = runtime.block_on(async {
            let mut ran = 0;
            for task in tasks {
                ran += task.await.unwrap();
            }
            ran
        });
        assert!((least..=4 * count).contains(&ran));
        drop(runtime);
        tally.assert_none();
    });
}

#[test]
fn jobs_of_the_pool() {
    rounds(|rng| {
        let runtime = rng.runtime();
        let (ran, tally) = (std::sync::Arc::new(AtomicUsize::new(0)), Tally::default());
        let count = 1 + rng.below(50);
        let jobs: Vec<_> = (0..count)
            .map(|_| {
                let (ran, guard, output) = (ran.clone(), tally.one(), tally.one());
                let job = runtime.spawn_blocking(move || {
                    let _guard = guard;
                    ran.fetch_add(1, SeqCst);
                    output
                });
                if rng.one_in(4) {
                    job.abort();
                }
                job
            })
            .collect();
        let mut finished = 0;
        runtime.block_on(async {
            for job in jobs {
                // Half of them are dropped unseen.
                if rng.one_in(2) {
                    continue;
                }
                match job.await {
                    Ok(output) => {
                        finished += 1;
                        drop(output);
                    }
                    Err(error) => assert!(error.is_cancelled()),
                }
            }
        });
        drop(runtime);
        assert!((finished..=count).contains(&ran.load(SeqCst)));
        tally.assert_none();
    });
}
