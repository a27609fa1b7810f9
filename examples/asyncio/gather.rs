//! asyncio's first tutorial: three fetches at once take as long as the longest, not as long as all.
//!
//! ```python
//! async def fetch(n):
//!     print(f"fetch {n} begins")
//!     await asyncio.sleep(1)
//!     return f"data {n}"
//!
//! async def main():
//!     results = await asyncio.gather(fetch(1), fetch(2), fetch(3))
//! ```

// ci:

use reiver::task::gather;
use reiver::time::{Duration, Instant, sleep};

async fn fetch(n: u32) -> String {
    println!("fetch {n} begins");
    sleep(Duration::from_secs(1)).await;
    println!("fetch {n} ends");
    format!("data {n}")
}

#[reiver::main]
async fn main() {
    let begin = Instant::now();
    let mut one_by_one = Vec::new();
    for n in 1..=3 {
        one_by_one.push(fetch(n).await);
    }
    let slow = begin.elapsed();
    println!("one after another: {one_by_one:?} in {slow:.1?}");

    let begin = Instant::now();
    let gathered = gather((1..=3).map(fetch)).await;
    let fast = begin.elapsed();
    println!("gathered:          {gathered:?} in {fast:.1?}");

    // Results stand in the order of the futures, whichever ends first.
    assert_eq!(gathered, one_by_one);
    assert!(slow >= Duration::from_secs(3) && fast >= Duration::from_secs(1));
    assert!(fast < Duration::from_secs(2), "they waited for each other");
}
