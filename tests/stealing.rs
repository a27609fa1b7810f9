//! Which tasks thieves take, and which they leave where they are.

use reiver::runtime::{Builder, Rescue, Runtime, worker_index};
use reiver::task::yield_now;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(2);
    builder
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
    spawn_all_and(runtime, tasks, work, || ());
}

/// The same, and does something at the end of the task that spawns.
fn spawn_all_and(
    runtime: &Runtime,
    tasks: usize,
    work: impl Fn() + Copy + Send + 'static,
    at_the_end: impl FnOnce() + Send + 'static,
) {
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
        at_the_end();
    };
    runtime.block_on(runtime.spawn(spawner)).unwrap();
}

/// Moving them costs more than running them.
#[test]
#[cfg_attr(debug_assertions, ignore = "no poll of a debug build is as short")]
fn tasks_that_do_nearly_nothing_stay_where_they_are() {
    const TASKS: usize = 20_000;
    let runtime = builder().build().unwrap();
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
    // Without rescues, which would also bring somebody.
    let runtime = builder().rescue(Rescue::Off).build().unwrap();
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
        assert_eq!(workers.lock().unwrap().len(), 2, "40 ms of work");
    }
}

/// They have nobody else.
#[test]
fn tasks_behind_a_blocked_poll_are_taken_without_a_pause() {
    const TASKS: usize = 20_000;
    let runtime = builder().rescue(Rescue::Off).build().unwrap();
    let times = (0..10).map(|_| {
        spawn_all(&runtime, 5000, || {});
        let left = Arc::new(AtomicUsize::new(TASKS));
        let spawner = {
            let left = left.clone();
            async move {
                for _ in 0..TASKS {
                    let left = left.clone();
                    reiver::spawn(async move { left.fetch_sub(1, SeqCst) });
                }
                let start = Instant::now();
                // The last one is in `next`, where nobody finds it.
                while left.load(SeqCst) > 1 {
                    assert!(start.elapsed() < Duration::from_secs(30));
                    std::thread::sleep(Duration::from_micros(100));
                }
                start.elapsed()
            }
        };
        runtime.block_on(runtime.spawn(spawner)).unwrap()
    });
    // A rest of 400 µs after each 32 tasks would make 250 ms.
    let times: Vec<_> = times.collect();
    assert!(times.iter().any(|time| *time < Duration::from_millis(100)), "{times:?}");
}

/// By a worker that is spared.
#[test]
fn what_a_hook_of_the_sleep_spawns_is_found() {
    let (armed, ran) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
    let hook = {
        let (armed, ran) = (armed.clone(), ran.clone());
        move || {
            if armed.swap(false, SeqCst) {
                let ran = ran.clone();
                reiver::spawn(async move { ran.fetch_add(1, SeqCst) });
            }
        }
    };
    let runtime = builder().on_thread_park(hook).build().unwrap();
    for round in 1..=100 {
        let armed = armed.clone();
        // Its worker, which has run most of them, sleeps next.
        spawn_all_and(&runtime, 2000, || {}, move || armed.store(true, SeqCst));
        let start = Instant::now();
        while ran.load(SeqCst) < round {
            assert!(start.elapsed() < Duration::from_secs(10), "it lies where nobody looks");
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}
