//! Runtimes that come and go with work in flight.

use crate::support::{Signal, Tally, rounds};
use reiver::runtime::{Builder, Runtime};
use reiver::task::{JoinHandle, spawn_blocking, yield_now};
use reiver::time::sleep;
use std::future::pending;
use std::time::Duration;

/// Something of everything, none of which need ever end.
fn work(runtime: &Runtime, count: usize, tally: &Tally) -> Vec<JoinHandle<()>> {
    (0..count)
        .map(|n| {
            let (guard, inner) = (tally.one(), tally.one());
            runtime.spawn(async move {
                let _guard = guard;
                match n % 6 {
                    0 => pending().await,
                    1 => loop {
                        yield_now().await;
                    },
                    2 => sleep(Duration::from_micros(n as u64)).await,
                    3 => sleep(Duration::from_secs(3600)).await,
                    4 => {
                        let _ = spawn_blocking(move || drop(inner)).await;
                    }
                    _ => {
                        // The runtime may refuse it.
                        let _ = reiver::spawn(async move {
                            let _inner = inner;
                            pending::<()>().await
                        })
                        .await;
                    }
                }
            })
        })
        .collect()
}

#[test]
fn runtimes_end_with_work_in_flight() {
    rounds(|rng| {
        let tally = Tally::default();
        let runtime = rng.runtime();
        let handles = work(&runtime, 1 + rng.below(100), &tally);
        for _ in 0..rng.below(3) {
            runtime.block_on(yield_now());
        }
        let late = runtime.handle().clone();
        match rng.below(4) {
            0 => runtime.shutdown_background(),
            1 => runtime.shutdown_timeout(Duration::from_secs(3600)),
            2 => {
                let outer = rng.runtime();
                outer.block_on(async { drop(runtime) });
            }
            _ => drop(runtime),
        }
        tally.wait_for_none();
        let refused = late.spawn(async {});
        assert!(refused.is_finished());
        drop(late);
        while !handles.iter().all(JoinHandle::is_finished) {
            std::thread::yield_now();
        }
    });
}

/// Another runtime awaits the tasks of one that goes.
#[test]
fn tasks_are_awaited_from_another_runtime() {
    rounds(|rng| {
        let tally = Tally::default();
        let (outer, inner) = (rng.runtime(), rng.workers());
        let handles = work(&inner, 1 + rng.below(40), &tally);
        let awaited = outer.spawn(async move {
            let mut ended = 0;
            for handle in handles {
                match handle.await {
                    Ok(()) => ended += 1,
                    // A timer that is polled when its runtime is gone says so.
                    Err(error) => assert!(error.is_cancelled() || error.is_panic()),
                }
            }
            ended
        });
        let ender = std::thread::spawn(move || drop(inner));
        assert!(outer.block_on(awaited).unwrap() <= 40);
        ender.join().unwrap();
        tally.assert_none();
    });
}

/// A current-thread runtime is dropped while another thread is its worker.
#[test]
fn the_only_worker_is_elsewhere() {
    rounds(|rng| {
        let tally = Tally::default();
        let runtime = Builder::new_current_thread().build().unwrap();
        let handles = work(&runtime, 1 + rng.below(20), &tally);
        let (handle, signal) = (runtime.handle().clone(), Signal::default());
        let wait = signal.clone();
        let worker = std::thread::spawn(move || {
            handle.block_on(async move {
                wait.await;
                yield_now().await;
            });
        });
        if rng.one_in(2) {
            // Until it is inside.
            while signal.waker().is_none() {
                std::thread::yield_now();
            }
        }
        signal.set();
        for _ in 0..rng.below(200) {
            std::hint::spin_loop();
        }
        drop(runtime);
        worker.join().unwrap();
        tally.assert_none();
        assert!(handles.iter().all(JoinHandle::is_finished));
    });
}
