//! A counter that is read, thought about and written: without a lock, increments get lost.
//!
//! ```python
//! async def increment(lock):
//!     global counter
//!     async with lock:
//!         value = counter
//!         await asyncio.sleep(0.01)
//!         counter = value + 1
//! ```

// ci:

use reiver::sync::Mutex;
use reiver::task::gather;
use reiver::time::{Duration, sleep};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const TASKS: u32 = 20;

async fn think() {
    sleep(Duration::from_millis(5)).await;
}

#[reiver::main]
async fn main() {
    // Rust does not let tasks share a plain number. This one they can, and it goes wrong all the same.
    let unprotected = Arc::new(AtomicU32::new(0));
    gather((0..TASKS).map(|_| {
        let counter = unprotected.clone();
        async move {
            let value = counter.load(Relaxed);
            think().await;
            counter.store(value + 1, Relaxed);
        }
    }))
    .await;
    println!("without a lock: {} of {TASKS}", unprotected.load(Relaxed));

    // The lock owns what it protects.
    let protected = Arc::new(Mutex::new(0));
    gather((0..TASKS).map(|_| {
        let counter = protected.clone();
        async move {
            let mut counter = counter.lock().await;
            let value = *counter;
            think().await;
            *counter = value + 1;
        }
    }))
    .await;
    println!("with a lock:    {} of {TASKS}", *protected.lock().await);
    assert!(unprotected.load(Relaxed) < TASKS);
    assert_eq!(*protected.lock().await, TASKS);
}
