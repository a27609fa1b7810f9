//! Closures on the pool for blocking jobs.

use crate::measure::{Figures, Stopwatch, compute, percentile};
use crate::rt::Rt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

pub fn batch<R: Rt>() -> Figures {
    const COUNT: usize = 20_000;
    R::run(async {
        let watch = Stopwatch::start();
        let jobs: Vec<_> = (0..COUNT).map(|i| R::spawn_blocking(move || i)).collect();
        let mut sum = 0;
        for job in jobs {
            sum += job.await;
        }
        assert_eq!(sum, COUNT * (COUNT - 1) / 2);
        watch.per_op(COUNT)
    })
}

/// Eight tasks, each with one job at a time.
pub fn eight<R: Rt>() -> Figures {
    const EACH: usize = 1000;
    R::run(async {
        let watch = Stopwatch::start();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                R::spawn(async {
                    let mut sum = 0;
                    for _ in 0..EACH {
                        sum += R::spawn_blocking(|| 1).await;
                    }
                    sum
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await;
        }
        assert_eq!(sum, 8 * EACH);
        watch.per_op(8 * EACH)
    })
}

pub fn round_trip<R: Rt>() -> Figures {
    const COUNT: usize = 5000;
    R::run(async {
        let mut sum = 0;
        let watch = Stopwatch::start();
        for _ in 0..COUNT {
            sum += R::spawn_blocking(|| 1).await;
        }
        assert_eq!(sum, COUNT);
        watch.per_op(COUNT)
    })
}

/// Four threads outside, each with 5,000 empty jobs at once.
pub fn submitters<R: Rt>() -> Figures {
    const EACH: usize = 5_000;
    let watch = Stopwatch::start();
    let submit = || {
        let jobs: Vec<_> = (0..EACH).map(|i| R::enter(|| R::spawn_blocking(move || i))).collect();
        R::block_on(async {
            let mut sum = 0;
            for job in jobs {
                sum += job.await;
            }
            sum
        })
    };
    let sum: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(submit)).collect();
        threads.into_iter().map(|thread| thread.join().expect("it ends well")).sum()
    });
    assert_eq!(sum, 4 * (EACH * (EACH - 1) / 2));
    watch.per_op(4 * EACH)
}

/// A thousand jobs that sleep 5 ms: how fast the pool grows, and what its threads cost.
pub fn sleeps<R: Rt>() -> Figures {
    const COUNT: usize = 1000;
    R::run(async {
        let watch = Stopwatch::start();
        let jobs: Vec<_> = (0..COUNT)
            .map(|_| {
                R::spawn_blocking(|| {
                    std::thread::sleep(Duration::from_millis(5));
                    1
                })
            })
            .collect();
        let mut sum = 0;
        for job in jobs {
            sum += job.await;
        }
        assert_eq!(sum, COUNT);
        watch.per_op(COUNT)
    })
}

/// How late quick jobs begin beside tasks that compute: from two threads outside, four in a millisecond each.
pub fn beside_busy<R: Rt>() -> Figures {
    const EACH: usize = 4000;
    let over = Arc::new(AtomicBool::new(false));
    for _ in 0..2 {
        let over = over.clone();
        R::remote(async move {
            while !over.load(Relaxed) {
                compute(Duration::from_micros(200));
                R::yield_now().await;
            }
        });
    }
    let submit = || {
        let job = |_| {
            std::thread::sleep(Duration::from_micros(250));
            let asked = Instant::now();
            R::enter(|| R::spawn_blocking(move || asked.elapsed()))
        };
        let jobs: Vec<_> = (0..EACH).map(job).collect();
        R::block_on(async {
            let mut late = Vec::new();
            for job in jobs {
                late.push(job.await);
            }
            late
        })
    };
    let mut late: Vec<Duration> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).map(|_| scope.spawn(submit)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it ends well")).collect()
    });
    over.store(true, Relaxed);
    vec![("late p50 µs", percentile(&mut late, 50)), ("late p99 µs", percentile(&mut late, 99))]
}
