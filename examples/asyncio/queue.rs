//! One producer and two consumers over a queue: `join` waits until everything was worked off.
//!
//! ```python
//! async def consumer(name, queue):
//!     while True:
//!         item = await queue.get()
//!         await asyncio.sleep(0.1)
//!         print(f"{name} has done {item}")
//!         queue.task_done()
//!
//! async def main():
//!     queue = asyncio.Queue(maxsize=3)
//!     consumers = [asyncio.create_task(consumer(n, queue)) for n in ("A", "B")]
//!     await producer(queue)
//!     await queue.join()
//!     for c in consumers:
//!         c.cancel()
//! ```

// ci:

use reiver::sync::{Mutex, Queue};
use reiver::time::{Duration, Instant, sleep};
use std::sync::Arc;

const ITEMS: u32 = 10;

async fn produce(queue: &Queue<u32>) {
    for item in 1..=ITEMS {
        // Waits while the queue is full.
        queue.put(item).await.unwrap();
        println!("produced {item}, {} in the queue", queue.len());
    }
}

async fn consume(name: &'static str, queue: Arc<Queue<u32>>, done: Arc<Mutex<Vec<u32>>>) {
    loop {
        let Ok(item) = queue.get().await else { return };
        sleep(Duration::from_millis(100)).await;
        println!("{name} has done {item}");
        done.lock().await.push(item);
        queue.task_done();
    }
}

#[reiver::main]
async fn main() {
    let begin = Instant::now();
    let queue = Arc::new(Queue::new(3));
    let done = Arc::new(Mutex::new(Vec::new()));
    let consumers = ["A", "B"].map(|n| reiver::spawn(consume(n, queue.clone(), done.clone())));
    produce(&queue).await;
    println!("everything is produced");
    queue.join().await;
    println!("everything is done, in {:.1?}", begin.elapsed());
    // Two at a time.
    assert!(begin.elapsed() >= Duration::from_millis(500));
    assert!(begin.elapsed() < Duration::from_millis(990), "the consumers waited for each other");
    // Instead of cancelling them: who waits for more is told that there is none.
    queue.shutdown(false);
    for consumer in consumers {
        consumer.await.unwrap();
    }
    let mut done = done.lock().await.clone();
    done.sort();
    assert_eq!(done, (1..=ITEMS).collect::<Vec<_>>());
}
