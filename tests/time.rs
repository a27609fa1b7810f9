//! Time, real and paused.

mod support;

use reiver::runtime::{Builder, Runtime};
use reiver::task;
use reiver::time::{
    self, Duration, Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout, timeout_at,
};
use std::future::{Future, pending, poll_fn, ready};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Waker};
use support::parked;

const MS: Duration = Duration::from_millis(1);

fn runtimes() -> [Runtime; 3] {
    [
        Builder::new_current_thread().build().unwrap(),
        Builder::new_multi_thread().worker_threads(1).build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).build().unwrap(),
    ]
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn paused() -> [Runtime; 3] {
    runtimes().map(|runtime| {
        runtime.block_on(async { time::pause() });
        runtime
    })
}

/// A sleeping task is to stay below 200 bytes.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_sleep_is_small() {
    assert!(size_of::<reiver::time::Sleep>() <= 72);
}

#[test]
fn a_sleep_is_never_early_and_ends() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..200)
                .map(|n| {
                    reiver::spawn(async move {
                        let wanted = Duration::from_micros(n * 37);
                        let start = Instant::now();
                        sleep(wanted).await;
                        assert!(start.elapsed() >= wanted);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let deadline = Instant::now() + 3 * MS;
            sleep_until(deadline).await;
            assert!(Instant::now() >= deadline);
        });
    }
}

#[test]
fn a_sleep_wakes_a_worker_that_sleeps_longer() {
    // From a thread that is no worker: the timer goes to a worker that is asleep for an hour.
    for runtime in runtimes() {
        let long = runtime.spawn(sleep(Duration::from_secs(3600)));
        let start = Instant::now();
        runtime.handle().block_on(sleep(5 * MS));
        assert!(start.elapsed() >= 5 * MS && start.elapsed() < Duration::from_secs(60));
        long.abort();
    }
}

#[test]
fn timeout_of_a_ready_future_sets_no_timer() {
    // After its runtime's end: a timer would panic.
    let runtime = Builder::new_current_thread().build().unwrap();
    let entered = runtime.handle().clone();
    drop(runtime);
    let _entered = entered.enter();
    assert_eq!(poll_once(pin!(timeout(Duration::ZERO, ready(5)))), Poll::Ready(Ok(5)));
    let panic = std::panic::catch_unwind(|| poll_once(pin!(timeout(MS, pending::<()>()))));
    let panic = panic.unwrap_err();
    let message = panic.downcast_ref::<&str>().unwrap();
    assert!(message.contains("after its runtime was shut down"), "{message}");
}

/// As the body of a response of `reqwest::blocking` is.
#[test]
fn timers_fire_where_no_runtime_is() {
    let inside = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let entered = inside.enter();
    let start = Instant::now();
    let made = sleep(10 * MS);
    let mut armed = Box::pin(sleep(10 * MS));
    assert!(poll_once(armed.as_mut()).is_pending());
    let mut fired = Box::pin(sleep(MS));
    inside.block_on(poll_fn(|cx| fired.as_mut().poll(cx)));
    let mut later = Box::pin(sleep(Duration::from_secs(3600)));
    assert!(poll_once(later.as_mut()).is_pending());
    drop(entered);
    parked(made);
    parked(armed);
    assert!(start.elapsed() >= 10 * MS);
    parked(fired);
    later.as_mut().reset(start + 20 * MS);
    parked(later);
    assert!(start.elapsed() >= 20 * MS);
    let outside = async {
        let mut ticks = interval(MS);
        ticks.tick().await;
        ticks.tick().await;
        timeout(MS, pending::<()>()).await
    };
    assert!(parked(outside).is_err());
}

