//! Tasks that spawn tasks.

use crate::support::{Latch, Rng, Tally, rounds, scope};
use reiver::task::yield_now;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// One node of a tree of tasks: adds its number, and spawns its children.
fn node(
    number: u64,
    size: u64,
    mut rng: Rng,
    sum: Arc<AtomicU64>,
    latch: Latch,
    tally: Tally,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let guard = tally.one();
    Box::pin(async move {
        let _guard = guard;
        sum.fetch_add(number, SeqCst);
        let mut children = Vec::new();
        for child in (2 * number)..=(2 * number + 1) {
            if child <= size {
                let child =
                    node(child, size, rng.fork(), sum.clone(), latch.clone(), tally.clone());
                children.push(reiver::spawn(child));
            }
            if rng.one_in(4) {
                yield_now().await;
            }
        }
        // Some are awaited, the others are left alone.
        for child in children {
            if rng.one_in(2) {
                child.await.unwrap();
            }
        }
        latch.down();
    })
}

#[test]
fn trees_of_tasks() {
    rounds(|rng| {
        let runtime = rng.runtime();
        let size = 1 + rng.below(1000) as u64;
        let (sum, latch, tally) = (Arc::default(), Latch::new(size as usize), Tally::default());
        let root = node(1, size, rng.fork(), Arc::clone(&sum), latch.clone(), tally.clone());
        if rng.one_in(2) {
            runtime.block_on(async {
                reiver::spawn(root);
                latch.wait().await;
            });
        } else {
            runtime.spawn(root);
            runtime.handle().block_on(latch.wait());
        }
        assert_eq!(sum.load(SeqCst), size * (size + 1) / 2);
        drop(runtime);
        tally.assert_none();
    });
}

#[test]
fn many_threads_spawn_at_once() {
    rounds(|rng| {
        let runtime = rng.workers();
        let (sum, tally) = (AtomicU64::new(0), Tally::default());
        let (threads, tasks) = (1 + rng.below(6), 1 + rng.below(200) as u64);
        scope(|scope| {
            for _ in 0..threads {
                let (runtime, sum, tally) = (&runtime, &sum, &tally);
                let mut rng = rng.fork();
                scope.spawn(move || {
                    let tasks: Vec<_> = (1..=tasks)
                        .map(|n| {
                            let guard = tally.one();
                            runtime.spawn(async move {
                                let _guard = guard;
                                yield_now().await;
                                n
                            })
                        })
                        .collect();
                    let all = async {
                        for task in tasks {
                            sum.fetch_add(task.await.unwrap(), SeqCst);
                        }
                    };
                    if rng.one_in(2) {
                        runtime.block_on(all);
                    } else {
                        runtime.handle().block_on(all);
                    }
                });
            }
        });
        assert_eq!(sum.load(SeqCst), threads as u64 * tasks * (tasks + 1) / 2);
        assert_eq!(runtime.metrics().num_alive_tasks(), 0);
        tally.assert_none();
    });
}
