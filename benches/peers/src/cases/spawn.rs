//! Spawning: many from one place, with and without handles, and one from another.

use crate::measure::{Figures, Stopwatch, compute, ops};
use crate::rt::Rt;
use crate::slot::Countdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

const BATCH: usize = 10_000;

pub fn many_local<R: Rt>() -> Figures {
    let rounds = ops(20);
    R::run(async move {
        async fn round<R: Rt>() {
            let countdown = Countdown::new(BATCH);
            for _ in 0..BATCH {
                let countdown = countdown.clone();
                R::detach(async move { countdown.one() });
            }
            countdown.wait().await;
        }
        round::<R>().await;
        let watch = Stopwatch::start();
        for _ in 0..rounds {
            round::<R>().await;
        }
        watch.per_op(rounds * BATCH)
    })
}

/// Spawns from this thread, which is no worker, and waits for all.
fn remote_rounds<R: Rt>(rounds: usize) -> Figures {
    let round = || {
        let countdown = Countdown::new(BATCH);
        let all = countdown.clone();
        for _ in 0..BATCH {
            let countdown = countdown.clone();
            R::remote(async move { countdown.one() });
        }
        R::run(async move { all.wait().await });
    };
    round();
    let watch = Stopwatch::start();
    for _ in 0..rounds {
        round();
    }
    watch.per_op(rounds * BATCH)
}

pub fn many_remote_idle<R: Rt>() -> Figures {
    remote_rounds::<R>(ops(10))
}

/// The same beside two tasks per worker that compute and yield.
pub fn many_remote_busy<R: Rt>() -> Figures {
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..2 * crate::workers() {
        let stop = stop.clone();
        R::remote(async move {
            // Relaxed: a flag; nothing is read on the strength of it.
            while !stop.load(Relaxed) {
                compute(Duration::from_micros(1));
                R::yield_now().await;
            }
        });
    }
    let figures = remote_rounds::<R>(ops(10));
    stop.store(true, Relaxed);
    figures
}

pub fn join_local<R: Rt>() -> Figures {
    let rounds = ops(20);
    R::run(async move {
        let mut sum = 0;
        let mut handles = Vec::with_capacity(BATCH);
        let watch = Stopwatch::start();
        for _ in 0..rounds {
            handles.extend((0..BATCH).map(|i| R::spawn(async move { i })));
            for handle in handles.drain(..) {
                sum += handle.await;
            }
        }
        assert_eq!(sum, rounds * BATCH * (BATCH - 1) / 2);
        watch.per_op(rounds * BATCH)
    })
}

pub fn join_one<R: Rt>() -> Figures {
    let n = ops(200_000);
    R::run(async move {
        let mut sum = 0;
        let watch = Stopwatch::start();
        for i in 0..n {
            sum += R::spawn(async move { i }).await;
        }
        assert_eq!(sum, n * (n - 1) / 2);
        watch.per_op(n)
    })
}

const DEPTH: usize = 1000;

fn link<R: Rt>(left: usize, end: Arc<Countdown>) {
    if left == 0 {
        end.one();
    } else {
        R::detach(async move { link::<R>(left - 1, end) });
    }
}

pub fn chained<R: Rt>() -> Figures {
    let rounds = ops(300);
    R::run(async move {
        let watch = Stopwatch::start();
        for _ in 0..rounds {
            let end = Countdown::new(1);
            link::<R>(DEPTH, end.clone());
            end.wait().await;
        }
        watch.per_op(rounds * DEPTH)
    })
}
