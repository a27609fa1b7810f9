//! What a runtime and its tasks cost by being there.

use crate::measure::{Figures, Stopwatch, cpu_time, resident};
use crate::rt::Rt;
use crate::slot::{Countdown, Slot};
use std::future::Future;
use std::time::Duration;

/// Bytes for each of many tasks that wait in `wait` with eight bytes of their own.
fn memory<R: Rt, F: Future<Output = ()> + Send + 'static>(wait: fn() -> F) -> Figures {
    const COUNT: usize = 200_000;
    let before = R::run(async { resident() });
    R::run(async move {
        let countdown = Countdown::new(COUNT);
        let here = &*Box::leak(Box::new(countdown.clone()));
        for _ in 0..COUNT {
            R::detach(async move {
                // A reference to what is shared: the eight bytes.
                here.one();
                wait().await;
                here.one();
            });
        }
        countdown.wait().await;
    });
    vec![("bytes", (resident() - before) / COUNT as f64)]
}

pub fn memory_parked<R: Rt>() -> Figures {
    memory::<R, _>(std::future::pending::<()>)
}

pub fn memory_sleeping<R: Rt>() -> Figures {
    memory::<R, _>(|| R::sleep(Duration::from_secs(3600)))
}

/// From nothing to a runtime that has run a future, and back.
pub fn start_stop<R: Rt>() -> Figures {
    const COUNT: usize = 100;
    R::start_and_stop(crate::workers());
    let watch = Stopwatch::start();
    for _ in 0..COUNT {
        R::start_and_stop(crate::workers());
    }
    watch.per_op(COUNT)
}

/// A runtime with a task that waits and one that sleeps, left alone.
pub fn idle<R: Rt>() -> Figures {
    let forever = Slot::<()>::new();
    R::remote(async move { forever.recv().await });
    R::remote(async { R::sleep(Duration::from_secs(3600)).await });
    std::thread::sleep(Duration::from_millis(50));
    let before = cpu_time();
    std::thread::sleep(Duration::from_secs(2));
    vec![("cpu µs in 2 s", (cpu_time() - before).as_nanos() as f64 / 1000.0)]
}