#[test]
fn timeouts() {
    for runtime in runtimes() {
        runtime.block_on(async {
            assert!(timeout(MS, pending::<()>()).await.is_err());
            assert!(timeout(Duration::MAX, reiver::task::yield_now()).await.is_ok());
            assert!(timeout_at(Instant::now() - MS, pending::<()>()).await.is_err());
            let elapsed = timeout(Duration::ZERO, pending::<()>()).await.unwrap_err();
            assert_eq!(elapsed.to_string(), "deadline has elapsed");
            assert_eq!(std::io::Error::from(elapsed).kind(), std::io::ErrorKind::TimedOut);
        });
    }
}

#[test]
fn no_limit_leaves_a_paused_clock_usable() {
    for runtime in paused() {
        runtime.block_on(async {
            assert!(timeout(Duration::MAX, pending::<()>()).await.is_err());
            sleep(Duration::MAX).await;
            let start = Instant::now();
            sleep(Duration::from_secs(1)).await;
            assert_eq!(start.elapsed(), Duration::from_secs(1));
        });
    }
}

#[test]
fn a_sleep_can_be_reset_before_and_after_its_end() {
    for runtime in paused() {
        runtime.block_on(async {
            let start = Instant::now();
            let mut sleep = pin!(sleep(Duration::from_secs(100)));
            assert!(poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_pending())).await);
            sleep.as_mut().reset(start + Duration::from_secs(10));
            sleep.as_mut().await;
            assert!((10..11).contains(&start.elapsed().as_secs()));
            assert!(sleep.is_elapsed());
            sleep.as_mut().reset(start + Duration::from_secs(50));
            assert!(!sleep.is_elapsed());
            assert_eq!(sleep.deadline(), start + Duration::from_secs(50));
            sleep.as_mut().await;
            assert!((50..51).contains(&start.elapsed().as_secs()));
        });
    }
}

#[test]
fn a_paused_clock_jumps_over_what_nobody_does() {
    for runtime in paused() {
        let real = std::time::Instant::now();
        runtime.block_on(async {
            let order = Arc::new(AtomicUsize::new(0));
            let start = Instant::now();
            let tasks: Vec<_> = [3u64, 1, 2]
                .map(|hours| {
                    let order = order.clone();
                    reiver::spawn(async move {
                        sleep(Duration::from_secs(3600 * hours)).await;
                        (hours, order.fetch_add(1, SeqCst) + 1)
                    })
                })
                .into();
            for task in tasks {
                let (hours, place) = task.await.unwrap();
                assert_eq!(hours as usize, place);
            }
            assert!(start.elapsed() >= Duration::from_secs(3 * 3600));
            assert!(start.elapsed() < Duration::from_secs(3 * 3600 + 60));
        });
        assert!(real.elapsed() < Duration::from_secs(30));
    }
}

#[test]
fn advance_moves_a_paused_clock_exactly() {
    for runtime in paused() {
        runtime.block_on(async {
            let start = Instant::now();
            let task = reiver::spawn(sleep(Duration::from_secs(5)));
            time::advance(Duration::from_millis(1500)).await;
            assert_eq!(start.elapsed(), Duration::from_millis(1500));
            task.await.unwrap();
            time::resume();
            let real = std::time::Instant::now();
            sleep(2 * MS).await;
            assert!(real.elapsed() >= 2 * MS);
        });
    }
}

#[test]
fn misuse_of_the_clock_says_so() {
    let runtime = Builder::new_current_thread().start_paused(true).build().unwrap();
    let message = |f: &dyn Fn()| {
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_err();
        panic.downcast_ref::<&str>().map(|s| s.to_string()).unwrap()
    };
    let _guard = runtime.enter();
    assert!(message(&time::pause).contains("paused already"));
    time::resume();
    assert!(message(&time::resume).contains("not paused"));
    assert!(message(&|| drop(interval(Duration::ZERO))).contains("more than zero"));
}

