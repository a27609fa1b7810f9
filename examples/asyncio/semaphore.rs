//! Ten tasks, of which a semaphore lets three work at a time.
//!
//! ```python
//! semaphore = asyncio.Semaphore(3)
//!
//! async def work(n):
//!     async with semaphore:
//!         print(f"task {n} works")
//!         await asyncio.sleep(0.2)
//!
//! await asyncio.gather(*(work(n) for n in range(10)))
//! ```

// ci:

use reiver::sync::Semaphore;
use reiver::task::gather;
use reiver::time::{Duration, Instant, sleep};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

static SEMAPHORE: Semaphore = Semaphore::const_new(3);
static WORKING: AtomicU32 = AtomicU32::new(0);

/// Gives how many worked when it began.
async fn work(n: u32) -> u32 {
    let _permit = SEMAPHORE.acquire().await.unwrap();
    let working = WORKING.fetch_add(1, Relaxed) + 1;
    println!("task {n} works, with {} others", working - 1);
    sleep(Duration::from_millis(200)).await;
    WORKING.fetch_sub(1, Relaxed);
    working
}

#[reiver::main]
async fn main() {
    let begin = Instant::now();
    let working = gather((0..10).map(work)).await;
    println!("ten tasks of 0.2 s, three at a time: {:.1?}", begin.elapsed());
    assert_eq!(working.iter().max(), Some(&3));
    // Four rounds.
    assert!(begin.elapsed() >= Duration::from_millis(800));
    assert!(begin.elapsed() < Duration::from_millis(1600), "they waited for each other");
}
