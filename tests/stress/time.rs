//! Timers that are reset, dropped, and polled on other workers than they were set on.

use crate::support::{Rng, Tally, rounds, scope};
use parking_lot::Mutex;
use reiver::runtime::Builder;
use reiver::task::{spawn_blocking, yield_now};
use reiver::time::{Instant, Sleep, sleep, sleep_until, timeout};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

fn micros(rng: &mut Rng, below: usize) -> Duration {
    Duration::from_micros(rng.below(below) as u64)
}

/// Polls once.
async fn touch<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
}

/// Sleeps that were polled here and are awaited there.
type Shelf = Arc<Mutex<Vec<Pin<Box<Sleep>>>>>;

async fn sleeper(mut rng: Rng, shelf: Shelf) {
    for _ in 0..20 {
        let length = micros(&mut rng, 1500);
        let start = Instant::now();
        match rng.below(6) {
            0 => {
                sleep(length).await;
                assert!(start.elapsed() >= length, "early");
            }
            1 => {
                // Dropped while it waits, or just when it fires.
                let _ = timeout(length, sleep(length)).await;
            }
            2 => {
                let mut sleep = Box::pin(sleep(length));
                touch(sleep.as_mut()).await;
                yield_now().await;
                let deadline = Instant::now() + micros(&mut rng, 1500);
                sleep.as_mut().reset(deadline);
                if rng.one_in(2) {
                    sleep.await;
                    assert!(Instant::now() >= deadline, "early after a reset");
                }
            }
            3 => {
                let mut sleep = Box::pin(sleep(length));
                touch(sleep.as_mut()).await;
                shelf.lock().push(sleep);
            }
            4 => {
                let taken = shelf.lock().pop();
                if let Some(sleep) = taken {
                    let deadline = sleep.deadline();
                    sleep.await;
                    assert!(Instant::now() >= deadline, "early on another worker");
                }
            }
            _ => {
                let _ = timeout(length, yield_now()).await;
            }
        }
    }
}

#[test]
fn timers_in_all_ways() {
    rounds(|rng| {
        let runtime = rng.runtime();
        let (shelf, tally) = (Shelf::default(), Tally::default());
        let tasks: Vec<_> = (0..1 + rng.below(50))
            .map(|_| {
                let (task, guard) = (sleeper(rng.fork(), shelf.clone()), tally.one());
                runtime.spawn(async move {
                    let _guard = guard;
                    task.await;
                })
            })
            .collect();
        scope(|scope| {
            // A foreign thread drops some while they are in a wheel.
            scope.spawn(|| {
                for _ in 0..20 {
                    let taken = shelf.lock().pop();
                    drop(taken);
                    std::thread::yield_now();
                }
            });
            // Guests come and go, so their wheels move.
            scope.spawn(|| {
                for _ in 0..5 {
                    runtime.block_on(async {
                        drop(reiver::spawn(sleep(Duration::from_micros(300))));
                        sleep(Duration::from_micros(100)).await;
                    });
                }
            });
            runtime.block_on(async {
                for task in tasks {
                    task.await.unwrap();
                }
            });
        });
        // What is left on the shelf sees its runtime go first, half of the time.
        if rng.one_in(2) {
            shelf.lock().clear();
        }
        drop(runtime);
        tally.assert_none();
    });
}

/// The latest that a wait until `total` may end: at the next multiple of a thousandth of its length.
fn late(total: Duration) -> Duration {
    total + total / 500 + Duration::from_millis(10)
}

/// Hours pass at once, on any number of workers, and in the right order.
#[test]
fn the_paused_clock() {
    rounds(|rng| {
        let mut builder = match rng.below(3) {
            0 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        let runtime = builder.worker_threads(1 + rng.below(4)).start_paused(true).build().unwrap();
        let longest = runtime.block_on(async {
            let start = Instant::now();
            let mut longest = Duration::ZERO;
            let tasks: Vec<_> = (0..1 + rng.below(40))
                .map(|_| {
                    let (mut rng, mut total) = (rng.fork(), Duration::ZERO);
                    let steps: Vec<_> = (0..rng.below(6))
                        .map(|_| Duration::from_millis(rng.below(3_600_000) as u64))
                        .collect();
                    longest = longest.max(steps.iter().sum());
                    reiver::spawn(async move {
                        for step in steps {
                            if rng.one_in(3) {
                                yield_now().await;
                            }
                            total += step;
                            sleep_until(start + total).await;
                            assert!(start.elapsed() >= total, "early");
                            // The clock stands while anything can still happen.
                            assert!(start.elapsed() <= late(total), "it jumped too far");
                            if rng.one_in(8) {
                                spawn_blocking(std::thread::yield_now).await.unwrap();
                                assert!(start.elapsed() <= late(total), "it jumped over a job");
                            }
                        }
                        total
                    })
                })
                .collect();
            let mut found = Duration::ZERO;
            for task in tasks {
                found = found.max(task.await.unwrap());
            }
            assert_eq!(found, longest);
            assert!(start.elapsed() <= late(longest));
            longest
        });
        assert!(longest <= Duration::from_secs(6 * 3600));
    });
}
