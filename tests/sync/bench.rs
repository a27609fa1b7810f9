//! Costs per operation, with nobody waiting unless said otherwise.
//! `cargo test --release --test sync bench -- --ignored --nocapture`.

use super::*;
use reiver::sync::{Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use std::hint::black_box;
use std::time::Instant;

const ROUNDS: u32 = 1_000_000;

/// Prints the best of five.
fn measure(name: &str, mut f: impl FnMut()) {
    let pass = || {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| f());
        start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
    };
    let best = std::iter::repeat_with(pass).take(5).fold(f64::MAX, f64::min);
    println!("{name:32} {best:7.1} ns");
}

/// Polls a future that is ready at once.
fn now<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("it had to wait"),
    }
}

#[test]
#[ignore = "a measurement, not a check"]
fn bench() {
    let mutex = Mutex::new(0u64);
    measure("Mutex lock + unlock", || *now(mutex.lock()) += 1);
    measure("Mutex try_lock + unlock", || *mutex.try_lock().unwrap() += 1);
    let rwlock = RwLock::new(0u64);
    measure("RwLock read + unlock", || _ = black_box(*now(rwlock.read())));
    measure("RwLock write + unlock", || *now(rwlock.write()) += 1);
    let semaphore = Semaphore::new(8);
    measure("Semaphore acquire + release", || drop(now(semaphore.acquire())));
    let notify = Notify::new();
    measure("Notify notify_one + notified", || {
        notify.notify_one();
        now(notify.notified());
    });
    let (tx, mut rx) = mpsc::unbounded_channel();
    measure("mpsc unbounded send + try_recv", || {
        tx.send(1u64).unwrap();
        rx.try_recv().unwrap();
    });
    let mut n = 0;
    measure("mpsc unbounded, 1000 at a time", || {
        tx.send(1u64).unwrap();
        n += 1;
        if n % 1000 == 0 {
            (0..1000).for_each(|_| _ = rx.try_recv().unwrap());
        }
    });
    let (tx, mut rx) = mpsc::channel(64);
    measure("mpsc bounded send + recv", || {
        now(tx.send(1u64)).unwrap();
        now(rx.recv()).unwrap();
    });
    measure("oneshot channel + send + recv", || {
        let (tx, rx) = oneshot::channel();
        tx.send(1u64).unwrap();
        now(rx).unwrap();
    });
    let (tx, mut rx) = watch::channel(0u64);
    measure("watch send + changed + borrow", || {
        tx.send(1).unwrap();
        now(rx.changed()).unwrap();
        black_box(*rx.borrow_and_update());
    });
    let (tx, mut rx) = broadcast::channel(16);
    measure("broadcast send + recv", || {
        tx.send(1u64).unwrap();
        now(rx.recv()).unwrap();
    });
}

/// Two threads, one sending as fast as it can.
#[test]
#[ignore = "a measurement, not a check"]
fn bench_threads() {
    for senders in [1, 4] {
        let (tx, mut rx) = mpsc::unbounded_channel();
        let (btx, mut brx) = mpsc::channel(1000);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..senders {
                let tx = tx.clone();
                scope.spawn(move || (0..ROUNDS / senders).for_each(|n| tx.send(n).unwrap()));
            }
            drop(tx);
            while rx.blocking_recv().is_some() {}
        });
        let ns = start.elapsed().as_nanos() / u128::from(ROUNDS);
        println!("mpsc unbounded, {senders} sender threads  {ns} ns");
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..senders {
                let tx = btx.clone();
                scope.spawn(move || {
                    (0..ROUNDS / senders).for_each(|n| tx.blocking_send(n).unwrap());
                });
            }
            drop(btx);
            while brx.blocking_recv().is_some() {}
        });
        let ns = start.elapsed().as_nanos() / u128::from(ROUNDS);
        println!("mpsc bounded 1000, {senders} sender threads  {ns} ns");
    }
}
