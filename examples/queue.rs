//! Producers and consumers around a bounded queue, and an end in which nothing is lost.
//!
//! ```text
//! cargo run --example queue
//! ```
//!
//! The queue holds eight jobs. When it is full the producers wait: that is the back pressure. It ends by
//! itself when the last producer has dropped its sender and the consumers have taken what is left.

use reiver::sync::{Mutex, mpsc};
use reiver::task::{JoinSet, spawn_blocking};
use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;

const PRODUCERS: u64 = 3;
const CONSUMERS: u64 = 4;
const JOBS: u64 = 20;

struct Job {
    producer: u64,
    number: u64,
}

#[reiver::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (sender, receiver) = mpsc::channel(8);

    let mut producers = JoinSet::new();
    for producer in 0..PRODUCERS {
        producers.spawn(produce(producer, sender.clone()));
    }
    // The clones are the producers' now. With this one alive the queue would never end.
    drop(sender);

    // A channel has one receiver. Consumers take turns at it: who holds the lock waits for a job, and
    // lets go before it works on it.
    let receiver = Arc::new(Mutex::new(receiver));
    let mut consumers = JoinSet::new();
    for consumer in 0..CONSUMERS {
        let receiver = receiver.clone();
        consumers.spawn(async move { (consumer, consume(receiver).await) });
    }

    while let Some(produced) = producers.join_next().await {
        produced?;
    }
    let mut sums = HashMap::new();
    while let Some(consumed) = consumers.join_next().await {
        let (consumer, results) = consumed?;
        println!("consumer {consumer} did {} jobs", results.len());
        for (producer, result) in results {
            *sums.entry(producer).or_insert(0) += result;
        }
    }

    let expected: u64 = (0..JOBS).map(|n| n * n).sum();
    for producer in 0..PRODUCERS {
        let sum = sums.get(&producer).copied().unwrap_or_default();
        println!("producer {producer} got {sum} back");
        assert_eq!(sum, expected, "a job was lost or done twice");
    }
    Ok(())
}

async fn produce(producer: u64, queue: mpsc::Sender<Job>) {
    for number in 0..JOBS {
        // An error would mean that all consumers are gone.
        if queue.send(Job { producer, number }).await.is_err() {
            return;
        }
    }
}

/// Works until the queue is empty and has no producers.
async fn consume(queue: Arc<Mutex<mpsc::Receiver<Job>>>) -> Vec<(u64, u64)> {
    let mut results = Vec::new();
    loop {
        let job = queue.lock().await.recv().await;
        let Some(Job { producer, number }) = job else { return results };
        // What computes for long does so on the pool, and leaves the workers to the others.
        match spawn_blocking(move || number * number).await {
            Ok(square) => results.push((producer, square)),
            Err(panicked) => eprintln!("job {number} of producer {producer}: {panicked}"),
        }
    }
}
