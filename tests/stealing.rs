//! Which tasks thieves take, and which they leave where they are.

use reiver::runtime::{Builder, Runtime, worker_index};
use reiver::task::yield_now;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn two() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).build().unwrap()
}

fn stolen(runtime: &Runtime) -> u64 {
    let metrics = runtime.metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_steal_count(worker)).sum()
}

fn compute(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {}
}

/// Spawns from a task, and waits for all.
fn spawn_all(runtime: &Runtime, tasks: usize, work: impl Fn() + Copy + Send + 'static) {
    let spawner = async move {
        let left = Arc::new(AtomicUsize::new(tasks));
        for _ in 0..tasks {
            let left = left.clone();
            reiver::spawn(async move {
                work();
                left.fetch_sub(1, SeqCst);
            });
        }
        while left.load(SeqCst) > 0 {
            yield_now().await;
        }
    };
    runtime.block_on(runtime.spawn(spawner)).unwrap();
}

/// Moving them costs more than running them.
#[test]
#[cfg_attr(debug_assertions, ignore = "no poll of a debug build is as short")]
fn tasks_that_do_nearly_nothing_stay_where_they_are() {
    const TASKS: usize = 20_000;
    let runtime = two();
    // Another process on the thief's CPU makes the first few look long.
    let share = || {
        let before = stolen(&runtime);
        spawn_all(&runtime, TASKS, || {});
        (stolen(&runtime) - before) as f64 / TASKS as f64
    };
    let shares: Vec<f64> = (0..20).map(|_| share()).collect();
    assert!(shares.iter().any(|share| *share < 0.2), "{shares:?}");
}

/// Also after such.
#[test]
fn tasks_that_take_long_are_shared() {
    let runtime = two();
    for _ in 0..5 {
        spawn_all(&runtime, 5000, || {});
        let workers = Arc::new(Mutex::new(HashSet::new()));
        let spawner = {
            let workers = workers.clone();
            async move {
                let work = |workers: Arc<Mutex<HashSet<_>>>| async move {
                    workers.lock().unwrap().insert(worker_index());
                    compute(Duration::from_millis(5));
                };
                let tasks: Vec<_> = (0..8).map(|_| reiver::spawn(work(workers.clone()))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            }
        };
        runtime.block_on(runtime.spawn(spawner)).unwrap();
        // Stand-ins may come too.
        assert!(workers.lock().unwrap().len() >= 2, "40 ms of work");
    }
}
