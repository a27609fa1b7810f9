//! Tasks in the background: begun now, awaited later, or cancelled.
//!
//! ```python
//! async def main():
//!     task = asyncio.create_task(background())
//!     print("main goes on")
//!     await asyncio.sleep(0.5)
//!     print(await task)
//!     ticker = asyncio.create_task(tick())
//!     await asyncio.sleep(0.35)
//!     ticker.cancel()
//!     try:
//!         await ticker
//!     except asyncio.CancelledError:
//!         print("the ticker was cancelled")
//! ```

// ci:

use reiver::time::{Duration, Instant, sleep};

async fn background() -> &'static str {
    println!("the task begins");
    sleep(Duration::from_secs(1)).await;
    println!("the task ends");
    "its result"
}

async fn tick() {
    for n in 1.. {
        println!("tick {n}");
        sleep(Duration::from_millis(100)).await;
    }
}

#[reiver::main]
async fn main() {
    let begin = Instant::now();
    let task = reiver::spawn(background());
    println!("main goes on");
    sleep(Duration::from_millis(500)).await;
    println!("main has done its own work");
    // Unlike asyncio's, a task that nobody holds is not collected: it runs to its end.
    println!("the task gave {:?} after {:.1?}", task.await.unwrap(), begin.elapsed());
    assert!(begin.elapsed() < Duration::from_millis(1490), "they waited for each other");

    let ticker = reiver::spawn(tick());
    sleep(Duration::from_millis(350)).await;
    ticker.abort();
    let error = ticker.await.unwrap_err();
    assert!(error.is_cancelled());
    println!("the ticker was cancelled");
}
