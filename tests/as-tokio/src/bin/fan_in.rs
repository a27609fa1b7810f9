//! Many producers, one consumer; shared state behind a lock; a limit on how many work at once.

use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, broadcast, mpsc, watch};
use tokio::time::{Duration, sleep};

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let (sender, mut receiver) = mpsc::channel(8);
    let seen = Arc::new(Mutex::new(0u64));
    let limit = Arc::new(Semaphore::new(3));
    let (announce, _) = broadcast::channel(16);
    let (progress, mut watching) = watch::channel(0usize);

    for producer in 0..10u64 {
        let (sender, seen, limit) = (sender.clone(), seen.clone(), limit.clone());
        let mut start = announce.subscribe();
        tokio::spawn(async move {
            assert_eq!(start.recv().await.unwrap(), "go");
            let _permit = limit.acquire_owned().await.unwrap();
            for n in 0..100 {
                sender.send(producer * 100 + n).await.unwrap();
                *seen.lock().await += 1;
            }
            sleep(Duration::from_millis(1)).await;
        });
    }
    drop(sender);
    announce.send("go").unwrap();

    let watcher = tokio::spawn(async move {
        while watching.changed().await.is_ok() {}
        *watching.borrow()
    });
    let (mut count, mut sum) = (0, 0);
    while let Some(n) = receiver.recv().await {
        count += 1;
        sum += n;
        progress.send(count).unwrap();
    }
    drop(progress);
    assert_eq!(watcher.await.unwrap(), 1000);
    assert_eq!(*seen.lock().await, 1000);
    println!("{count} messages, sum {sum}");
}