#[test]
fn intervals_and_missed_ticks() {
    for (behavior, expected) in [
        (MissedTickBehavior::Burst, [0, 10, 20, 30, 40]),
        (MissedTickBehavior::Delay, [0, 10, 45, 55, 65]),
        (MissedTickBehavior::Skip, [0, 10, 40, 50, 60]),
    ] {
        let runtime = Builder::new_current_thread().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let mut interval = interval(10 * MS);
            interval.set_missed_tick_behavior(behavior);
            let mut at = Vec::new();
            at.push((interval.tick().await - start).as_millis());
            // The tick at 10 is asked for at 35.
            time::advance(35 * MS).await;
            for _ in 0..4 {
                at.push((interval.tick().await - start).as_millis());
            }
            // With Delay the pace starts at the late tick, whose instant the clock rounds up to.
            for (got, wanted) in at.iter().zip(expected) {
                assert!(got.abs_diff(wanted) <= 1, "{behavior:?}: {at:?}");
            }
            interval.reset();
            let before = Instant::now();
            interval.tick().await;
            assert!(Instant::now() - before >= 10 * MS);
        });
    }
}

/// A tick that is late by less than a period shifts the pace, too, if that is what is asked for.
#[test]
fn a_delayed_tick_keeps_its_distance() {
    for (behavior, expected) in [
        (MissedTickBehavior::Burst, 200),
        (MissedTickBehavior::Delay, 290),
        (MissedTickBehavior::Skip, 200),
    ] {
        let runtime = Builder::new_current_thread().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let start = Instant::now();
            let mut interval = interval(100 * MS);
            interval.set_missed_tick_behavior(behavior);
            interval.tick().await;
            time::advance(190 * MS).await;
            assert_eq!(interval.tick().await - start, 100 * MS);
            interval.tick().await;
            assert_eq!(start.elapsed().as_millis(), expected, "{behavior:?}");
        });
    }
}

