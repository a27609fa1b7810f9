//! Timers: limits that are not reached, many sleeps at once, and how late they end.

use crate::measure::{Figures, Stopwatch, compute, ops, percentile};
use crate::rt::Rt;
use crate::slot::Countdown;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

const FAR: Duration = Duration::from_secs(30);

pub fn timeout_ready<R: Rt>() -> Figures {
    let count = ops(2_000_000);
    R::run(async move {
        let mut sum = 0;
        let watch = Stopwatch::start();
        for i in 0..count {
            sum += R::timeout(FAR, ready(std::hint::black_box(i))).await.expect("ready");
        }
        assert_eq!(sum, count * (count - 1) / 2);
        watch.per_op(count)
    })
}

/// Waits once, without a runtime's help.
fn wait_once() -> impl Future<Output = ()> + Send {
    let mut waited = false;
    poll_fn(move |cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

#[allow(clippy::manual_async_fn)] // an `async fn` cannot promise `Send`
fn limits<R: Rt>(count: usize) -> impl Future<Output = usize> + Send + 'static {
    async move {
        let mut in_time = 0;
        for _ in 0..count {
            in_time += usize::from(R::timeout(FAR, wait_once()).await.is_some());
        }
        in_time
    }
}

/// As `limits`, but each is polled once and dropped: what `select!` does when something else comes first.
#[allow(clippy::manual_async_fn)] // as above
fn cancelled<R: Rt>(count: usize) -> impl Future<Output = usize> + Send + 'static {
    const IN_A_POLL: usize = 50;
    async move {
        let mut cancelled = 0;
        while cancelled < count {
            poll_fn(|cx| {
                for _ in 0..IN_A_POLL {
                    let limit = pin!(R::timeout(FAR, pending::<()>()));
                    cancelled += usize::from(limit.poll(cx).is_pending());
                }
                Poll::Ready(())
            })
            .await;
            wait_once().await;
        }
        cancelled
    }
}

fn timeouts<R: Rt, F>(tasks: usize, some: fn(usize) -> F) -> Figures
where
    F: Future<Output = usize> + Send + 'static,
{
    let count = ops(300_000);
    R::run(async move {
        let watch = Stopwatch::start();
        let tasks: Vec<_> = (0..tasks).map(|_| R::spawn(some(count / tasks))).collect();
        let mut in_time = 0;
        for task in tasks {
            in_time += task.await;
        }
        assert_eq!(in_time, count);
        watch.per_op(count)
    })
}

pub fn timeout_pending<R: Rt>() -> Figures {
    timeouts::<R, _>(1, limits::<R>)
}

pub fn timeout_pending_2<R: Rt>() -> Figures {
    timeouts::<R, _>(2, limits::<R>)
}

pub fn timeout_cancelled_2<R: Rt>() -> Figures {
    timeouts::<R, _>(2, cancelled::<R>)
}

/// Sleeps of 1 to 100 ms in as many tasks.
fn sleeps<R: Rt>(count: usize) -> Figures {
    let late = Arc::new(Mutex::new(Vec::with_capacity(count)));
    let all = late.clone();
    let mut figures = R::run(async move {
        let countdown = Countdown::new(count);
        let watch = Stopwatch::start();
        for i in 0..count {
            let (countdown, late) = (countdown.clone(), all.clone());
            R::detach(async move {
                let duration = Duration::from_micros(1000 + (i as u64 * 7919) % 99_000);
                let start = Instant::now();
                R::sleep(duration).await;
                let over = start.elapsed();
                assert!(over >= duration, "a sleep ended early");
                late.lock().expect("nothing panics under it").push(over - duration);
                countdown.one();
            });
        }
        countdown.wait().await;
        watch.per_op(count)
    });
    let mut late = late.lock().expect("nothing panics under it");
    assert_eq!(late.len(), count);
    figures.remove(0);
    figures.push(("late p50 µs", percentile(&mut late, 50)));
    figures.push(("late p99 µs", percentile(&mut late, 99)));
    figures
}

pub fn sleeps_10k<R: Rt>() -> Figures {
    sleeps::<R>(10_000)
}

pub fn sleeps_100k<R: Rt>() -> Figures {
    sleeps::<R>(100_000)
}

/// One after the other, nothing else to do.
pub fn sleeps_sparse<R: Rt>() -> Figures {
    const COUNT: usize = 100;
    R::run(async {
        let mut late = Vec::with_capacity(COUNT);
        let watch = Stopwatch::start();
        for i in 0..COUNT {
            let duration = Duration::from_micros(800 + 17 * (i as u64 % 50));
            let start = Instant::now();
            R::sleep(duration).await;
            late.push(start.elapsed() - duration);
        }
        let mut figures = watch.per_op(COUNT);
        figures.remove(0);
        figures.push(("late p50 µs", percentile(&mut late, 50)));
        figures
    })
}

/// The runtime's own interval of 1 ms, nothing else to do: how late it ticks, and what a tick costs.
pub fn interval<R: Rt>() -> Figures {
    const TICKS: usize = 500;
    const PERIOD: Duration = Duration::from_millis(1);
    R::run(async {
        let mut late = Vec::with_capacity(TICKS);
        let watch = Stopwatch::start();
        let start = Instant::now();
        let tick = || late.push(start.elapsed().saturating_sub(PERIOD * (late.len() as u32 + 1)));
        R::every(PERIOD, TICKS, tick).await;
        let mut figures = watch.per_op(TICKS);
        figures.remove(0);
        figures.push(("late p50 µs", percentile(&mut late, 50)));
        figures.push(("late p99 µs", percentile(&mut late, 99)));
        figures
    })
}

/// A task that wants to run every millisecond beside `busy` that compute 10 µs and yield.
fn ticker<R: Rt>(busy: usize) -> Figures {
    const TICKS: u32 = 150;
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..busy {
        let stop = stop.clone();
        R::remote(async move {
            // Relaxed: a flag; nothing is read on the strength of it.
            while !stop.load(Relaxed) {
                compute(Duration::from_micros(10));
                R::yield_now().await;
            }
        });
    }
    let mut late = R::run(async {
        let mut late = Vec::new();
        let start = Instant::now();
        for tick in 1..=TICKS {
            let due = start + Duration::from_millis(1) * tick;
            R::sleep(due.saturating_duration_since(Instant::now())).await;
            late.push(due.elapsed());
        }
        late
    });
    stop.store(true, Relaxed);
    vec![("late p50 µs", percentile(&mut late, 50)), ("late p90 µs", percentile(&mut late, 90))]
}

pub fn ticker_8_busy<R: Rt>() -> Figures {
    ticker::<R>(8)
}

pub fn ticker_64_busy<R: Rt>() -> Figures {
    ticker::<R>(64)
}
