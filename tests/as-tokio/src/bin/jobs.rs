//! JoinSet, select, timeout, interval, spawn_blocking, join, cancellation: a little of each.

use std::time::Duration;
use tokio::task::{self, JoinSet};
use tokio::time::{self, Instant, MissedTickBehavior};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut set = JoinSet::new();
    for n in 0..50u64 {
        set.spawn(async move {
            if n % 10 == 9 {
                task::spawn_blocking(move || (0..=n).sum::<u64>()).await.unwrap()
            } else {
                task::yield_now().await;
                n
            }
        });
    }
    let hung = set.spawn(std::future::pending());
    hung.abort();
    let (mut sum, mut cancelled) = (0, 0);
    while let Some(result) = set.join_next().await {
        match result {
            Ok(n) => sum += n,
            Err(error) if error.is_cancelled() => cancelled += 1,
            Err(error) => panic!("{error}"),
        }
    }

    let mut interval = time::interval(Duration::from_millis(2));
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0;
    let deadline = time::sleep(Duration::from_secs(20));
    tokio::pin!(deadline);
    while ticks < 5 {
        tokio::select! {
            biased;
            _ = &mut deadline => panic!("too slow"),
            _ = interval.tick() => ticks += 1,
        }
    }

    let start = Instant::now();
    let late = time::timeout(Duration::from_millis(5), std::future::pending::<()>()).await;
    assert!(late.is_err() && start.elapsed() >= Duration::from_millis(5));
    let (a, b) = tokio::join!(async { 1 }, task::spawn(async { 2 }));
    let both =
        tokio::try_join!(async { Ok::<_, String>(3) }, async { Err::<(), _>("no".to_string()) });
    assert_eq!(both, Err("no".into()));
    println!("sum {sum}, {cancelled} cancelled, {ticks} ticks, {}", a + b.unwrap());
}