#[test]
fn timers_survive_whoever_set_them() {
    for runtime in runtimes() {
        // Set by a root that ends: its slot's wheel is handed on.
        let root = async { Some(reiver::spawn(sleep(20 * MS))) };
        let slept = runtime.block_on(root).unwrap();
        runtime.handle().block_on(slept).unwrap();
        // Polled here, dropped after its runtime.
        let mut pinned = Box::pin(sleep(Duration::from_secs(3600)));
        runtime.block_on(poll_fn(|cx| {
            assert!(pinned.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        drop(runtime);
        drop(pinned);
    }
}

#[test]
fn many_timers_from_many_tasks_each_fire_once() {
    for runtime in runtimes() {
        let fired = Arc::new(AtomicUsize::new(0));
        runtime.block_on(async {
            let tasks: Vec<_> = (0..10_000u64)
                .map(|n| {
                    let fired = fired.clone();
                    reiver::spawn(async move {
                        let cancelled = timeout(Duration::from_secs(100), sleep(MS)).await;
                        cancelled.unwrap();
                        sleep(Duration::from_micros(n % 3000)).await;
                        fired.fetch_add(1, SeqCst);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(fired.load(SeqCst), 10_000);
    }
}

#[test]
fn blocking_in_place_does_not_hold_timers() {
    let runtime = Builder::new_multi_thread().worker_threads(1).build().unwrap();
    runtime.block_on(async {
        reiver::spawn(async {
            let sleeper = reiver::spawn(sleep(MS));
            reiver::task::yield_now().await;
            reiver::task::block_in_place(|| {
                reiver::runtime::Handle::current().block_on(sleeper).unwrap();
            });
        })
        .await
        .unwrap();
    });
}

#[test]
fn a_worker_that_blocks_in_place_can_wait_for_a_timer_there() {
    for workers in [1, 2] {
        let runtime = Builder::new_multi_thread().worker_threads(workers).build().unwrap();
        let wait = || {
            let handle = reiver::runtime::Handle::current();
            // This thread is no worker now: its timers go into a wheel of the runtime's choice.
            for _ in 0..5 {
                handle.block_on(sleep(MS));
            }
        };
        let tasks: Vec<_> =
            (0..4).map(|_| runtime.spawn(async move { task::block_in_place(wait) })).collect();
        for task in tasks {
            runtime.handle().block_on(task).unwrap();
        }
    }
}

#[derive(Debug)]
struct Noop;
impl Future for Noop {
    type Output = ();
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

#[test]
fn types_are_what_libraries_expect() {
    fn check<T: Send + Sync + std::fmt::Debug + 'static>() {}
    check::<time::Sleep>();
    check::<time::Interval>();
    check::<time::Timeout<Noop>>();
}

#[test]
fn a_blocking_job_holds_a_paused_clock() {
    for runtime in paused() {
        for _ in 0..20 {
            runtime.block_on(async {
                let job = reiver::task::spawn_blocking(|| std::thread::sleep(2 * MS));
                let day = Duration::from_secs(86_400);
                assert!(timeout(day, job).await.is_ok(), "the clock jumped past a running job");
                // And it jumps again afterwards.
                assert!(timeout(day, pending::<()>()).await.is_err());
            });
        }
    }
}

#[test]
fn a_paused_clock_is_exact() {
    for runtime in paused() {
        runtime.block_on(async {
            let start = Instant::now();
            sleep(5 * Duration::from_secs(1)).await;
            assert_eq!(start.elapsed(), Duration::from_secs(5));
            // Ten years, and no day more.
            let far = Duration::from_secs(3650 * 86_400);
            sleep_until(start + far).await;
            assert_eq!(start.elapsed(), far);
            let start = Instant::now();
            let mut waits = pin!(sleep(300 * MS));
            assert!(poll_once(waits.as_mut()).is_pending());
            time::advance(299 * MS).await;
            assert!(poll_once(waits.as_mut()).is_pending());
            time::advance(MS).await;
            assert!(poll_once(waits.as_mut()).is_ready(), "it was moved there exactly");
            assert_eq!(start.elapsed(), 300 * MS);
        });
    }
}

#[test]
fn a_deadline_that_has_passed_is_over_at_the_first_poll() {
    for runtime in runtimes() {
        runtime.block_on(async {
            assert!(poll_once(pin!(timeout_at(Instant::now(), pending::<()>()))).is_ready());
            assert!(poll_once(pin!(sleep(Duration::ZERO))).is_ready());
        });
    }
}

/// A waker of a `block_on` that is over, and was called since, is nothing that a paused clock waits for.
#[test]
fn a_paused_clock_forgets_roots_that_are_over() {
    for runtime in paused() {
        let waker = runtime.block_on(async {
            let mut kept = None;
            let keep = poll_fn(|cx| match kept.replace(cx.waker().clone()) {
                Some(waker) => Poll::Ready(waker),
                None => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
            });
            keep.await
        });
        waker.wake_by_ref();
        let slept = runtime.spawn(sleep(Duration::from_secs(3600)));
        runtime.block_on(slept).unwrap();
        drop(waker);
    }
}

/// What has happened comes before what is due later, also for the future of the `block_on`, and when another worker
/// than the last to fall asleep waits in the poller.
#[cfg(unix)]
#[test]
fn a_paused_clock_waits_for_what_is_ready() {
    use reiver::io::{AsyncReadExt, AsyncWriteExt};
    for runtime in paused() {
        for limit in [None, Some(3600 * Duration::from_secs(1))] {
            runtime.block_on(async {
                let (mut ours, theirs) = reiver::net::UnixStream::pair().unwrap();
                let echo = task::spawn(async move {
                    let (mut reader, mut writer) = theirs.into_split();
                    reiver::io::copy(&mut reader, &mut writer).await.unwrap()
                });
                let start = Instant::now();
                let talk = async {
                    for n in 0..1000 {
                        ours.write_u16(n).await.unwrap();
                        assert_eq!(ours.read_u16().await.unwrap(), n);
                    }
                    drop(ours);
                };
                match limit {
                    None => talk.await,
                    Some(limit) => timeout(limit, talk).await.unwrap(),
                }
                assert_eq!(echo.await.unwrap(), 2000);
                assert_eq!(start.elapsed(), Duration::ZERO);
            });
        }
    }
}
